"""Reads the match requests that are to be recorded."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass

import msgspec

from broker.ordered import Ticks, read_merged, start_offsets
from broker.port import Broker, Position, Record
from capture.recording.join import Pending
from capture.recording.people import OTHER_LOG, retained_from
from capture.recording.selection import OTHER_FOLDER
from contract.captures.values import CaptureError, CaptureLine
from contract.events import RequestPlace
from contract.requests import Headers, MatchRequest, decode_request

_BATCH = 16  # the most requests that are read ahead per partition, since pictures are large
_TOGETHER = 64
_TOGETHER_BYTES = 8 * 1024 * 1024
"""Batches are joined up to this number of requests or bytes, because each costs several writes to the disk."""
_REQUESTS_ARE_GONE = (
    "requests behind the last one of the capture are gone from the log, or the capture was made from another log;"
    f" {OTHER_FOLDER}"
)
_TICK_S = 3.0
"""While following, requests are collected for this time, for the same reason. The ends up to which they are read are
those from before that time, so that nearly every request is decided when it is read."""
_MOST_TOGETHER = 512
"""While following, more requests than this, which an outage may have left, are read partition by partition."""
_LATE_S = 5.0
"""The time of a request is that of its sender, which may need so long to write it, or whose clock may be wrong."""


async def first_offsets(
    broker: Broker, topic: str, last: Mapping[int, CaptureLine], since_s: float | None, ends: Mapping[int, int]
) -> dict[int, int]:
    """Return, by partition, the offset of the first request to read: behind the last line of a capture.

    Raises:
        CaptureError: the capture was made from another log, or the log has removed requests behind the last line.
    """
    earliest = await retained_from(broker, topic)
    next_offsets: dict[int, int] = {}
    for partition, line in last.items():
        at = line.place.offset if line.place is not None else 0
        if at >= ends.get(partition, 0):
            raise CaptureError(OTHER_LOG)
        first = earliest.get(partition, 0)
        if at + 1 < first:
            raise CaptureError(_REQUESTS_ARE_GONE)
        if at >= first and not await _is_there(broker, Position(topic, partition, at), line):
            raise CaptureError(OTHER_LOG)
        next_offsets[partition] = at + 1
    begin = earliest if since_s is None else await start_offsets(broker, topic, since_s)
    return {partition: max(at, next_offsets.get(partition, 0)) for partition, at in begin.items()}


async def _is_there(broker: Broker, place: Position, line: CaptureLine) -> bool:
    """Return whether the log has the line's request at that place, or has erased the record there."""
    record = await broker.read_at(place)
    if record is None:
        return False
    request = match_call_of(record)
    return record.erased or (request is not None and request.request_id == line.request_id)


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests, merged by the time of their writing. `is_live`: no more than a few seconds of the log are unread."""

    records: Sequence[Record]
    is_live: bool


class RequestReader:
    """Reads the requests topic: what it contains, and with `follow` what is written until `stop` is set.

    Args:
        broker: the open log.
        topic: the requests topic.
        stop: the event that ends the reading.
        clock_s: returns the seconds since the epoch by the log's clock.
        until_s: requests that were written later (epoch seconds) are left out, and with them all requests behind them
            in their partition: a recording that is continued begins there.
        follow: whether to read what is written later, too.
    """

    def __init__(
        self,
        broker: Broker,
        topic: str,
        stop: asyncio.Event,
        clock_s: Callable[[], float],
        *,
        until_s: float | None,
        follow: bool,
    ) -> None:
        self._broker, self._topic, self._stop, self._clock_s = broker, topic, stop, clock_s
        self._until_s, self._follow = until_s, follow
        self._beyond: set[int] = set()
        self._ended_s = 0.0
        self.ends: Mapping[int, int] = {}
        """Partition -> the end up to which requests are read next."""

    async def begin(self) -> None:
        """Take the ends of the partitions; those of now are read first.

        Raises:
            BrokerError: the log cannot be read.
        """
        self._ended_s = self._clock_s()
        self.ends = dict(await self._broker.end_offsets(self._topic))

    async def batches(self, begin: Mapping[int, int]) -> AsyncGenerator[Batch]:
        """Yield the requests from `begin` (partition -> offset) on; while following, a batch may be empty.

        Raises:
            BrokerError: the log cannot be read.
        """
        at = begin
        async with AsyncExitStack() as stack:
            ticks: Ticks | None = None
            while True:
                if ticks is not None and ticks.behind(self.ends) <= _MOST_TOGETHER:
                    async with aclosing(self._live(ticks)) as batches:
                        async for batch in batches:
                            yield batch
                    at = ticks.next
                else:
                    await stack.aclose()
                    ticks = None
                    async with aclosing(self._past(at)) as batches:
                        async for batch in batches:
                            yield batch
                    at = {partition: max(at.get(partition, 0), end) for partition, end in self.ends.items()}
                if self._is_over():
                    return
                await self.begin()
                if ticks is None and sum(self.ends.values()) - sum(at.values()) <= _MOST_TOGETHER:
                    ticks = Ticks(await stack.enter_async_context(self._broker.reader(self._topic, at)), _TOGETHER)
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _TICK_S)

    async def _past(self, at: Mapping[int, int]) -> AsyncGenerator[Batch]:
        async with aclosing(read_merged(self._broker, self._topic, at, self.ends, batch=_BATCH)) as past:
            async for records in _joined(past):
                yield Batch(self._in_time(records), is_live=False)
                # Records are merged by their time, so what is left of the other partitions is later, too.
                if self._stop.is_set() or (self._beyond and self._is_over()):
                    return

    async def _live(self, ticks: Ticks) -> AsyncGenerator[Batch]:
        records = self._in_time(await ticks.read(self.ends, self._stop))
        for first in range(0, max(1, len(records)), _TOGETHER):
            yield Batch(records[first : first + _TOGETHER], is_live=True)

    def _in_time(self, records: Sequence[Record]) -> Sequence[Record]:
        """Return the records that were written until `until_s`, as were all before them in their partition."""
        if self._until_s is None:
            return records
        until_ms = self._until_s * 1000
        found = []
        for record in records:
            if record.timestamp_ms > until_ms:
                self._beyond.add(record.partition)
            if record.partition not in self._beyond:
                found.append(record)
        return found

    def _is_over(self) -> bool:
        """Return whether nothing more is to be read, once everything below `ends` is."""
        if self._stop.is_set() or not self._follow:
            return True
        if self._until_s is None:
            return False
        return self._beyond.issuperset(self.ends) or self._ended_s > self._until_s + _LATE_S


async def _joined(batches: AsyncGenerator[Sequence[Record]]) -> AsyncGenerator[Sequence[Record]]:
    """Yield the records of the batches in larger batches."""
    joined: list[Record] = []
    size = 0
    async for batch in batches:
        joined += batch
        size += sum(len(record.value or b"") for record in batch)
        if len(joined) >= _TOGETHER or size >= _TOGETHER_BYTES:
            yield joined
            joined, size = [], 0
    if joined:
        yield joined


def match_call_of(record: Record) -> MatchRequest | None:
    """Return the match request that a record contains; None: it contains none."""
    try:
        request = decode_request(record.value or b"")
    except msgspec.DecodeError:
        return None  # an unreadable record was never matched: the processor has made it a dead letter
    return request if isinstance(request, MatchRequest) else None


def pending_of(record: Record, wait_s: float) -> Pending | None:
    """Return the match request of a record; None: it contains none. `wait_s`: how long its decision is waited for."""
    request = match_call_of(record)
    if request is None:
        return None
    place = RequestPlace(topic=record.topic, partition=record.partition, offset=record.offset)
    written_s = record.timestamp_ms / 1000
    return Pending(request, place, written_s, written_s + wait_s)


def is_replay(record: Record) -> bool:
    """Return whether a request replays an earlier one."""
    return record.header(Headers.REPLAY_OF) is not None
