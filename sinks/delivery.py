"""Delivers events to a receiver as a member of a consumer group, in the order of each partition.

Each partition has a lane (`sinks.lane`). A lane delivers one event after the other, tries again while the receiver
fails, and commits the offset behind what is delivered: at least once a second, and with each dead letter. So a receiver
gets every event at least once, and after a crash the events of the last moments again, with the same ids.

A receiver that acts (`sinks.acting`) gets an event at most once: the offset is committed before the delivery, nothing
is tried again, and what was in the log before the sink started is passed over.

What is fetched is bounded: a partition whose lane is full is paused.
"""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from broker.port import Broker, GroupMember, Record
from sinks.context import SinkContext
from sinks.lag import measured
from sinks.lane import Lane, LaneContext, Plan
from sinks.letters import Letters
from sinks.meter import Meter
from sinks.receiver import Receiver
from sinks.settings import MqttSettings, WebhookSettings
from sinks.waiting import rewind, until_it_works

_log = logging.getLogger(__name__)

_FETCH_RECORDS = 200
_IDLE_POLL_S = 0.5


def plan_of(settings: MqttSettings | WebhookSettings, context: SinkContext) -> Plan:
    """Return how the events of a sink are delivered that its settings describe."""
    return Plan(
        wanted=settings.wanted,
        retrying=settings.retrying,
        acting=settings.acting if settings.acts else None,
        from_now=settings.from_now,
        retention_ms=context.events_retention_ms,
        clock=context.clock,
    )


async def deliver_as(name: str, group: str, receiver: Receiver, plan: Plan, context: SinkContext) -> int:
    """Deliver events as a new member of a sink's group until the context's `stop` is set.

    Args:
        name: The name of the sink.
        group: Its consumer group.
        receiver: The destination, which is closed when the function ends in any way.
        plan: How events are delivered.
        context: What the process gives to the sink.

    Returns:
        The number of delivered events.

    Raises:
        ReceiverOff, SinkError, BrokerError: as `deliver_events`.
    """
    meter, topic = context.metrics.of(name), context.topics.events
    async with context.broker.member(topic, group, on_skipped=meter.note_skipped) as member:
        return await deliver_events(
            receiver,
            member,
            context.broker,
            topic,
            plan,
            context.letters(name),
            meter,
            context.stop,
            idle_exit_s=context.idle_exit_s,
        )


async def deliver_events(
    receiver: Receiver,
    member: GroupMember,
    broker: Broker,
    topic: str,
    plan: Plan,
    letters: Letters,
    meter: Meter,
    stop: asyncio.Event,
    *,
    idle_exit_s: float | None = None,
) -> int:
    """Deliver the events of the topic until `stop` is set, or until no record has arrived for `idle_exit_s`.

    Args:
        receiver: The destination, which is closed when the function ends in any way.
        member: An entered member of the receiver's group on the topic.
        broker: The log.
        topic: The events topic.
        plan: How events are delivered.
        letters: The dead letters of the sink.
        meter: The metrics of the sink.
        stop: The event that ends the function; deliveries under way are finished.
        idle_exit_s: The seconds without records after which the function ends once all is delivered; None: never.

    Returns:
        The number of delivered events.

    Raises:
        ReceiverOff: the receiver wants no events any more.
        SinkError: the receiver cannot be used.
        BrokerError: the log cannot be read, and another attempt would not help.
    """
    _warn_of_horizon(plan, meter.name)
    try:
        await receiver.open()
        ends = await until_it_works(lambda: broker.end_offsets(topic), stop)
        if ends is None:
            return 0
        context = LaneContext(receiver, member, plan, letters, meter, stop)
        lanes = _Lanes(context, broker, topic, ends)
        await lanes.begin()
        member.on_revoked(lanes.forget)
        async with measured(meter, broker, topic, member, plan.retention_ms):
            try:
                return await lanes.run(idle_exit_s)
            finally:
                await lanes.end()
    finally:
        await receiver.close()


def _warn_of_horizon(plan: Plan, name: str) -> None:
    if plan.acting is None and plan.retention_ms is not None and plan.retrying.horizon_s * 1000 >= plan.retention_ms:
        _log.warning(
            "sink %s tries an event for %.0f s, but the log keeps events for %.0f s only, so events may be removed"
            " before they are delivered: lower retrying.max_tries, or raise log.events_retention_ms",
            *(name, plan.retrying.horizon_s, plan.retention_ms / 1000),
        )


class _Committed(NamedTuple):
    """The committed offset of a partition; None: the group has committed none."""

    offset: int | None


