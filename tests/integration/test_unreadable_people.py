"""A record of the people topic that cannot be read, on the embedded log and on real Kafka: told, waited out, repaired.

Nobody is matched meanwhile, since it may be the one person who must be found.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiokafka import AIOKafkaProducer
from msgspec import structs

from broker.embedded import open_embedded
from broker.port import Broker, NewRecord, Record, Start
from contract.audit import LOG_OPERATOR
from contract.codec import encode
from contract.dead_letters import decode_dead_letter
from contract.people.keys import face_key, person_key, photo_key
from contract.requests import EnrolRequest, Headers, MatchRequest
from contract.topics import Topics
from engine.calls.enrol import EnrolCall
from engine.gallery.pending import PendingPeople
from engine.gallery.people import People
from picturematch.settings import load_settings
from picturematch.wiring import run_system
from tests.faults.test_serve import serving
from tests.integration.test_roles_on_kafka import create_topics, encoded, environment, post
from tests.support.commands import run
from tests.support.faces import MODELS, context, photo
from tests.support.unreadable import MODEL, UNREADABLE

MATCH, USERS = "/SophonMatch/api/PictureMatch", "/SophonFogSys/api/users"
COMPARE = "/SophonMatch/api/compare"
PATIENCE_S = 60.0
GARBAGE = b"\xc1 no message at all"
ANNA = person_key("anna")
Write = Callable[..., Awaitable[None]]


@dataclass
class Site:
    """Running roles. `write` puts records into the people topic beside them; `doors` tell whether they are ready."""

    session: aiohttp.ClientSession
    doors: tuple[str, ...]
    write: Write
    broker: Broker
    topics: Topics
    environment: dict[str, str]

    async def why_not_ready(self, door: str) -> str:
        async with self.session.get(f"{door}/readyz") as response:
            return "" if response.status == 200 else str((await response.json())["error"]["message"])

    async def wait_ready(self, ready: bool = True) -> list[str]:
        """Wait until every door says so; what they say."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                told = [await self.why_not_ready(door) for door in self.doors]
                if all((not reason) == ready for reason in told):
                    return told
                await asyncio.sleep(0.05)

    async def match(self, seed: int) -> tuple[int, dict[str, Any]]:
        return await post(self.session, MATCH, device_ip="10.0.0.1", rgb_image_base64=encoded(photo(seed)))

    async def enrol(self, identity_id: str, seed: int) -> tuple[int, dict[str, Any]]:
        return await post(self.session, USERS, identity_id=identity_id, reg_photo=encoded(photo(seed)))

    async def events(self) -> dict[str, dict[str, Any]]:
        events = [orjson.loads(record.value or b"") for record in await self.records(self.topics.events)]
        return {event["id"]: event for event in events}

    async def records(self, topic: str) -> list[Record]:
        found: list[Record] = []
        async with self.broker.reader(topic, Start.EARLIEST) as reader:
            while records := await reader.fetch(1000, 0.5):
                found += records
        return found


@asynccontextmanager
async def embedded_site(folder: Path, first: list[tuple[bytes, bytes | None]]) -> AsyncIterator[Site]:
    given = {
        "PICTUREMATCH_DATA_FOLDER": str(folder),
        "PICTUREMATCH_INGEST__PORT": "0",
        "PICTUREMATCH_MODELS__KIND": "stand-in",
    }
    settings = load_settings(None, given)
    async with open_embedded(folder, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await log.ensure_topics(settings.topic_specs)
        if first:
            await log.append([NewRecord(settings.topics.people, key, value) for key, value in first])
    async with run_system(settings, MODELS) as system, aiohttp.ClientSession(system.url) as session:

        async def write(*records: tuple[bytes, bytes | None]) -> None:
            await system.broker.append([NewRecord(settings.topics.people, key, value) for key, value in records])

        yield Site(session, (system.url,), write, system.broker, settings.topics, given)


@asynccontextmanager
async def kafka_site(bootstrap: str, first: list[tuple[bytes, bytes | None]]) -> AsyncIterator[Site]:
    given = environment(bootstrap)
    await create_topics(given)
    settings = load_settings(None, given)
    topic = settings.topics.people
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap)
    await producer.start()

    async def write(*records: tuple[bytes, bytes | None]) -> None:
        for key, value in records:
            await producer.send_and_wait(topic, value, key, partition=0)

    try:
        await write(*first)
        async with (
            run_system(settings, MODELS, ingest=False) as processor,
            run_system(settings, None) as ingress,
            aiohttp.ClientSession(ingress.url) as session,
        ):
            yield Site(session, (ingress.url, processor.url), write, ingress.broker, settings.topics, given)
    finally:
        await producer.stop()


