"""A member of a consumer group whose commits are transactions, and who is fenced from what it does not own any more.

The life of a partition here:

1. assigned: delivery held back; a writer is started, which fences the former owner and settles what it left open; the
   committed offset is asked for; where it is lost or does not fit the log, another place is found (broker.going_on) and
   committed; seek; delivery begins.
2. commits through that writer. After a commit that failed otherwise than by a clean abort the writer is spent, and
   commits are refused until `rewind`, which repeats the steps of 1 (if the group still knows this member). After one
   that went well, but with a request that was not answered, the next commit is another writer's; it is started if the
   group still knows this member, and used if the committed offset, asked for afterwards, is still this member's.
3. revoked: delivery ends at once; whoever uses the member finishes and forgets; the writer is given up.

Why no record can be committed twice: only the writer that was started last can commit, and whoever started it asked for
the committed offset afterwards. Whether the group's own view is up to date does not matter for that.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import aiokafka.errors as kafka
from aiokafka import TopicPartition
from aiokafka.protocol.commit import OffsetCommitRequest

from broker.going_on import Committed, time_of_commit
from broker.kafka.beats import Beats
from broker.kafka.clients import Consumer, bounded, start_consumer, stop_consumer
from broker.kafka.cluster import Cluster
from broker.kafka.config import KafkaConfig
from broker.kafka.contact import Contact
from broker.kafka.errors import broker_error
from broker.kafka.feed import Feed
from broker.kafka.listener import Listener
from broker.kafka.owned import Owned, group_offset
from broker.kafka.places import Places
from broker.kafka.records import Checked, PartitionGone, check
from broker.kafka.transactions import Writer
from broker.port import (
    BrokerError,
    BrokerUnavailable,
    CommitFailed,
    FollowUp,
    NewRecord,
    OnRevoked,
    OnSkipped,
    Position,
    Record,
    RecordTooLarge,
    WorkedOn,
)

_log = logging.getLogger(__name__)

_RETRY_S = 0.2
_TAKING_S = 2.0
_LOST_S = 1.0
_JOIN_MARGIN_S = 10.0
_REQUEST_MARGIN_MS = 5_000
_METADATA_AGE_MS = 5_000

MakeBeats = Callable[[str, Callable[[], Iterable[int]]], Beats]
"""The beats of a member of that group; the second argument tells the partitions that it serves."""


class KafkaMember:
    """See `broker.port.GroupMember`."""

    def __init__(
        self,
        config: KafkaConfig,
        cluster: Cluster,
        contact: Contact,
        topic: str,
        group: str,
        worked_on: WorkedOn | None = None,
        on_skipped: OnSkipped | None = None,
        make_beats: MakeBeats | None = None,
    ) -> None:
        self._config, self._cluster, self._contact = config, cluster, contact
        self._topic, self._group = topic, group
        self._worked_on, self._on_skipped = worked_on, on_skipped
        self._consumer: Any = None
        self._feed: Feed | None = None
        self._places: Places
        self._owned: dict[int, Owned] = {}
        self._assigned = asyncio.Event()
        self._forget: OnRevoked | None = None
        self._background: set[asyncio.Task[Any]] = set()
        self._beats = None if make_beats is None else make_beats(group, self._serves)

    def _serves(self) -> Iterable[int]:
        return [p for p, owned in self._owned.items() if owned.writer is not None and not owned.leaving]

    async def __aenter__(self) -> Self:
        self._contact.require()
        await self._cluster.topic(self._topic)
        options = self._config.consumer()
        options |= {
            "group_id": self._group,
            "session_timeout_ms": self._config.session_timeout_ms,
            "heartbeat_interval_ms": min(self._config.heartbeat_ms, self._config.session_timeout_ms // 4),
            "rebalance_timeout_ms": self._config.rebalance_timeout_ms,
            # A request to join waits until the slowest member has let go; nothing else may take so long.
            "request_timeout_ms": self._config.rebalance_timeout_ms + _REQUEST_MARGIN_MS,
            # A member without partitions asks for nothing that would fail: so it learns that there are some again.
            "metadata_max_age_ms": _METADATA_AGE_MS,
        }
        if self._beats is not None:
            options["client_id"] = self._beats.client_id
        consumer = Consumer(options, silence_s=self._config.request_timeout_s)
        limit_s = (self._config.rebalance_timeout_ms + self._config.session_timeout_ms) / 1000 + _JOIN_MARGIN_S
        try:
            await start_consumer(consumer, self._config.patience_s)
        except (kafka.KafkaError, TimeoutError, OSError) as error:
            raise broker_error(error, f"joining group {self._group}") from error
        self._consumer = consumer
        if self._beats is not None:
            await self._beats.__aenter__()
        limits = (self._topic, self._group, self._config.patience_s)
        self._places = Places(consumer, *limits, self._worked_on, self._on_skipped)
        self._feed = Feed(consumer, self._topic, self._contact, self._config.patience_s, self._left_behind)
        try:
            consumer.subscribe([self._topic], listener=Listener(self._revoked, self._was_assigned))
            await self._joined(limit_s)
        except TimeoutError as error:
            await self._close()
            raise BrokerUnavailable(f"group {self._group} gave this member no partitions in time") from error
        except BaseException:
            await self._close()
            raise
        return self

    async def _joined(self, limit_s: float) -> None:
        """Wait for partitions, and a while for their take-overs: those that find a place in a long log go on."""
        until = asyncio.get_running_loop().time() + limit_s
        async with asyncio.timeout_at(until):
            await self._contact.unless_lost(asyncio.ensure_future(self._assigned.wait()))
        tasks = [owned.task for owned in self._owned.values() if owned.task is not None]
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, until - asyncio.get_running_loop().time()))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        """Deliver no more, let commits end, leave the group; each bounded."""
        self._feed = None
        consumer, self._consumer = self._consumer, None
        for partition in list(self._owned):
            self._release(partition)
        loop = asyncio.get_running_loop()
        until = loop.time() + (self._config.transaction_timeout_ms / 1000 if self._contact.available else _LOST_S)
        while self._background and loop.time() < until:  # what ends may begin to close a writer
            await asyncio.wait(self._background, timeout=until - loop.time())
        unfinished = set(self._background)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        if consumer is not None:
            await stop_consumer(consumer)
            if self._beats is not None:
                await self._beats.__aexit__(None, None, None)

    def _open(self) -> Feed:
        if self._feed is None:
            raise BrokerError(f"the member of group {self._group} is not open: enter its context first")
        return self._feed

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        """The next records; see the port."""
        return await self._open().fetch(max_records, timeout_s)

    def assignment(self) -> frozenset[int]:
        """The partitions that this member was given last."""
        self._open()
        return frozenset(self._owned)

    def on_revoked(self, forget: OnRevoked) -> None:
        """See the port."""
        self._forget = forget

    def pause(self, partition: int) -> None:
        """Deliver nothing of this partition until `resume`; nothing to do where it is not owned."""
        feed = self._open()
        owned = self._owned.get(partition)
        if owned is not None:
            owned.paused = True
            feed.active.discard(partition)
            self._consumer.pause(TopicPartition(self._topic, partition))

    def resume(self, partition: int) -> None:
        """Deliver this partition again, once it is taken over; nothing to do where it is not owned."""
        self._open()
        owned = self._owned.get(partition)
        if owned is not None:
            owned.paused = False
            self._deliver(partition, owned)

    async def committed(self, partition: int) -> int | None:
        """The offset that the group goes on from, or None before the first commit."""
        self._open()
        await self._cluster.topic(self._topic, partition)
        owned = self._owned.get(partition)
        if owned is not None and owned.writer is not None and owned.writer.usable:
            return owned.committed.offset  # nobody else can have changed it
        return (await self._places.committed(partition)).offset

    async def commit(
        self,
        partition: int,
        next_offset: int,
        outputs: Sequence[NewRecord] = (),
        follow_up: FollowUp | None = None,
    ) -> Sequence[Position]:
        """One transaction; see the port. Cancelled or out of reach, it may still be written; after `rewind`,
        `committed` tells.
        """
        self._open()
        checked = await check(self._cluster, outputs)
        owned = self._owned.get(partition)
        if owned is None:
            raise CommitFailed(f"partition {partition} of {self._topic} belongs to another member now")
        work = self._start(self._commit(partition, owned, next_offset, checked, follow_up))
        return await self._contact.unless_lost(work)

    async def _commit(
        self,
        partition: int,
        owned: Owned,
        next_offset: int,
        outputs: Sequence[Checked],
        follow_up: FollowUp | None,
    ) -> Sequence[Position]:
        async def follow(positions: Sequence[Position]) -> Sequence[Checked]:
            return await check(self._cluster, follow_up(positions)) if follow_up is not None else ()

        async with owned.lock:
            writer = await self._writer_of(partition, owned)
            committed = self._commit_of(partition, owned, next_offset)
            offset = group_offset(self._group, self._topic, partition, committed)
            try:
                positions = await writer.write(outputs, None if follow_up is None else follow, offset)
            except RecordTooLarge:
                self._cluster.forget()  # so that the next try finds the limit of now before it sends
                raise
            except PartitionGone as error:
                self._cluster.forget()  # as above; it finds then whether the partition is really gone
                raise CommitFailed(str(error)) from error
            owned.committed = committed
            return positions

    def _commit_of(self, partition: int, owned: Owned, next_offset: int) -> Committed:
        newest_ms = None if self._feed is None else self._feed.newest_ms.get(partition)
        return Committed(next_offset, time_of_commit(int(time.time() * 1000), newest_ms, owned.committed.time_ms))

    async def _writer_of(self, partition: int, owned: Owned) -> Writer:
        """The writer for the next transaction: another one where a request of the last one may still come late.

        Raises:
            BrokerError: there is none now; the partition has to be rewound.
        """
        writer = owned.writer
        if writer is None or not writer.usable:
            raise CommitFailed(f"partition {partition} of {self._topic} has to be rewound before it is committed")
        if writer.answered:
            return writer
        if not await self._is_member():
            raise CommitFailed(f"partition {partition} of {self._topic} may belong to another member now")
        renewed = await Writer.start(self._config, self._transactional_id(partition))
        self._start(writer.close())
        owned.writer = renewed
        try:
            if (await self._places.committed(partition)).offset != owned.committed.offset:
                raise CommitFailed(f"another member has committed partition {partition} of {self._topic} meanwhile")
        except BaseException:
            renewed.usable = False
            raise
        return renewed

    def _transactional_id(self, partition: int) -> str:
        return f"{self._group}-{self._topic}-{partition}"

    async def rewind(self, partition: int) -> None:
        """Deliver the partition again from the committed offset; nothing to do where it is not owned any more.

        Raises:
            BrokerUnavailable: that is not possible now; the partition is not delivered meanwhile.
        """
        self._open()
        owned = self._owned.get(partition)
        if owned is None:
            return
        work = self._start(self._rewind(partition, owned))
        await self._contact.unless_lost(work)

    async def _rewind(self, partition: int, owned: Owned) -> None:
        async with owned.lock:
            if owned.leaving or self._owned.get(partition) is not owned:
                return
            if owned.writer is not None and owned.writer.usable and owned.writer.answered:
                self._seek(partition, owned)
                return
            self._hold(partition)
            # Whoever was given up by the group must not take partitions from their new owners. It will be told.
            if await self._is_member():
                await self._take_over(partition, owned)

    # The group's side. The library calls these; it keeps its heartbeat going only while `_revoked` waits.

    async def _revoked(self, partitions: Iterable[int]) -> None:
        gone = frozenset(partitions)
        feed = self._feed
        if feed is None or not gone:
            return
        feed.epoch += 1
        feed.active.difference_update(gone)
        for partition in gone & self._owned.keys():
            self._owned[partition].leave()
        limit_s = self._config.rebalance_timeout_ms / 1000 / 2
        if self._forget is not None:
            try:
                async with asyncio.timeout(limit_s):
                    await self._forget(gone)
            except TimeoutError:
                _log.warning("group %s: partitions pass on before their work was finished", self._group)
            except Exception:  # noqa: BLE001 - the partitions go to others whatever happens here
                _log.exception("group %s: revoked partitions could not be forgotten", self._group)
        # A take-over that is under way would fence whoever gets the partition next.
        taking = [owned.task for owned in map(self._owned.get, gone) if owned is not None and owned.task is not None]
        if taking:
            await asyncio.wait(taking, timeout=_TAKING_S)
        for partition in gone:
            self._release(partition)

    async def _was_assigned(self, partitions: Iterable[int]) -> None:
        """Only starts the take-overs: heartbeats begin after this has returned."""
        if self._feed is None:
            return
        for partition in partitions:
            self._consumer.pause(TopicPartition(self._topic, partition))
            owned = self._owned[partition] = Owned()
            owned.task = self._start(self._keep_taking_over(partition, owned))
        self._assigned.set()

    def _release(self, partition: int) -> None:
        owned = self._owned.pop(partition, None)
        if owned is None:
            return
        owned.leave()
        self._start(owned.give_up())

    async def _keep_taking_over(self, partition: int, owned: Owned) -> None:
        while not owned.leaving:
            async with owned.lock:
                try:
                    await self._take_over(partition, owned)
                except BrokerError as error:
                    _log.warning("partition %d of %s cannot be taken over yet: %s", partition, self._topic, error)
                else:
                    return
            await asyncio.sleep(_RETRY_S)

    async def _take_over(self, partition: int, owned: Owned) -> None:
        self._contact.require()
        if owned.writer is not None:
            spent, owned.writer = owned.writer, None
            self._start(spent.close())  # which may take long; the next one of its name fences it
        writer = await Writer.start(self._config, self._transactional_id(partition))
        try:
            # Asked only now that nobody else can commit any more, and what others committed is readable.
            owned.committed = await self._places.committed(partition)
            found = await owned.find(self._places.going_on(partition, owned.committed))
            if found.skip is not None:
                # So that it is not searched for, and told, again.
                moved = self._commit_of(partition, owned, found.offset)
                await writer.write((), None, group_offset(self._group, self._topic, partition, moved))
                owned.committed = moved
        except BaseException:
            self._start(writer.close())
            raise
        owned.going_on = found.offset
        owned.writer = writer
        self._seek(partition, owned)

    async def _left_behind(self, partition: int, position: int) -> None:
        """The log does not hold what is read next: it was removed, or the topic was made again. Called by the feed."""
        owned = self._owned.get(partition)
        if owned is not None:
            self._hold(partition)
            self._start(self._keep_catching_up(partition, owned, position))

    async def _keep_catching_up(self, partition: int, owned: Owned, position: int) -> None:
        while not owned.leaving:
            async with owned.lock:
                if owned.writer is None or not owned.writer.usable:
                    return None  # `rewind` finds the place
                try:
                    newest_ms = self._open().newest_ms.get(partition, owned.committed.time_ms)
                    found = await owned.find(self._places.going_on(partition, Committed(position, newest_ms)))
                except BrokerError as error:
                    _log.warning("partition %d of %s has no place to go on at yet: %s", partition, self._topic, error)
                else:
                    # Not committed: what was delivered before is still being worked on.
                    return self._seek(partition, owned, found.offset)
            await asyncio.sleep(_RETRY_S)
        return None

    def _seek(self, partition: int, owned: Owned, offset: int | None = None) -> None:
        """Deliver from that offset on; None is the one that is committed, or was found for want of one."""
        if offset is None:
            offset = owned.next_offset
        place = TopicPartition(self._topic, partition)
        if self._owned.get(partition) is owned and place in self._consumer.assignment():
            self._consumer.seek(place, offset)
            self._deliver(partition, owned)

    def _deliver(self, partition: int, owned: Owned) -> None:
        ready = owned.writer is not None and owned.writer.usable
        if self._feed is not None and ready and not owned.paused and not owned.leaving:
            self._consumer.resume(TopicPartition(self._topic, partition))
            self._feed.active.add(partition)
            if self._beats is not None:
                self._beats.beat_now()

    def _hold(self, partition: int) -> None:
        if self._feed is not None:
            self._feed.active.discard(partition)
            with suppress(kafka.IllegalStateError):
                self._consumer.pause(TopicPartition(self._topic, partition))

    async def _is_member(self) -> bool:
        """Whether the group still knows this member; if not, the library has begun to join it again.

        The library has no public way to ask.

        Raises:
            BrokerUnavailable: nobody can tell now.
        """
        coordinator = self._consumer._coordinator  # noqa: SLF001 - as the docstring says
        try:
            known = await bounded(coordinator._do_heartbeat(), self._config.patience_s)  # noqa: SLF001
        except (kafka.KafkaError, TimeoutError) as error:
            raise broker_error(error, f"asking whether group {self._group} knows this member") from error
        if known:
            return True
        if coordinator.generation == OffsetCommitRequest.DEFAULT_GENERATION_ID:
            return False
        raise BrokerUnavailable(f"group {self._group} cannot be asked now whether it knows this member")

    def _start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task
