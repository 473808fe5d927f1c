"""Records match requests from the log into a capture, each with its pictures and with the decision about it.

Requests are read in batches, and the events of a batch are read before the next batch, so that the lines are in the
order of the requests and few requests are in memory. Requests that were not written when recording ends are recorded
when the same capture is continued.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

import msgspec

from broker.ordered import fetch_patiently, read_live, read_merged, start_offsets
from broker.port import Broker, Position, Reader, Record, Start
from capture.folder import CaptureFolder
from contract.captures.convert import decision_of, line_of
from contract.captures.values import CapturedDecision, CaptureError, CaptureLine
from contract.events import Event, RequestPlace, decode_event
from contract.requests import MatchRequest, decode_request
from contract.topics import Topics

_BATCH = 16  # the most requests in memory per partition, since pictures are large
_EVENT_BATCH = 500
_POLL_S = 0.2
_CLOCK_SLACK_S = 60.0  # after a clock was set back, an event may have an earlier timestamp than its request


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which requests are recorded: those written from `since_s` until `until_s` (epoch seconds) and of `device_ip`.

    None means no such restriction.
    """

    since_s: float | None = None
    until_s: float | None = None
    device_ip: str | None = None


@dataclass(slots=True)
class Tally:
    """The number of recorded requests, and the number of those among them that have no decision."""

    recorded: int = 0
    undecided: int = 0


class Join:
    """Joins requests and events by request id, without a clock and without a log.

    Events may be read before their requests; events of requests that were read and not taken are dropped.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[CaptureLine, float]] = deque()
        self._ids: set[str] = set()
        self._decisions: dict[str, CapturedDecision] = {}
        self._passed: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, line: CaptureLine, give_up_s: float) -> None:
        """Add a request to be recorded; from the time `give_up_s` on it may be recorded without a decision."""
        self._waiting.append((line, give_up_s))
        self._ids.add(line.request_id)

    def pass_by(self, partition: int, offset: int) -> None:
        """Note that all requests of that partition up to and including that offset were read."""
        self._passed[partition] = offset + 1

    def decide(self, event: Event) -> None:
        """Add an event; only the first event of a request counts."""
        ahead = event.request.offset >= self._passed.get(event.request.partition, 0)
        if event.kind == "match" and (ahead or event.id in self._ids):
            self._decisions.setdefault(event.id, decision_of(event))

    def ready(self, give_up_before_s: float | None) -> list[CaptureLine]:
        """Remove and return the first lines, up to the first line that still waits for its event.

        A line waits while it has no decision, unless its `give_up_s` is at most `give_up_before_s`; where that is None,
        every line without a decision waits.
        """
        lines = []
        while self._waiting:
            line, give_up_s = self._waiting[0]
            decision = self._decisions.get(line.request_id)
            if decision is None and (give_up_before_s is None or give_up_s > give_up_before_s):
                break
            self._waiting.popleft()
            self._ids.discard(line.request_id)
            self._decisions.pop(line.request_id, None)
            lines.append(msgspec.structs.replace(line, decision=decision))
        return lines


async def record(
    broker: Broker,
    topics: Topics,
    folder: CaptureFolder,
    stop: asyncio.Event,
    clock_s: Callable[[], float],
    *,
    wanted: Wanted | None = None,
    follow: bool = False,
    wait_s: float = 10.0,
) -> Tally:
    """Record the requests that the log contains now; with `follow`, continue until `stop` or `wanted.until_s`.

    Args:
        broker: The open log.
        topics: The topics of the log.
        folder: The entered capture; a capture that has requests of this log is continued after the last of them.
        stop: The event that ends recording at the next batch.
        clock_s: Returns the seconds since the epoch by the log's clock.
        wanted: The requests to record; None means all match requests.
        follow: Whether to record the requests that are written later, too.
        wait_s: The age in seconds from which on a request is recorded without a decision.

    Raises:
        CaptureError: the capture was made from another log.
    """
    wanted = wanted or Wanted()
    tally = Tally()
    join = Join()
    ends = dict(await broker.end_offsets(topics.requests))
    begin = await _begin(broker, topics, folder, wanted, ends)
    async with AsyncExitStack() as stack:
        events: Reader | None = None
        batches = await stack.enter_async_context(aclosing(_requests(broker, topics, begin, ends, follow, stop)))
        async for batch in batches:
            chosen = [r for r in batch if wanted.until_s is None or r.timestamp_ms <= wanted.until_s * 1000]
            lines = await asyncio.to_thread(_keep, folder, chosen, wanted.device_ip)
            for line, written_s in lines:
                join.take(line, written_s + wait_s)
            for r in batch:
                join.pass_by(r.partition, r.offset)
            if lines and events is None:
                first_s = max(0.0, lines[0][1] - _CLOCK_SLACK_S)
                events = await stack.enter_async_context(broker.reader(topics.events, first_s))
            if events is not None:
                await _settle(events, join, folder, stop, clock_s, tally, patient=follow)
            over = wanted.until_s is not None and not batch and clock_s() > wanted.until_s
            if stop.is_set() or over or len(chosen) < len(batch):
                break
    return tally


async def _begin(
    broker: Broker, topics: Topics, folder: CaptureFolder, wanted: Wanted, ends: Mapping[int, int]
) -> dict[int, int]:
    """Return, by partition, the offset of the first request to read.

    Raises:
        CaptureError: the capture was made from another log.
    """
    next_offsets: dict[int, int] = {}
    for partition, line in folder.last_lines.items():
        at = line.place.offset if line.place is not None else 0
        if at >= ends.get(partition, 0) or not await _is_there(broker, Position(topics.requests, partition, at), line):
            raise CaptureError("the capture was made from another log, or is damaged; record into another folder")
        next_offsets[partition] = at + 1
    start = Start.EARLIEST if wanted.since_s is None else wanted.since_s
    begin = await start_offsets(broker, topics.requests, start)
    return {partition: max(at, next_offsets.get(partition, 0)) for partition, at in begin.items()}


async def _is_there(broker: Broker, place: Position, line: CaptureLine) -> bool:
    """Return whether the log has the line's request at that place, or has removed the record from that place."""
    record = await broker.read_at(place)
    request = None if record is None else match_call_of(record)
    return record is None or (request is not None and request.request_id == line.request_id)


