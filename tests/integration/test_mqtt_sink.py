"""The mqtt sink and a real broker: what is published, what is refused, brokers that die, hang or know nobody."""

import asyncio
import json
import logging
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import msgspec
import numpy as np
import pytest

from broker.embedded import EmbeddedBroker
from broker.port import NewRecord, TopicSpec
from contract.codec import encode
from contract.dead_letters import DeadLetter, decode_dead_letter
from contract.events import RequestPlace, encode_event
from contract.findings import FaceBox
from contract.people.site import Site
from contract.requests import MatchRequest
from engine.vision.decode.jpeg import encode_jpeg
from sinks.port import SinkError
from sinks.receiver import Delivered, Failed, NeverTakes
from sinks.settings import MqttSettings
from tests.contract.suites import read_all
from tests.support.certificates import make_pair, needs_openssl
from tests.support.mosquitto import (
    PASSWORD,
    USER,
    Mosquitto,
    Watcher,
    mosquitto,
    needs_mosquitto,
    retained,
    watching,
    with_password,
    with_tls,
)
from tests.support.mqtt_sinking import DEVICE, TRACE, People, outgoing_of, receiver, record_of, running, settings_for
from tests.support.sinking import TOPICS, event
from tests.support.waiting import until_asked

pytestmark = needs_mosquitto


def ids(watcher: Watcher, prefix: str = "picturematch/door-1/") -> list[str]:
    return [json.loads(one.payload)["id"] for one in watcher.under(prefix)]


async def test_an_event_is_a_cloud_event_at_the_topic_of_its_device_and_outcome(
    broker: Mosquitto, log: EmbeddedBroker
) -> None:
    async with watching(broker) as watcher, receiver(settings_for(broker), log) as sink:
        assert await sink.deliver(outgoing_of(event(1))) == Delivered()
        assert await sink.deliver(outgoing_of(event(2, outcome="stranger", device_ip="10.0.0.9"))) == Delivered()
        assert (
            await sink.deliver(outgoing_of(event(3, kind="enrol", outcome="enrolled", device_ip=None))) == Delivered()
        )
        await watcher.gets(lambda: len(watcher.received) >= 4)
    (first,) = watcher.at("picturematch/door-1/matched")
    other = Site().device_id_of("10.0.0.9")
    assert len(watcher.at(f"picturematch/{other}/stranger")) == 1
    assert len(watcher.at("picturematch/-/enrolled")) == 1
    body = json.loads(first.payload)
    assert body["data"] == json.loads(encode_event(event(1)))
    assert (body["specversion"], body["id"], body["type"]) == ("1.0", "event-1", "picturematch.match.v1")
    assert body["traceparent"] == TRACE
    assert first.user == {name: body[name] for name in ("specversion", "id", "source", "type", "time", "traceparent")}
    assert (first.qos, first.retain, first.expiry_s) == (1, False, None)
    assert first.content_type == "application/cloudevents+json; charset=utf-8"
    assert await retained(broker, "picturematch/#") == {"picturematch/status": b"offline"}


async def test_mqtt_3_1_1_carries_the_same_payload(broker: Mosquitto, log: EmbeddedBroker) -> None:
    settings = settings_for(broker, protocol="3.1.1")
    async with watching(broker) as watcher, receiver(settings, log) as sink:
        assert await sink.deliver(outgoing_of(event(1))) == Delivered()
        await watcher.gets(lambda: ids(watcher) == ["event-1"])
    (one,) = watcher.at("picturematch/door-1/matched")
    assert (one.user, one.content_type) == ({}, None)


def status_is(broker: Mosquitto, wanted: bytes) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        return await retained(broker, "picturematch/status") == {"picturematch/status": wanted}

    return is_so


async def test_a_sink_says_online_and_at_its_end_offline(broker: Mosquitto, log: EmbeddedBroker) -> None:
    async with receiver(settings_for(broker), log) as sink:
        assert await sink.deliver(outgoing_of(event(1))) == Delivered()
        assert await retained(broker, "picturematch/status") == {"picturematch/status": b"online"}
        async with receiver(settings_for(broker), log) as second:  # another process of the same sink, which ends
            assert await second.deliver(outgoing_of(event(2))) == Delivered()
        await until_asked(status_is(broker, b"online"), 10)
    assert await retained(broker, "picturematch/status") == {"picturematch/status": b"offline"}


