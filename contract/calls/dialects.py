"""The vendor's dialects: the form in which each family of calls returns a refusal. Pure."""

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from contract.errors import Cause, Code, Refusal


class ErrorDetail(Struct, frozen=True, kw_only=True):
    """An error as calls of version 5 return it; `code` // 100 is the HTTP status."""

    code: int
    message: str
    status: str


class ErrorAnswer(Struct, frozen=True, kw_only=True):
    """Any answer of a call of version 5 that is not a success."""

    error: ErrorDetail


class NamedErrorDetail(Struct, frozen=True, kw_only=True):
    """An error as calls of version 6 return it; `code` is a name."""

    code: str
    message: str


class NamedErrorAnswer(Struct, frozen=True, kw_only=True):
    """Any answer of a call of version 6 that is not a success."""

    error: NamedErrorDetail


class Dialect(Enum):
    """A family of calls whose errors have the same form."""

    V5 = "v5"
    FOG = "fog"
    """The calls below /SophonFogSys, in which two statuses have numbers of their own."""
    V6 = "v6"
    """The calls below /sophon/v2, which have names instead of numbers."""

    @property
    def error_type(self) -> type[ErrorAnswer | NamedErrorAnswer]:
        """The type of an error's JSON document."""
        return NamedErrorAnswer if self is Dialect.V6 else ErrorAnswer

    def code(self, code: Code) -> Code:
        """Return the code by which this family names the given code."""
        return _FOG_CODES.get(code, code) if self is Dialect.FOG else code

    def detail(self, refusal: Refusal) -> ErrorDetail:
        """Return the detail of a refusal with this family's number."""
        code = self.code(refusal.code)
        return ErrorDetail(code=int(code), message=refusal.message, status=code.status)

    def error(self, refusal: Refusal) -> ErrorAnswer | NamedErrorAnswer:
        """Return the answer to a refused call."""
        if self is Dialect.V6:
            name = _V6_CAUSES[refusal.cause] if refusal.cause else _V6_NAMES.get(refusal.code, refusal.code.status)
            return NamedErrorAnswer(error=NamedErrorDetail(code=name, message=refusal.message))
        return ErrorAnswer(error=self.detail(refusal))


_FOG_CODES = {Code.PARAM_ERROR: Code.FOG_PARAM_ERROR, Code.NOT_FOUND: Code.FOG_NOT_FOUND}
_V6_NAMES = {
    Code.BAD_REQUEST: "INVALID_REQUEST_JSON",
    Code.IMAGE_ERROR: "IMAGE_DECODE_ERROR",
    Code.NO_FACE: "NO_FACE_ERROR",
    Code.BOOLEAN_ARGUMENT_ERROR: "INVALID_ARGUMENTS",
    Code.ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR: "LOW_QUALITY_ERROR",
    Code.BAD_FEATURE_ERROR: "INVALID_ARGUMENTS",
    Code.IDENTITY_EXSIT_ERROR: "ID_REPEAT_ERROR",
    Code.GROUP_NAME_ERROR: "PERMISSION_ID_NOT_FOUND",
    Code.PARAM_ERROR: "INVALID_ARGUMENTS",
    Code.PAYLOAD_TOO_LARGE: "IMAGE_SIZE_TOO_LARGE_ERROR",
}
"""The names of the codes whose name in version 6 is not that of version 5."""
_V6_CAUSES: Mapping[Cause, str] = {
    "missing": "MISSING_ARGUMENTS",
    "path": "IMAGE_NOT_OPENED",
    "repeated": "NAME_REPEAT_ERROR",
    "setting": "CONFIG_ITEM_FAIL",
    "permission": "PERMISSION_ID_NOT_FOUND",
}
