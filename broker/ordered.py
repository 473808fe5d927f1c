"""Reads several partitions of a topic in one order: records already written, merged by their time; then new records,
as they come or, in ticks, merged by their time too."""

import asyncio
import heapq
import logging
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from operator import attrgetter

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


class Ticks:
    """New records of all partitions of a topic, read with one reader, which is open; merged tick by tick.

    One reader costs much less than one for each partition, but cannot leave a partition out. So between two ticks there
    must be no more records than memory has room for: `behind` tells their number.
    """

    def __init__(self, reader: Reader, batch: int = 100) -> None:
        self._reader, self._batch = reader, batch
        self._ahead: dict[int, deque[Record]] = {partition: deque() for partition in reader.positions()}

    @property
    def next(self) -> Mapping[int, int]:
        """Partition -> the offset of the next record to be returned."""
        positions = self._reader.positions()
        return {number: ahead[0].offset if ahead else positions[number] for number, ahead in self._ahead.items()}

    def behind(self, ends: Mapping[int, int]) -> int:
        """Return how many offsets there are from the next record of each partition to `ends`."""
        return sum(max(0, ends.get(number, 0) - at) for number, at in self.next.items())

    async def read(self, ends: Mapping[int, int], stop: asyncio.Event) -> Sequence[Record]:
        """Return the records before `ends` (partition -> offset) that were not returned yet, merged by their time.

        Within a partition they come in offset order. Returns none where `stop` is set before they are read.

        Raises:
            BrokerError: the log cannot be read.
        """
        while any(at < ends.get(number, 0) for number, at in self._reader.positions().items()):
            if stop.is_set():
                return ()
            for record in await self._reader.fetch(self._batch, _POLL_S):
                self._ahead[record.partition].append(record)
        taken = [list(_below(ahead, ends.get(number, 0))) for number, ahead in self._ahead.items()]
        return list(heapq.merge(*taken, key=attrgetter("timestamp_ms")))


def _below(ahead: deque[Record], end: int) -> Iterator[Record]:
    while ahead and ahead[0].offset < end:
        yield ahead.popleft()


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
