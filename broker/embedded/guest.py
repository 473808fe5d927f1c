"""The log of a guest: a command that reads the data folder, with or without a running owner, and writes no record.

A guest polls. Its reads are short, and no statement stays open over an await, so that a guest whose process is stopped
blocks nothing that the owner needs; at worst the WAL grows until the guest's process goes on or ends.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from broker.embedded.damage import DamageLog
from broker.embedded.log import ReadPosition
from broker.embedded.place import GUESTS_FILES, Place
from broker.embedded.reads import Reads
from broker.embedded.rows import Topic, Topics, end_offsets, load_topics, topic_named
from broker.embedded.transaction import Transaction
from broker.port import BrokerError, BrokerUnavailable, Record

T = TypeVar("T")

_POLL_S = 0.05


class GuestLog:
    """A guest's log; see `broker.embedded.log.Log`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._topics: Topics = {}
        self._ends: dict[int, int] = {}
        self._reads: Reads
        self._version: int | None = None
        self._available = False
        self._closed = False
        self.damage = DamageLog()
        self.trouble: str | None = None
        self._place: Place

    async def open(self) -> None:
        """Open the file, which must exist."""
        self._reads = Reads(self.folder, threads=1)  # data_version is counted per connection
        try:
            await asyncio.to_thread(self._reads.open)
            self._place = Place(self.folder, GUESTS_FILES)
            await self.refresh()
        except BaseException:
            await self._reads.close()
            raise

    async def close(self) -> None:
        """Close the file."""
        if not self._closed:
            self._closed = True
            await self._reads.close()

    async def refresh(self) -> None:
        """Read the current topics and ends, if the file has changed."""
        try:
            found = await self._reads.run(self._changes)
        except BrokerError as error:
            self._available = False
            self.trouble = str(error)
            raise
        self.trouble = None
        self._available = True
        if found is not None:
            self._version, self._topics, self._ends = found

    def _changes(self, connection: sqlite3.Connection) -> tuple[int, Topics, dict[int, int]] | None:
        trouble = self._place.trouble()
        if trouble is not None:  # otherwise the guest would wait for ever for records of a log that nobody writes
            raise BrokerUnavailable(trouble)
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return None
        return version, load_topics(connection), end_offsets(connection)

    def available(self) -> bool:
        """Return whether the last `refresh` succeeded."""
        return self._available and not self._closed

    def topic(self, name: str) -> Topic:
        """Return the topic; raise UnknownTopic if there is none."""
        return topic_named(self._topics, name)

    def end(self, shard: int) -> int:
        """Return the shard's end offset at the last `refresh`."""
        return self._ends.get(shard, 0)

    def recent(self, shard: int, offset: int, max_records: int, max_bytes: int) -> Sequence[Record] | None:
        """Return None: a guest keeps no records in memory."""
        return None

    async def read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Run `read` in the reading thread and return its result."""
        return await self._reads.run(read)

    def submit(self, run: Callable[[Transaction], T]) -> "asyncio.Future[T]":
        """Raise BrokerError: a guest cannot write."""
        raise BrokerError(
            f"this command only reads the log in {self.folder}; records are written by the server that owns the folder"
        )

    async def wait(self, topic: str, timeout_s: float | None) -> None:
        """Wait for 0.05 s or `timeout_s`, whichever is shorter; then refresh."""
        await asyncio.sleep(_POLL_S if timeout_s is None else min(_POLL_S, timeout_s))
        if self._closed:
            raise BrokerError("the log was closed")
        try:
            await self.refresh()
        except BrokerUnavailable:
            if self._place.trouble() is not None:
                raise
            return  # the next refresh may succeed; until then `available` returns False

    def wake(self, topic: str) -> None:
        """Do nothing, because a guest polls."""

    def watch(self, place: ReadPosition) -> None:
        """Do nothing: the owner does not know the offsets of guests, and keeps tombstones for `DELETIONS_KEPT_MS`."""
