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


class Code(IntEnum):
    """The error table: each name is the `status` on the wire, in the vendor's own spelling."""

    BAD_REQUEST = 40000
    UNSUPPORT_CONTENT_TYPE = 40001
    EMPTY_REQUEST_JSON = 40002
    IMAGE_ERROR = 40003
    NO_FACE = 40004
    BOOLEAN_ARGUMENT_ERROR = 40005
    LOW_QUALITY_ERROR = 40006
    IMAGE_SIZE_TOO_LARGE_ERROR = 40007
    EMPTY_GROUP_ERROR = 40008
    ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR = 40009
    BAD_FEATURE_ERROR = 40010
    IDENTITY_EXSIT_ERROR = 40011
    GROUP_NAME_ERROR = 40012
    GROUP_LEN_ERROR = 40015
    PARAM_ERROR = 40071
    LIVENESS_DETECT_FAIL = 40080
    UNAUTHORIZED = 40180
    NOT_FOUND = 40400
    ID_NOT_FOUND = 40401
    DEVICE_ID_NOT_FOUND = 40480
    METHOD_NOT_ALLOWED = 40580
    PAYLOAD_TOO_LARGE = 41300
    INTERNAL_ERROR = 50080
    OVERLOADED = 50380
    TIMEOUT = 50480

    @property
    def http_status(self) -> int:
        """The status code of the HTTP answer."""
        return self.value // 100


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is not a success; `message` is one sentence for whoever sent the request."""

    code: Code
    message: str

    @property
    def status(self) -> str:
        """The name of the code on the wire."""
        return self.code.name

    @property
    def http_status(self) -> int:
        """The status code of the HTTP answer."""
        return self.code.http_status


class Refused(Exception):
    """A request is refused; code that stores a refusal stores the value `refusal`.

    The exception itself is never stored, because its traceback refers to stack frames, and these refer to pictures.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(code, message)

    @classmethod
    def of(cls, refusal: Refusal) -> "Refused":
        """Return an exception for a refusal that was stored as a value."""
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
        """Return the same refusal with the name of the refused field before its message."""
        return Refused(self.code, f"{field}: {self.message}")


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
