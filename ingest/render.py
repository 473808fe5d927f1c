"""From answers and refusals to the JSON of the wire. Pure."""

from dataclasses import dataclass

import msgspec
import orjson

from contract.calls.dialects import Dialect
from contract.errors import Code, Refusal
from contract.messages import RefusedAnswer

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Rendered:
    """An HTTP answer before it meets HTTP: `code` is 200 or a code of the error table."""

    body: bytes
    code: int = 200
    headers: Headers = ()
    content_type: str = "application/json"

    @property
    def http_status(self) -> int:
        """The status of the HTTP answer."""
        return self.code if self.code < 1000 else self.code // 100


def success(document: msgspec.Struct, headers: Headers = ()) -> Rendered:
    """A document with status 200."""
    return Rendered(_json(document), headers=headers)


def error(refusal: Refusal, dialect: Dialect = Dialect.V5, headers: Headers = ()) -> Rendered:
    """The error JSON of the dialect."""
    return Rendered(_json(dialect.error(refusal)), int(dialect.code(refusal.code)), headers)


def refused(answer: RefusedAnswer) -> Refusal:
    """The refusal that a processor answered. A code newer than this server becomes 50080, not a crash."""
    try:
        return Refusal(Code(answer.code), answer.message)
    except ValueError:
        return Refusal(Code.INTERNAL_ERROR, answer.message)


def _json(document: msgspec.Struct) -> bytes:
    # The writer of msgspec takes twenty times as long over a long string, of which base64 is one.
    return orjson.dumps(msgspec.to_builtins(document))
