"""Events as JSON lines on a stream: what `picturematch events` prints."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal

import orjson

from broker.port import Broker, Record, Start
from engine.text import printable_json
from sinks.backlog import backlog, live, positions

Kind = Literal["match", "people", "compare", "all"]
_KINDS: Mapping[Kind, tuple[str, ...]] = {"match": ("match",), "people": ("enrol", "delete"), "compare": ("compare",)}


@dataclass(frozen=True, slots=True)
class Choice:
    """Which events are wanted: `kind` all, or one device's, which must be a match then."""

    kind: Kind = "all"
    device_ip: str | None = None

    def wants(self, event: Mapping[str, object]) -> bool:
        """Whether it is one of them."""
        if self.kind != "all" and event.get("kind") not in _KINDS[self.kind]:
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
) -> int:
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
    """
    choice = choice or Choice()
    start = Start.EARLIEST if since_s is None else since_s
    ends = dict(await broker.end_offsets(topic))
    begin = await positions(broker, topic, start)
    printed = 0

    async with aclosing(backlog(broker, topic, begin, ends)) as past:
        async for records in past:
            printed += _write(records, choice, write, None if limit is None else limit - printed)
            if stop.is_set() or printed == limit:
                return printed
    if follow:
        goes_on = {partition: max(end, begin[partition]) for partition, end in ends.items()}
        async with aclosing(live(broker, topic, goes_on, stop)) as coming:
            async for records in coming:
                printed += _write(records, choice, write, None if limit is None else limit - printed)
                if printed == limit:
                    break
    return printed


def _write(records: Sequence[Record], choice: Choice, write: Callable[[bytes], None], room: int | None) -> int:
    lines = [line for record in records if (line := _line(record, choice)) is not None][:room]
    if lines:
        write(b"".join(lines))
    return len(lines)


def _line(record: Record, choice: Choice) -> bytes | None:
    """The event's JSON as it stands, fit for a terminal; None for one that is not wanted or not an event."""
    value = (record.value or b"").strip()
    try:
        event = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(event, dict) or not choice.wants(event):
        return None
    return printable_json(orjson.dumps(event) if b"\n" in value or b"\r" in value else value) + b"\n"
