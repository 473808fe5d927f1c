"""What a topic holds already, in one order over its partitions; then what follows."""

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from broker.port import Broker, BrokerError, Reader, Record, Start

_log = logging.getLogger(__name__)

_POLL_S = 0.2  # how soon a reader that stands before a gap at the end learns that it has arrived
_RETRY_S = 0.5


@dataclass(slots=True)
class _Lane:
    """One partition on its way to `end`."""

    partition: int
    end: int
    reader: Reader
    waiting: deque[Record] = field(default_factory=deque)

    async def fill(self, max_records: int) -> bool:
        """Have a record waiting; False when the partition is read up to its end."""
        while not self.waiting and self.reader.positions()[self.partition] < self.end:
            records = await self.reader.fetch(max_records, _POLL_S)
            self.waiting.extend(r for r in records if r.offset < self.end)
        return bool(self.waiting)


async def backlog(
    broker: Broker,
    topic: str,
    start: Start | Mapping[int, int] | float,
    ends: Mapping[int, int],
    *,
    batch: int = 100,
) -> AsyncGenerator[Sequence[Record]]:
    """The records before `ends` (partition -> offset), merged by the time of their writing; within a partition in
    offset order. At most `batch` records per partition are held."""
    async with AsyncExitStack() as stack:
        lanes = [
            _Lane(p, end, await stack.enter_async_context(broker.reader(topic, start, [p]))) for p, end in ends.items()
        ]
        heads = [(lane.waiting[0].timestamp_ms, lane.partition, lane) for lane in lanes if await lane.fill(batch)]
        heapq.heapify(heads)
        merged: list[Record] = []
        while heads:
            _, partition, lane = heads[0]
            merged.append(lane.waiting.popleft())
            if lane.waiting or await lane.fill(batch):
                heapq.heapreplace(heads, (lane.waiting[0].timestamp_ms, partition, lane))
            else:
                heapq.heappop(heads)
            if len(merged) >= batch:
                yield merged
                merged = []
        if merged:
            yield merged


async def live(
    broker: Broker, topic: str, start: Start | Mapping[int, int] | float, stop: asyncio.Event, *, batch: int = 100
) -> AsyncGenerator[Sequence[Record]]:
    """The records from `start` on as they come, until `stop` is set; an empty batch when a moment passed without.

    Once it reads, a log that is lost is waited for.
    """
    async with broker.reader(topic, start) as reader:
        while not stop.is_set():
            yield await fetch_patiently(reader, batch, stop)


async def fetch_patiently(reader: Reader, max_records: int, stop: asyncio.Event) -> Sequence[Record]:
    """The next records, none when a moment passed without or `stop` was set; a log that is lost is waited for.

    An outage is told once.

    Raises:
        BrokerError: the log cannot be read, and trying again will not help.
    """
    told = False
    while not stop.is_set():
        try:
            return await reader.fetch(max_records, _POLL_S)
        except BrokerError as error:
            if not error.retriable:
                raise
            if not told:
                _log.warning("%s; waiting for it", error)
            told = True
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _RETRY_S)
    return ()


async def positions(broker: Broker, topic: str, start: Start | float) -> dict[int, int]:
    """Partition -> the offset at which a reader that starts there begins."""
    async with broker.reader(topic, start) as reader:
        return dict(reader.positions())
