"""`open_embedded` and the broker that it returns."""

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
from broker.embedded.housekeeper import Housekeeper
from broker.embedded.owner import OwnerLog
from broker.embedded.readers import EmbeddedMember, EmbeddedReader, GuestMember
from broker.embedded.records import read_one
from broker.embedded.rows import deletions_from
from broker.embedded.transaction import Transaction
from broker.port import (
    DELETIONS_KEPT_MS,
    BrokerError,
    DeletionsKept,
    NewRecord,
    OnSkipped,
    Position,
    Record,
    Start,
    TopicSpec,
    WorkedOn,
)

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
    """Return the log in `folder`, an async context manager.

    Args:
        folder: the data folder; the owner creates it if it is missing.
        role: there is one owner, which writes; guests only read.
        clock_ms: returns epoch milliseconds, for timestamps and retention; called in the writing thread.
        boottime_ms: returns milliseconds since boot, with which `clock_ms` is compared before a record is removed for
            its age.
        housekeeping_s: seconds between two rounds of retention and compaction.

    Raises (on entering):
        BrokerInUse: another process owns the folder.
        BrokerError: the folder cannot be used.
    """
    log = OwnerLog(folder, clock_ms, boottime_ms, housekeeping_s) if role == "owner" else GuestLog(folder)
    return EmbeddedBroker(log)


class Served:
    """See `broker.port.Watch`; `served` always returns True."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing; there is nothing to release."""

    def served(self) -> bool | None:
        """Return True."""
        return True


@dataclass(frozen=True, slots=True)
class Condition:
    """The condition of an open log.

    Attributes:
        trouble: the reason why the log is unavailable; None: it is available.
        damaged_records: the number of damaged records that were read so far.
        clock_doubt: the reason why the clock is not trusted and no record is removed for its age; None: it is trusted.
        lost_frames: the number of frames of the WAL that were damaged when the log was opened.
        lost_transactions: the greatest possible number of transactions in those frames.
    """

    trouble: str | None = None
    damaged_records: int = 0
    clock_doubt: str | None = None
    lost_frames: int = 0
    lost_transactions: int = 0


class EmbeddedBroker:
    """See `broker.port.Broker`. A write whose caller is cancelled may still happen."""

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
        """Write what was submitted, then close the log and release the folder."""
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
        """Create or change topics; see the port. A guest only checks that the topics exist."""
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
        """Return the number of partitions of the topic."""
        return self._use().topic(topic).spec.partitions

    async def append(self, records: Sequence[NewRecord]) -> Sequence[Position]:
        """Write the records, all or none; return their positions once they are durable."""

        def run(transaction: Transaction) -> Sequence[Position]:
            return [record.position for record in transaction.append(records)]

        return await asyncio.shield(self._use().submit(run))

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        """Return partition -> the offset after the last committed record."""
        log = self._use()
        await log.refresh()
        return {partition: log.end(shard) for partition, shard in enumerate(log.topic(topic).shards)}

    async def read_at(self, position: Position) -> Record | None:
        """Return the record at the position, or None where there is none (any more)."""
        log = self._use()
        topic = log.topic(position.topic)
        remembered = log.recent(topic.shard(position.partition), position.offset, 1, 1)
        if remembered:
            return remembered[0]
        found = await log.read(partial(read_one, topic=topic, partition=position.partition, offset=position.offset))
        log.damage.note([found] if found else [])
        return found

    async def deletions_kept(self, topic: str) -> DeletionsKept:
        """Return how far back the compacted topic tells of deletions; see the port."""
        log = self._use()
        shards = log.topic(topic).shards
        return DeletionsKept(DELETIONS_KEPT_MS, await log.read(partial(deletions_from, shards=shards)))

    def reader(
        self,
        topic: str,
        start: Start | Mapping[int, int] | float = Start.EARLIEST,
        partitions: Sequence[int] | None = None,
    ) -> EmbeddedReader:
        """Return a reader of these (default: all) partitions; see the port."""
        return EmbeddedReader(self._use(), topic, start, partitions)

    def member(
        self, topic: str, group: str, worked_on: WorkedOn | None = None, on_skipped: OnSkipped | None = None
    ) -> EmbeddedMember:
        """Return the member of `group` on `topic`; entering it raises BrokerInUse if the group has a member already."""
        log = self._use()
        kind = GuestMember if isinstance(log, GuestLog) else EmbeddedMember
        return kind(log, topic, group, worked_on, on_skipped)

    def watch(self, group: str) -> Served:
        """Return a watch that always reports a member: the members run in the process of the owner, and end with it."""
        return Served()

    def available(self) -> bool:
        """Return whether the last attempt to use the log succeeded."""
        return self._opened and self._log.available()

    def condition(self) -> Condition:
        """Return the condition of the log, for metrics and health checks."""
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
            BrokerError: this broker is a guest, or the log is not open.
        """
        await self._housekeeper().sweep()

    def _housekeeper(self) -> Housekeeper:
        log = self._use()
        if isinstance(log, GuestLog):
            raise BrokerError(f"housekeeping of the log in {log.folder} is done by the server that owns the folder")
        return log.housekeeper
