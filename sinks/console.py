"""Events as JSON lines on a stream: what `picturematch events` prints."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import orjson

from broker.ordered import read_live, read_merged, start_offsets
from broker.port import Broker, Record, Start
from contract.text import printable_json


@dataclass(slots=True)
class Printed:
    """How many events were printed, and how many records were passed over because they cannot be read."""

    events: int = 0
    unreadable: int = 0


@dataclass(frozen=True, slots=True)
class Choice:
    """Which events are wanted: of some kinds (none: of every kind), and of one device, whose events are matches."""

    kinds: frozenset[str] = frozenset()
    device_ip: str | None = None

    def wants(self, event: Mapping[str, object]) -> bool:
        """Whether it is one of them."""
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
    choice: Choice | None = None,
    limit: int | None = None,
    passed_over: Callable[[Record], None] = lambda _: None,
    printed: Printed | None = None,
) -> Printed:
    """Write the chosen events, one line each, in the order of their writing, and return how many.

    Args:
        broker: The open log.
        topic: The events topic.
        write: Takes whole lines, once per batch.
        stop: Set it to end at the next batch.
        since_s: Written then or later, in epoch seconds; None from the first.
        follow: Go on with those that come; otherwise end where the topic ends at the start.
        choice: None wants all.
        limit: End after so many lines.
        passed_over: Called with every record that cannot be read, whether it would have been chosen or not.
        printed: What is returned, for whoever needs the counts of a run that is broken off.
    """
    choice = choice or Choice()
    start = Start.EARLIEST if since_s is None else since_s
    ends = dict(await broker.end_offsets(topic))
    begin = await start_offsets(broker, topic, start)
    printer = _Printer(choice, write, limit, passed_over, Printed() if printed is None else printed)

    async with aclosing(read_merged(broker, topic, begin, ends)) as past:
        async for records in past:
            if printer.take(records) or stop.is_set():
                return printer.printed
    if follow:
        goes_on = {partition: max(end, begin[partition]) for partition, end in ends.items()}
        async with aclosing(read_live(broker, topic, goes_on, stop)) as coming:
            async for records in coming:
                if printer.take(records):
                    break
    return printer.printed


class _Printer:
    """Prints the chosen events of what it is given, and counts."""

    def __init__(
        self,
        choice: Choice,
        write: Callable[[bytes], None],
        limit: int | None,
        passed_over: Callable[[Record], None],
        printed: Printed,
    ) -> None:
        self._choice, self._write, self._limit, self._passed_over = choice, write, limit, passed_over
        self.printed = printed

    def take(self, records: Sequence[Record]) -> bool:
        """Print what is chosen of these; whether that was the last."""
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
        return _line(record, event)


def _event(record: Record) -> Mapping[str, object] | None:
    """The event, or None where the record holds none that can be read."""
    try:
        event = orjson.loads((record.value or b"").strip())
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and not record.damaged else None


def _line(record: Record, event: Mapping[str, object]) -> bytes:
    """The event's JSON as it stands, fit for a terminal."""
    value = (record.value or b"").strip()
    return printable_json(orjson.dumps(event) if b"\n" in value or b"\r" in value else value) + b"\n"
