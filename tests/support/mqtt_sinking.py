"""The mqtt sink on an embedded log, for tests: settings, a site, events with all headers, a receiver that is open."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from broker.embedded import EmbeddedBroker
from broker.port import NewRecord, Record
from contract.cloud_events import cloud_event_headers
from contract.events import Event, encode_event
from contract.people.site import DeviceRecord, Site
from picturematch.face_crops import face_crops
from sinks.context import SinkContext
from sinks.lookups import Lookups
from sinks.meter import SinkMetrics
from sinks.mqtt import MqttReceiver, run_sink_of
from sinks.outgoing import Outgoing, outgoing
from sinks.retrying import Retrying
from sinks.settings import MqttSettings
from tests.support.mosquitto import Mosquitto
from tests.support.sinking import TOPICS

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
QUICK = Retrying(max_tries=1000, first_wait_s=0.05, longest_wait_s=0.2)
DEVICE = DeviceRecord(
    device_id="door-1", name="Front door", address="10.0.0.1", device_type="photo", group_id="", permission_id=""
)


class People:
    """A site that the test changes."""

    def __init__(self, *devices: DeviceRecord) -> None:
        self.site = Site()
        for device in devices:
            self.site = self.site.put(device)

    def person(self, identity_id: str) -> None:
        return None

    def photo(self, identity_id: str, number: int) -> None:
        return None


def settings_for(broker: Mosquitto, **changes: object) -> MqttSettings:
    fields = {"name": "hall", "host": "127.0.0.1", "port": broker.port, "retrying": QUICK, "from_now": False}
    return MqttSettings(**(fields | {"timeout_s": 2.0} | changes))  # type: ignore[arg-type]


def context_of(log: EmbeddedBroker, people: People, stop: asyncio.Event | None = None) -> SinkContext:
    return SinkContext(
        broker=log,
        topics=TOPICS,
        people=people,
        crop=face_crops(1_000_000),
        metrics=SinkMetrics(CollectorRegistry()),
        clock=time.time,
        stop=stop or asyncio.Event(),
        events_retention_ms=None,
    )


@asynccontextmanager
async def receiver(
    settings: MqttSettings, log: EmbeddedBroker, people: People | None = None
) -> AsyncIterator[MqttReceiver]:
    people = people or People(DEVICE)
    one = MqttReceiver(settings, lambda: people.site, Lookups(context_of(log, people)), time.time)
    await one.open()
    try:
        yield one
    finally:
        await one.close()


@asynccontextmanager
async def running(settings: MqttSettings, log: EmbeddedBroker, people: People | None = None) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(run_sink_of(settings, context_of(log, people or People(DEVICE), stop)))
    try:
        yield
    finally:
        stop.set()
        await task


def headers_of(one: Event) -> tuple[tuple[str, bytes], ...]:
    return (*cloud_event_headers(one, "picturematch.match.v1", "/picturematch"), ("traceparent", TRACE.encode()))


def record_of(one: Event, partition: int = 0) -> NewRecord:
    return NewRecord(TOPICS.events, (one.device_ip or "").encode(), encode_event(one), headers_of(one), partition)


def outgoing_of(one: Event) -> Outgoing:
    found = outgoing(Record(TOPICS.events, 0, 0, 0, b"", encode_event(one), headers_of(one)))
    assert isinstance(found, Outgoing)
    return found
