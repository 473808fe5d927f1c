"""The lines of the JSON lines sink: an event with its place in the log. Pure."""

import base64
import hashlib

import msgspec
import orjson

from broker.port import Record


class Place(msgspec.Struct, frozen=True):
    """Where in the log a line's event stands."""

    topic: str
    partition: int
    offset: int


class _Line(msgspec.Struct, frozen=True):
    place: Place


_line_decoder = msgspec.json.Decoder(_Line)


def line_of(record: Record) -> bytes:
    """A record's line: the event's own JSON with `place` set before it.

    A value that is no JSON object is kept as base64 under `unreadable`: a sink passes on what it was given.
    """
    place = orjson.dumps({"topic": record.topic, "partition": record.partition, "offset": record.offset})
    value = (record.value or b"").strip()
    try:
        readable = isinstance(event := orjson.loads(value), dict)
    except orjson.JSONDecodeError:
        readable = False
    if not readable:
        rest = orjson.dumps({"unreadable": base64.b64encode(record.value or b"").decode()})[1:]
    elif b"\n" in value or b"\r" in value:
        rest = orjson.dumps(event)[1:]
    else:
        # spliced, not written anew: numbers keep every digit they came with
        rest = value[1:].lstrip()
    return b'{"place":' + place + (b"" if rest.startswith(b"}") else b",") + rest + b"\n"


def place_of(line: bytes) -> Place | None:
    """The place that a line names; None for half a line, and for one that this sink did not write."""
    if not line.endswith(b"\n"):
        return None
    try:
        return _line_decoder.decode(line).place
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def digest_of(line: bytes) -> str:
    """What tells one line from another: 32 hexadecimal digits."""
    return hashlib.sha256(line).hexdigest()[:32]
