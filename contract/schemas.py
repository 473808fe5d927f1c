"""The JSON Schemas (2020-12) of the records that consumers read, made from the message types; docs/schemas has them.

Events and audit records are JSON. Evidence and dead letters are MessagePack, of which a schema describes the decoded
value: bytes, for which JSON has no type, are described by their media type alone.
"""

from collections.abc import Mapping
from inspect import cleandoc
from typing import Any

import msgspec

from contract.audit import AuditRecord
from contract.dead_letters import DeadLetter, RetryMark
from contract.events import Event
from contract.evidence import Evidence

DIALECT = "https://json-schema.org/draft/2020-12/schema"

PUBLISHED: Mapping[str, Any] = {
    "event": Event,
    "audit": AuditRecord,
    "evidence": Evidence,
    "dead-letter": DeadLetter | RetryMark,
}
"""The name of each published schema, and the type of the values that it describes."""

_BYTES = {"type": "string", "contentEncoding": "base64"}
_RAW_BYTES = {"contentMediaType": "application/octet-stream"}


def schema_of(name: str) -> dict[str, Any]:
    """Return the published schema of that name.

    Raises:
        KeyError: no published schema has this name.
    """
    made: dict[str, Any] = _readable(msgspec.json.schema(PUBLISHED[name]))
    return {"$schema": DIALECT, "title": f"PictureMatch {name.replace('-', ' ')}", **made}


def _readable(node: Any) -> Any:
    """Return a part of a schema with whole descriptions, in the same order at every run."""
    if isinstance(node, list):
        return [_readable(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node == _BYTES:
        return _RAW_BYTES
    made = {key: _readable(value) for key, value in node.items()}
    if isinstance(made.get("description"), str):
        made["description"] = cleandoc(made["description"])
    for alternatives in ("enum", "anyOf"):
        # msgspec returns the alternatives in the order of a set, which differs between runs.
        if isinstance(made.get(alternatives), list):
            made[alternatives].sort(key=str)
    return made
