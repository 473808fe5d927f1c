"""Readers and group members of the embedded log."""

import asyncio
import logging
import math
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from broker.embedded.cursor import Cursor
from broker.embedded.filed_records import file_records, name_of
from broker.embedded.groups import GuestOffsets, group_lock
from broker.embedded.log import Log
from broker.embedded.rows import Topic, first_offset, first_since, group_offsets
from broker.embedded.transaction import Transaction
from broker.going_on import Committed, Span, going_on, log_skipped, needs_worked_on, time_of_commit, without_wrong_time
from broker.port import (
    BrokerError,
    FollowUp,
    NewRecord,
    OnRevoked,
    OnSkipped,
    Position,
    Record,
    Start,
    WorkedOn,
)

_log = logging.getLogger(__name__)


class EmbeddedReader:
    """See `broker.port.Reader`. If `start` is a mapping, partitions that it does not name begin at the first record."""

    def __init__(
        self,
        log: Log,
        topic: str,
        start: Start | Mapping[int, int] | float,
        partitions: Sequence[int] | None,
    ) -> None:
        self._log = log
        self._topic = topic
        self._start = start
        self._partitions = partitions
        self._cursor: Cursor | None = None

    async def __aenter__(self) -> Self:
        await self._log.refresh()
        topic = self._log.topic(self._topic)
        chosen = range(topic.spec.partitions) if self._partitions is None else self._partitions
        offsets = {partition: await self._first(topic, partition) for partition in chosen}
        self._cursor = Cursor(self._log, topic, offsets)
        return self

    async def _first(self, topic: Topic, partition: int) -> int:
        shard = topic.shard(partition)
        end = self._log.end(shard)
        match self._start:
            case Start.EARLIEST:
                return 0
            case Start.LATEST:
                return end
            case Mapping() as offsets:
                return min(max(int(offsets.get(partition, 0)), 0), end)
            case int() | float() as since_s:
                since_ms = math.ceil(since_s * 1000)
                found = await self._log.read(partial(first_since, shard=shard, timestamp_ms=since_ms))
                return end if found is None else found

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cursor = None

    def _open(self) -> Cursor:
        if self._cursor is None:
            raise BrokerError(f"the reader of {self._topic} is not open: enter its context first")
        return self._cursor

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        """Return the next records; see the port."""
        return await self._open().fetch(max_records, timeout_s)

    def positions(self) -> Mapping[int, int]:
        """Return partition -> the offset that is read next."""
        return self._open().positions


