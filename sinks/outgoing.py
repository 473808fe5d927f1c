"""Reads the records of the events topic for sinks: an event to pass on, or the reason why there is none. Pure.

A sink must not stop at a record that it cannot read, and must not pass it over in silence. A foreign record, a damaged
one, and an event of a later version of its type become dead letters of the sink.
"""

import re
from dataclasses import dataclass

import msgspec

from broker.port import Record
from contract.cloud_events import is_expressible
from contract.events import Event, decode_event
from contract.kinds import ERASE_KIND

_TYPE = re.compile(r"picturematch\.[a-z]+\.v([0-9]{1,4})")
_VERSION = 1
_ERASURE_TYPE = "picturematch.person.v1"
_TRACE_HEADERS = ("traceparent", "tracestate")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An event, its record and its CloudEvents type (`ce_type`)."""

    event: Event
    record: Record
    type: str

    @property
    def id(self) -> str:
        """The id of the event, which is the id of its request; a receiver recognises repeated deliveries by it."""
        return self.event.id

    def header(self, name: str) -> str:
        """Return a header of the record as text; "" where the record has none, or one that is not ASCII."""
        value = self.record.header(name) or b""
        return value.decode("ascii") if value.isascii() else ""

    @property
    def trace(self) -> dict[str, str]:
        """The headers of W3C Trace Context that came with the request: name -> value."""
        return {name: value for name in _TRACE_HEADERS if (value := self.header(name))}


@dataclass(frozen=True, slots=True)
class Unusable:
    """A record that contains no event that this version can pass on, and the reason, which contains nothing of it."""

    record: Record
    reason: str


def outgoing(record: Record) -> Outgoing | Unusable | None:
    """Return the event of a record; None: an operator has erased the record, so there is nothing to pass on."""
    if record.erased:
        return None
    if record.damaged:
        return Unusable(record, "the record is damaged in the log")
    named = record.header("ce_type")
    if named is None and (erasure := _erasure(record)) is not None:
        return erasure
    event_type = _TYPE.fullmatch((named or b"").decode("ascii", "replace"))
    if event_type is None:
        return Unusable(record, "the record has no type of a PictureMatch event (header ce_type)")
    if int(event_type[1]) > _VERSION:
        return Unusable(record, f"the event is of version {event_type[1]} of its type; this program reads {_VERSION}")
    try:
        event = decode_event(record.value or b"")
    except msgspec.ValidationError:
        return Unusable(
            record,
            "the record's value is not an event of a form that this program knows: if a newer version wrote it, upgrade"
            " this program",
        )
    except msgspec.DecodeError:
        return Unusable(record, "the record's value is not an event")
    if not all(map(is_expressible, (event.compare_time, event.received_time, event.processed_time))):
        return Unusable(record, "a time of the event is before the year 1 or after the year 9999")
    return Outgoing(event, record, event_type[0])


def _erasure(record: Record) -> Outgoing | None:
    """Return the event of an erasure of version 0.1.0, whose record has no headers; None: the record has none."""
    try:
        event = decode_event(record.value or b"")
    except msgspec.DecodeError:
        return None
    is_erasure = event.kind == ERASE_KIND and is_expressible(event.received_time)
    return Outgoing(event, record, _ERASURE_TYPE) if is_erasure else None
