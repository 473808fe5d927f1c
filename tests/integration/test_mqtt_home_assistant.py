"""What the mqtt sink announces to Home Assistant, at a real broker: devices that come, change and go."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator

import msgspec
import pytest

from broker.embedded import EmbeddedBroker
from contract.ids import device_id_at
from contract.people.keys import SiteKey
from contract.people.site import DeviceRecord
from sinks.mqtt import MqttReceiver
from sinks.mqtt_announcer import MOST_SEEN
from sinks.mqtt_home import config_topic
from sinks.receiver import Delivered
from tests.support.mosquitto import Mosquitto, needs_mosquitto, publish, retained, watching
from tests.support.mqtt_sinking import DEVICE, People, outgoing_of, receiver, settings_for
from tests.support.sinking import event
from tests.support.waiting import until_asked

pytestmark = needs_mosquitto

CONFIGS = "homeassistant/device/+/config"
OTHER = DeviceRecord(
    device_id="door-2", name="Back door", address="10.0.0.2", device_type="photo", group_id="", permission_id=""
)


async def names(broker: Mosquitto) -> set[str]:
    return {json.loads(payload)["device"]["name"] for payload in (await retained(broker, CONFIGS)).values()}


async def names_become(broker: Mosquitto, *wanted: str) -> None:
    async def are_so() -> bool:
        return await names(broker) == set(wanted)

    await until_asked(are_so, 15)


async def test_devices_are_announced_renamed_and_removed(broker: Mosquitto, log: EmbeddedBroker) -> None:
    people = People(DEVICE)
    video = msgspec.structs.replace(OTHER, device_id="video", address="10.0.0.3", device_type="video")
    people.site = people.site.put(video)
    async with receiver(settings_for(broker, home_assistant=True), log, people):
        await names_become(broker, "Front door")
        people.site = people.site.put(OTHER)
        await names_become(broker, "Front door", "Back door")
        people.site = people.site.put(msgspec.structs.replace(OTHER, name="Side door"))
        await names_become(broker, "Front door", "Side door")
        people.site = people.site.without(SiteKey("device", "door-1"))
        await names_become(broker, "Side door")
    assert await names(broker) == {"Side door"}


async def test_a_device_that_was_deleted_while_the_sink_was_off_is_removed_and_foreign_devices_stay(
    broker: Mosquitto, log: EmbeddedBroker
) -> None:
    foreign = "homeassistant/device/kettle/config"
    await publish(broker, foreign, b'{"device": {"name": "Kettle"}, "origin": {"name": "another"}}', retain=True)
    await publish(broker, "homeassistant/device/odd/config", b"\xff no JSON", retain=True)
    settings = settings_for(broker, home_assistant=True)
    async with receiver(settings, log, People(DEVICE, OTHER)):
        await until_asked(lambda: counted(broker, 4), 15)
    async with receiver(settings, log, People(OTHER)):
        await until_asked(lambda: counted(broker, 3), 15)
    found = await retained(broker, CONFIGS)
    assert config_topic(settings, "door-1") not in found
    assert foreign in found


async def counted(broker: Mosquitto, number: int) -> bool:
    return len(await retained(broker, CONFIGS)) == number


async def test_an_address_without_a_registered_device_is_announced_until_a_device_has_it(
    broker: Mosquitto, log: EmbeddedBroker
) -> None:
    people = People()
    settings = settings_for(broker, home_assistant=True)
    async with receiver(settings, log, people) as sink:
        assert await sink.deliver(outgoing_of(event(1, device_ip="10.0.0.2"))) == Delivered()
        await names_become(broker, "10.0.0.2")
    async with receiver(settings, log, people):  # it does not know the address any more
        await asyncio.sleep(1.5)
        assert await names(broker) == {"10.0.0.2"}
        people.site = people.site.put(OTHER)
        await names_become(broker, "Back door")
    topic = config_topic(settings, device_id_at("10.0.0.2"))
    assert topic not in await retained(broker, CONFIGS)


async def test_home_assistants_start_and_a_broker_without_memory_get_everything_again(
    broker: Mosquitto, log: EmbeddedBroker
) -> None:
    settings = settings_for(broker, home_assistant=True)
    topic = config_topic(settings, "door-1")
    async with watching(broker, CONFIGS) as watcher, receiver(settings, log):
        await watcher.gets(lambda: len(watcher.at(topic)) == 1)
        await publish(broker, "homeassistant/status", b"offline")
        await publish(broker, "homeassistant/status", b"online")
        await watcher.gets(lambda: len(watcher.at(topic)) == 2)
        broker.end(signal.SIGKILL)
        for kept in broker.folder.glob("*.db"):
            kept.unlink()
        broker.start()
        await names_become(broker, "Front door")
        assert await names(broker) == {"Front door"}


async def test_what_a_user_removes_by_hand_stays_removed_until_the_next_connection(
    broker: Mosquitto, log: EmbeddedBroker
) -> None:
    settings = settings_for(broker, home_assistant=True)
    async with receiver(settings, log):
        await names_become(broker, "Front door")
        await publish(broker, config_topic(settings, "door-1"), b"", retain=True)
        await asyncio.sleep(1.5)
        assert await names(broker) == set()


@pytest.fixture
async def sink(broker: Mosquitto, log: EmbeddedBroker) -> AsyncIterator[MqttReceiver]:
    async with receiver(settings_for(broker, home_assistant=True), log, People()) as one:
        yield one


async def test_made_up_addresses_are_announced_up_to_a_number(broker: Mosquitto, sink: MqttReceiver) -> None:
    for number in range(MOST_SEEN + 20):
        made_up = event(number, device_ip=f"made-up-{number}.example")
        assert await sink.deliver(outgoing_of(made_up)) == Delivered()
    began_s = time.monotonic()
    await until_asked(lambda: counted(broker, MOST_SEEN), 30)
    assert time.monotonic() - began_s < 30
