"""Writes the JSON records of a topic as lines to a stream, for the commands `picturematch events` and `audit`."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Protocol

import orjson

from broker.ordered import read_live, read_merged, start_offsets
from broker.port import Broker, Record, Start
from contract.text import printable_json


@dataclass(slots=True)
class Printed:
    """The number of printed events, and the number of records that were skipped because they cannot be read."""

    events: int = 0
    unreadable: int = 0


class Wants(Protocol):
    """Which records are printed."""

    def wants(self, event: Mapping[str, object]) -> bool:
        """Return whether the record with that JSON is chosen."""
        ...


@dataclass(frozen=True, slots=True)
class Choice:
    """Which events are printed: those of some kinds (empty: all kinds), and those of one device (None: all devices).

    Only matches name a device.
    """

    kinds: frozenset[str] = frozenset()
    device_ip: str | None = None

    def wants(self, event: Mapping[str, object]) -> bool:
        """Return whether the event is chosen."""
        if self.kinds and event.get("kind") not in self.kinds:
            return False
        return self.device_ip is None or event.get("device_ip") == self.device_ip


async def print_events(
    broker: Broker,
    topic: str,
    write: Callable[[bytes], None],
    stop: asyncio.Event,
    *,
    since_s: float | None = None,
    follow: bool = False,
    choice: Wants | None = None,
    line: Callable[[Record, Mapping[str, object]], bytes] | None = None,
    limit: int | None = None,
    passed_over: Callable[[Record], None] = lambda _: None,
    printed: Printed | None = None,
) -> Printed:
    """Write the chosen events, one line each, in the order in which they were appended, and return the counts.

    Args:
        broker: The open log.
        topic: The topic of the events, or another topic whose values are JSON objects.
        write: Called with whole lines, once per batch.
        stop: The event that ends the function at the next batch.
        since_s: The earliest time of writing, in epoch seconds; None begins at the first event.
        follow: Whether to continue with later events; otherwise the function ends at the topic's present end.
        choice: The events to write; None means all.
        line: Returns the line of an event, with its end; None: the event's JSON.
        limit: The number of lines after which the function ends.
        passed_over: Called with every record that cannot be read, whether it would have been chosen or not.
        printed: The counts to update and return, for a caller that needs them also after an interruption.
    """
    choice = choice or Choice()
    start = Start.EARLIEST if since_s is None else since_s
    ends = dict(await broker.end_offsets(topic))
    begin = await start_offsets(broker, topic, start)
    printer = _Printer(choice, line or _line, write, limit, passed_over, Printed() if printed is None else printed)

    async with aclosing(read_merged(broker, topic, begin, ends)) as past:
        async for records in past:
            if printer.take(records) or stop.is_set():
                return printer.printed
    if follow:
        live_from = {partition: max(end, begin[partition]) for partition, end in ends.items()}
        async with aclosing(read_live(broker, topic, live_from, stop)) as live:
            async for records in live:
                if printer.take(records):
                    break
    return printer.printed


class _Printer:
    """Prints the chosen events of the given records, and counts them."""

    def __init__(
        self,
        choice: Wants,
        line: Callable[[Record, Mapping[str, object]], bytes],
        write: Callable[[bytes], None],
        limit: int | None,
        passed_over: Callable[[Record], None],
        printed: Printed,
    ) -> None:
        self._choice, self._line, self._write = choice, line, write
        self._limit, self._passed_over = limit, passed_over
        self.printed = printed

    def take(self, records: Sequence[Record]) -> bool:
        """Print the chosen events of the records; return whether the limit is reached."""
        lines = [line for record in records if (line := self._chosen(record)) is not None]
        if lines:
            self._write(b"".join(lines))
        return self._is_done()

    def _is_done(self) -> bool:
        return self.printed.events == self._limit

    def _chosen(self, record: Record) -> bytes | None:
        if self._is_done():
            return None
        event = _event(record)
        if event is None:
            self.printed.unreadable += 1
            self._passed_over(record)
            return None
        if not self._choice.wants(event):
            return None
        self.printed.events += 1
        return self._line(record, event)


def _event(record: Record) -> Mapping[str, object] | None:
    """Return the event that a record contains, or None where the record contains no readable event."""
    try:
        event = orjson.loads((record.value or b"").strip())
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and not record.damaged else None


def _line(record: Record, event: Mapping[str, object]) -> bytes:
    """Return the event's JSON, unchanged except for characters that a terminal must not receive, as one line."""
    value = (record.value or b"").strip()
    return printable_json(orjson.dumps(event) if b"\n" in value or b"\r" in value else value) + b"\n"
