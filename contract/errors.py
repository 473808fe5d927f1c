"""The refusals: every answer that is not a success, as facts.

A Refusal is a value with the facts code, status and HTTP status; its message is the sentence that a device gets. One
tree of exceptions raises it, since every refusal becomes the same JSON error (docs/interface.md, "Errors")::

    Refused                     facts: refusal
    └── PictureRefused          the content of a picture is the reason
        ├── PictureUnreadable   40003, not a picture we serve, truncated, or not available
        └── PictureTooLarge     40007, dimensions over the limit, according to the header

The HTTP status is code // 100. Nothing of the input is echoed in a message.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Self


class Code(IntEnum):
    """The error table: `when` is the case that a code answers; `status` has the vendor's own spellings.

    The calls below /SophonFogSys have numbers of their own for two of the statuses (contract.calls.dialects).
    """

    when: str

    def __new__(cls, number: int, when: str = "") -> Self:
        """A row of the table."""
        code = int.__new__(cls, number)
        code._value_, code.when = number, when
        return code

    BAD_REQUEST = 40000, "not JSON, no object, not HTTP; a body that does not arrive; an encoding that is not served"
    UNSUPPORT_CONTENT_TYPE = 40001, "not JSON; a missing content type, except where the call takes it for JSON"
    EMPTY_REQUEST_JSON = 40002, "empty body"
    IMAGE_ERROR = 40003, "bad base64; no whole picture, or a JPEG of a kind or in scans not read; any path not usable"
    NO_FACE = 40004, "no face was found"
    BOOLEAN_ARGUMENT_ERROR = 40005, "a boolean field holds something else"
    LOW_QUALITY_ERROR = 40006, "the message names the items"
    IMAGE_SIZE_TOO_LARGE_ERROR = 40007, "pixels over the limit of the picture's kind, or more work than it may make"
    EMPTY_GROUP_ERROR = 40008, "nobody is enrolled"
    ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR = 40009, "the face of an enrolment photo is too small"
    BAD_FEATURE_ERROR = 40010, "a feature of the wrong length, or not finite"
    IDENTITY_EXSIT_ERROR = 40011, "the identity exists, not just as asked for, and `ignore_exist` is not set"
    GROUP_NAME_ERROR = 40012, "malformed group or permission name, or an unknown one"
    GROUP_LEN_ERROR = 40015, "the group is full"
    PARAM_ERROR = 40071, "a field is missing, of the wrong type or out of range; the message names it"
    LIVENESS_DETECT_FAIL = 40080, "the message names the checks"
    FOG_PARAM_ERROR = 40091, "40071 of the calls below /SophonFogSys"
    UNAUTHORIZED = 40180, "no key or a wrong one; a foreign page or host name; with Retry-After: too many wrong keys"
    NOT_FOUND = 40400, "unknown URL"
    ID_NOT_FOUND = 40401, "unknown identity"
    DEVICE_ID_NOT_FOUND = 40480, "`matching.unknown_device` is reject"
    FOG_NOT_FOUND = 40491, "below /SophonFogSys: a group or another object is unknown; of people it is 40401"
    METHOD_NOT_ALLOWED = 40580, "the URL takes other methods only"
    PAYLOAD_TOO_LARGE = 41300, "a body or a picture over the limit"
    INTERNAL_ERROR = 50080, "the message contains the request id"
    OVERLOADED = 50380, "with Retry-After; the call cannot be done in time or at all now: see Overload"
    TIMEOUT = 50480, "no answer within the deadline; as a rule nothing was done, see Events"

    @property
    def status(self) -> str:
        """The wire's name of the code."""
        return self.name.removeprefix("FOG_")

    @property
    def http_status(self) -> int:
        """The status of the HTTP answer."""
        return self.value // 100


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is not a success; `message` is one sentence for whoever sent the request."""

    code: Code
    message: str

    @property
    def status(self) -> str:
        """The wire's name of the code."""
        return self.code.status

    @property
    def http_status(self) -> int:
        """The status of the HTTP answer."""
        return self.code.http_status


class Refused(Exception):
    """A request is refused; `refusal` is the value to keep.

    The exception itself is not kept: it refers to the frames that it passed through, and they refer to pictures.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(code, message)

    @classmethod
    def of(cls, refusal: Refusal) -> "Refused":
        """The exception that raises a refusal which was kept as a value."""
        return Refused(refusal.code, refusal.message)

    @property
    def code(self) -> Code:
        """The code of the error table."""
        return self.refusal.code

    @property
    def message(self) -> str:
        """One sentence for whoever sent the request."""
        return self.refusal.message

    def about(self, field: str) -> "Refused":
        """The same refusal with the name of the field that it is about, where there are several."""
        return Refused(self.code, f"{field}: {self.message}")


class PictureRefused(Refused):
    """A picture that cannot be used."""


class PictureUnreadable(PictureRefused):
    """Not a JPEG, PNG, WebP or BMP, or a damaged one."""

    def __init__(self, message: str = "the picture is not a complete JPEG, PNG, WebP or BMP file") -> None:
        super().__init__(Code.IMAGE_ERROR, message)


class PictureTooLarge(PictureRefused):
    """More than `limit` `pixels`: in the whole picture, or on one side."""

    def __init__(self, limit: int, pixels: str = "pixels") -> None:
        super().__init__(
            Code.IMAGE_SIZE_TOO_LARGE_ERROR,
            f"the picture has more than {limit} {pixels}; send a smaller one",
        )
