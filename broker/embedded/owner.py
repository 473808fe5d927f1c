"""The log in the process that owns the data folder: writer, reading threads, newest records, housekeeping."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar
from weakref import WeakSet

from broker.embedded.clocks import Reading, boot_id
from broker.embedded.damage import DamageLog
from broker.embedded.folder import log_file, make_private, refuse_half_restored, rewritten_file
from broker.embedded.housekeeper import Housekeeper
from broker.embedded.locks import DatabaseLock, FileLock, PathClaim
from broker.embedded.log import ReadPosition
from broker.embedded.reads import Reads
from broker.embedded.rows import Topic, Topics, topic_named
from broker.embedded.store import LOG_FILE
from broker.embedded.tail import Recent, Waiters, record_bytes
from broker.embedded.transaction import Transaction
from broker.embedded.wal import Lost, log_lost, what_is_lost
from broker.embedded.writer import Durable, Writer
from broker.port import BrokerError, Record

T = TypeVar("T")

_READ_THREADS = 2


class OwnerLog:
    """The owner's log; see `broker.embedded.log.Log`. It must be opened and closed on one event loop."""

    def __init__(
        self, folder: Path, clock_ms: Callable[[], int], boottime_ms: Callable[[], int], housekeeping_s: float
    ) -> None:
        self.folder = folder
        self._clock_ms = clock_ms
        self._boottime_ms = boottime_ms
        self._housekeeping_s = housekeeping_s
        way_out = "stop that server first, or choose another data folder"
        in_use = f"the data folder {folder} is in use by another server"
        self._lock = FileLock(folder / "log.lock", f"{in_use} (process {{process}}): {way_out}")
        self._claim = PathClaim(
            folder,
            f"{in_use} (process {{process}}), whose folder was at that path and was moved or deleted since: {way_out}",
        )
        self._file_lock = DatabaseLock(folder / LOG_FILE, f"{in_use} by another path: {way_out}")
        self.damage = DamageLog()
        self.lost = Lost()
        self._topics: Topics = {}
        self._ends: dict[int, int] = {}
        self._recent = Recent()
        self._waiters = Waiters()
        self._places: WeakSet[ReadPosition] = WeakSet()
        self._closed = False
        self._boot_id = boot_id()
        self._writer: Writer
        self._reads: Reads
        self.housekeeper: Housekeeper

    async def open(self) -> None:
        """Lock the folder, open or create the file, start the threads."""
        make_private(self.folder)
        refuse_half_restored(self.folder)
        try:
            for lock in (self._lock, self._claim, self._file_lock):
                lock.acquire()
            # A rewrite that was broken off leaves a copy, which would keep what is removed from the log later.
            rewritten_file(self.folder).unlink(missing_ok=True)
            await self._open()
        except BaseException:
            self._unlock()
            raise
        self._topics, self._ends = self._writer.start()
        try:
            await self.housekeeper.start()
        except BaseException:
            await self.close()
            raise

    async def _open(self) -> None:
        """Open the file for writing, reading and checkpoints."""
        loop = asyncio.get_running_loop()
        self.lost = await asyncio.to_thread(what_is_lost, log_file(self.folder))
        self._writer = await asyncio.to_thread(
            Writer, self.folder, loop, self._clock_ms, self._on_durable, self._lock.keep
        )
        log_lost(self.lost, self.folder)
        self._reads = Reads(self.folder, _READ_THREADS)
        self.housekeeper = Housekeeper(
            self.folder,
            self._writer,
            self._reads,
            lambda: self._topics,
            self._lowest,
            self._clocks,
            self.damage,
            self._housekeeping_s,
        )
        try:
            await asyncio.to_thread(self._reads.open)
            await asyncio.to_thread(self.housekeeper.open)
        except BaseException:
            await self.housekeeper.stop()
            await self._reads.close()
            await self._writer.close()
            raise

    def _clocks(self) -> Reading:
        return Reading(self._clock_ms(), self._boottime_ms(), self._boot_id)

    def _unlock(self) -> None:
        for lock in (self._file_lock, self._claim, self._lock):
            lock.release()

    async def close(self) -> None:
        """Stop housekeeping, write what was submitted, end the readers' waits, then close the file and unlock.

        The writing connection closes last, because SQLite then copies the WAL into the file and deletes the WAL.
        """
        if self._closed:
            return
        self._closed = True
        try:
            await self.housekeeper.stop()
            await self._writer.drain()
            self._waiters.wake_all()
            await self._reads.close()
            await self._writer.close()
        finally:
            self._unlock()

    async def refresh(self) -> None:
        """Do nothing: the owner's topics and ends are always current."""

    def available(self) -> bool:
        """Return whether the last write succeeded and the files are at their paths."""
        return not self._closed and self._writer.available

    @property
    def trouble(self) -> str | None:
        """The reason why the log is unavailable, as a sentence; None: it is available."""
        return self._writer.trouble

    def topic(self, name: str) -> Topic:
        """Return the topic; raise UnknownTopic if there is none."""
        return topic_named(self._topics, name)

    def end(self, shard: int) -> int:
        """Return the shard's end offset."""
        return self._ends.get(shard, 0)

    def recent(self, shard: int, offset: int, max_records: int, max_bytes: int) -> Sequence[Record] | None:
        """Return records from memory; None: the record at `offset` is not in memory."""
        if self._closed:
            raise _closed()
        return self._recent.since(shard, offset, max_records, max_bytes)

    async def read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Run `read` in a reading thread and return its result."""
        return await self._reads.run(read)

    def submit(self, run: Callable[[Transaction], T]) -> "asyncio.Future[T]":
        """Run `run` in the writing thread, within a transaction; the future is resolved once that is durable."""
        return self._writer.submit(run)

    async def wait(self, topic: str, timeout_s: float | None) -> None:
        """Return when the topic may have grown or the time has passed."""
        if not self._closed:
            await self._waiters.wait(topic, timeout_s)
        if self._closed:
            raise _closed()

    def wake(self, topic: str) -> None:
        """End every `wait` for the topic."""
        self._waiters.wake(topic)

    def watch(self, place: ReadPosition) -> None:
        """Remove no tombstones behind this position for as long as the object exists."""
        self._places.add(place)

    def _lowest(self, topic: str, partition: int) -> int:
        """Return the lowest next offset of all cursors: every cursor has read the records below it."""
        offsets = (place.next_offset(topic, partition) for place in self._places)
        end = self.end(self.topic(topic).shard(partition))
        return min((offset for offset in offsets if offset is not None), default=end)

    def _on_durable(self, durable: Durable) -> None:
        if durable.topics is not None:
            self._topics = durable.topics
        written_bytes = 0
        for record in durable.written:
            shard = self._topics[record.topic].shards[record.partition]
            self._ends[shard] = record.offset + 1
            self._recent.add(shard, record)
            written_bytes += record_bytes(record)
        for shard, offset in durable.removed.items():
            self._recent.forget(shard, offset)
        for name in {record.topic for record in durable.written}:
            self._waiters.wake(name)
        self.housekeeper.written(written_bytes)


def _closed() -> BrokerError:
    return BrokerError("the log was closed")
