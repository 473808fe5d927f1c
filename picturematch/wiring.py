"""The composition root: opens the log, the networks and the roles, and hands each what it needs.

Everything is an argument, so that tests can put a fake in anything's place.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from prometheus_client import CollectorRegistry
from threadpoolctl import threadpool_limits

from broker.port import Broker
from broker.table import TableFollower
from contract.people.directory import Directory
from engine.gallery.people import People
from engine.vision.networks.build import build_model_set
from engine.vision.ports import Box, Face, ModelSet
from ingest.server import Ingress
from picturematch.health import HealthServer
from picturematch.log_metrics import watch_log
from picturematch.memory import give_memory_back
from picturematch.networks import store_of
from picturematch.opening import Clock, condition_of, open_broker, require_topics
from picturematch.people_topic import PeopleTopic
from picturematch.settings import Settings
from processor.processor import Processor

_READY_S, _LOOK_AGAIN_S = 3.0, 0.02


def open_models(settings: Settings) -> ModelSet:
    """The opened networks, one thread each, warmed up.

    Raises:
        ModelError: they are not installed, or damaged.
    """
    # Pictures are matched side by side, one per core: threads within one picture would only be in each other's way.
    cv2.setNumThreads(1)
    threadpool_limits(1)
    if settings.models.kind == "stand-in":
        from engine.vision.networks.standin import stand_in_models  # only tests ask for it

        return stand_in_models()
    store = store_of(settings)
    models = build_model_set(store.manifest, store.open, store.identity)
    _warm_up(models)
    return models


def _warm_up(models: ModelSet) -> None:
    image = np.full((480, 640, 3), 128, np.uint8)
    eyes_nose_mouth = [[290, 210], [350, 210], [320, 245], [295, 280], [345, 280]]
    face = Face(Box(260, 160, 120, 160), 1.0, np.array(eyes_nose_mouth, np.float32))
    models.detector(image)
    models.embedder(image, face)


@dataclass(frozen=True, slots=True)
class System:
    """The running roles of one process. `door` is what listens: the ingress, or a processor's health server."""

    broker: Broker
    people: Directory
    follower: TableFollower
    door: Ingress | HealthServer
    processor: Processor | None

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.door.url

    async def failed(self) -> None:
        """Return never; raise what keeps the process from going on."""
        watched = [self.follower.failure()]
        if self.processor is not None:
            watched.append(self.processor.failed())
        await asyncio.gather(*watched)

    async def drain(self, deadline_s: float) -> None:
        """Stop accepting, then finish what is in flight; both within one deadline of `deadline_s` seconds."""
        ends = time.monotonic() + deadline_s
        if isinstance(self.door, Ingress):
            await self.door.drain()
        if self.processor is not None:
            await self.processor.drain(max(0.0, ends - time.monotonic()))


async def _until_ready(ingress: Ingress) -> None:
    """The ingress hears of this process's own processor a moment after it has begun; other reasons may last."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_READY_S):
            while ingress.not_ready():  # noqa: ASYNC110 - the reasons are those of several rooms
                await asyncio.sleep(_LOOK_AGAIN_S)


@asynccontextmanager
async def run_system(
    settings: Settings, models: ModelSet | None, *, ingest: bool = True, clock: Clock = time.time
) -> AsyncIterator[System]:
    """The roles of one process: an ingress unless `ingest` is False, a processor unless `models` is None.

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
    gallery = None if models is None else People(models.embedder.dimension, models.embedder_identity)
    people = Directory() if gallery is None else gallery
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
        processor: Processor | None = None
        if models is not None and gallery is not None:
            processor = Processor(
                broker,
                topics,
                gallery,
                follower.reached,
                models,
                settings.matching,
                settings.processor,
                clock,
                registry,
                settings.ingest.max_pixels,
            )
        door: Ingress | HealthServer = HealthServer(settings.health, not_ready, registry)
        if ingest:
            door = Ingress(settings.ingest, broker, topics, people, follower.reached, clock, not_ready, registry)
        await stack.enter_async_context(door)
        if not reachable:
            await require_topics(broker, settings.topic_specs)
        await follower.caught_up()
        if processor is not None:
            await stack.enter_async_context(processor)
        starting.clear()
        if processor is not None and isinstance(door, Ingress):
            await _until_ready(door)
        yield System(broker, people, follower, door, processor)
