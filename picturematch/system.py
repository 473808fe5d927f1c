"""Opens the log, the fold of the people and the roles of one process, and hands each what it needs.

What only a processor needs (the networks, OpenCV) comes as a `ProcessorRole`; the one that there is, is in `wiring`.
So a process with an ingress alone imports none of that.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from prometheus_client import CollectorRegistry

from broker.port import Broker
from broker.table import TableFollower
from contract.people.directory import Directory
from ingest.server import Ingress
from picturematch.health import HealthServer
from picturematch.log_metrics import watch_log
from picturematch.memory import give_memory_back
from picturematch.opening import Clock, condition_of, open_broker, require_topics
from picturematch.people_topic import PeopleTopic
from picturematch.settings import Settings

Reached = Callable[[int, float], Awaitable[bool]]
"""Waits until the people topic is read to an offset, for so many seconds at most; False: it was not."""

_READY_S, _LOOK_AGAIN_S = 3.0, 0.02


class RunningProcessor(Protocol):
    """A processor that was entered."""

    async def failed(self) -> None:
        """Return never; raise what keeps it from going on."""
        ...

    async def drain(self, deadline_s: float) -> None:
        """Finish what is in flight, within `deadline_s` seconds."""
        ...


class ProcessorRole(Protocol):
    """What a process needs in order to decide requests."""

    @property
    def people(self) -> Directory:
        """The fold of the people topic that the processor decides by."""
        ...

    def processor(
        self, broker: Broker, reached: Reached, clock: Clock, registry: CollectorRegistry
    ) -> AbstractAsyncContextManager[RunningProcessor]:
        """A processor on this log, not yet entered."""
        ...


@dataclass(frozen=True, slots=True)
class System:
    """The running roles of one process. `listener` serves HTTP: the ingress, or a processor's health server."""

    broker: Broker
    people: Directory
    follower: TableFollower
    listener: Ingress | HealthServer
    processor: RunningProcessor | None

    @property
    def url(self) -> str:
        """Where the listener listens."""
        return self.listener.url

    async def failed(self) -> None:
        """Return never; raise what keeps the process from going on."""
        watched = [self.follower.failure()]
        if self.processor is not None:
            watched.append(self.processor.failed())
        await asyncio.gather(*watched)

    async def drain(self, deadline_s: float) -> None:
        """Stop accepting, then finish what is in flight; both within one deadline of `deadline_s` seconds."""
        ends = time.monotonic() + deadline_s
        if isinstance(self.listener, Ingress):
            await self.listener.drain()
        if self.processor is not None:
            await self.processor.drain(max(0.0, ends - time.monotonic()))


async def _until_ready(ingress: Ingress) -> None:
    """The ingress hears of this process's own processor a moment after it has begun; other reasons may last."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_READY_S):
            while ingress.not_ready():  # noqa: ASYNC110 - the reasons are those of several rooms
                await asyncio.sleep(_LOOK_AGAIN_S)


@asynccontextmanager
async def run_roles(
    settings: Settings, role: ProcessorRole | None, *, ingest: bool = True, clock: Clock = time.time
) -> AsyncIterator[System]:
    """The roles of one process: an ingress unless `ingest` is False, a processor unless `role` is None.

    It listens, not ready, while the log is waited for and the people are read; entered, it is ready, unless a record of
    the people cannot be read: then it becomes ready once a later record of that key arrives. The order of closing is
    the reverse of opening: processor, server, people, log.

    Raises (on entering):
        BrokerError: the log cannot be opened, or its topics would lose data; the message says what to change.
        CannotListen: the address is taken.
    """
    give_memory_back()
    registry = CollectorRegistry()
    topics = settings.topics
    # An ingress searches nobody, so it keeps no embeddings.
    people = Directory() if role is None else role.people
    people_topic = PeopleTopic(people, topics.people)
    starting = ["the process is starting"]

    def not_ready() -> list[str]:
        unread = [] if follower.healthy else ["the people cannot be read"]
        lost = [] if ingest or broker.available() else ["the log cannot be reached"]
        trouble = condition_of(broker).trouble
        return [*starting, *unread, *lost, *([trouble] if trouble else []), *people_topic.not_ready()]

    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(open_broker(settings, "owner", clock, patient=True))
        watch_log(registry, lambda: condition_of(broker))
        reachable = broker.available()
        if reachable:
            await require_topics(broker, settings.topic_specs)
        follower = await stack.enter_async_context(TableFollower(broker, topics.people, people_topic.take))
        deciding = None if role is None else role.processor(broker, follower.reached, clock, registry)
        listener: Ingress | HealthServer = HealthServer(settings.health, not_ready, registry)
        if ingest:
            listener = Ingress(
                settings.ingest,
                settings.pictures,
                broker,
                topics,
                people,
                follower.reached,
                clock,
                not_ready,
                registry,
            )
        await stack.enter_async_context(listener)
        if not reachable:
            await require_topics(broker, settings.topic_specs)
        await follower.caught_up()
        processor = None if deciding is None else await stack.enter_async_context(deciding)
        starting.clear()
        if processor is not None and isinstance(listener, Ingress):
            await _until_ready(listener)
        yield System(broker, people, follower, listener, processor)