@pytest.fixture(params=["embedded", "kafka"])
def open_site(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., Any]:
    if request.param == "embedded":
        return lambda *first: embedded_site(tmp_path, list(first))
    bootstrap = request.getfixturevalue("kafka_bootstrap")
    return lambda *first: kafka_site(bootstrap, list(first))


def enrolled(identity_id: str, seed: int) -> list[tuple[bytes, bytes | None]]:
    """The records that an enrolment writes."""
    asked = EnrolRequest(request_id="r", identity_id=identity_id, received_time_s=0.0, photo=photo(seed))
    call, given = EnrolCall(), context()
    people = PendingPeople(People(MODELS.embedder.dimension, MODELS.embedder_identity))
    decision = call.decide(asked, call.prepare(asked, given), people, given)
    return list(decision.people_records([(0, 0)]))


async def test_one_that_comes_while_running_stops_matches_until_its_key_is_written_again(open_site, caplog):
    async with open_site() as site:
        assert (await site.enrol("anna", 1))[0] == 200
        assert (await site.match(1))[1]["identity_id"] == "anna"

        (offset,) = (await site.broker.end_offsets(site.topics.people)).values()
        await site.write((ANNA, GARBAGE))
        for told in await site.wait_ready(False):
            assert site.topics.people in told
            assert "partition 0, offset " in told
            assert "key person/anna" in told
        for status, answer in (await site.match(1), await site.match(2), await site.enrol("bert", 2)):
            assert (status, answer["error"]["code"]) == (503, 50380)
        async with site.session.get(USERS, params={"group_name": "default_group"}) as listed:
            assert (await listed.json())["error"]["code"] == 50380
        both = {"face_image_base64": encoded(photo(1)), "card_image_base64": encoded(photo(1))}
        assert (await post(site.session, COMPARE, **both))[1]["retcode"] == "1"  # needs no people

        await site.write((person_key("carla"), dict(enrolled("carla", 3))[person_key("carla")]))
        assert all(await site.wait_ready(False))  # a record of another key replaces nothing
        await site.write(*enrolled("anna", 1))
        await site.wait_ready()
        assert (await site.match(1))[1]["identity_id"] == "anna"
        assert (await site.enrol("bert", 2))[0] == 200
        assert (await site.match(2))[1]["identity_id"] == "bert"
    told = [message for message in caplog.messages if "cannot" not in message and "key person/anna" in message]
    of_each_role = len(site.doors)
    assert sum("are refused until" in message for message in told) == of_each_role
    assert sum("has replaced it" in message for message in told) == of_each_role
    assert f"topic {site.topics.people}, partition 0, offset " in told[0]
    assert int(told[0].split("offset ")[1].split(",")[0]) >= offset
    assert GARBAGE.decode("latin-1") not in caplog.text


async def test_what_stood_in_the_log_before_is_waited_out_by_a_process_that_stays_up(open_site):
    async with open_site(*enrolled("bert", 2), (ANNA, GARBAGE)) as site:
        for told in await site.wait_ready(False):
            assert "key person/anna" in told
        assert (await site.match(2))[0] == 503
        await site.write((ANNA, None))
        await site.wait_ready()
        assert (await site.match(2))[1]["identity_id"] == "bert"


async def test_what_a_later_record_has_replaced_already_holds_nothing_up(open_site):
    first = [(ANNA, GARBAGE), (b"\xff\xfe", GARBAGE), (b"\xff\xfe", None), *enrolled("anna", 1)]
    async with open_site(*first) as site:
        await site.wait_ready()
        assert (await site.match(1))[1]["identity_id"] == "anna"


async def test_every_kind_of_damage_is_waited_out(open_site):
    async with open_site(*enrolled("bert", 2)) as site:
        await site.wait_ready()
        processor = site.doors[-1]
        for name, (key, value) in UNREADABLE.items():
            await site.write((key, value))
            await until_told(site, processor, name)
            await site.write((key, None))
            await site.wait_ready()
        assert (await site.match(2))[1]["identity_id"] == "bert"


async def until_told(site: Site, door: str, name: str) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while "cannot be read (partition 0, offset" not in await site.why_not_ready(door):
            await asyncio.sleep(0.02)
            assert name