async def test_nothing_is_lost_while_the_broker_is_killed_and_started_again(
    broker: Mosquitto, log: EmbeddedBroker
) -> None:
    written = 0

    async def append(count: int) -> None:
        nonlocal written
        for number in range(written, written + count):
            await log.append([record_of(event(number), partition=number % 2)])
        written += count

    async with watching(broker, "picturematch/+/matched") as watcher, running(settings_for(broker), log):
        await append(20)
        await watcher.gets(lambda: len(set(ids(watcher))) == written)
        await asyncio.sleep(1.2)  # the broker has then saved the session of the watcher
        for number in (signal.SIGKILL, signal.SIGTERM):
            broker.end(number)
            await append(20)
            broker.start()
            await append(20)
            await watcher.gets(lambda: len(set(ids(watcher))) == written)
    got = ids(watcher)
    assert set(got) == {f"event-{number}" for number in range(written)}
    for remainder in (0, 1):
        firsts = [name for name in dict.fromkeys(got) if int(name.removeprefix("event-")) % 2 == remainder]
        assert firsts == sorted(firsts, key=lambda name: int(name.removeprefix("event-")))


async def test_a_broker_that_ends_while_events_come_loses_none(broker: Mosquitto, log: EmbeddedBroker) -> None:
    async with watching(broker, "picturematch/+/matched") as watcher, running(settings_for(broker), log):
        for number in range(300):
            await log.append([record_of(event(number), partition=number % 2)])
            if number in (100, 200):
                await watcher.gets(lambda: watcher.received)
                broker.end()
                broker.start()
        await watcher.gets(lambda: len(set(ids(watcher))) == 300)
    assert set(ids(watcher)) == {f"event-{number}" for number in range(300)}


