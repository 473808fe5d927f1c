"""A member of a consumer group whose commits are transactions, and who is fenced from what it does not own any more.

The life of a partition here (what is done for 1 and 2 is in broker.kafka.takeover):

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
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

from aiokafka import TopicPartition

from broker.kafka.beats import Beats
from broker.kafka.clients import stop_consumer
from broker.kafka.cluster import Cluster
from broker.kafka.config import KafkaConfig
from broker.kafka.contact import Contact
from broker.kafka.feed import Feed
from broker.kafka.listener import Listener
from broker.kafka.membership import join_limit_s, start_member
from broker.kafka.owned import Owned, group_offset
from broker.kafka.places import Places
from broker.kafka.records import Checked, PartitionGone, check
from broker.kafka.takeover import Takeover
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

_TAKING_S = 2.0
_LOST_S = 1.0

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
        self._takeover: Takeover
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
        client_id = None if self._beats is None else self._beats.client_id
        consumer = await start_member(self._config, self._group, client_id)
        self._consumer = consumer
        limits = (self._topic, self._group, self._config.patience_s)
        self._places = Places(consumer, *limits, self._worked_on, self._on_skipped)
        self._feed = Feed(consumer, self._topic, self._contact, self._config.patience_s, self._left_behind)
        self._takeover = Takeover(
            self._config,
            self._contact,
            self._topic,
            self._group,
            consumer,
            self._places,
            self._feed,
            self._start,
            self._tell_now,
        )
        try:
            if self._beats is not None:
                await self._beats.__aenter__()
            consumer.subscribe([self._topic], listener=Listener(self._revoked, self._was_assigned))
            await self._joined(join_limit_s(self._config))
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
        try:
            await self._end_background()
        finally:
            if consumer is not None:
                await stop_consumer(consumer)
                if self._beats is not None:
                    await self._beats.__aexit__(None, None, None)

    async def _end_background(self) -> None:
        loop = asyncio.get_running_loop()
        until = loop.time() + (self._config.transaction_timeout_ms / 1000 if self._contact.available else _LOST_S)
        while self._background and loop.time() < until:  # what ends may begin to close a writer
            await asyncio.wait(self._background, timeout=until - loop.time())
        unfinished = set(self._background)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

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
        self._open()
        owned = self._owned.get(partition)
        if owned is not None:
            self._takeover.pause(owned)

    def resume(self, partition: int) -> None:
        """Deliver this partition again, once it is taken over; nothing to do where it is not owned."""
        self._open()
        owned = self._owned.get(partition)
        if owned is not None:
            self._takeover.resume(owned)

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
        *then: FollowUp,
    ) -> Sequence[Position]:
        """One transaction; see the port. Cancelled or out of reach, it may still be written; after `rewind`,
        `committed` tells.
        """
        self._open()
        checked = await check(self._cluster, outputs)
        owned = self._owned.get(partition)
        if owned is None:
            raise CommitFailed(f"partition {partition} of {self._topic} belongs to another member now")
        work = self._start(self._commit(owned, next_offset, checked, then))
        return await self._contact.unless_lost(work)

    async def _commit(
        self,
        owned: Owned,
        next_offset: int,
        outputs: Sequence[Checked],
        then: Sequence[FollowUp],
    ) -> Sequence[Position]:
        async def checked(follow_up: FollowUp, positions: Sequence[Position]) -> Sequence[Checked]:
            return await check(self._cluster, follow_up(positions))

        async with owned.lock:
            writer = await self._takeover.writer_of(owned)
            committed = self._takeover.commit_of(owned, next_offset)
            offset = group_offset(self._group, self._topic, owned.partition, committed)
            try:
                positions = await writer.write(outputs, [partial(checked, follow_up) for follow_up in then], offset)
            except RecordTooLarge:
                self._cluster.forget()  # so that the next try finds the limit of now before it sends
                raise
            except PartitionGone as error:
                self._cluster.forget()  # as above; it finds then whether the partition is really gone
                raise CommitFailed(str(error)) from error
            owned.committed = committed
            return positions

    async def rewind(self, partition: int) -> None:
        """Deliver the partition again from the committed offset; nothing to do where it is not owned any more.

        Raises:
            BrokerUnavailable: that is not possible now; the partition is not delivered meanwhile.
        """
        self._open()
        owned = self._owned.get(partition)
        if owned is None:
            return
        work = self._start(self._rewind(owned))
        await self._contact.unless_lost(work)

    async def _rewind(self, owned: Owned) -> None:
        async with owned.lock:
            await self._takeover.rewind(owned)

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
            owned = self._owned[partition] = Owned(partition)
            owned.task = self._start(self._takeover.keep_taking_over(owned))
        self._assigned.set()

    def _release(self, partition: int) -> None:
        owned = self._owned.pop(partition, None)
        if owned is None:
            return
        owned.leave()
        self._start(owned.give_up())

    async def _left_behind(self, partition: int, position: int) -> None:
        """The log does not hold what is read next: it was removed, or the topic was made again. Called by the feed."""
        owned = self._owned.get(partition)
        if owned is not None:
            self._takeover.left_behind(owned, position)

    def _tell_now(self) -> None:
        if self._beats is not None:
            self._beats.beat_now()

    def _start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        return task
