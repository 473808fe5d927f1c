"""Renders answers and refusals as JSON for HTTP. Pure."""

from dataclasses import dataclass
from typing import get_args

import msgspec
import orjson

from contract.answers import RefusedAnswer
from contract.calls.dialects import Dialect
from contract.errors import Cause, Code, Refusal

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The content of an HTTP answer; `code` is 200 or a code of the error table."""

    body: bytes
    code: int = 200
    headers: Headers = ()
    content_type: str = "application/json"

    @property
    def http_status(self) -> int:
        """The status of the HTTP answer."""
        return self.code if self.code < 1000 else self.code // 100


def success(document: msgspec.Struct, headers: Headers = ()) -> Rendered:
    """Return the answer with a document and status 200."""
    return Rendered(_json(document), headers=headers)


def error(refusal: Refusal, dialect: Dialect = Dialect.V5, headers: Headers = ()) -> Rendered:
    """Return the answer with the error of a refusal in a dialect."""
    return Rendered(_json(dialect.error(refusal)), int(dialect.code(refusal.code)), headers)


def refused(answer: RefusedAnswer) -> Refusal:
    """Return the refusal in a processor's reply; a code that this server does not know becomes 50080."""
    try:
        cause = next((known for known in get_args(Cause) if known == answer.cause), None)
        return Refusal(Code(answer.code), answer.message, cause)
    except ValueError:
        return Refusal(Code.INTERNAL_ERROR, answer.message)


def _json(document: msgspec.Struct) -> bytes:
    # For long strings, such as base64, the encoder of msgspec takes twenty times as long.
    return orjson.dumps(msgspec.to_builtins(document))
