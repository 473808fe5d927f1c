"""The refusals: every answer that is not a success.

A Refusal is a value with a code, a status and an HTTP status; its message is the sentence that the device receives.
The exceptions that carry a refusal form one tree, since every refusal becomes the same JSON error
(docs/interface.md, "Errors")::

    Refused                     has the refusal as an attribute
    └── PictureRefused          the content of a picture is the reason
        ├── PictureUnreadable   40003: the picture is of a kind that is not served, is damaged, or is not available
        └── PictureTooLarge     40007: the header of the picture declares more pixels than the limit

The HTTP status is code // 100. No message repeats any part of the input.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Literal, Self


class Code(IntEnum):
    """The error table: `when` describes the cases of a code; `status` is its name on the wire, as the vendor spells it.

    The calls below /SophonFogSys have numbers of their own for two of the statuses (contract.calls.dialects).
    """

    when: str

    def __new__(cls, number: int, when: str = "") -> Self:
        """Create a row of the table."""
        code = int.__new__(cls, number)
        code._value_, code.when = number, when
        return code

    BAD_REQUEST = (
        40000,
        "the request is not HTTP; its body is no JSON object, does not arrive or has an unknown encoding",
    )
    UNSUPPORT_CONTENT_TYPE = 40001, "the content type is not JSON; it is missing, and the call does not assume JSON"
    EMPTY_REQUEST_JSON = 40002, "the body is empty"
    IMAGE_ERROR = (
        40003,
        "bad base64, a damaged picture or one of a kind that is not read, a path that cannot be used",
    )
    NO_FACE = 40004, "no face was found"
    BOOLEAN_ARGUMENT_ERROR = 40005, "the value of a boolean field is not a boolean"
    LOW_QUALITY_ERROR = 40006, "the quality of the face is too low; the message names the items"
    IMAGE_SIZE_TOO_LARGE_ERROR = 40007, "the picture has more pixels, or takes more work to decode, than its kind may"
    EMPTY_GROUP_ERROR = 40008, "nobody is enrolled"
    ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR = 40009, "the face of an enrolment photo is too small"
    BAD_FEATURE_ERROR = 40010, "a feature has the wrong length, or a number in it is not finite"
    IDENTITY_EXSIT_ERROR = 40011, "the identity exists and differs from the request, and `ignore_exist` is not set"
    GROUP_NAME_ERROR = (
        40012,
        "the name of a group or permission is malformed, unknown or taken, or is one that always exists",
    )
    GROUP_LEN_ERROR = (
        40015,
        "the group is full, or too large for one call; there are as many groups or permissions as allowed",
    )
    PARAM_ERROR = 40071, "a field is missing, of the wrong type or out of range; the message names it"
    LIVENESS_DETECT_FAIL = 40080, "the face is not of a living person; the message names the checks"
    DEVICE_ADDRESS_DUPLICATE_ERROR = 40081, "another device has the same `device_key`"
    DEVICE_MAX_NUM_ERROR = 40082, "there are as many devices as `matching.max_devices` allows"
    FOG_PARAM_ERROR = 40091, "as 40071, in the calls below /SophonFogSys"
    UNAUTHORIZED = (
        40180,
        "a missing or wrong key, a weak role, a key over plain HTTP or in the URL, a foreign page or host name",
    )
    NOT_FOUND = 40400, "the URL is unknown"
    ID_NOT_FOUND = 40401, "the identity or the image is unknown"
    DEVICE_ID_NOT_FOUND = 40480, "the device is unknown; for a match: and `matching.unknown_device` is reject"
    FOG_NOT_FOUND = (
        40491,
        "below /SophonFogSys: a group or another object is unknown; an unknown person is 40401",
    )
    METHOD_NOT_ALLOWED = 40580, "the URL does not have this method"
    PAYLOAD_TOO_LARGE = 41300, "the body or a picture is larger than its limit"
    INTERNAL_ERROR = 50080, "an unexpected error; the message contains the request id"
    OVERLOADED = 50380, "the server is overloaded or cannot work now; Retry-After says when to try again"
    TIMEOUT = 50480, "there is no answer within the deadline; as a rule, nothing was done"

    @property
    def status(self) -> str:
        """The name of the code on the wire."""
        return self.name.removeprefix("FOG_")

    @property
    def http_status(self) -> int:
        """The status code of the HTTP answer."""
        return self.value // 100


Cause = Literal["missing", "path", "repeated", "setting", "permission"]
"""What version 6 names more closely than the code does: a field is missing, a path cannot be used, a name exists, a
setting cannot be set, or a permission that a person shall get does not exist."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is not a success; `message` is one sentence for whoever sent the request."""

    code: Code
    message: str
    cause: Cause | None = None

    @property
    def status(self) -> str:
        """The name of the code on the wire."""
        return self.code.status

    @property
    def http_status(self) -> int:
        """The status code of the HTTP answer."""
        return self.code.http_status


class Refused(Exception):
    """A request is refused; code that stores a refusal stores the value `refusal`.

    The exception itself is never stored, because its traceback refers to stack frames, and these refer to pictures.
    """

    def __init__(self, code: Code, message: str, cause: Cause | None = None) -> None:
        super().__init__(message)
        self.refusal = Refusal(code, message, cause)

    @classmethod
    def of(cls, refusal: Refusal) -> "Refused":
        """Return an exception for a refusal that was stored as a value."""
        return Refused(refusal.code, refusal.message, refusal.cause)

    @property
    def code(self) -> Code:
        """The code of the error table."""
        return self.refusal.code

    @property
    def message(self) -> str:
        """One sentence for whoever sent the request."""
        return self.refusal.message

    def about(self, field: str) -> "Refused":
        """Return the same refusal with the name of the refused field before its message."""
        return Refused(self.code, f"{field}: {self.message}", self.refusal.cause)


class PictureRefused(Refused):
    """A picture that cannot be used."""


class PictureUnreadable(PictureRefused):
    """A picture is not a JPEG, PNG, WebP or BMP file, or is damaged."""

    def __init__(self, message: str = "the picture is not a complete JPEG, PNG, WebP or BMP file") -> None:
        super().__init__(Code.IMAGE_ERROR, message)


class PictureTooLarge(PictureRefused):
    """A picture is larger than `limit`, which is counted in the unit that `pixels` names."""

    def __init__(self, limit: int, pixels: str = "pixels") -> None:
        super().__init__(
            Code.IMAGE_SIZE_TOO_LARGE_ERROR,
            f"the picture has more than {limit} {pixels}; send a smaller one",
        )
