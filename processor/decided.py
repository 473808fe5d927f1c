"""Finds the last decided request of a partition by the events, for a consumer group whose offset is lost.

Kafka forgets the offsets of a group without members after a while (offsets.retention.minutes), but keeps the requests.
An event names the position and the id of its request. An event is confirmed only if the record at that position still
has that id: if the topic was created anew, or has lost its last records, there is another request or none.

A lane commits in the order of its requests. So within one partition of the events, the events of one partition of the
requests are in the order of their requests, and only the last confirmed event of each partition of the events matters;
of these, the one with the highest request offset is the result. Comparisons and quality assessments after that request
that left no event are decided again; that leaves no event either.

The caller has fenced the member that had the partition before, so no later event can be committed by that member.
"""

import asyncio
import logging
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from broker.port import Broker, Position, Reader, Record
from contract.requests import decode_request
from contract.topics import Topics
from processor.envelope import envelope_of

log = logging.getLogger(__name__)

_KEPT = 64
"""The number of events that a first search keeps for each pair of partitions; if none is confirmed, more are kept."""

_KEPT_GROWS = 16
_BATCH = 1000
_POLL_S = 0.2
_LOG_S = 10.0
_CLOCKS_APART_S = 3600.0
"""The search of the events begins so long before the oldest request, because clocks of machines differ."""


class _Place(msgspec.Struct):
    topic: str
    partition: int
    offset: int


class _Named(msgspec.Struct):
    """The fields of an event that the search needs."""

    id: str
    request: _Place


_decoder = msgspec.json.Decoder(_Named)


class _Scan:
    """The last events since a time, at most `kept` for each pair of a partition of requests and one of events."""

    def __init__(self, since_s: float, kept: int) -> None:
        self.since_s, self.kept = since_s, kept
        self.read_to: Mapping[int, int] | None = None
        self._last: dict[int, dict[int, deque[tuple[int, str]]]] = defaultdict(
            lambda: defaultdict(partial(deque, maxlen=kept))
        )

    def fold(self, records: Sequence[Record], requests: str, ends: Mapping[int, int]) -> None:
        """Keep the events whose requests are in the topic `requests`, below its `ends`."""
        for record in records:
            try:
                named = _decoder.decode(record.value or b"")
            except msgspec.DecodeError:
                continue
            place = named.request
            if place.topic == requests and place.offset < ends.get(place.partition, 0):
                self._last[place.partition][record.partition].append((place.offset, named.id))

    def of(self, partition: int) -> Sequence[Sequence[tuple[int, str]]]:
        """Return offsets and ids of requests of the partition, in one sequence for each partition of the events."""
        return [tuple(found) for found in self._last[partition].values()]


class Decided:
    """See `broker.port.WorkedOn`. Searches for several partitions at the same time share one pass over the events."""

    def __init__(self, broker: Broker, topics: Topics, requests: str) -> None:
        """`requests` is the topic in which the last decided request is searched."""
        self._broker, self._topics, self._requests = broker, topics, requests
        self._wanted: dict[int, float] = {}
        self._one_scan = asyncio.Lock()
        self._scan: _Scan | None = None

    async def __call__(self, partition: int, first: int, end: int) -> int | None:
        """Return the offset after the last request that has an event; None: no request has one.

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
                    found, sure = await self._last_confirmed(scan, partition, range(first, end))
                    if sure:
                        return found
                    kept *= _KEPT_GROWS
        finally:
            self._wanted.pop(partition, None)
            if not self._wanted:
                self._scan = None

    async def _oldest(self, partition: int, first: int, end: int) -> float | None:
        """Return the time of the first request less `_CLOCKS_APART_S` (epoch seconds); None: there is no request."""
        async with self._broker.reader(self._requests, {partition: first}, [partition]) as reader:
            while reader.positions()[partition] < end:
                for record in await reader.fetch(1, _POLL_S):
                    return max(0.0, record.timestamp_ms / 1000.0 - _CLOCKS_APART_S)
        return None

    async def _scanned(self, since_s: float, kept: int) -> _Scan:
        """Return the last events up to the current end of the topic."""
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
        log_at = loop.time() + _LOG_S
        scan.read_to = dict(reader.positions())
        while left := sum(max(0, end - scan.read_to[partition]) for partition, end in ends.items()):
            scan.fold(await reader.fetch(_BATCH, _POLL_S), self._requests, requests)
            scan.read_to = dict(reader.positions())
            if loop.time() >= log_at:
                log.warning(
                    "searching the events for the last decided requests: about %d events are left to read", left
                )
                log_at = loop.time() + _LOG_S
            await asyncio.sleep(0)  # lets heartbeats run, because a fetch that has records in memory never waits

    async def _last_confirmed(self, scan: _Scan, partition: int, offsets: range) -> tuple[int | None, bool]:
        """Return the offset after the last request with a confirmed event, or None; and whether that is certain.

        It is not certain if none of the kept events of a partition is confirmed and older events were not kept.
        """
        best, sure = None, True
        for events in scan.of(partition):
            for offset, request_id in reversed(events):
                if best is not None and offset < best:
                    break
                if offset in offsets and await self._has_id(partition, offset, request_id):
                    best = offset + 1
                    break
            else:
                sure = sure and len(events) < scan.kept
        return best, sure

    async def _has_id(self, partition: int, offset: int, request_id: str) -> bool:
        record = await self._broker.read_at(Position(self._requests, partition, offset))
        if record is None:
            return False
        if envelope_of(record, self._topics.replies).request_id == request_id:
            return True
        try:
            return decode_request(record.value or b"").request_id == request_id
        except msgspec.DecodeError:
            return False
