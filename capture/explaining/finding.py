"""Finds records in topics of the log: an event by its id, a record by its key, the oldest and the latest record."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import msgspec

from broker.ordered import read_merged, start_offsets
from broker.port import Broker, Record, Start
from contract.events import Event, decode_event
from contract.kinds import ERASE_KIND

_BATCH = 1000
_FIRST_WINDOW = 1000
_WINDOW_GROWS = 4


@dataclass(frozen=True, slots=True)
class FoundEvent:
    """An event and its record. `erasures`: identity_id -> when an operator erased the person (epoch seconds), of the
    erasures after the event."""

    event: Event
    record: Record
    erasures: Mapping[str, float] = field(default_factory=dict)


async def find_event(
    log: Broker, topic: str, event_id: str, since_s: float | None, looked_at: Callable[[int], None]
) -> FoundEvent | None:
    """Return the event with that id, the newest events first; None: there is none, since `since_s` if that is given.

    `looked_at` is called with the number of events that were looked at since the last call.

    Raises:
        BrokerError: the log cannot be read.
    """
    floors = await start_offsets(log, topic, Start.EARLIEST if since_s is None else since_s)
    highs = dict(await log.end_offsets(topic))
    window, erasures = _FIRST_WINDOW, dict[str, float]()
    while any(high > floors.get(partition, 0) for partition, high in highs.items()):
        lows = {partition: max(floors.get(partition, 0), high - window) for partition, high in highs.items()}
        found: tuple[Event, Record] | None = None
        open_windows = {partition: high for partition, high in highs.items() if high > lows[partition]}
        async with aclosing(read_merged(log, topic, lows, open_windows, batch=_BATCH)) as batches:
            async for records in batches:
                found = _event_in(records, event_id, erasures) or found
                looked_at(len(records))
        if found is not None:
            return FoundEvent(*found, erasures)
        highs, window = lows, window * _WINDOW_GROWS
    return None


def _event_in(records: Sequence[Record], event_id: str, erasures: dict[str, float]) -> tuple[Event, Record] | None:
    """Return the event with that id; note the erasures of people among the records."""
    wanted, erased = event_id.encode(), f'"{ERASE_KIND}"'.encode()
    found = None
    for record in records:
        value = record.value or b""
        if wanted not in value and erased not in value:
            continue
        try:
            event = decode_event(value)
        except msgspec.DecodeError:
            continue
        if event.kind == ERASE_KIND:
            erasures[event.identity_id] = event.processed_time
        if event.id == event_id:
            found = event, record
    return found


async def find_key(log: Broker, topic: str, key: bytes, since_s: float, until_s: float) -> Record | None:
    """Return the record with that key that was written between two times (epoch seconds)."""
    ends = dict(await log.end_offsets(topic))
    async with aclosing(read_merged(log, topic, max(0.0, since_s), ends, batch=_BATCH)) as batches:
        async for records in batches:
            for record in records:
                if record.key == key:
                    return record
            if records[-1].timestamp_ms / 1000 > until_s:
                return None
    return None


async def first_record(log: Broker, topic: str, partition: int | None = None) -> Record | None:
    """Return the oldest record of a partition, or of the topic."""
    ends = {p: end for p, end in (await log.end_offsets(topic)).items() if partition in (None, p)}
    async with aclosing(read_merged(log, topic, Start.EARLIEST, ends, batch=1)) as batches:
        async for records in batches:
            return records[0]
    return None


async def latest_of(log: Broker, topic: str, key: bytes) -> Record | None:
    """Return the latest record of a key; the time is linear in the topic."""
    found: Record | None = None
    ends = dict(await log.end_offsets(topic))
    async with aclosing(read_merged(log, topic, Start.EARLIEST, ends, batch=_BATCH)) as batches:
        async for records in batches:
            found = next((record for record in reversed(records) if record.key == key), found)
    return found
