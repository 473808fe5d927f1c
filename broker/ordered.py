"""Reads several partitions of a topic in one order: the records that are there, merged by their time, then new ones."""

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from broker.port import Broker, BrokerError, Reader, Record, Start

_log = logging.getLogger(__name__)

_POLL_S = 0.2  # the end of a partition may be a gap, which a reader passes only when a fetch has returned
_RETRY_S = 0.5


@dataclass(slots=True)
class _Partition:
    """One partition that is read up to `end`."""

    number: int
    end: int
    reader: Reader
    waiting: deque[Record] = field(default_factory=deque)

    async def fill(self, max_records: int) -> bool:
        """Fetch until a record waits; False when the partition is read up to its end."""
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
    """The records before `ends` (partition -> offset), merged by the time of their writing; within a partition in
    offset order. At most `batch` records per partition are in memory."""
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
    """The records from `start` on as they are written, until `stop` is set; an empty batch when a moment passes.

    A log that is lost after the reader was entered is waited for.
    """
    async with broker.reader(topic, start) as reader:
        while not stop.is_set():
            yield await fetch_patiently(reader, batch, stop)


async def fetch_patiently(reader: Reader, max_records: int, stop: asyncio.Event) -> Sequence[Record]:
    """The next records, none when a moment passed without or `stop` was set; a log that is lost is waited for.

    An outage is logged once.

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
                _log.warning("%s; waiting for it", error)
            logged = True
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _RETRY_S)
    return ()


async def start_offsets(broker: Broker, topic: str, start: Start | float) -> dict[int, int]:
    """Partition -> the offset at which a reader that starts there begins."""
    async with broker.reader(topic, start) as reader:
        return dict(reader.positions())
