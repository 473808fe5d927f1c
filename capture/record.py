"""Records match requests from the log into a capture: each with its pictures and the decision of then.

Requests are read batch by batch; a batch's events are read before the next batch, so that lines stand in request order
and nothing piles up. What was not written when it ends is recorded when the same capture is continued.
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
from contract.capture import CapturedDecision, CaptureError, CaptureLine, decision_of, line_of
from contract.events import Event, RequestPlace, decode_event
from contract.messages import MatchRequest, decode_request
from contract.topics import Topics

_BATCH = 16  # pictures are large: so many requests are held per partition
_EVENT_BATCH = 500
_POLL_S = 0.2
_CLOCK_SLACK_S = 60.0  # an event follows its request, but a clock that was set back may date it earlier


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which requests are recorded: written from `since_s` until `until_s` (epoch seconds), and of `device_ip`."""

    since_s: float | None = None
    until_s: float | None = None
    device_ip: str | None = None


@dataclass(slots=True)
class Tally:
    """How many requests were recorded, and how many of them without a decision."""

    recorded: int = 0
    undecided: int = 0


class Join:
    """Requests and events meet here by request id. Knows no clock and no log.

    Events may run ahead of the requests; those of requests that were passed over are dropped.
    """

    def __init__(self) -> None:
        self._waiting: deque[tuple[CaptureLine, float]] = deque()
        self._ids: set[str] = set()
        self._decisions: dict[str, CapturedDecision] = {}
        self._passed: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def take(self, line: CaptureLine, give_up_s: float) -> None:
        """A request that is to be recorded; without its event it counts as undecided from `give_up_s` on."""
        self._waiting.append((line, give_up_s))
        self._ids.add(line.request_id)

    def pass_by(self, partition: int, offset: int) -> None:
        """All requests of that partition up to that offset were seen."""
        self._passed[partition] = offset + 1

    def decide(self, event: Event) -> None:
        """An event; the first of a request counts."""
        ahead = event.request.offset >= self._passed.get(event.request.partition, 0)
        if event.kind == "match" and (ahead or event.id in self._ids):
            self._decisions.setdefault(event.id, decision_of(event))

    def ready(self, give_up_before_s: float | None) -> list[CaptureLine]:
        """The lines at the front that are decided, or given up before that time (None: none is given up)."""
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
    """Record until the requests that are there now are done; with `follow` until `stop` or `wanted.until_s`.

    Args:
        broker: The open log.
        topics: Its topics.
        folder: The entered capture; one that holds requests of this log is continued after the last of them.
        stop: Set it to end soon.
        clock_s: Seconds since the epoch, the log's clock.
        wanted: None wants all match requests.
        follow: Go on with the requests that come.
        wait_s: How old a request may grow before it is recorded without a decision.

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
    """Partition -> the first request to look at."""
    goes_on: dict[int, int] = {}
    for partition, line in folder.last_lines.items():
        at = line.place.offset if line.place is not None else 0
        if at >= ends.get(partition, 0) or not await _is_there(broker, Position(topics.requests, partition, at), line):
            raise CaptureError("the capture was made from another log, or is damaged; record into another folder")
        goes_on[partition] = at + 1
    start = Start.EARLIEST if wanted.since_s is None else wanted.since_s
    begin = await start_offsets(broker, topics.requests, start)
    return {partition: max(at, goes_on.get(partition, 0)) for partition, at in begin.items()}


async def _is_there(broker: Broker, place: Position, line: CaptureLine) -> bool:
    """Whether the request of that line stands at that place; or may have, until the log removed it."""
    record = await broker.read_at(place)
    request = None if record is None else _match_request(record)
    return record is None or (request is not None and request.request_id == line.request_id)


async def _requests(
    broker: Broker, topics: Topics, begin: Mapping[int, int], ends: Mapping[int, int], follow: bool, stop: asyncio.Event
) -> AsyncGenerator[Sequence[Record]]:
    async with aclosing(read_merged(broker, topics.requests, begin, ends, batch=_BATCH)) as past:
        async for batch in past:
            yield batch
    if follow:
        goes_on = {partition: max(end, begin[partition]) for partition, end in ends.items()}
        async with aclosing(read_live(broker, topics.requests, goes_on, stop, batch=_BATCH)) as coming:
            async for batch in coming:
                yield batch


def _keep(folder: CaptureFolder, records: Iterable[Record], device_ip: str | None) -> list[tuple[CaptureLine, float]]:
    """Store the pictures of these requests; the lines, with the time of writing (epoch seconds) of each."""
    lines = []
    for record in records:
        request = _match_request(record)
        if request is None or (device_ip is not None and request.device_ip != device_ip):
            continue
        sha256 = folder.keep_picture(request.image)
        if request.ir_image is not None:
            folder.keep_picture(request.ir_image)
        place = RequestPlace(topic=record.topic, partition=record.partition, offset=record.offset, sha256=sha256)
        lines.append((line_of(request, place, None), record.timestamp_ms / 1000))
    return lines


def _match_request(record: Record) -> MatchRequest | None:
    try:
        request = decode_request(record.value or b"")
    except msgspec.DecodeError:
        return None  # what cannot be read was never a match; the processor has put it aside
    return request if isinstance(request, MatchRequest) else None


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
    """Read events until every request that waits is decided or given up, and write the lines.

    `patient`: a log that is lost is waited for, instead of being an error.
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
        # only what the whole topic does not hold is given up
        ready = join.ready(None if records or stop.is_set() else clock_s())
