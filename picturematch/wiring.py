"""The composition root: opens the log, the networks and the roles, and hands each what it needs.

Everything is an argument, so that tests can put a fake in anything's place.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import cv2
import numpy as np
from prometheus_client import CollectorRegistry
from threadpoolctl import threadpool_limits

from broker.embedded import Role, open_embedded
from broker.port import Broker, Record
from broker.table import TableFollower
from engine.gallery.people import People
from engine.vision.build import build_model_set
from engine.vision.ports import Box, Face, ModelSet
from ingest.server import Ingress
from picturematch.networks import store_of
from picturematch.settings import Settings
from processor.processor import Processor

Clock = Callable[[], float]


@asynccontextmanager
async def open_log(settings: Settings, role: Role, clock: Clock = time.time) -> AsyncIterator[Broker]:
    """The log that the settings name; the owner creates what is missing.

    Raises:
        BrokerError: it cannot be opened; the message says why.
    """
    async with open_embedded(settings.data_folder, role=role, clock_ms=lambda: int(clock() * 1000)) as broker:
        if role == "owner":
            await broker.ensure_topics(settings.log.topic_specs(settings.topics))
        yield broker


def open_models(settings: Settings) -> ModelSet:
    """The opened networks, one thread each, warmed up.

    Raises:
        ModelError: they are not installed, or damaged.
    """
    # Pictures are matched side by side, one per core: threads within one picture would only be in each other's way.
    cv2.setNumThreads(1)
    threadpool_limits(1)
    if settings.models.kind == "stand-in":
        from engine.vision.standin import stand_in_models  # only tests ask for it

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
    """A running all-in-one system."""

    broker: Broker
    people: People
    ingress: Ingress
    processor: Processor
    follower: TableFollower

    async def failed(self) -> None:
        """Return never; raise what keeps the system from going on."""
        await asyncio.gather(self.processor.failed(), self.follower.failure())

    async def drain(self, deadline_s: float) -> None:
        """Stop accepting, then finish what is in flight; both within one deadline of `deadline_s` seconds."""
        ends = time.monotonic() + deadline_s
        await self.ingress.drain()
        await self.processor.drain(max(0.0, ends - time.monotonic()))


@asynccontextmanager
async def run_system(settings: Settings, models: ModelSet, clock: Clock = time.time) -> AsyncIterator[System]:
    """Ingress and processor in one process on the embedded log. Entered once the server listens and is ready.

    The order of closing is the reverse of opening: server, processor, people, log.
    """
    registry = CollectorRegistry()
    topics = settings.topics
    people = People(models.embedder.dimension, models.embedder_identity)

    def fold(records: Sequence[Record]) -> None:
        people.apply(records)

    def not_ready() -> Iterator[str]:
        if not follower.healthy:
            yield "the people cannot be read"

    async with open_log(settings, "owner", clock) as broker, TableFollower(broker, topics.people, fold) as follower:
        await follower.caught_up()
        async with (
            Processor(
                broker,
                topics,
                people,
                follower.reached,
                models,
                settings.matching,
                settings.processor,
                clock,
                registry,
                settings.ingest.max_pixels,
            ) as processor,
            Ingress(
                settings.ingest,
                broker,
                topics,
                people,
                follower.reached,
                clock,
                lambda: list(not_ready()),
                registry,
            ) as ingress,
        ):
            yield System(broker, people, ingress, processor, follower)