async def test_a_wrong_password_is_reported_and_no_event_counts_as_delivered(
    tmp_path: Path, log: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text(f"{PASSWORD}\n")
    wrong.write_text("another\n")
    folder = tmp_path / "mosquitto"
    with mosquitto(folder, *with_password(folder)) as broker:
        async with receiver(settings_for(broker, user=USER, password_file=wrong, timeout_s=0.5), log) as sink:
            answer = await sink.deliver(outgoing_of(event(1)))
            assert isinstance(answer, Failed)
            assert "check user" in answer.reason
        async with receiver(settings_for(broker, user=USER, password_file=right), log) as sink:
            assert await sink.deliver(outgoing_of(event(1))) == Delivered()
    assert "another" not in caplog.text
    assert PASSWORD not in caplog.text


async def test_a_message_that_the_broker_refuses_is_not_delivered(tmp_path: Path, log: EmbeddedBroker) -> None:
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    (folder / "acl").write_text("topic readwrite picturematch/status\ntopic readwrite picturematch/door-1/matched\n")
    with mosquitto(folder, "allow_anonymous true", f"acl_file {folder}/acl") as broker:
        async with receiver(settings_for(broker), log) as sink:
            answer = await sink.deliver(outgoing_of(event(1, outcome="stranger")))
            assert isinstance(answer, Failed)
            assert "authorized" in answer.reason

            async def delivered() -> bool:
                return await sink.deliver(outgoing_of(event(2))) == Delivered()

            await until_asked(delivered, 20, every_s=0.1)  # mosquitto 2.0.11 ends the connection after a refusal


async def test_an_event_that_is_too_large_for_the_broker_becomes_a_dead_letter(
    tmp_path: Path, log: EmbeddedBroker
) -> None:
    with mosquitto(tmp_path / "mosquitto", "allow_anonymous true", "max_packet_size 3000") as broker:
        async with watching(broker) as watcher, running(settings_for(broker), log):
            await log.append([record_of(event(1, name="x" * 5000)), record_of(event(2))])
            await watcher.gets(lambda: ids(watcher) == ["event-2"])
    letters = [decode_dead_letter(record.value or b"") for record in await read_all(log, TOPICS.dead_letters)]
    assert [letter.error for letter in letters if isinstance(letter, DeadLetter)] == [
        "the event is larger than the broker takes"
    ]


@needs_openssl
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a failed handshake open
async def test_the_certificate_of_the_broker_is_checked(tmp_path: Path, log: EmbeddedBroker) -> None:
    own, other = make_pair(tmp_path), make_pair(tmp_path, "other")
    with mosquitto(tmp_path / "mosquitto", *with_tls(own)) as broker:
        trusting = {"tls": True, "timeout_s": 1.0}
        async with receiver(settings_for(broker, ca_file=own.cert, **trusting), log) as sink:
            assert await sink.deliver(outgoing_of(event(1))) == Delivered()
        for untrusting in (settings_for(broker, ca_file=other.cert, **trusting), settings_for(broker, **trusting)):
            async with receiver(untrusting, log) as sink:
                answer = await sink.deliver(outgoing_of(event(1)))
                assert isinstance(answer, Failed)
                assert "CERTIFICATE_VERIFY_FAILED" in answer.reason
        async with receiver(settings_for(broker, timeout_s=1.0), log) as sink:
            assert isinstance(await sink.deliver(outgoing_of(event(1))), Failed)


@needs_openssl
async def test_the_client_certificate_is_shown(tmp_path: Path, log: EmbeddedBroker) -> None:
    own, mine = make_pair(tmp_path), make_pair(tmp_path, "mine")
    lines = (f"cafile {mine.cert}", "require_certificate true", *with_tls(own))
    with mosquitto(tmp_path / "mosquitto", *lines) as broker:
        plain = settings_for(broker, tls=True, ca_file=own.cert, timeout_s=1.0)
        async with receiver(plain, log) as sink:
            assert isinstance(await sink.deliver(outgoing_of(event(1))), Failed)
        shown = msgspec.structs.replace(plain, cert_file=mine.cert, key_file=mine.key)
        async with receiver(shown, log) as sink:
            assert await sink.deliver(outgoing_of(event(1))) == Delivered()


async def test_a_broker_that_hangs_is_given_up_within_the_time_limit(broker: Mosquitto, log: EmbeddedBroker) -> None:
    async with watching(broker) as watcher, receiver(settings_for(broker, timeout_s=1.0), log) as sink:
        assert await sink.deliver(outgoing_of(event(1))) == Delivered()
        broker.send(signal.SIGSTOP)
        answers = await asyncio.wait_for(
            asyncio.gather(*(sink.deliver(outgoing_of(event(n))) for n in range(2, 6))), 4.0
        )
        assert all(isinstance(answer, Failed) for answer in answers)
        broker.send(signal.SIGCONT)

        async def delivered() -> bool:
            return await sink.deliver(outgoing_of(event(2))) == Delivered()

        await until_asked(delivered, 20, every_s=0.1)
        await watcher.gets(lambda: ids(watcher).count("event-2") >= 1)


@needs_openssl
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves a failed handshake open
async def test_a_handshake_that_hangs_is_given_up_within_the_time_limit(tmp_path: Path, log: EmbeddedBroker) -> None:
    own = make_pair(tmp_path)
    with mosquitto(tmp_path / "mosquitto", *with_tls(own)) as broker:
        broker.send(signal.SIGSTOP)
        settings = settings_for(broker, tls=True, ca_file=own.cert, timeout_s=0.5, keepalive_s=3600)
        async with receiver(settings, log) as sink:
            assert isinstance(await sink.deliver(outgoing_of(event(1))), Failed)
            await asyncio.sleep(1.0)
            broker.send(signal.SIGCONT)

            async def delivered() -> bool:
                return await sink.deliver(outgoing_of(event(1))) == Delivered()

            await until_asked(delivered, 20, every_s=0.1)
            broker.send(signal.SIGSTOP)
            began_s = time.monotonic()
        assert time.monotonic() - began_s < 5


async def test_a_sink_that_ends_while_it_connects_is_offline(broker: Mosquitto, log: EmbeddedBroker) -> None:
    for wait_s in (0.0, 0.002, 0.004, 0.008, 0.016):
        async with asyncio.timeout(10), receiver(settings_for(broker), log):
            await asyncio.sleep(wait_s)
        assert await retained(broker, "picturematch/status") in ({}, {"picturematch/status": b"offline"})


@asynccontextmanager
async def a_way_that_dies(broker: Mosquitto) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """Yield the port of a way to the broker, and the event at which it loses all that its first connection sends."""
    dead = asyncio.Event()
    connections = 0
    tasks: set[asyncio.Task[None]] = set()

    async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter, can_die: bool) -> None:
        try:
            while data := await source.read(65536):
                if not (can_die and dead.is_set()):
                    target.write(data)
                    await target.drain()
        except ConnectionError:
            pass
        finally:
            target.close()
            with suppress(ConnectionError):
                await target.wait_closed()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        behind, before = await asyncio.open_connection("127.0.0.1", broker.port)
        for source, target in ((reader, before), (behind, writer)):
            task = asyncio.create_task(pump(source, target, connections == 1))
            tasks.add(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], dead
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_a_connection_that_has_gone_dead_is_made_again_at_the_first_silence(
    broker: Mosquitto, log: EmbeddedBroker
) -> None:
    async with a_way_that_dies(broker) as (port, dead):
        settings = settings_for(broker, port=port, timeout_s=1.0, keepalive_s=3600)
        async with receiver(settings, log) as sink:
            assert await sink.deliver(outgoing_of(event(1))) == Delivered()
            dead.set()
            assert isinstance(await sink.deliver(outgoing_of(event(2))), Failed)

            async def delivered() -> bool:
                return await sink.deliver(outgoing_of(event(2))) == Delivered()

            await until_asked(delivered, 10, every_s=0.1)


