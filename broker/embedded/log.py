"""The log as readers and group members use it; the owner's log and a guest's log implement it."""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from broker.embedded.damage import DamageLog
from broker.embedded.rows import Topic
from broker.embedded.transaction import Transaction
from broker.port import Record

T = TypeVar("T")


class ReadPosition(Protocol):
    """A position in the partitions of a topic; tombstones behind it must not be removed."""

    def next_offset(self, topic: str, partition: int) -> int | None:
        """Return the offset that is read next in the partition; None: the partition is not read."""
        ...


class Log(Protocol):
    """An open log."""

    @property
    def folder(self) -> Path:
        """The data folder."""
        ...

    @property
    def damage(self) -> DamageLog:
        """The damaged records that were read so far."""
        ...

    async def open(self) -> None:
        """Open the log in the folder; the owner locks the folder first."""
        ...

    async def close(self) -> None:
        """Write what was submitted, close the log, and release the folder."""
        ...

    async def refresh(self) -> None:
        """Make sure that `topic` and `end` return the current state."""
        ...

    def available(self) -> bool:
        """Return whether the last attempt to use the file succeeded."""
        ...

    def topic(self, name: str) -> Topic:
        """Return the topic; raise UnknownTopic if there is none."""
        ...

    def end(self, shard: int) -> int:
        """Return the shard's end offset at the last commit or `refresh`."""
        ...

    def recent(self, shard: int, offset: int, max_records: int, max_bytes: int) -> Sequence[Record] | None:
        """Return records from memory; None: the record at `offset` is not in memory."""
        ...

    async def read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Run `read` in a reading thread and return its result."""
        ...

    def submit(self, run: Callable[[Transaction], T]) -> "asyncio.Future[T]":
        """Run `run` in the writing thread, within a transaction; the future is resolved once that is durable."""
        ...

    async def wait(self, topic: str, timeout_s: float | None) -> None:
        """Return when the topic may have grown or the time has passed.

        Raises:
            BrokerError: the log was closed.
        """
        ...

    def wake(self, topic: str) -> None:
        """End every `wait` for the topic."""
        ...

    def watch(self, place: ReadPosition) -> None:
        """Remove no tombstones behind this position for as long as the object exists."""
        ...
