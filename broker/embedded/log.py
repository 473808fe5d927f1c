"""The log as readers and members see it, be it the owner's or a guest's."""

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


class Standing(Protocol):
    """Something that stands somewhere in a topic and must not miss a deletion."""

    def next_offset(self, topic: str, partition: int) -> int | None:
        """The offset it reads next, or None where it does not read."""
        ...


class Log(Protocol):
    """An open log."""

    @property
    def folder(self) -> Path:
        """The data folder."""
        ...

    @property
    def damage(self) -> DamageLog:
        """What was found damaged."""
        ...

    async def open(self) -> None:
        """Take hold of the folder."""
        ...

    async def close(self) -> None:
        """Let go of it; what was submitted is written first."""
        ...

    async def refresh(self) -> None:
        """See the topics and ends as they are now."""
        ...

    def available(self) -> bool:
        """Whether the file could be used when last tried."""
        ...

    def topic(self, name: str) -> Topic:
        """The topic, or UnknownTopic."""
        ...

    def end(self, shard: int) -> int:
        """The shard's end offset as last seen."""
        ...

    def recent(self, shard: int, offset: int, max_records: int, max_bytes: int) -> Sequence[Record] | None:
        """Records from memory, or None where memory does not reach back so far."""
        ...

    async def read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Have `read` done by a reading thread."""
        ...

    def submit(self, run: Callable[[Transaction], T]) -> "asyncio.Future[T]":
        """Have `run` done by the writing thread, within a transaction; resolved once that is durable."""
        ...

    async def wait(self, topic: str, timeout_s: float | None) -> None:
        """Return when the topic may have grown or the time has passed.

        Raises:
            BrokerError: the log was closed.
        """
        ...

    def wake(self, topic: str) -> None:
        """Let those who wait for the topic look again."""
        ...

    def watch(self, place: Standing) -> None:
        """Mind this place, for as long as it exists, when deletions are forgotten."""
        ...
