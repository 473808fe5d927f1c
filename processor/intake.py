"""Fetches the records of a topic by a member of a consumer group, and passes them to the lanes of their partitions."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from typing import Any

from broker.outages import OutageLog
from broker.port import BrokerError, GroupMember, Record
from processor.lane import Lane

log = logging.getLogger(__name__)

_FETCH_WAIT_S = 1.0
_RETRY_S = 0.5
_HANDOVER_S = 5.0
"""The time for which the lanes of partitions that pass to another member may go on; the whole group waits for them."""

Start = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""A function that starts a task whose failure ends the processor."""

NewLane = Callable[[int, GroupMember, Callable[[int], None]], Lane]
"""A function that returns a new lane of a partition; the lane calls the third argument with the number of records that
left the lane."""


class Intake:
    """Fetches the records of one topic and passes each to its lane; at most `capacity` records are uncommitted."""

    def __init__(
        self,
        name: str,
        new_member: Callable[[], GroupMember],
        new_lane: NewLane,
        start: Start,
        capacity: int,
        on_outstanding: Callable[[int], None],
    ) -> None:
        self._name, self._new_member, self._new_lane, self._start = name, new_member, new_lane, start
        self._capacity = self._room = capacity
        self._on_outstanding = on_outstanding
        self._freed = asyncio.Event()
        self._lanes: dict[int, Lane] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._pull: asyncio.Task[None] | None = None

    async def join(self, enter: Callable[[GroupMember], Coroutine[Any, Any, GroupMember]]) -> None:
        """Join the group with a new member, whose context `enter` enters; try again while the log cannot be reached.

        Raises:
            BrokerError: the group can never be joined.
        """
        outages = OutageLog(log)
        while True:
            try:
                self._member = await enter(self._new_member())
                break
            except BrokerError as error:
                if not error.retriable:
                    raise
                outages.failed(f"the group of topic {self._name} cannot be joined: {error}; trying again")
                await asyncio.sleep(_RETRY_S)
        self._member.on_revoked(self._hand_over)

    def start(self) -> None:
        """Begin to fetch."""
        self._pull = self._start(self._fetch(self._member))

    def stop(self) -> None:
        """Fetch no more."""
        if self._pull is not None:
            self._pull.cancel()

    async def idle(self) -> None:
        """Wait until everything that was fetched is committed."""
        for lane in tuple(self._lanes.values()):
            await lane.idle()

    async def _fetch(self, member: GroupMember) -> None:
        outages = OutageLog(log)
        while True:
            while self._room <= 0:
                self._freed.clear()
                await self._freed.wait()
            try:
                records = await member.fetch(self._room, _FETCH_WAIT_S)
            except BrokerError as error:
                if not error.retriable:
                    raise
                outages.failed(f"topic {self._name} cannot be read: {error}; trying again")
                await asyncio.sleep(_RETRY_S)
                continue
            outages.recovered(f"topic {self._name} can be read again")
            for record in records:
                self._room -= 1
                self._lane(member, record).put(record)
            self._on_outstanding(self._capacity - self._room)

    def _lane(self, member: GroupMember, record: Record) -> Lane:
        lane = self._lanes.get(record.partition)
        if lane is None:
            lane = self._lanes[record.partition] = self._new_lane(record.partition, member, self._left)
            self._running[record.partition] = self._start(lane.run())
        return lane

    async def _hand_over(self, partitions: frozenset[int]) -> None:
        """Let the lanes of these partitions commit for at most `_HANDOVER_S` seconds, then stop and forget the lanes.

        Records that were not committed are delivered again to the next owner of the partition; if that is this member,
        to a new lane.
        """
        gone = partitions & self._lanes.keys()
        if not gone:
            return
        await wait_until_idle([self._lanes[partition].idle for partition in gone], _HANDOVER_S)
        ended = []
        for partition in gone:
            del self._lanes[partition]
            ended.append(self._running.pop(partition))
            ended[-1].cancel()
        await asyncio.gather(*ended, return_exceptions=True)

    def _left(self, count: int) -> None:
        self._room += count
        self._freed.set()
        self._on_outstanding(self._capacity - self._room)


async def wait_until_idle(
    waits: Iterable[Callable[[], Awaitable[None]]], limit_s: float, *, unless: "asyncio.Future[None] | None" = None
) -> None:
    """Return when all `waits` have returned; when `limit_s` seconds have passed; or when `unless` is done."""

    async def each_in_turn(all_waits: Sequence[Callable[[], Awaitable[None]]]) -> None:
        for wait in all_waits:
            await wait()

    # A task and no gathering future: a gathering future that is cancelled and not awaited reports that as an error.
    idle = asyncio.create_task(each_in_turn(tuple(waits)))
    ends: list[asyncio.Future[None]] = [idle] if unless is None else [idle, unless]
    await asyncio.wait(ends, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    idle.cancel()