async def test_a_call_removes_somebody_whose_record_cannot_be_read(open_site):
    async with open_site(*enrolled("anna", 1), *enrolled("bert", 2), (ANNA, GARBAGE)) as site:
        await site.wait_ready(False)
        async with site.session.delete(USERS, json={"identity_id": "bert"}) as refused:
            assert refused.status == 503
        async with site.session.delete(USERS, json={"identity_id": "anna"}) as deleted:
            assert deleted.status == 200, await deleted.text()
        await site.wait_ready()
        assert (await site.match(1))[1]["name"] == "stranger"
        assert (await site.enrol("anna", 1))[0] == 200
        assert (await site.match(1))[1]["identity_id"] == "anna"


async def test_requests_that_were_accepted_before_are_refused_and_recorded_so(tmp_path):
    """The ingress does not know yet what the processor has read: its calls still get the answer that is recorded."""
    async with embedded_site(tmp_path, enrolled("anna", 1)) as site:
        calls = [asyncio.create_task(site.match(1)) for _ in range(20)]
        await site.write((ANNA, GARBAGE))
        answers = await asyncio.gather(*calls)
        await site.wait_ready(False)
        assert {status for status, _ in answers} <= {200, 503}
        for status, answer in answers:
            assert answer["identity_id"] == "anna" if status == 200 else answer["error"]["code"] == 50380
        refused = [event for event in (await site.events()).values() if event["error"]]
        assert {event["error"]["code"] for event in refused} <= {50380}


async def test_a_request_about_people_that_nobody_waits_for_does_not_stand_before_the_call_that_repairs(tmp_path):
    async with embedded_site(tmp_path, [*enrolled("anna", 1), (person_key("bert"), GARBAGE)]) as site:
        change = EnrolRequest(request_id="change", identity_id="carla", received_time_s=1.0, photo=photo(3))
        headers = ((Headers.REQUEST_ID, b"change"),)
        await site.broker.append([NewRecord(site.topics.admin, change.key, encode(change), headers)])
        await asyncio.sleep(0.5)
        async with site.session.delete(USERS, json={"identity_id": "bert"}) as deleted:
            assert deleted.status == 200, await deleted.text()
        await site.wait_ready()
        assert (await site.events())["change"]["error"]["code"] == 50380
        records = await site.records(site.topics.dead_letters)
        (letter,) = [decode_dead_letter(record.value or b"") for record in records]
        assert (letter.stage, letter.topic) == ("enrol", site.topics.admin)


async def test_what_somebody_waits_for_is_refused_and_a_match_without_a_deadline_waits_for_the_repair(tmp_path):
    async with embedded_site(tmp_path, [*enrolled("anna", 1), (person_key("bert"), GARBAGE)]) as site:
        asked = MatchRequest(
            request_id="again", device_ip="10.0.0.1", picture=photo(1), compare_time_s=1.0, received_time_s=1.0
        )
        change = EnrolRequest(request_id="change", identity_id="carla", received_time_s=1.0, photo=photo(3))

        async def accept(*headers: tuple[str, bytes], suffix: str = "") -> None:
            for request in (asked, change):
                told = ((Headers.REQUEST_ID, f"{request.request_id}{suffix}".encode()), *headers)
                sent = structs.replace(request, request_id=request.request_id + suffix)
                topic = site.topics.of_requests(administrative=sent.administrative)
                await site.broker.append([NewRecord(topic, sent.key, encode(sent), told)])

        in_time = str(int((time.time() + PATIENCE_S) * 1000)).encode()
        await accept((Headers.DEADLINE_MS, in_time), suffix="-in-time")
        async with asyncio.timeout(PATIENCE_S):
            while len(events := await site.events()) < 2:
                pass
        assert {event["error"]["code"] for event in events.values()} == {50380}
        await accept()
        await asyncio.sleep(1.0)
        assert set(await site.events()) == {"again-in-time", "change-in-time", "change"}
        await site.write((person_key("bert"), None))
        async with asyncio.timeout(PATIENCE_S):
            while len(events := await site.events()) < 4:
                pass
        assert (events["again"]["outcome"], events["change"]["outcome"]) == ("matched", "refused")


