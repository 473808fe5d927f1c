"""A websocket sink on an embedded log, with clients."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
from prometheus_client import CollectorRegistry

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import NewRecord, Position, TopicSpec
from contract.codec import encode
from contract.events import Event, RequestPlace
from contract.findings import FaceBox
from contract.people.directory import Directory
from contract.people.site import KeyRecord
from contract.requests import MatchRequest
from contract.roles import Role
from ingest.keys import digest
from ingest.settings import IngestSettings
from ingest.tls import tls_of
from picturematch.ports import open_ports
from picturematch.settings import Settings
from sinks.context import SinkContext
from sinks.listening import Handler
from sinks.meter import SinkMetrics
from sinks.settings import WebsocketSettings
from sinks.websocket import run_sink_of
from tests.support.sinking import PARTITIONS, TOPICS, event, record_of, with_topics
from tests.support.waiting import until

CUT_OUT = b"\xff\xd8 a face"


def crop(picture: bytes, box: FaceBox) -> bytes:
    """A face cut out of a picture, as far as these tests look."""
    return CUT_OUT + picture[:4]


@dataclass
class Counted:
    """The context's `crop`, counted."""

    calls: int = 0

    def __call__(self, picture: bytes, box: FaceBox) -> bytes:
        self.calls += 1
        return crop(picture, box)


@dataclass
class _Ports:
    """Opens ports, and tells their URL."""

    inner: Any
    url: str = ""

    @asynccontextmanager
    async def on(self, port: int, handler: Handler, **options: Any) -> AsyncIterator[str]:
        async with self.inner.on(port, handler, **options) as url:
            self.url = url
            yield url


@dataclass
class Sink:
    """A running sink."""

    log: EmbeddedBroker
    people: Directory
    url: str
    session: aiohttp.ClientSession
    registry: CollectorRegistry
    crop: Counted
    stop: asyncio.Event
    task: "asyncio.Task[int]"

    async def append(self, *events: Event) -> None:
        """Append events, each to the partition of its number."""
        await self.log.append([record_of(one, partition=one.request.offset % PARTITIONS) for one in events])

    async def append_with_picture(self, number: int, picture: bytes, **changes: object) -> Event:
        """Append a request with a picture, and the event of it, whose face is somewhere in the picture."""
        request = MatchRequest(
            request_id=f"event-{number}",
            device_ip="10.0.0.1",
            picture=picture,
            compare_time_s=1.0,
            received_time_s=1.0,
        )
        (place,) = await self.log.append([NewRecord(TOPICS.requests, None, encode(request), partition=0)])
        face = FaceBox(x=1.2, y=2, width=3, height=4, confidence=0.9)
        happened = event(number, request=place_of(place), face=face, **changes)
        await self.log.append([record_of(happened, partition=0)])
        return happened

    @asynccontextmanager
    async def client(self, configuration: Any = None, **options: Any) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """A WebSocket client, with its configuration in force."""
        async with self.session.ws_connect(self.url, **options) as socket:
            if configuration is not None:
                await socket.send_str(json.dumps(configuration))
                await self.settled(socket)
            yield socket

    async def settled(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Wait until what the client has sent was read: the pong of a ping that was sent after it comes after that."""
        await socket.ping()
        await asyncio.sleep(0.05)

    def metric(self, name: str) -> float:
        return self.registry.get_sample_value(f"picturematch_sink_{name}", {"sink": "live"}) or 0.0

    def key(self, role: Role) -> str:
        """A new API key of that role."""
        key = f"pm_of_an_{role}"
        record = KeyRecord(key_id=role, name=role, role=role, sha256=digest(key.encode()), created_s=1.0)
        self.people.site = self.people.site.put(record)
        return key


def place_of(position: Position) -> RequestPlace:
    return RequestPlace(topic=position.topic, partition=position.partition, offset=position.offset)


@asynccontextmanager
async def live_sink(folder: Path, *, ingest: dict[str, Any] | None = None, **fields: Any) -> AsyncIterator[Sink]:
    """Run a sink with these settings, at a port of its own."""
    settings = Settings(ingest=IngestSettings(**(ingest or {})))
    chosen = WebsocketSettings(**{"name": "live", "port": 0, **fields})
    people, registry, stop, counted = Directory(), CollectorRegistry(), asyncio.Event(), Counted()
    async with AsyncExitStack() as stack:
        log = await stack.enter_async_context(
            open_embedded(folder, role="owner", clock_ms=lambda: int(time.time() * 1e3))
        )
        await with_topics(log)
        await log.ensure_topics([TopicSpec(TOPICS.audit, 1), TopicSpec(TOPICS.photos, 1, compacted=True)])
        tls = tls_of(settings.ingest)
        inner = await stack.enter_async_context(open_ports(settings, people, log, registry, time.time, tls))
        ports = _Ports(inner)
        context = SinkContext(
            broker=log,
            topics=TOPICS,
            people=people,
            crop=counted,
            metrics=SinkMetrics(registry),
            clock=time.time,
            stop=stop,
            events_retention_ms=None,
            listening=ports,
        )
        task = asyncio.create_task(run_sink_of(chosen, context))
        await until(lambda: ports.url or task.done())
        if task.done():
            task.result()
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        try:
            yield Sink(log, people, ports.url, session, registry, counted, stop, task)
        finally:
            stop.set()
            await asyncio.wait_for(task, 10)


async def received(socket: aiohttp.ClientWebSocketResponse, count: int, timeout_s: float = 10.0) -> list[Any]:
    """The next JSON texts."""
    found = []
    for _ in range(count):
        message = await socket.receive(timeout_s)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        found.append(orjson.loads(message.data))
    return found


async def is_silent(socket: aiohttp.ClientWebSocketResponse, for_s: float = 0.3) -> bool:
    try:
        await socket.receive(for_s)
    except TimeoutError:
        return True
    return False
