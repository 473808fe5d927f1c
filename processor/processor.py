"""The processor role: consume requests, match, and emit event, reply, people and offset as one fact.

Order of a shutdown: stop fetching; let what was fetched be committed, within the caller's deadline; stop the lanes;
leave the group; stop the threads. What was not committed is delivered again to whoever comes next.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry

from broker.outages import OutageLog
from broker.port import Broker, BrokerError, GroupMember, Record
from contract.topics import Topics
from engine.gallery.people import People
from engine.policy import Policy
from engine.vision.ports import ModelSet
from processor.decided import Decided
from processor.examine import Examiner
from processor.lane import Lane, LaneHooks
from processor.metrics import ProcessorMetrics
from processor.outputs import Emitter
from processor.people import PeopleAccess, Reached
from processor.settings import ProcessorSettings

log = logging.getLogger(__name__)

_FETCH_WAIT_S = 1.0
_RETRY_S = 0.5
_HANDOVER_S = 5.0
"""How long partitions that pass to another member may keep their lanes; the group waits that long with everything."""


class Processor:
    """One member of the processor group.

    `people` is the fold that the caller keeps reading the people topic into; `reached` waits for it. `clock` tells
    epoch seconds. `max_pixels` bounds what is decoded.
    """

    def __init__(
        self,
        broker: Broker,
        topics: Topics,
        people: People,
        reached: Reached,
        models: ModelSet,
        policy: Policy,
        settings: ProcessorSettings,
        clock: Callable[[], float],
        registry: CollectorRegistry,
        max_pixels: int,
    ) -> None:
        self._broker, self._topics, self._people = broker, topics, people
        self._metrics = ProcessorMetrics(registry)
        workers = settings.workers or os.cpu_count() or 1
        self._capacity = self._room = workers * settings.queued_per_worker
        self._freed = asyncio.Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="match")
        self._access = PeopleAccess(broker, topics.people, people, reached)
        self._examine = Examiner(
            self._access,
            models,
            policy,
            self._pool,
            clock,
            replies_topic=topics.replies,
            max_pixels=max_pixels,
            gallery_wait_s=settings.gallery_wait_ms / 1000.0,
        )
        self._emitter = Emitter(topics, policy, dict(models.identities), settings.event_source, clock)
        self._model = models.embedder_identity
        self._hooks = LaneHooks(self._metrics.committed, self._left, self._metrics.commit_failed)
        self._commit_wait_s = settings.commit_wait_ms / 1000.0
        self._lanes: dict[int, Lane] = {}
        self._running: dict[int, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:
            stack.callback(self._pool.shutdown, wait=True, cancel_futures=True)
            member = await self._join(stack)
            stack.push_async_callback(self._cancel_tasks)
            member.on_revoked(self._hand_over)
            self._pull = self._start(self._fetch(member))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _join(self, stack: AsyncExitStack) -> GroupMember:
        outages = OutageLog(log)
        while True:
            try:
                member = self._broker.member(
                    self._topics.requests,
                    self._topics.processors,
                    Decided(self._broker, self._topics),
                    self._metrics.skipped,
                )
                return await stack.enter_async_context(member)
            except BrokerError as error:
                if not error.retriable:
                    raise
                outages.failed(f"the group cannot be joined: {error}; trying again")
                await asyncio.sleep(_RETRY_S)

    async def failed(self) -> None:
        """Wait until the processor cannot go on.

        Raises:
            Exception: what stopped it.
        """
        await asyncio.shield(self._failed)

    async def drain(self, deadline_s: float) -> None:
        """Fetch no more, and wait at most `deadline_s` seconds until what was fetched is committed."""
        self._pull.cancel()
        await _wait_until_idle(self._lanes.values(), deadline_s, unless=self._failed)

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
                outages.failed(f"requests cannot be read: {error}; trying again")
                await asyncio.sleep(_RETRY_S)
                continue
            outages.recovered("requests can be read again")
            for record in records:
                self._room -= 1
                self._lane(member, record).put(record)
            self._metrics.outstanding.set(self._capacity - self._room)
            self._metrics.people.set(len(self._people))
            self._metrics.foreign_faces.set(self._people.foreign_faces)

    def _lane(self, member: GroupMember, record: Record) -> Lane:
        lane = self._lanes.get(record.partition)
        if lane is None:
            lane = self._lanes[record.partition] = Lane(
                record.partition,
                member,
                self._examine,
                self._examine.expire,
                self._emitter,
                self._access,
                self._model,
                self._hooks,
                self._commit_wait_s,
            )
            self._running[record.partition] = self._start(lane.run())
        return lane

    async def _hand_over(self, partitions: frozenset[int]) -> None:
        """Let the lanes of these partitions commit what they can within the limit, then forget them.

        What they had not committed is delivered again to whoever has the partition next; here, into a new lane.
        """
        gone = partitions & self._lanes.keys()
        if not gone:
            return
        await _wait_until_idle([self._lanes[partition] for partition in gone], _HANDOVER_S)
        ended = []
        for partition in gone:
            del self._lanes[partition]
            ended.append(self._running.pop(partition))
            ended[-1].cancel()
        await asyncio.gather(*ended, return_exceptions=True)

    def _left(self, count: int) -> None:
        self._room += count
        self._freed.set()
        self._metrics.outstanding.set(self._capacity - self._room)

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._failed.done():
            self._failed.set_exception(error)

    async def _cancel_tasks(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._failed.cancel()


async def _wait_until_idle(
    lanes: Iterable[Lane], limit_s: float, *, unless: "asyncio.Future[None] | None" = None
) -> None:
    """Return when the lanes, which get nothing more, have committed what they took; when `limit_s` seconds have passed;
    or when `unless` is done."""

    async def each_in_turn(waited_for: Sequence[Lane]) -> None:
        for lane in waited_for:
            await lane.idle()

    # A task and no gathering future: a gathering future that is cancelled and not awaited reports that as an error.
    idle = asyncio.create_task(each_in_turn(tuple(lanes)))
    ends: list[asyncio.Future[None]] = [idle] if unless is None else [idle, unless]
    await asyncio.wait(ends, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
    idle.cancel()