class EmbeddedMember:
    """A group's only member, which owns every partition. This class keeps the group's offsets in the log's file."""

    def __init__(
        self,
        log: Log,
        topic: str,
        group: str,
        worked_on: WorkedOn | None = None,
        on_skipped: OnSkipped | None = None,
    ) -> None:
        self._log = log
        self._topic_name = topic
        self._group = group
        self._worked_on, self._on_skipped = worked_on, on_skipped
        self._lock = group_lock(log.folder, topic, group)
        self._cursor: Cursor | None = None
        self._topic: Topic
        self._under_way: defaultdict[int, set[asyncio.Future[Any]]] = defaultdict(set)
        self._committed: dict[int, Committed] = {}
        self._starts: dict[int, int] = {}
        self._unsure: set[int] = set()
        """Partitions whose last commit failed and may nevertheless have been written."""

    async def __aenter__(self) -> Self:
        await self._log.refresh()
        self._topic = self._log.topic(self._topic_name)
        self._lock.acquire()
        try:
            self._committed = await self._load()
            self._starts = {
                partition: await self._goes_on_at(partition) for partition in range(self._topic.spec.partitions)
            }
        except BaseException:
            await self._release()
            raise
        self._cursor = Cursor(self._log, self._topic, self._starts)
        return self

    async def _goes_on_at(self, partition: int) -> int:
        """Return the offset at which delivery begins; see `broker.going_on`."""
        shard = self._topic.shard(partition)
        end = self._log.end(shard)
        first: int | None = 0  # records that compaction has removed are not missing
        if not self._topic.spec.compacted:
            first = await self._log.read(partial(first_offset, shard=shard))
        committed = without_wrong_time(self._committed.get(partition, Committed()), int(time.time() * 1000))
        newer: int | None = None
        if committed.time_ms is not None:
            since = partial(first_since, shard=shard, timestamp_ms=committed.time_ms + 1)
            newer = await self._log.read(since)
            newer = end if newer is None else min(newer, end)
        span = Span(end if first is None else min(first, end), end, newer)
        worked_on = None
        if self._worked_on is not None and needs_worked_on(committed, span):
            worked_on = await self._worked_on(partition, span.first, span.end)
        found = going_on(committed, span, worked_on)
        log_skipped(_log, self._group, found.report(self._topic_name, partition), committed, span, self._on_skipped)
        return found.offset

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cursor = None
        await self._release()

    async def _load(self) -> dict[int, Committed]:
        return await self._stored()

    async def _stored(self) -> dict[int, Committed]:
        # Without times: these offsets are in the log's own file, so they are always offsets of this log.
        offsets = await self._log.read(partial(group_offsets, group=self._group, topic=self._topic))
        return {partition: Committed(offset) for partition, offset in offsets.items()}

    async def _release(self) -> None:
        self._lock.release()

    def _open(self) -> Cursor:
        if self._cursor is None:
            raise BrokerError(f"the member of group {self._group} is not open: enter its context first")
        return self._cursor

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        """Return the next records; see the port."""
        return await self._open().fetch(max_records, timeout_s)

    def assignment(self) -> frozenset[int]:
        """Return all partitions."""
        return frozenset(self._open().positions)

    def on_revoked(self, forget: OnRevoked) -> None:
        """Do nothing: `forget` is never called, because there is no other member to which partitions could pass."""

    def pause(self, partition: int) -> None:
        """Deliver no record of this partition until `resume`."""
        self._topic.shard(partition)
        self._open().pause(partition)

    def resume(self, partition: int) -> None:
        """Deliver this partition again."""
        self._topic.shard(partition)
        self._open().resume(partition)

    async def committed(self, partition: int) -> int | None:
        """Return the offset from which the group goes on, or None before the first commit."""
        self._open()
        self._topic.shard(partition)
        return self._committed.get(partition, Committed()).offset

    async def commit(
        self,
        partition: int,
        next_offset: int,
        outputs: Sequence[NewRecord] = (),
        *then: FollowUp,
    ) -> Sequence[Position]:
        """Write one transaction; see the port.

        A cancelled commit may still be written; `committed` then returns its offset. An offset smaller than before is
        accepted. An offset beyond the end, an unknown topic and a record that is too large are refused: nothing is
        written, and delivery goes on. `then` runs in the writing thread.
        """
        self._open()

        def run(transaction: Transaction) -> Sequence[Position]:
            positions = step = [record.position for record in transaction.append(outputs)]
            for follow_up in then:
                step = [record.position for record in transaction.append(follow_up(tuple(step)))]
                positions = positions + step
            transaction.save_group_offset(self._group, self._topic_name, partition, next_offset)
            return positions

        work = self._log.submit(run)
        self._settle(partition, Committed(next_offset), work)
        return await asyncio.shield(work)

    def _settle(self, partition: int, committed: Committed, work: "asyncio.Future[Any]") -> None:
        """Record whether a commit succeeds, also if its caller no longer waits for it."""

        def settled(done: "asyncio.Future[Any]") -> None:
            self._under_way[partition].discard(done)
            if not done.cancelled() and done.exception() is None:
                self._committed[partition] = committed
            else:
                self._unsure.add(partition)

        self._under_way[partition].add(work)
        work.add_done_callback(settled)

    async def rewind(self, partition: int) -> None:
        """Deliver the partition again from the committed offset, once commits that were cancelled are settled."""
        cursor = self._open()
        self._topic.shard(partition)
        if under_way := self._under_way[partition]:
            await asyncio.wait(tuple(under_way))
        if partition in self._unsure:
            # Only this partition's offset is taken: others may be committed or rewound during the read.
            stored = (await self._stored()).get(partition)
            self._unsure.discard(partition)
            if stored is not None:
                self._committed[partition] = stored
        committed = self._committed.get(partition, Committed()).offset
        cursor.seek(partition, self._starts[partition] if committed is None else committed)


