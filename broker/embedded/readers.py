"""Readers and group members of the embedded log."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self

from broker.embedded.cursor import Cursor
from broker.embedded.groups import GuestOffsets, group_lock
from broker.embedded.log import Log
from broker.embedded.rows import Topic, first_since, group_offsets
from broker.embedded.transaction import Transaction
from broker.port import BrokerError, FollowUp, NewRecord, OnRevoked, Position, Record, Start


class EmbeddedReader:
    """See `broker.port.Reader`. With a mapping as start, partitions it does not name begin at the earliest record."""

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
        """The next records; see the port."""
        return await self._open().fetch(max_records, timeout_s)

    def positions(self) -> Mapping[int, int]:
        """Partition -> the offset that is read next."""
        return self._open().positions


class EmbeddedMember:
    """A group's only member: it owns every partition. What differs is where it keeps the group's offsets."""

    def __init__(self, log: Log, topic: str, group: str) -> None:
        self._log = log
        self._topic_name = topic
        self._group = group
        self._lock = group_lock(log.folder, topic, group)
        self._cursor: Cursor | None = None
        self._topic: Topic
        self._committed: dict[int, int] = {}
        self._under_way: dict[int, asyncio.Future[Sequence[Position]]] = {}
        self._unsure = False  # a commit failed, and may have been written all the same

    async def __aenter__(self) -> Self:
        await self._log.refresh()
        self._topic = self._log.topic(self._topic_name)
        self._lock.acquire()
        try:
            self._committed = await self._load()
        except BaseException:
            await self._release()
            raise
        starts = {partition: self._committed.get(partition, 0) for partition in range(self._topic.spec.partitions)}
        self._cursor = Cursor(self._log, self._topic, starts)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cursor = None
        await self._release()

    async def _load(self) -> dict[int, int]:
        return await self._stored()

    async def _stored(self) -> dict[int, int]:
        return await self._log.read(partial(group_offsets, group=self._group, topic=self._topic))

    async def _release(self) -> None:
        self._lock.release()

    def _open(self) -> Cursor:
        if self._cursor is None:
            raise BrokerError(f"the member of group {self._group} is not open: enter its context first")
        return self._cursor

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        """The next records; see the port."""
        return await self._open().fetch(max_records, timeout_s)

    def assignment(self) -> frozenset[int]:
        """All partitions."""
        return frozenset(self._open().positions)

    def on_revoked(self, forget: OnRevoked) -> None:
        """Never called: there is no other member that partitions could pass to."""

    def pause(self, partition: int) -> None:
        """Deliver nothing of this partition until `resume`."""
        self._topic.shard(partition)
        self._open().pause(partition)

    def resume(self, partition: int) -> None:
        """Deliver this partition again."""
        self._topic.shard(partition)
        self._open().resume(partition)

    async def committed(self, partition: int) -> int | None:
        """The offset that the group goes on from, or None before the first commit."""
        self._open()
        self._topic.shard(partition)
        return self._committed.get(partition)

    async def commit(
        self,
        partition: int,
        next_offset: int,
        outputs: Sequence[NewRecord] = (),
        follow_up: FollowUp | None = None,
    ) -> Sequence[Position]:
        """One transaction; see the port.

        Cancelled, it may still be written; `committed` tells. A smaller offset than before is taken; one beyond
        the end, an unknown topic and a record too large are refused: nothing is written, delivery goes on.
        `follow_up` runs in the writing thread.
        """
        self._open()

        def run(transaction: Transaction) -> Sequence[Position]:
            positions = [record.position for record in transaction.append(outputs)]
            if follow_up is not None:
                positions += [record.position for record in transaction.append(follow_up(tuple(positions)))]
            transaction.save_group_offset(self._group, self._topic_name, partition, next_offset)
            return positions

        def settle(done: "asyncio.Future[Sequence[Position]]") -> None:
            if done.exception() is None:
                self._committed[partition] = next_offset
            else:
                self._unsure = True

        future = self._under_way[partition] = self._log.submit(run)
        future.add_done_callback(settle)
        return await asyncio.shield(future)

    async def rewind(self, partition: int) -> None:
        """Deliver the partition again from the committed offset; a commit that was cancelled is waited for."""
        cursor = self._open()
        self._topic.shard(partition)
        if partition in self._under_way:
            await asyncio.wait([self._under_way.pop(partition)])
        if self._unsure:
            self._unsure = False
            self._committed |= await self._stored()
        cursor.seek(partition, self._committed.get(partition, 0))


class GuestMember(EmbeddedMember):
    """A member in a guest's process: it keeps the group's offsets beside the log and commits no outputs.

    A group that was the owner's before goes on from the owner's offsets.
    """

    def __init__(self, log: Log, topic: str, group: str) -> None:
        super().__init__(log, topic, group)
        self._offsets: GuestOffsets | None = None
        self._saving: set[asyncio.Future[None]] = set()

    async def _load(self) -> dict[int, int]:
        self._offsets = await asyncio.to_thread(GuestOffsets, self._log.folder, self._topic_name, self._group)
        return await self._stored()

    async def _stored(self) -> dict[int, int]:
        own = {} if self._offsets is None else await asyncio.to_thread(self._offsets.load)
        return {**await super()._stored(), **own}

    async def _release(self) -> None:
        if self._saving:  # by callers that were cancelled; their threads still use the file
            await asyncio.wait(self._saving)
        if self._offsets is not None:
            self._offsets.close()
            self._offsets = None
        await super()._release()

    async def commit(
        self,
        partition: int,
        next_offset: int,
        outputs: Sequence[NewRecord] = (),
        follow_up: FollowUp | None = None,
    ) -> Sequence[Position]:
        """Store where the group goes on."""
        self._open()
        if outputs or follow_up is not None:
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
        saving = asyncio.ensure_future(asyncio.to_thread(self._offsets.save, partition, next_offset))
        self._saving.add(saving)

        def settle(done: "asyncio.Future[None]") -> None:
            self._saving.discard(done)
            if done.exception() is None:
                self._committed[partition] = next_offset

        saving.add_done_callback(settle)
        await asyncio.shield(saving)
        return ()
