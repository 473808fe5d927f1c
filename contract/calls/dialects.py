"""The vendor's dialects of an error: how each family of calls writes a refusal. Pure."""

from enum import Enum

from msgspec import Struct

from contract.errors import Code, Refusal


class ErrorDetail(Struct, frozen=True, kw_only=True):
    """What went wrong, as the calls of version 5 write it: `code` // 100 is the HTTP status."""

    code: int
    message: str
    status: str


class ErrorAnswer(Struct, frozen=True, kw_only=True):
    """Every answer that is not a success."""

    error: ErrorDetail


class NamedErrorDetail(Struct, frozen=True, kw_only=True):
    """What went wrong, as the calls of version 6 write it: `code` is a name."""

    code: str
    message: str


class NamedErrorAnswer(Struct, frozen=True, kw_only=True):
    """Every answer of a call of version 6 that is not a success."""

    error: NamedErrorDetail


class Dialect(Enum):
    """A family of calls that has its errors in common."""

    V5 = "v5"
    FOG = "fog"
    """Below /SophonFogSys: two statuses have numbers of their own."""
    V6 = "v6"
    """Below /sophon/v2: names instead of numbers."""

    @property
    def error_type(self) -> type[ErrorAnswer | NamedErrorAnswer]:
        """The shape of an error."""
        return NamedErrorAnswer if self is Dialect.V6 else ErrorAnswer

    def code(self, code: Code) -> Code:
        """The number that this family has for the code."""
        return _FOG_CODES.get(code, code) if self is Dialect.FOG else code

    def detail(self, refusal: Refusal) -> ErrorDetail:
        """What went wrong, with a number."""
        code = self.code(refusal.code)
        return ErrorDetail(code=int(code), message=refusal.message, status=code.status)

    def error(self, refusal: Refusal) -> ErrorAnswer | NamedErrorAnswer:
        """The answer to a refused call."""
        if self is Dialect.V6:
            name = _V6_NAMES.get(refusal.code, refusal.code.status)
            return NamedErrorAnswer(error=NamedErrorDetail(code=name, message=refusal.message))
        return ErrorAnswer(error=self.detail(refusal))


_FOG_CODES = {Code.PARAM_ERROR: Code.FOG_PARAM_ERROR, Code.NOT_FOUND: Code.FOG_NOT_FOUND}
_V6_NAMES = {
    Code.BAD_REQUEST: "INVALID_REQUEST_JSON",
    Code.BOOLEAN_ARGUMENT_ERROR: "INVALID_ARGUMENTS",
    Code.IMAGE_ERROR: "IMAGE_DECODE_ERROR",
    Code.NO_FACE: "NO_FACE_ERROR",
    Code.PARAM_ERROR: "INVALID_ARGUMENTS",
}
