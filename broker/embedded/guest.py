"""The log as another command on the data folder reads it, beside the owner or without one. It writes no record.

It polls. Its reads are short, and no statement stays open over an await, so that a guest that is stopped holds
nothing the owner needs; at worst the WAL grows until it goes on.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from broker.embedded.damage import DamageLog
from broker.embedded.log import Standing
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
        """Open the file, which must be there."""
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
        """See the topics and ends as they are now."""
        try:
            seen = await self._reads.run(self._look)
        except BrokerError as error:
            self._available = False
            self.trouble = str(error)
            raise
        self.trouble = None
        self._available = True
        if seen is not None:
            self._version, self._topics, self._ends = seen

    def _look(self, connection: sqlite3.Connection) -> tuple[int, Topics, dict[int, int]] | None:
        trouble = self._place.trouble()
        if trouble is not None:  # a log that nobody writes any more would be read without an end
            raise BrokerUnavailable(trouble)
        (version,) = connection.execute("PRAGMA data_version").fetchone()
        if version == self._version:
            return None
        return version, load_topics(connection), end_offsets(connection)

    def available(self) -> bool:
        """Whether the last look succeeded."""
        return self._available and not self._closed

    def topic(self, name: str) -> Topic:
        """The topic, or UnknownTopic."""
        return topic_named(self._topics, name)

    def end(self, shard: int) -> int:
        """The shard's end offset as last seen."""
        return self._ends.get(shard, 0)

    def recent(self, shard: int, offset: int, max_records: int, max_bytes: int) -> Sequence[Record] | None:
        """A guest remembers nothing."""
        return None

    async def read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Have `read` done by the reading thread."""
        return await self._reads.run(read)

    def submit(self, run: Callable[[Transaction], T]) -> "asyncio.Future[T]":
        """A guest cannot write."""
        raise BrokerError(
            f"this command only reads the log in {self.folder}; records are written by the server that owns the folder"
        )

    async def wait(self, topic: str, timeout_s: float | None) -> None:
        """Look again after a short while."""
        await asyncio.sleep(_POLL_S if timeout_s is None else min(_POLL_S, timeout_s))
        if self._closed:
            raise BrokerError("the log was closed")
        try:
            await self.refresh()
        except BrokerUnavailable:
            if self._place.trouble() is not None:
                raise
            return  # the next look may succeed; `available` tells meanwhile

    def wake(self, topic: str) -> None:
        """Nothing to do: it polls."""

    def watch(self, place: Standing) -> None:
        """Nothing to do: the owner cannot see guests, and keeps tombstones for a day."""