async def test_a_sink_ends_soon_though_the_broker_hangs(broker: Mosquitto, log: EmbeddedBroker) -> None:
    settings = settings_for(broker, timeout_s=0.5)
    async with receiver(settings, log) as sink:
        assert await sink.deliver(outgoing_of(event(1))) == Delivered()
        broker.send(signal.SIGSTOP)
        began_s = time.monotonic()
    assert time.monotonic() - began_s < 5


async def test_hostile_names_stay_within_their_level(broker: Mosquitto, log: EmbeddedBroker) -> None:
    hostile = "+/#\x00\n$SYS é\U0001f6aa￾"
    people = People(msgspec.structs.replace(DEVICE, device_id=hostile, name=hostile))
    settings = settings_for(broker, home_assistant=True)
    async with watching(broker) as watcher, receiver(settings, log, people) as sink:
        assert await sink.deliver(outgoing_of(event(1, outcome="a/b#+\x01"))) == Delivered()
        assert await sink.deliver(outgoing_of(event(2))) == Delivered()
        await watcher.gets(lambda: len(watcher.under("picturematch/%2B")) == 2)
        await watcher.gets(lambda: watcher.under("homeassistant/"))
    (config,) = watcher.under("homeassistant/")
    assert all(one.topic.count("/") == 2 for one in watcher.under("picturematch/%2B"))
    assert json.loads(config.payload)["device"]["name"] == hostile


