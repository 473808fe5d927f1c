"""The newest records of the owner's log in memory, and the readers that wait for new records.

A reader that is near the end gets its records from memory, without a thread and without SQLite.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import islice

from broker.port import Record

_KEEP_BYTES = 16 * 1024 * 1024  # about 160 pictures: enough for readers near the end, the others read the file
_OVERHEAD_BYTES = 512  # a Record object and its place in the queues


def record_bytes(record: Record) -> int:
    """Return about how many bytes of memory a record takes."""
    headers = sum(len(name) + len(value) for name, value in record.headers)
    return len(record.key or b"") + len(record.value or b"") + headers + _OVERHEAD_BYTES


class Recent:
    """The newest records of every shard, without gaps, within a limit of bytes for all shards together."""

    def __init__(self, keep_bytes: int = _KEEP_BYTES) -> None:
        self._keep_bytes = keep_bytes
        self._bytes = 0
        self._shards: dict[int, deque[Record]] = {}
        self._ages: deque[tuple[int, Record]] = deque()  # oldest first, over all shards

    def add(self, shard: int, record: Record) -> None:
        """Add the record that follows the shard's last record."""
        self._shards.setdefault(shard, deque()).append(record)
        self._ages.append((shard, record))
        self._bytes += record_bytes(record)
        while self._bytes > self._keep_bytes:
            self._evict()

    def _evict(self) -> None:
        shard, record = self._ages.popleft()
        self._bytes -= record_bytes(record)
        self._shards[shard].popleft()

    def forget(self, shard: int, last_offset: int) -> None:
        """Drop the shard's records up to that offset, because some of them are no longer in the log."""
        kept = self._shards.get(shard)
        if not kept or kept[0].offset > last_offset:
            return
        while kept and kept[0].offset <= last_offset:
            kept.popleft()
        self._ages = deque(
            (other, record) for other, record in self._ages if other != shard or record.offset > last_offset
        )
        self._bytes = sum(record_bytes(record) for _, record in self._ages)

    def since(self, shard: int, offset: int, max_records: int, max_bytes: int) -> Sequence[Record] | None:
        """Return records from `offset` on, at least one, within both limits; None: `offset` is not in memory."""
        kept = self._shards.get(shard)
        if not kept or not kept[0].offset <= offset <= kept[-1].offset:
            return None
        records = []
        first = offset - kept[0].offset
        for record in islice(kept, first, first + max_records):
            records.append(record)
            max_bytes -= record_bytes(record)
            if max_bytes <= 0:
                break
        return records


class Waiters:
    """The tasks that wait for a topic to grow."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    async def wait(self, topic: str, timeout_s: float | None) -> None:
        """Return when the topic may have grown or the time has passed."""
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        waiting = self._waiting.setdefault(topic, set())
        waiting.add(waiter)
        alarm = None if timeout_s is None else loop.call_later(timeout_s, _wake, waiter)
        try:
            await waiter
        finally:
            waiting.discard(waiter)
            if alarm is not None:
                alarm.cancel()

    def wake(self, topic: str) -> None:
        """End every wait for the topic."""
        for waiter in self._waiting.get(topic, ()):
            _wake(waiter)

    def wake_all(self) -> None:
        """End every wait."""
        for topic in self._waiting:
            self.wake(topic)


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
