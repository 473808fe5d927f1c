"""The lines of the JSON lines sink: each is an event with its place in the log. Pure."""

import base64
import hashlib

import msgspec
import orjson

from broker.port import Record


class Place(msgspec.Struct, frozen=True):
    """The place in the log of a line's event."""

    topic: str
    partition: int
    offset: int


class _Line(msgspec.Struct, frozen=True):
    place: Place


_line_decoder = msgspec.json.Decoder(_Line)


def line_of(record: Record) -> bytes:
    """Return the line of a record: the event's own JSON with `place` as the first field.

    A value that is no JSON object, or one with a `place` of its own, is written as base64 in the field `unreadable`,
    because a sink drops no record.
    """
    place = orjson.dumps({"topic": record.topic, "partition": record.partition, "offset": record.offset})
    value = (record.value or b"").strip()
    try:
        readable = isinstance(event := orjson.loads(value), dict) and "place" not in event
    except orjson.JSONDecodeError:
        readable = False
    if not readable:
        rest = orjson.dumps({"unreadable": base64.b64encode(record.value or b"").decode()})[1:]
    elif b"\n" in value or b"\r" in value:
        rest = orjson.dumps(event)[1:]
    else:
        # The event's bytes are copied, not encoded again, so that numbers keep all their digits.
        rest = value[1:].lstrip()
    return b'{"place":' + place + (b"" if rest.startswith(b"}") else b",") + rest + b"\n"


def place_of(line: bytes) -> Place | None:
    """Return the place that a line names; None for an incomplete line, and for one that this sink did not write."""
    if not line.endswith(b"\n"):
        return None
    try:
        return _line_decoder.decode(line).place
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def digest_of(line: bytes) -> str:
    """Return the digest by which lines are compared: 32 hexadecimal digits."""
    return hashlib.sha256(line).hexdigest()[:32]
