"""Reads the match requests that are to be recorded."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress

import msgspec

from broker.ordered import read_live, read_merged, start_offsets
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
"""While following, requests are collected for this time, for the same reason."""


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


async def read_requests(
    broker: Broker, topic: str, begin: Mapping[int, int], ends: Mapping[int, int], stop: asyncio.Event, *, follow: bool
) -> AsyncGenerator[Sequence[Record]]:
    """Yield the records from `begin` to `ends` in batches; with `follow` then those that are written until `stop`."""
    async with aclosing(read_merged(broker, topic, begin, ends, batch=_BATCH)) as past:
        async for batch in _joined(past):
            yield batch
    if not follow:
        return
    live_from = {partition: max(end, begin[partition]) for partition, end in ends.items()}
    async with aclosing(read_live(broker, topic, live_from, stop, batch=_BATCH)) as live:
        async for batch in _joined(_ticking(live, stop)):
            yield batch


async def _ticking(batches: AsyncGenerator[Sequence[Record]], stop: asyncio.Event) -> AsyncGenerator[Sequence[Record]]:
    """Yield the batches, and wait behind each that is not full, until `stop`."""
    async for batch in batches:
        yield batch
        if len(batch) < _BATCH:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _TICK_S)


async def _joined(batches: AsyncGenerator[Sequence[Record]]) -> AsyncGenerator[Sequence[Record]]:
    """Yield the records of the batches in larger batches; a batch that is not full ends the larger one."""
    joined: list[Record] = []
    size = 0
    async for batch in batches:
        joined += batch
        size += sum(len(record.value or b"") for record in batch)
        if len(batch) < _BATCH or len(joined) >= _TOGETHER or size >= _TOGETHER_BYTES:
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
