"""The door: `open_embedded` and the broker it gives."""

import asyncio
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from broker.embedded.clocks import boottime_ms
from broker.embedded.guest import GuestLog
from broker.embedded.owner import OwnerLog
from broker.embedded.readers import EmbeddedMember, EmbeddedReader, GuestMember
from broker.embedded.records import read_one
from broker.embedded.transaction import Transaction
from broker.port import BrokerError, NewRecord, OnSkipped, Position, Record, Start, TopicSpec, WorkedOn

Role = Literal["owner", "guest"]

_HOUSEKEEPING_S = 60.0


def open_embedded(
    folder: Path,
    *,
    role: Role,
    clock_ms: Callable[[], int],
    boottime_ms: Callable[[], int] = boottime_ms,
    housekeeping_s: float = _HOUSEKEEPING_S,
) -> "EmbeddedBroker":
    """The log in `folder`, to be entered as an async context manager.

    Args:
        folder: the data folder; the owner makes it where it is missing.
        role: the owner writes, and there is one of it; guests read beside it.
        clock_ms: epoch milliseconds, for timestamps and retention; called in the writing thread.
        boottime_ms: milliseconds since boot, against which `clock_ms` is held before anything is removed for its age.
        housekeeping_s: seconds between two rounds of retention and compaction.

    Entering raises BrokerInUse when another process owns the folder, and BrokerError when it cannot be used.
    """
    log = OwnerLog(folder, clock_ms, boottime_ms, housekeeping_s) if role == "owner" else GuestLog(folder)
    return EmbeddedBroker(log)


class Served:
    """See `broker.port.Watch`: somebody always serves."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing to let go of."""

    def served(self) -> bool | None:
        """True."""
        return True


@dataclass(frozen=True, slots=True)
class Condition:
    """How an open log is: why it is unavailable, damaged records met so far, why nothing is removed for its age, and
    what the opening found damaged behind the last checkpoint: frames of the WAL, and transactions at most."""

    trouble: str | None = None
    damaged_records: int = 0
    clock_doubt: str | None = None
    lost_frames: int = 0
    lost_transactions: int = 0


class EmbeddedBroker:
    """See `broker.port.Broker`. A cancelled write may still happen: what has been submitted is not taken back."""

    def __init__(self, log: OwnerLog | GuestLog) -> None:
        self._log = log
        self._opened = False

    async def __aenter__(self) -> Self:
        await self._log.open()
        self._opened = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Write what was submitted, then close the log and let go of the folder."""
        self._opened = False
        await self._log.close()

    def __del__(self) -> None:
        if self._opened:
            warnings.warn(f"the log in {self._log.folder} was not closed", ResourceWarning, stacklevel=2, source=self)

    def _use(self) -> OwnerLog | GuestLog:
        if not self._opened:
            raise BrokerError(f"the log in {self._log.folder} is not open: enter its context first")
        return self._log

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create or adjust topics; see the port. A guest only makes sure that they are there."""
        log = self._use()
        if isinstance(log, GuestLog):
            await log.refresh()
            for spec in specs:
                log.topic(spec.name)
            return

        def run(transaction: Transaction) -> None:
            transaction.ensure_topics(specs)

        await asyncio.shield(log.submit(run))

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        return self._use().topic(topic).spec.partitions

    async def append(self, records: Sequence[NewRecord]) -> Sequence[Position]:
        """Write the records, all or none; returns once they are durable."""

        def run(transaction: Transaction) -> Sequence[Position]:
            return [record.position for record in transaction.append(records)]

        return await asyncio.shield(self._use().submit(run))

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        """Partition -> the offset after the last committed record."""
        log = self._use()
        await log.refresh()
        return {partition: log.end(shard) for partition, shard in enumerate(log.topic(topic).shards)}

    async def read_at(self, position: Position) -> Record | None:
        """The record at that place, or None where there is none (any more)."""
        log = self._use()
        topic = log.topic(position.topic)
        remembered = log.recent(topic.shard(position.partition), position.offset, 1, 1)
        if remembered:
            return remembered[0]
        found = await log.read(partial(read_one, topic=topic, partition=position.partition, offset=position.offset))
        log.damage.note([found] if found else [])
        return found

    def reader(
        self,
        topic: str,
        start: Start | Mapping[int, int] | float = Start.EARLIEST,
        partitions: Sequence[int] | None = None,
    ) -> EmbeddedReader:
        """A reader of these (default: all) partitions; see the port."""
        return EmbeddedReader(self._use(), topic, start, partitions)

    def member(
        self, topic: str, group: str, worked_on: WorkedOn | None = None, on_skipped: OnSkipped | None = None
    ) -> EmbeddedMember:
        """The member of `group` on `topic`; entering it raises BrokerInUse when the group has one already."""
        log = self._use()
        kind = GuestMember if isinstance(log, GuestLog) else EmbeddedMember
        return kind(log, topic, group, worked_on, on_skipped)

    def watch(self, group: str) -> Served:
        """Its members run in the process that owns the folder, and end with it."""
        return Served()

    def available(self) -> bool:
        """Whether the log could be reached and written when last tried."""
        return self._opened and self._log.available()

    def condition(self) -> Condition:
        """How the log is, for whoever watches over it."""
        log = self._log
        if not self._opened:
            return Condition(trouble=f"the log in {log.folder} is not open")
        if isinstance(log, GuestLog):
            return Condition(log.trouble, log.damage.count)
        lost = log.lost
        return Condition(log.trouble, log.damage.count, log.housekeeper.doubt, lost.frames, lost.transactions)

    async def housekeep(self) -> None:
        """Apply retention and compaction now.

        Raises:
            BrokerError: this is a guest, or the log is not open.
        """
        log = self._use()
        if isinstance(log, GuestLog):
            raise BrokerError(f"housekeeping of the log in {log.folder} is done by the server that owns the folder")
        await log.housekeeper.sweep()
