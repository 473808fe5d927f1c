"""Runs the roles of one process: opens the log, reads the people topic, and starts the ingress and the processor.

The parts that only a processor needs (the networks, OpenCV) are passed as a `ProcessorRole`, which `wiring` implements;
so a process with an ingress alone does not import these parts.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from prometheus_client import CollectorRegistry

from broker.port import Broker, Record
from broker.table import TableFollower
from contract.people.directory import Directory
from contract.seen_faces import Likeness
from ingest.server import Ingress
from picturematch.health import HealthServer
from picturematch.log_metrics import watch_log
from picturematch.memory import collect_seldom, give_memory_back, keep_for_good, trim_memory
from picturematch.opening import Clock, condition_of, open_broker, require_topics
from picturematch.outlets import Outlets
from picturematch.people_topic import PeopleTopic
from picturematch.reading_progress import reading_progress
from picturematch.settings import Settings, configured
from sinks.context import Crop, SinkContext
from sinks.meter import SinkMetrics
from sinks.seen import SeenFacesOfLog

Reached = Callable[[int, float], Awaitable[bool]]
"""`reached(offset, timeout_s)` waits until the people topic is read up to `offset`; it returns False at the timeout."""

_READY_S, _LOOK_AGAIN_S = 3.0, 0.02


class RunningProcessor(Protocol):
    """A processor whose context was entered."""

    async def failed(self) -> None:
        """Wait for ever, or raise the error that stops the processor."""
        ...

    async def drain(self, deadline_s: float) -> None:
        """Finish the requests in flight, within `deadline_s` seconds."""
        ...


class PeopleCopy(Protocol):
    """A copy of the people on this machine; picturematch.local_copy implements it."""

    async def restore(self, broker: Broker) -> Mapping[int, int]:
        """Fill the people from the copy; return from which offset the people topic is to be read."""
        ...

    def take(self, records: Sequence[Record]) -> None:
        """Note records of the people topic that were applied."""
        ...

    async def keep(self) -> None:
        """Write the copy anew whenever it is due, for ever."""
        ...


class NoCopy:
    """The copy of a process that keeps none."""

    async def restore(self, broker: Broker) -> Mapping[int, int]:
        """Return that the topic is to be read from its start."""
        return {}

    def take(self, records: Sequence[Record]) -> None:
        """Do nothing."""

    async def keep(self) -> None:
        """Do nothing."""


class ProcessorRole(Protocol):
    """The parts with which a process becomes a processor."""

    @property
    def people(self) -> Directory:
        """The people, as the records of the people topic describe them, whom the processor searches."""
        ...

    @property
    def likeness(self) -> Likeness | None:
        """What the search among faces of past matches must know of the embedder; None: it is switched off."""
        ...

    def processor(
        self, broker: Broker, reached: Reached, clock: Clock, registry: CollectorRegistry
    ) -> AbstractAsyncContextManager[RunningProcessor]:
        """Return a processor on a log; its context is not entered yet."""
        ...

    def local_copy(self, clock: Clock) -> PeopleCopy:
        """Return the local copy of the people, or a `NoCopy`."""
        ...

    def slow_search(self) -> str | None:
        """Return in a sentence why searches are slower than they could be; None: they are not."""
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
        """The URL at which the listener listens."""
        return self.listener.url

    @property
    def reload_certificate(self) -> Callable[[], None] | None:
        """The function that reads the certificate of the server again; None: the process does not use TLS."""
        return self.listener.reload_certificate if isinstance(self.listener, Ingress) else None

    async def failed(self) -> None:
        """Wait for ever, or raise the error that stops the process."""
        watched = [self.follower.failure()]
        if self.processor is not None:
            watched.append(self.processor.failed())
        await asyncio.gather(*watched)

    async def drain(self, deadline_s: float) -> None:
        """Stop accepting calls, then finish the requests in flight, within `deadline_s` seconds together."""
        ends = time.monotonic() + deadline_s
        if isinstance(self.listener, Ingress):
            await self.listener.drain()
        if self.processor is not None:
            await self.processor.drain(max(0.0, ends - time.monotonic()))


async def _until_ready(ingress: Ingress) -> None:
    """Wait until the ingress is ready, for three seconds at most.

    The ingress receives the first heartbeat of the processor in this process a moment after the start; other reasons
    for not being ready may last longer.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_READY_S):
            while ingress.not_ready():  # noqa: ASYNC110 - the reasons come from several rooms
                await asyncio.sleep(_LOOK_AGAIN_S)