async def test_the_command_on_kafka_removes_it_beside_the_running_roles(kafka_bootstrap):
    bad = b"person/\xff\x1b"
    async with kafka_site(kafka_bootstrap, [*enrolled("anna", 1), (bad, GARBAGE), (ANNA, GARBAGE)]) as site:
        await site.broker.append([NewRecord(site.topics.photos, photo_key("anna", 0), b"a photo")])
        await site.wait_ready(False)
        shown = await run("people", "check", **site.environment)
        assert shown.status == 1
        assert [line.split(": ")[0].split("key ")[1] for line in shown.out.splitlines()] == [
            "person/\\xff\\x1b",
            "person/anna",
        ]
        offset = int(shown.out.split("offset ")[1].split(",")[0])
        unsure = await run("people", "repair", offset, **site.environment)  # nobody answers
        assert unsure.status == 1
        done = await run("people", "repair", offset, "--yes", **site.environment)
        assert (done.status, done.err) == (0, "")
        assert all("key person/anna" in told and "xff" not in told for told in await site.wait_ready(False))
        done = await run("people", "repair", "--all", "--yes", **site.environment)
        assert (done.status, done.err) == (0, "")
        assert "this also removes 1 face of the person, with photos" in done.out
        photos = {record.key: record.value for record in await site.records(site.topics.photos)}
        assert photos[photo_key("anna", 0)] is None
        await site.wait_ready()
        assert (await site.enrol("anna", 1))[0] == 200
        assert (await site.match(1))[1]["identity_id"] == "anna"
        again = await run("people", "repair", offset, "--yes", **site.environment)
        assert again.status == 1


async def test_the_server_on_the_embedded_log_stays_up_and_the_command_repairs_it(tmp_path):
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await log.ensure_topics(load_settings(None, {}).topic_specs)
        people = [*enrolled("anna", 1), *enrolled("bert", 2), (face_key("anna", 0, MODEL), GARBAGE), (b"\xff", GARBAGE)]
        await log.append([NewRecord(Topics().people, key, value) for key, value in people])
    options = ("--data-folder", tmp_path)
    async with serving(tmp_path) as server:
        for _ in range(2):
            asked = await run("health", "--url", server.url)
            assert asked.status == 1
            for part in (
                "topic picturematch.people",
                "partition 0",
                "offset 4",
                "key face/anna/0",
                "offset 5",
                "key \\xff",
            ):
                assert part in asked.err
        beside = await run("people", "check", "--json", *options)
        assert [orjson.loads(line)["offset"] for line in beside.out.splitlines()] == [4, 5]
        busy = await run("people", "repair", "--all", "--yes", *options)
        assert busy.status == 2
        assert "stop the server" in busy.err
        server.process.terminate()
        printed = (await server.process.stderr.read()).decode()
        assert await server.process.wait() == 0
    assert "Traceback" not in printed
    assert (
        sum(
            "topic picturematch.people, partition 0, offset 4, key face/anna/0" in line for line in printed.splitlines()
        )
        == 1
    )
    wrong = await run("people", "repair", 3, "--yes", *options)
    assert wrong.status == 1
    assert "key person/bert" in wrong.err
    done = await run("people", "repair", 4, 5, "--yes", *options)
    assert (done.status, done.err) == (0, "")
    readable = await run("people", "repair", 1, "--readable", "--yes", *options)
    assert (readable.status, readable.err) == (0, "")
    audited = await run("audit", "--kind", "repair", "--json", *options)
    changes = [orjson.loads(line) for line in audited.out.splitlines()]
    assert {(change["actor"], change["outcome"]) for change in changes} == {(LOG_OPERATOR, "deleted")}
    removed = [(change["objects"], change["details"]) for change in changes]
    assert removed == [([f"face/anna/0/{MODEL}"], {}), (["\\xff"], {}), (["person/anna"], {"readable": True})]
    assert (await run("people", "check", *options)).status == 0
    async with serving(tmp_path) as server, aiohttp.ClientSession(server.url) as session:
        assert (await run("health", "--url", server.url)).status == 0
        _, answer = await post(session, MATCH, device_ip="10.0.0.1", rgb_image_base64=encoded(photo(2)))
        assert answer["identity_id"] == "bert"


async def test_a_photo_that_cannot_be_read_is_missing_and_no_error(tmp_path):
    async with embedded_site(tmp_path, enrolled("anna", 1)) as site:
        await site.wait_ready()
        await site.broker.append([NewRecord(site.topics.photos, photo_key("anna", 0), GARBAGE)])
        fields = {"device_ip": "10.0.0.1", "rgb_image_base64": encoded(photo(1)), "need_register_photo": True}
        status, answer = await post(site.session, MATCH, **fields)
        assert (status, answer["identity_id"]) == (200, "anna")
        assert "reg_pic" not in answer
        async with site.session.get(USERS, params={"identity_id": "anna", "need_bring_pic": "true"}) as listed:
            assert listed.status == 200
