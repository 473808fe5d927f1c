"""A member of a consumer group whose commits are transactions: the shell around its machine.

What is decided is in broker.kafka.member_machine. Here the group, the user and the feed report what has happened to it,
and what it asks for is carried out, at once or (broker.kafka.member_steps) by a task for each question.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import aiokafka.errors as kafka
from aiokafka import TopicPartition

from broker.kafka import member_events as ev
from broker.kafka.beats import Beats
from broker.kafka.clients import stop_consumer
from broker.kafka.cluster import Cluster
from broker.kafka.config import KafkaConfig
from broker.kafka.contact import Contact
from broker.kafka.feed import Feed, Gate
from broker.kafka.listener import Listener
from broker.kafka.member_machine import MemberMachine
from broker.kafka.member_steps import Asked, Steps
from broker.kafka.membership import join_limit_s, start_member
from broker.kafka.places import Places
from broker.kafka.records import check
from broker.outages import OutageLog
from broker.port import (
    BrokerError,
    BrokerUnavailable,
    FollowUp,
    NewRecord,
    OnRevoked,
    OnSkipped,
    Position,
    Record,
    WorkedOn,
)

_log = logging.getLogger(__name__)

_TAKING_S = 2.0
_LOST_S = 1.0

MakeBeats = Callable[[str, Callable[[], Iterable[int]]], Beats]
"""The beats of a member of that group; the second argument returns the partitions that it serves."""


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
        self._steps: Steps
        self._machine = MemberMachine(topic)
        self._admitted: set[int] = set()
        self._tickets = itertools.count()
        self._assigned = asyncio.Event()
        self._forget: OnRevoked | None = None
        self._answering: dict[ev.Question, asyncio.Task[ev.Answer]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._beats = None if make_beats is None else make_beats(group, lambda: self._machine.served)
        self._outages = OutageLog(_log)

    async def __aenter__(self) -> Self:
        self._contact.require()
        await self._cluster.topic(self._topic)
        client_id = None if self._beats is None else self._beats.client_id
        consumer = await start_member(self._config, self._group, client_id)
        self._consumer = consumer
        limits = (self._topic, self._group, self._config.patience_s)
        self._places = Places(consumer, *limits, self._worked_on, self._on_skipped)
        shared = (self._config, self._cluster, self._contact)
        self._steps = Steps(*shared, self._topic, self._group, consumer, self._places)
        gate = Gate(lambda: self._machine.delivered, lambda: self._machine.turn, self._admit, self._out_of_range)
        self._feed = Feed(consumer, self._topic, self._contact, self._config.patience_s, gate)
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
        while self._machine.takes_over and (left_s := until - asyncio.get_running_loop().time()) > 0:
            await asyncio.wait(self._answering.values(), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        """Deliver no more, let commits end, leave the group; each bounded."""
        self._feed = None
        consumer, self._consumer = self._consumer, None
        for partition in self._machine.assignment:
            self._report(ev.Left(partition))
        try:
            await self._end_background()
        finally:
            if consumer is not None:
                await stop_consumer(consumer)
                if self._beats is not None:
                    await self._beats.__aexit__(None, None, None)

    async def _end_background(self) -> None:
        limit_s = self._config.transaction_timeout_ms / 1000 if self._contact.available else _LOST_S
        for each_s in (limit_s, _LOST_S):  # once a question is given up, its writer is closed
            await self._settle(each_s)
            unfinished = self._tasks()
            for task in unfinished:
                task.cancel()
            await asyncio.gather(*unfinished, return_exceptions=True)

    async def _settle(self, limit_s: float) -> None:
        """Wait until nothing is under way, bounded."""
        loop = asyncio.get_running_loop()
        until = loop.time() + limit_s
        while (tasks := self._tasks()) and loop.time() < until:
            await asyncio.wait(tasks, timeout=until - loop.time())

    def _tasks(self) -> set["asyncio.Task[Any]"]:
        return {*self._answering.values(), *self._background}

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
        return self._machine.assignment

    def on_revoked(self, forget: OnRevoked) -> None:
        """See the port."""
        self._forget = forget

    def pause(self, partition: int) -> None:
        """Deliver nothing of this partition until `resume`; nothing to do where it is not owned."""
        self._open()
        self._report(ev.PauseAsked(partition))

    def resume(self, partition: int) -> None:
        """Deliver this partition again, once it is taken over; nothing to do where it is not owned."""
        self._open()
        self._report(ev.ResumeAsked(partition))

    async def committed(self, partition: int) -> int | None:
        """The offset that the group goes on from, or None before the first commit."""
        self._open()
        await self._cluster.topic(self._topic, partition)
        known, offset = self._machine.committed(partition)
        return offset if known else (await self._places.committed(partition)).offset

    async def commit(
        self,
        partition: int,
        next_offset: int,
        outputs: Sequence[NewRecord] = (),
        *then: FollowUp,
    ) -> Sequence[Position]:
        """One transaction; see the port. Cancelled or out of reach, it may still be written; after `rewind`,
        `committed` returns whether it was.
        """
        self._open()
        asked = Asked(outputs=await check(self._cluster, outputs), then=then)
        ticket = next(self._tickets)
        await self._ask(asked, ev.CommitAsked(partition, ticket, next_offset))
        return asked.positions

    async def rewind(self, partition: int) -> None:
        """Deliver the partition again from the committed offset; nothing to do where it is not owned any more.

        Raises:
            BrokerUnavailable: that is not possible now; the partition is not delivered meanwhile.
        """
        self._open()
        await self._ask(Asked(), ev.RewindAsked(partition, next(self._tickets)))

    async def _ask(self, asked: Asked, event: ev.Request) -> None:
        self._steps.asked[event.ticket] = asked
        self._report(event)
        await self._contact.unless_lost(asked.done)

    # The group's side. The library calls these; it keeps its heartbeat going only while `_revoked` waits.

    async def _revoked(self, partitions: Iterable[int]) -> None:
        gone = frozenset(partitions)
        if self._feed is None or not gone:
            return
        for partition in gone:
            self._report(ev.Leaving(partition))
        if self._forget is not None:
            try:
                async with asyncio.timeout(self._config.rebalance_timeout_ms / 1000 / 2):
                    await self._forget(gone)
            except TimeoutError:
                _log.warning("group %s: partitions pass on before their work was finished", self._group)
            except Exception:  # noqa: BLE001 - the partitions go to others whatever happens here
                _log.exception("group %s: revoked partitions could not be forgotten", self._group)
        # A writer that is being started would fence whoever gets the partition next.
        under_way = [task for asked, task in self._answering.items() if asked.ownership.partition in gone]
        if under_way:
            await asyncio.wait(under_way, timeout=_TAKING_S)
        for partition in gone:
            self._report(ev.Left(partition))

    async def _was_assigned(self, partitions: Iterable[int]) -> None:
        """Only starts the take-overs: heartbeats begin after this has returned."""
        if self._feed is None:
            return
        for partition in partitions:
            self._report(ev.Assigned(partition))
        self._assigned.set()

    # The feed's side.

    def _admit(self, turn: int, runs: Sequence[ev.Run]) -> Collection[int]:
        self._admitted.clear()
        self._report(ev.Fetched(turn, tuple(runs)))
        return self._admitted

    async def _out_of_range(self, turn: int, partition: int, position: int) -> None:
        self._report(ev.OutOfRange(partition, turn, position))

    # The machine's side.

    def _report(self, event: ev.Event) -> None:
        """Have the machine handle the event, and carry out what follows from it."""
        for instruction in self._machine.handle(event, int(time.time() * 1000)):
            self._carry_out(instruction)

    def _carry_out(self, instruction: ev.Instruction) -> None:
        match instruction:
            case ev.Question():
                self._put(instruction)
            case ev.StopSearch():
                for task in [task for asked, task in self._answering.items() if asked.step == instruction.step]:
                    task.cancel()
            case ev.CloseWriter():
                self._start(self._steps.close(instruction.epoch))
            case ev.Deliver():
                self._admitted.add(instruction.partition)
            case ev.Succeed() | ev.Fail():
                self._steps.end(instruction)
            case ev.Seek() | ev.Pause() | ev.Resume():
                with suppress(kafka.IllegalStateError):  # the group is about to take the partition away
                    self._place(instruction)
            case ev.ReportTrouble() | ev.ReportPlaced():
                self._report_delivery(instruction)

    def _put(self, question: ev.Question) -> None:
        def done(task: "asyncio.Task[ev.Answer]") -> None:
            del self._answering[question]
            self._report(self._steps.given_up(question) if task.cancelled() else task.result())

        task = self._answering[question] = asyncio.create_task(self._steps.answer(question))
        task.add_done_callback(done)

    def _place(self, instruction: ev.Seek | ev.Pause | ev.Resume) -> None:
        if self._consumer is None:
            return
        place = TopicPartition(self._topic, instruction.partition)
        match instruction:
            case ev.Seek():
                self._consumer.seek(place, instruction.offset)
            case ev.Pause():
                self._consumer.pause(place)
            case ev.Resume():
                self._consumer.resume(place)

    def _report_delivery(self, instruction: ev.ReportTrouble | ev.ReportPlaced) -> None:
        match instruction:
            case ev.ReportTrouble():
                name = f"partition {instruction.partition} of {self._topic}"
                what = "has no place to go on at yet" if instruction.lost else "cannot be taken over yet"
                self._outages.failed(f"{name} {what}: {instruction.error}; trying again")
            case ev.ReportPlaced():
                self._outages.recovered(f"partitions of {self._topic} can be taken over again")
                if self._beats is not None:
                    self._beats.beat_now()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)