async def _requests(
    broker: Broker, topics: Topics, begin: Mapping[int, int], ends: Mapping[int, int], follow: bool, stop: asyncio.Event
) -> AsyncGenerator[Sequence[Record]]:
    async with aclosing(read_merged(broker, topics.requests, begin, ends, batch=_BATCH)) as past:
        async for batch in past:
            yield batch
    if follow:
        live_from = {partition: max(end, begin[partition]) for partition, end in ends.items()}
        async with aclosing(read_live(broker, topics.requests, live_from, stop, batch=_BATCH)) as live:
            async for batch in live:
                yield batch


def _keep(folder: CaptureFolder, records: Iterable[Record], device_ip: str | None) -> list[tuple[CaptureLine, float]]:
    """Store the pictures of the match requests; return each request's line and time of writing (epoch seconds)."""
    lines = []
    for record in records:
        request = match_call_of(record)
        if request is None or (device_ip is not None and request.device_ip != device_ip):
            continue
        sha256 = folder.keep_picture(request.picture)
        if request.ir_picture is not None:
            folder.keep_picture(request.ir_picture)
        place = RequestPlace(topic=record.topic, partition=record.partition, offset=record.offset, sha256=sha256)
        lines.append((line_of(request, place, None), record.timestamp_ms / 1000))
    return lines


def match_call_of(record: Record) -> MatchRequest | None:
    """Return the PictureMatch call that a record contains; a search of version 6 has a scope that no such call has."""
    try:
        request = decode_request(record.value or b"")
    except msgspec.DecodeError:
        return None  # an unreadable record was never matched: the processor has made it a dead letter
    return request if isinstance(request, MatchRequest) and not request.by_permission else None


async def _settle(
    events: Reader,
    join: Join,
    folder: CaptureFolder,
    stop: asyncio.Event,
    clock_s: Callable[[], float],
    tally: Tally,
    *,
    patient: bool,
) -> None:
    """Read events until no request waits for its event any more, and append the lines to the capture.

    `patient`: wait while the log cannot be reached, instead of raising its error.
    """
    ready = join.ready(None)
    while True:
        if ready:
            await asyncio.to_thread(folder.append, ready)
            tally.recorded += len(ready)
            tally.undecided += sum(line.decision is None for line in ready)
        if not join or stop.is_set():
            return
        if patient:
            records = await fetch_patiently(events, _EVENT_BATCH, stop)
        else:
            records = await events.fetch(_EVENT_BATCH, _POLL_S)
        for record in records:
            try:
                join.decide(decode_event(record.value or b""))
            except msgspec.DecodeError:
                continue
        # A request is recorded without a decision only after all present events were read.
        ready = join.ready(None if records or stop.is_set() else clock_s())
