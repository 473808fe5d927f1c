"""How far the requests of a partition have been decided, told by their events: asked where the group's offset is lost.

Kafka forgets the offsets of a group without members after a while (offsets.retention.minutes), and keeps the requests.
An event names the place of its request and the request's id. It counts only if the record at that place still has that
id: where the topic was made again, or has lost its last records, another request stands there, or none.

Within one partition of the events, the events of one partition of the requests stand in the order of their requests,
since a lane commits in that order. So the last one that counts, in each partition of the events, is all there is to
find; the furthest of these is the answer. Comparisons and quality assessments behind it that left no event are decided
again, which leaves nothing either.

The caller has fenced whoever decided before, so nothing is under way that the ends of now do not include.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from broker.port import Broker, Position, Reader, Record
from contract.messages import decode_request
from contract.topics import Topics
from processor.envelope import envelope_of

log = logging.getLogger(__name__)

_KEPT = 64
"""Events that are remembered for each pair of partitions at first. More only where none of them counts."""

_KEPT_GROWS = 16
_BATCH = 1000
_POLL_S = 0.2
_TELL_S = 10.0
_CLOCKS_APART_S = 3600.0
"""Events are searched from so long before the oldest request on, since other machines wrote their times."""


class _Place(msgspec.Struct):
    topic: str
    partition: int
    offset: int


class _Named(msgspec.Struct):
    """What matters of an event here."""

    id: str
    request: _Place


_decoder = msgspec.json.Decoder(_Named)


class _Scan:
    """The last events, at most `kept` for each pair of a requests' and an events' partition, since a time."""

    def __init__(self, since_s: float, kept: int) -> None:
        self.since_s, self.kept = since_s, kept
        self.read_to: Mapping[int, int] | None = None
        self._last: dict[int, dict[int, deque[tuple[int, str]]]] = defaultdict(
            lambda: defaultdict(partial(deque, maxlen=kept))
        )

    def fold(self, records: Sequence[Record], requests: str, ends: Mapping[int, int]) -> None:
        """Remember the events that name places of the topic `requests` below its `ends`."""
        for record in records:
            try:
                named = _decoder.decode(record.value or b"")
            except msgspec.DecodeError:
                continue
            place = named.request
            if place.topic == requests and place.offset < ends.get(place.partition, 0):
                self._last[place.partition][record.partition].append((place.offset, named.id))

    def of(self, partition: int) -> Sequence[Sequence[tuple[int, str]]]:
        """Offsets and ids of the requests of a partition, one sequence for each partition of the events."""
        return [tuple(found) for found in self._last[partition].values()]


class Decided:
    """See `broker.port.WorkedOn`. Partitions that are asked about at the same time share one pass over the events."""

    def __init__(self, broker: Broker, topics: Topics, requests: str) -> None:
        """`requests` is the topic whose requests are asked about."""
        self._broker, self._topics, self._requests = broker, topics, requests
        self._wanted: dict[int, float] = {}
        self._one_scan = asyncio.Lock()
        self._scan: _Scan | None = None

    async def __call__(self, partition: int, first: int, end: int) -> int | None:
        """The offset behind the last request that has its event, or None.

        Raises:
            BrokerError: the log cannot be read now.
        """
        since_s = await self._oldest(partition, first, end)
        if since_s is None:
            return None
        self._wanted[partition] = since_s
        try:
            async with self._one_scan:
                kept = _KEPT
                while True:
                    scan = await self._scanned(min(self._wanted.values()), kept)
                    found, sure = await self._last_that_counts(scan, partition, range(first, end))
                    if sure:
                        return found
                    kept *= _KEPT_GROWS
        finally:
            self._wanted.pop(partition, None)
            if not self._wanted:
                self._scan = None

    async def _oldest(self, partition: int, first: int, end: int) -> float | None:
        """When the first request was written, less what clocks may be apart; None where there is no request."""
        async with self._broker.reader(self._requests, {partition: first}, [partition]) as reader:
            while reader.positions()[partition] < end:
                for record in await reader.fetch(1, _POLL_S):
                    return max(0.0, record.timestamp_ms / 1000.0 - _CLOCKS_APART_S)
        return None

    async def _scanned(self, since_s: float, kept: int) -> _Scan:
        """The last events as they are now."""
        scan = self._scan
        if scan is None or since_s < scan.since_s or kept > scan.kept:
            scan = self._scan = _Scan(since_s, kept)
        requests = await self._broker.end_offsets(self._requests)
        ends = await self._broker.end_offsets(self._topics.events)
        start = scan.since_s if scan.read_to is None else scan.read_to
        async with self._broker.reader(self._topics.events, start) as reader:
            await self._read(scan, reader, ends, requests)
        return scan

    async def _read(self, scan: _Scan, reader: Reader, ends: Mapping[int, int], requests: Mapping[int, int]) -> None:
        loop = asyncio.get_running_loop()
        tell_at = loop.time() + _TELL_S
        scan.read_to = dict(reader.positions())
        while left := sum(max(0, end - scan.read_to[partition]) for partition, end in ends.items()):
            scan.fold(await reader.fetch(_BATCH, _POLL_S), self._requests, requests)
            scan.read_to = dict(reader.positions())
            if loop.time() >= tell_at:
                log.warning("looking for the last requests that have their events: about %d events to read", left)
                tell_at = loop.time() + _TELL_S
            await asyncio.sleep(0)  # heartbeats have their turn, also while everything is there already

    async def _last_that_counts(self, scan: _Scan, partition: int, offsets: range) -> tuple[int | None, bool]:
        """The offset behind it, or None; and False where older events have to be looked at to tell."""
        best, sure = None, True
        for events in scan.of(partition):
            for offset, request_id in reversed(events):
                if best is not None and offset < best:
                    break
                if offset in offsets and await self._bears(partition, offset, request_id):
                    best = offset + 1
                    break
            else:
                sure = sure and len(events) < scan.kept
        return best, sure

    async def _bears(self, partition: int, offset: int, request_id: str) -> bool:
        record = await self._broker.read_at(Position(self._requests, partition, offset))
        if record is None:
            return False
        if envelope_of(record, self._topics.replies).request_id == request_id:
            return True
        try:
            return decode_request(record.value or b"").request_id == request_id
        except msgspec.DecodeError:
            return False