async def test_pictures_are_published_before_their_event_and_are_not_retained(
    broker: Mosquitto, log: EmbeddedBroker
) -> None:
    picture = encode_jpeg(np.full((80, 100, 3), 120, np.uint8))
    request = MatchRequest(
        request_id="event-1", device_ip="10.0.0.1", picture=picture, compare_time_s=1.0, received_time_s=1.0
    )
    await log.ensure_topics([TopicSpec(TOPICS.requests, 1)])
    (place,) = await log.append([NewRecord(TOPICS.requests, b"10.0.0.1", encode(request), partition=0)])
    box = FaceBox(x=30, y=20, width=30, height=30, confidence=1.0)
    at = RequestPlace(topic=TOPICS.requests, partition=0, offset=place.offset)
    without = RequestPlace(topic=TOPICS.requests, partition=0, offset=99)
    settings = settings_for(broker, pictures=("spot", "face"))
    async with watching(broker, "picturematch/door-1/#") as watcher, receiver(settings, log) as sink:
        assert await sink.deliver(outgoing_of(event(1, request=at, face=box))) == Delivered()
        assert await sink.deliver(outgoing_of(event(2, request=without, face=box))) == Delivered()
        await watcher.gets(lambda: len(watcher.received) == 4)
    spot, face, first, second = watcher.received
    base = "picturematch/door-1"
    assert [one.topic for one in (spot, face, first)] == [f"{base}/image/spot", f"{base}/image/face", f"{base}/matched"]
    assert json.loads(second.payload)["id"] == "event-2"
    assert spot.payload == picture
    assert face.payload.startswith(b"\xff\xd8")
    assert len(face.payload) < len(picture)
    assert (spot.user["id"], spot.content_type, spot.retain) == ("event-1", "image/jpeg", False)
    assert await retained(broker, "picturematch/door-1/#") == {}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"acts": True, "protocol": "3.1.1"}, 'set protocol = "5"'),
        ({"acts": True, "pictures": ("face",)}, "neither pictures"),
        ({"acts": True, "home_assistant": True}, "neither pictures"),
        ({"password": "secret", "password_file": Path("x")}, "not both"),
        ({"user": "u", "password_file": Path("/nowhere/x")}, "the password file /nowhere/x cannot be read"),
        ({"tls": True, "ca_file": Path("/nowhere/x")}, "the file /nowhere/x cannot be used"),
        ({"tls": True, "cert_file": Path("/nowhere/x")}, "the file /nowhere/x cannot be used"),
        ({"ca_file": Path("/nowhere/x")}, "need tls = true"),
        ({"tls": True, "key_file": Path("x")}, "key_file needs cert_file"),
        ({"prefix": "a/#"}, "prefix must be levels"),
        ({"prefix": "/a"}, "prefix must be levels"),
        ({"prefix": "$SYS"}, "prefix must be levels"),
        ({"discovery_prefix": "a+"}, "discovery_prefix must be levels"),
    ],
)
async def test_settings_that_cannot_work_are_refused_with_a_sentence(
    log: EmbeddedBroker, changes: dict[str, object], says: str
) -> None:
    settings = MqttSettings(**({"name": "hall", "host": "127.0.0.1"} | changes))  # type: ignore[arg-type]
    with pytest.raises(SinkError, match=says):
        async with receiver(settings, log):
            pytest.fail("it opened")


async def test_a_broker_that_cannot_be_reached_fails_the_event_within_the_time_limit(
    tmp_path: Path, log: EmbeddedBroker
) -> None:
    nobody = Mosquitto(tmp_path / "mosquitto")
    async with receiver(settings_for(nobody, timeout_s=0.3), log) as sink:
        answer = await asyncio.wait_for(sink.deliver(outgoing_of(event(1))), 3)
        assert isinstance(answer, Failed)
        assert "cannot be reached" in answer.reason


async def test_a_foreign_topic_name_becomes_a_dead_letter(broker: Mosquitto, log: EmbeddedBroker) -> None:
    async with receiver(settings_for(broker), log) as sink:
        answer = await sink.deliver(outgoing_of(event(1, outcome="x" * 70_000)))
        assert isinstance(answer, NeverTakes)
        assert await sink.deliver(outgoing_of(event(2))) == Delivered()


async def test_the_other_tasks_of_the_process_go_on_while_the_broker_hangs(
    broker: Mosquitto, log: EmbeddedBroker
) -> None:
    broker.send(signal.SIGSTOP)
    async with receiver(settings_for(broker, timeout_s=0.5), log) as sink:
        delivering = asyncio.create_task(sink.deliver(outgoing_of(event(1))))
        gaps = []
        while not delivering.done():
            began_s = time.monotonic()
            await asyncio.sleep(0.01)
            gaps.append(time.monotonic() - began_s)
        assert isinstance(delivering.result(), Failed)
        assert sorted(gaps)[len(gaps) // 2] < 0.1