class _Lanes:
    """The lanes of all partitions of one receiver. `ends`: the ends of the partitions when the sink started."""

    def __init__(self, context: LaneContext, broker: Broker, topic: str, ends: Mapping[int, int]) -> None:
        self._context, self._broker, self._topic, self._ends = context, broker, topic, ends
        self._member, self._meter, self._stop = context.member, context.meter, context.stop
        self._lanes: dict[int, Lane] = {}
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def begin(self) -> None:
        """Let a group without an offset begin at the ends of its partitions, where the plan says so."""
        for partition in sorted(self._member.assignment()):
            if await self._begin_partition(partition):
                await rewind(self._member, partition, self._stop)

    async def _begin_partition(self, partition: int) -> bool:
        """Commit the end of a partition of which the group has no offset; return whether that was so."""
        plan, end = self._context.plan, self._ends.get(partition, 0)
        begins_later = plan.from_now or plan.from_s is not None or plan.acting is not None
        if not begins_later:
            return False
        known = await until_it_works(lambda: self._committed(partition), self._stop)
        if known is None or known.offset is not None:
            return False
        if plan.from_s is not None and plan.acting is None:
            found = await until_it_works(lambda: self._offset_at(partition, plan.from_s or 0.0), self._stop)
            if found is None:
                return False
            end = found
        elif end:
            _log.warning(
                "sink %s has no offset for partition %d: it begins at the newest event and delivers no earlier one",
                *(self._meter.name, partition),
            )
        await until_it_works(lambda: self._member.commit(partition, end), self._stop)
        return True

    async def _committed(self, partition: int) -> "_Committed":
        return _Committed(await self._member.committed(partition))

    async def _offset_at(self, partition: int, from_s: float) -> int:
        """Return the offset of the first record of a partition that was written at that time or later."""
        async with self._broker.reader(self._topic, from_s, (partition,)) as reader:
            return reader.positions()[partition]

    async def run(self, idle_exit_s: float | None) -> int:
        """Fetch records and pass them to the lanes; return the number of delivered events."""
        idle_since_s = time.monotonic()
        wait_s = None if idle_exit_s is None else min(idle_exit_s, _IDLE_POLL_S)
        while not self._stop.is_set():
            if self._failed.done():
                self._failed.result()
            records = await until_it_works(lambda: self._fetch(wait_s), self._stop)
            if records is None:
                break
            await self._take(records)
            if records or any(lane.busy for lane in self._lanes.values()):
                idle_since_s = time.monotonic()
            elif idle_exit_s is not None and time.monotonic() - idle_since_s >= idle_exit_s:
                break
        return self._context.delivered

    async def _fetch(self, wait_s: float | None) -> Sequence[Record]:
        """Return the next records; a failed lane ends the wait."""
        fetching = asyncio.ensure_future(self._member.fetch(_FETCH_RECORDS, wait_s))
        try:
            either: list[asyncio.Future[Any]] = [fetching, self._failed]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not fetching.done():
                fetching.cancel()
                await asyncio.wait({fetching})
        return () if fetching.cancelled() else fetching.result()

    async def _take(self, records: Sequence[Record]) -> None:
        for record in records:
            lane = self._lanes.get(record.partition)
            if lane is None:
                await self._begin_partition(record.partition)
                known = await until_it_works(partial(self._committed, record.partition), self._stop)
                if known is None:
                    return  # the sink stops
                if record.partition not in self._member.assignment():
                    continue  # it passed to another process meanwhile, which delivers the record
                first, backlog_end = known.offset or 0, self._ends.get(record.partition, 0)
                lane = Lane(self._context, record.partition, first, backlog_end)
                lane.task.add_done_callback(self._ended)
                self._lanes[record.partition] = lane
            lane.take(record)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Let `run` raise the error of a lane that has ended."""
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def forget(self, partitions: frozenset[int]) -> None:
        """End the lanes of partitions that pass to another process; a `broker.port.OnRevoked`."""
        lanes = [lane for partition in partitions if (lane := self._lanes.pop(partition, None)) is not None]
        await asyncio.gather(*(lane.hand_over() for lane in lanes))
        for partition in partitions:
            self._meter.forget(partition)

    async def end(self) -> None:
        """Let the deliveries under way end, within a time limit, and commit what is delivered."""
        await asyncio.gather(*(lane.finish() for lane in self._lanes.values()))
        if self._failed.done():
            self._failed.exception()  # retrieved here, because `run` may have ended before, and asyncio would log it
        else:
            self._failed.cancel()
