"""Reads several partitions of a topic in one order: records already written, merged by their time; then new records."""

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from broker.port import Broker, BrokerError, Reader, Record, Start

_log = logging.getLogger(__name__)

_POLL_S = 0.2  # the last offsets of a partition may have no records; a reader passes them only when a fetch returns
_RETRY_S = 0.5


@dataclass(slots=True)
class _Partition:
    """A partition that is read up to the offset `end`, and its fetched records."""

    number: int
    end: int
    reader: Reader
    waiting: deque[Record] = field(default_factory=deque)

    async def fill(self, max_records: int) -> bool:
        """Fetch until there is a record in `waiting`; return False once the partition is read up to `end`."""
        while not self.waiting and self.reader.positions()[self.number] < self.end:
            records = await self.reader.fetch(max_records, _POLL_S)
            self.waiting.extend(r for r in records if r.offset < self.end)
        return bool(self.waiting)


async def read_merged(
    broker: Broker,
    topic: str,
    start: Start | Mapping[int, int] | float,
    ends: Mapping[int, int],
    *,
    batch: int = 100,
) -> AsyncGenerator[Sequence[Record]]:
    """Yield the records before `ends` (partition -> offset), merged by the time of their writing, in batches.

    Within a partition records come in offset order. At most `batch` records per partition are in memory.
    """
    async with AsyncExitStack() as stack:
        partitions = [
            _Partition(number, end, await stack.enter_async_context(broker.reader(topic, start, [number])))
            for number, end in ends.items()
        ]
        heads = [(read.waiting[0].timestamp_ms, read.number, read) for read in partitions if await read.fill(batch)]
        heapq.heapify(heads)
        merged: list[Record] = []
        while heads:
            _, number, read = heads[0]
            merged.append(read.waiting.popleft())
            if read.waiting or await read.fill(batch):
                heapq.heapreplace(heads, (read.waiting[0].timestamp_ms, number, read))
            else:
                heapq.heappop(heads)
            if len(merged) >= batch:
                yield merged
                merged = []
        if merged:
            yield merged


async def read_live(
    broker: Broker, topic: str, start: Start | Mapping[int, int] | float, stop: asyncio.Event, *, batch: int = 100
) -> AsyncGenerator[Sequence[Record]]:
    """Yield the records from `start` on as they are written, until `stop` is set.

    After 0.2 s without a record an empty batch is yielded. While the log cannot be read, the generator waits.
    """
    async with broker.reader(topic, start) as reader:
        while not stop.is_set():
            yield await fetch_patiently(reader, batch, stop)


async def fetch_patiently(reader: Reader, max_records: int, stop: asyncio.Event) -> Sequence[Record]:
    """Return the next records; none if 0.2 s passed without a record or `stop` was set.

    While the log cannot be read now, the call waits and tries again; it logs an outage once.

    Raises:
        BrokerError: the log cannot be read, and trying again will not help.
    """
    logged = False
    while not stop.is_set():
        try:
            return await reader.fetch(max_records, _POLL_S)
        except BrokerError as error:
            if not error.retriable:
                raise
            if not logged:
                _log.warning("%s; reading is tried again until the log can be read", error)
            logged = True
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _RETRY_S)
    return ()


async def start_offsets(broker: Broker, topic: str, start: Start | float) -> dict[int, int]:
    """Return partition -> the offset at which a reader with this `start` begins."""
    async with broker.reader(topic, start) as reader:
        return dict(reader.positions())