@asynccontextmanager
async def _running(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run a task that ends with the context."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def run_roles(
    settings: Settings,
    role: ProcessorRole | None,
    *,
    ingest: bool = True,
    clock: Clock = time.time,
    pinned: frozenset[str] = frozenset(),
    crop: Crop | None = None,
    likeness: Likeness | None = None,
) -> AsyncIterator[System]:
    """Run the roles of one process: an ingress unless `ingest` is False, a processor unless `role` is None.

    `pinned`: the settings that the settings file, the environment or the command line has set. `crop`: cuts faces out
    of pictures for the sinks of the settings, which run in this process; None: the process runs no sinks. `likeness`:
    with it, the faces of past matches can be searched by a picture.

    While the process waits for the log and reads the people topic, it listens but is not ready. After entering, it is
    ready, unless a record of the people topic cannot be read; then it becomes ready when a later record of the same key
    arrives. The parts are closed in the reverse order of opening: processor, sinks, server, people, log.

    Raises (on entering):
        BrokerError: the log cannot be opened, or its topics would lose data; the message names the remedy.
        CannotListen: the server cannot listen on its address.
    """
    give_memory_back()
    collect_seldom()
    registry = CollectorRegistry()
    topics = settings.topics
    # An ingress does not search, so it stores no embeddings.
    people: Directory
    copy: PeopleCopy
    people, copy = (Directory(), NoCopy()) if role is None else (role.people, role.local_copy(clock))
    people_topic = PeopleTopic(people, topics.people, copy.take)
    starting = ["the process is starting"]

    def not_ready() -> list[str]:
        unread = [] if follower.healthy else ["the people cannot be read"]
        lost = [] if ingest or broker.available() else ["the log cannot be reached"]
        trouble = condition_of(broker).trouble
        return [*starting, *unread, *lost, *([trouble] if trouble else []), *people_topic.not_ready()]

    async with AsyncExitStack() as stack:
        stack.callback(asyncio.create_task(trim_memory()).cancel)
        broker = await stack.enter_async_context(open_broker(settings, "owner", clock, patient=True))
        watch_log(registry, lambda: condition_of(broker))
        reachable = broker.available()
        if reachable:
            await require_topics(broker, settings.topic_specs)
        reading = stack.enter_context(ExitStack())
        show = reading.enter_context(reading_progress("reading the people, offsets"))
        begin = partial(copy.restore, broker)
        follower = await stack.enter_async_context(TableFollower(broker, topics.people, people_topic.take, show, begin))
        deciding = None if role is None else role.processor(broker, follower.reached, clock, registry)
        seen: SeenFacesOfLog | None = None
        listener: Ingress | HealthServer = HealthServer(settings.health, not_ready, registry)
        if ingest:
            store_url = settings.store_url
            store = None
            if store_url is not None:
                from sinks.sql_store import SqlStore  # a process without a store must not import SQLAlchemy

                store = SqlStore(store_url)
                stack.callback(store.close)
            if likeness is not None:
                seen = SeenFacesOfLog(
                    broker,
                    topics.evidence,
                    likeness,
                    settings.ingest.max_seen_faces,
                    settings.log.requests_retention_ms / 1000,
                    clock,
                )
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
                configured(settings, pinned),
                lambda: not starting,
                store,
                crop,
                seen,
            )
        await stack.enter_async_context(listener)
        if not reachable:
            await require_topics(broker, settings.topic_specs)
        await follower.caught_up()
        reading.close()
        keep_for_good()
        await stack.enter_async_context(_running(copy.keep()))
        if seen is not None:
            await stack.enter_async_context(seen)
        if crop is not None:
            context = SinkContext(
                broker=broker,
                topics=topics,
                people=people,
                crop=crop,
                metrics=SinkMetrics(registry, clock),
                clock=clock,
                stop=asyncio.Event(),
                events_retention_ms=settings.log.events_retention_ms,
                listening=listener.further_ports if isinstance(listener, Ingress) else None,
            )
            await stack.enter_async_context(Outlets(settings, context))
        processor = None if deciding is None else await stack.enter_async_context(deciding)
        starting.clear()
        if processor is not None and isinstance(listener, Ingress):
            await _until_ready(listener)
        yield System(broker, people, follower, listener, processor)
