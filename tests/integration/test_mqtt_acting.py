"""The mqtt sink that opens a door: at most once, never late, never for a relay that was away."""

import asyncio
import json
import signal
import time
from collections.abc import Awaitable, Callable
from datetime import datetime

import pytest

from broker.embedded import EmbeddedBroker
from contract.events import Event
from sinks.acting import Acting
from sinks.mqtt import MqttReceiver
from sinks.receiver import Delivered, Failed
from tests.support.mosquitto import Mosquitto, needs_mosquitto, retained, watching
from tests.support.mqtt_sinking import outgoing_of, receiver, record_of, running, settings_for
from tests.support.sinking import event
from tests.support.waiting import until_asked

pytestmark = needs_mosquitto

DOOR = "picturematch/door-1/"


def passage(number: int, ago_s: float = 0.0, **changes: object) -> Event:
    return event(number, **({"received_time": time.time() - ago_s} | changes))


async def test_a_door_message_has_qos_0_and_says_how_long_it_is_valid(broker: Mosquitto, log: EmbeddedBroker) -> None:
    settings = settings_for(broker, acts=True, acting=Acting(valid_s=4.5))
    async with watching(broker) as watcher, receiver(settings, log) as sink:
        one = passage(1)
        await until_asked(connected(sink), 10)
        assert await sink.deliver(outgoing_of(one)) == Delivered()
        await watcher.gets(lambda: any(found.user["id"] == one.id for found in watcher.under(DOOR)))
    (message,) = (found for found in watcher.under(DOOR) if found.user["id"] == one.id)
    assert (message.qos, message.retain) == (0, False)
    assert message.expiry_s in (3, 4)
    body = json.loads(message.payload)
    assert body["validuntil"] == message.user["validuntil"]
    assert datetime.fromisoformat(body["validuntil"]).timestamp() == pytest.approx(one.received_time + 4.5, abs=0.002)
    assert (body["data"]["cosine"], body["data"]["threshold"]["cosine"]) == (0.75, 0.48)
    assert await retained(broker, "picturematch/door-1/#") == {}


def connected(sink: MqttReceiver) -> Callable[[], Awaitable[bool]]:
    async def is_connected() -> bool:
        return await sink.deliver(outgoing_of(passage(0))) == Delivered()

    return is_connected


async def test_a_relay_that_was_away_gets_nothing_when_it_comes_back(broker: Mosquitto, log: EmbeddedBroker) -> None:
    settings = settings_for(broker, acts=True, acting=Acting(valid_s=60))
    topic = "picturematch/door-1/matched"
    async with receiver(settings, log) as sink:
        async with watching(broker, topic, name="relay"):
            await until_asked(connected(sink), 10)
        assert await sink.deliver(outgoing_of(passage(7))) == Delivered()
        async with watching(broker, topic, name="relay") as relay:
            await until_asked(connected(sink), 10)
            await relay.gets(lambda: relay.received)
            await asyncio.sleep(0.3)
    assert {json.loads(one.payload)["id"] for one in relay.received} == {"event-0"}


async def test_no_door_opens_late_when_a_broker_that_hung_goes_on(broker: Mosquitto, log: EmbeddedBroker) -> None:
    settings = settings_for(broker, acts=True, acting=Acting(valid_s=0.6))
    async with watching(broker, "picturematch/door-1/#") as watcher, receiver(settings, log) as sink:
        await until_asked(connected(sink), 10)
        broker.send(signal.SIGSTOP)
        answers = [await sink.deliver(outgoing_of(passage(number))) for number in (5, 6)]
        await asyncio.sleep(0.5)
        broker.send(signal.SIGCONT)
        await until_asked(connected(sink), 20)
        await asyncio.sleep(0.3)
    assert all(isinstance(answer, Failed) for answer in answers)
    assert {json.loads(one.payload)["id"] for one in watcher.received} == {"event-0"}


async def test_what_happened_while_the_broker_was_away_opens_no_door(broker: Mosquitto, log: EmbeddedBroker) -> None:
    settings = settings_for(broker, acts=True, acting=Acting(valid_s=1.0))
    async with watching(broker, "picturematch/door-1/#") as watcher:
        await log.append([record_of(passage(1))])
        async with running(settings, log):
            number = 1

            async def opened() -> bool:
                nonlocal number
                number += 1
                await log.append([record_of(passage(number))])
                await asyncio.sleep(0.1)
                return bool(watcher.received)

            await until_asked(opened, 20)
            broker.end()
            await asyncio.sleep(0.2)
            first_away = number + 1
            for away in range(first_away, first_away + 5):
                await log.append([record_of(passage(away))])
            number += 5
            await asyncio.sleep(1.5)
            broker.start()
            before = len(watcher.received)
            number += 100

            async def again() -> bool:
                return await opened() and len(watcher.received) > before

            await until_asked(again, 20)
    got = [json.loads(one.payload)["id"] for one in watcher.received]
    assert "event-1" not in got
    assert not {f"event-{away}" for away in range(first_away, first_away + 5)} & set(got)
    assert len(got) == len(set(got))


@pytest.mark.parametrize(
    "changes",
    [{"outcome": "blacklisted"}, {"outcome": "stranger"}, {"replay_of": "x"}, {"retry_of": "x"}, {"ago_s": 5.0}],
)
async def test_only_a_fresh_match_opens_a_door(
    broker: Mosquitto, log: EmbeddedBroker, changes: dict[str, object]
) -> None:
    settings = settings_for(broker, acts=True)
    async with watching(broker, "picturematch/door-1/#") as watcher, running(settings, log):
        numbers = iter(range(10, 10_000))

        async def opened() -> bool:
            await log.append([record_of(passage(1, **changes)), record_of(passage(next(numbers)))])
            await asyncio.sleep(0.1)
            return len(watcher.received) >= 2

        await until_asked(opened, 20)
    assert "event-1" not in [json.loads(one.payload)["id"] for one in watcher.received]
