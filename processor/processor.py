"""The processor role: takes requests, decides them, and commits event, reply, people records and offset together.

A shutdown has this order: stop fetching; commit the fetched requests, within the caller's deadline; stop the lanes;
leave the groups; stop the threads. Requests that were not committed are delivered again to another processor, or to the
next one.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry

from broker.keyed import KeyedReader
from broker.outages import OutageLog
from broker.port import Broker, GroupMember
from contract.configs import model_set_record
from contract.topics import Topics
from engine.context import Context, Contexts
from engine.gallery.people import People
from engine.policy import Policy
from engine.vision.ports import ModelSet
from processor.admin_lane import AdminCommits
from processor.commits import Commits, shared_wait_s
from processor.configs import keep_checkpoints, policy_config, write_configs
from processor.decided import Decided
from processor.intake import Intake, wait_until_idle
from processor.lane import Lane, LaneHooks
from processor.metrics import ProcessorMetrics
from processor.outputs import Emitter, Ids
from processor.people import PeopleAccess, Reached
from processor.pool import MatchingPool
from processor.processing import Processing
from processor.recent_matches import RecentMatches
from processor.settings import ProcessorSettings

log = logging.getLogger(__name__)


class Processor:
    """A member of the two groups of processors: the group of the requests topic and that of the admin topic.

    The caller reads the people topic into the fold `people`; `reached` waits until the fold has a version. `clock`
    returns epoch seconds. `max_pixels` is the limit of decoded pictures. `pinned` are the settings that the operator
    has pinned ("matching.threshold"); over the others of `policy` the settings of the site are laid.
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
        pinned: frozenset[str] = frozenset(),
    ) -> None:
        self._broker, self._topics, self._people = broker, topics, people
        self._metrics = ProcessorMetrics(registry)
        workers = settings.workers or os.cpu_count() or 1
        self._clock, self._settings = clock, settings
        self._contexts = Contexts(Context(models, policy, max_pixels, time.perf_counter, pinned))
        self._pool = MatchingPool(workers)
        self._access = PeopleAccess(broker, topics.people, KeyedReader(broker, topics.photos), people, reached)
        identities = dict(models.identities)
        self._model_set = model_set_record(identities)
        ids = Ids(identities, self._model_set.id)
        self._emitter = Emitter(topics, self._contexts, ids, settings.event_source, clock, settings.evidence)
        self._lane_outages = OutageLog(log)
        self._outstanding = dict.fromkeys((topics.requests, topics.admin), 0)
        capacity = workers * settings.queued_per_worker
        self._intakes = [
            self._intake(topics.requests, topics.processors, Commits, capacity, administrative=False),
            self._intake(topics.admin, topics.admins, AdminCommits, capacity, administrative=True),
        ]
        self._tasks: set[asyncio.Task[None]] = set()
        self._stack = AsyncExitStack()

    def _intake(self, topic: str, group: str, kind: type[Commits], capacity: int, *, administrative: bool) -> Intake:
        process = Processing(
            self._access,
            self._contexts,
            self._pool,
            self._clock,
            replies_topic=self._topics.replies,
            gallery_wait_s=self._settings.gallery_wait_ms / 1000.0,
            administrative=administrative,
        )
        wait_s = self._settings.commit_wait_ms / 1000.0
        decided = Decided(self._broker, self._topics, topic)

        def new_lane(partition: int, member: GroupMember, left: Callable[[int], None]) -> Lane:
            hooks = LaneHooks(self._metrics.committed, left, self._metrics.commit_failed, self._lane_outages)
            recent = None if administrative else RecentMatches(self._broker, self._topics.events, partition)
            commits = kind(partition, member, process, self._emitter, self._access, recent)
            return Lane(
                partition, member, process, commits, hooks, lambda done: shared_wait_s(done, self._clock(), wait_s)
            )

        return Intake(
            topic,
            lambda: self._broker.member(topic, group, decided, self._metrics.skipped),
            new_lane,
            self._start,
            capacity,
            partial(self._measure, topic),
        )

    def _measure(self, topic: str, outstanding: int) -> None:
        self._outstanding[topic] = outstanding
        self._metrics.outstanding.set(sum(self._outstanding.values()))
        self._metrics.people.set(len(self._people))
        self._metrics.foreign_faces.set(self._people.foreign_faces)

    async def __aenter__(self) -> Self:
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with AsyncExitStack() as stack:
            stack.callback(self._pool.shutdown)
            policy = policy_config(self._contexts.at(self._people.site).policy)
            await write_configs(self._broker, self._topics.configs, (policy, self._model_set))
            self._emitter.written.add(policy.key)
            for intake in self._intakes:
                await intake.join(stack.enter_async_context)
            stack.push_async_callback(self._cancel_tasks)
            for intake in self._intakes:
                intake.start()
            self._start(keep_checkpoints(self._broker, self._topics.configs, self._people, self._clock))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def failed(self) -> None:
        """Wait until a task of the processor fails, so that the processor cannot go on.

        Raises:
            Exception: the error of that task.
        """
        await asyncio.shield(self._failed)

    async def drain(self, deadline_s: float) -> None:
        """Stop fetching, and wait at most `deadline_s` seconds until every fetched record is committed."""
        for intake in self._intakes:
            intake.stop()
        waits = [intake.idle for intake in self._intakes]
        await wait_until_idle(waits, deadline_s, unless=self._failed)

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