class GuestMember(EmbeddedMember):
    """A member in a guest's process: it keeps the group's offsets in a file beside the log.

    It files the outputs of a commit for the owner, which appends them (`broker.embedded.filed_records`). If the group
    had a member in the owner's process before, it goes on from the offsets of that member.
    """

    def __init__(
        self,
        log: Log,
        topic: str,
        group: str,
        worked_on: WorkedOn | None = None,
        on_skipped: OnSkipped | None = None,
    ) -> None:
        super().__init__(log, topic, group, worked_on, on_skipped)
        self._offsets: GuestOffsets | None = None
        self._newest_ms: dict[int, int] = {}

    async def _load(self) -> dict[int, Committed]:
        self._offsets = await asyncio.to_thread(GuestOffsets, self._log.folder, self._topic_name, self._group)
        return await self._stored()

    async def _stored(self) -> dict[int, Committed]:
        own = {} if self._offsets is None else await asyncio.to_thread(self._offsets.load)
        return {**await super()._stored(), **own}

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        """Return the next records; see the port."""
        records = await super().fetch(max_records, timeout_s)
        for record in records:
            self._newest_ms[record.partition] = max(record.timestamp_ms, self._newest_ms.get(record.partition, 0))
        return records

    async def _release(self) -> None:
        saving = frozenset[asyncio.Future[Any]]().union(*self._under_way.values())
        if saving:  # started by callers that were cancelled; their threads still use the file
            await asyncio.wait(saving)
        if self._offsets is not None:
            self._offsets.close()
            self._offsets = None
        await super()._release()

    def _save(self, offsets: GuestOffsets, partition: int, committed: Committed, outputs: Sequence[NewRecord]) -> None:
        """File the outputs, then store the offset; runs in a thread."""
        if outputs:
            name = name_of(self._group, self._topic_name, partition, committed.offset or 0)
            file_records(self._log.folder, name, outputs)
        offsets.save(partition, committed)

    async def commit(
        self,
        partition: int,
        next_offset: int,
        outputs: Sequence[NewRecord] = (),
        *then: FollowUp,
    ) -> Sequence[Position]:
        """File the outputs for the owner, then store the group's new offset; see the port.

        The positions of the outputs are not known, so none are returned. A process that is killed between both steps
        files the outputs again, so the log has them at least once.

        Raises:
            BrokerError: there are records that depend on positions, which a guest cannot write; an output cannot be
                filed; or the offset is not within the partition.
        """
        self._open()
        if then:
            raise BrokerError(
                f"group {self._group} only reads the log in {self._log.folder};"
                " records are written by the server that owns the folder"
            )
        end = self._log.end(self._topic.shard(partition))
        if not 0 <= next_offset <= end:
            raise BrokerError(
                f"group {self._group} cannot go on at offset {next_offset} of {self._topic_name},"
                f" partition {partition}: it ends at {end}"
            )
        if self._offsets is None:
            raise BrokerError(f"the member of group {self._group} is not open: enter its context first")
        former = self._committed.get(partition, Committed())
        time_ms = time_of_commit(int(time.time() * 1000), self._newest_ms.get(partition), former.time_ms)
        committed = Committed(next_offset, time_ms)
        save = partial(self._save, self._offsets, partition, committed, tuple(outputs))
        saving = asyncio.ensure_future(asyncio.to_thread(save))
        self._settle(partition, committed, saving)
        await asyncio.shield(saving)
        return ()
