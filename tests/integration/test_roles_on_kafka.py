"""The roles on a real Kafka broker: started, refused, cut off and found again."""

import asyncio
import base64
import io
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from broker.kafka.broker import open_kafka
from broker.port import NewRecord
from picturematch.settings import load_settings
from picturematch.system import System
from picturematch.wiring import run_system
from tests.support.commands import run
from tests.support.faces import MODELS, photo
from tests.support.plain_kafka import broker_setting, configs_of_topic, set_configs
from tests.support.waiting import until

MATCH, USERS = "/SophonMatch/api/PictureMatch", "/SophonFogSys/api/users"
PATIENCE_S = 60.0


def environment(bootstrap: str, prefix: str | None = None) -> dict[str, str]:
    return {
        "PICTUREMATCH_BROKER": f"kafka://{bootstrap}",
        "PICTUREMATCH_MODELS__KIND": "stand-in",
        "PICTUREMATCH_LOG__TOPIC_PREFIX": prefix or f"roles-{uuid.uuid4().hex}",
        "PICTUREMATCH_INGEST__PORT": "0",
        "PICTUREMATCH_HEALTH__PORT": "0",
    }


async def create_topics(given: dict[str, str]) -> None:
    settings = load_settings(None, given)
    async with open_kafka(settings.kafka_config) as cluster:
        await cluster.ensure_topics(settings.topic_specs)


@asynccontextmanager
async def roles(given: dict[str, str]) -> AsyncIterator[tuple[System, System, aiohttp.ClientSession]]:
    """An ingress and a processor of their own, and a client of the ingress."""
    settings = load_settings(None, given)
    async with (
        run_system(settings, MODELS, ingest=False) as processor,
        run_system(settings, None) as ingress,
        aiohttp.ClientSession(ingress.url) as session,
    ):
        yield ingress, processor, session


async def post(session: aiohttp.ClientSession, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
    headers = {"Content-Type": "application/json"}
    async with session.post(path, data=io.BytesIO(json.dumps(body).encode()), headers=headers) as response:
        return response.status, await response.json()


def encoded(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


async def test_an_ingress_and_a_processor_apart_answer_as_one(kafka_bootstrap):
    given = environment(kafka_bootstrap)
    await create_topics(given)
    async with roles(given) as (ingress, processor, session):
        status, _ = await post(session, USERS, identity_id="a", reg_photo=encoded(photo(1)), info={"name": "A"})
        assert status == 200
        for _ in range(3):
            status, answer = await post(
                session, MATCH, device_ip="10.0.0.1", rgb_image_base64=encoded(photo(1)), need_register_photo=True
            )
            assert (status, answer["retcode"], answer["identity_id"]) == (200, "1", "a")
            assert base64.b64decode(answer["reg_pic"]) == photo(1)
        async with session.get(USERS, params={"identity_id": "a"}) as listed:
            assert (await listed.json())["data"]["identities_list"][0]["identity_id"] == "a"
        async with session.get(f"{processor.url}/readyz") as ready:
            assert (ready.status, await ready.json()) == (200, {"ready": True})
        assert ingress.processor is None


async def test_people_are_enrolled_in_time_in_every_partition_also_after_a_take_over(kafka_bootstrap):
    given = environment(kafka_bootstrap)
    await create_topics(given)
    for turn, status_of_known in ((0, 200), (1, 400)):
        async with roles(given) as (_, processor, session):
            for person in range(12):
                asked = {"identity_id": f"p{person}", "reg_photo": encoded(photo(person))}
                status, answer = await post(session, USERS, **asked, info={"name": f"P{turn}"})
                assert status == status_of_known, (turn, person, answer)
            await until(lambda people=processor.people: len(people) == 12)


async def test_a_picture_at_the_limit_passes_and_one_over_it_is_refused_at_the_ingress(kafka_bootstrap):
    given = environment(kafka_bootstrap)
    await create_topics(given)
    limit = load_settings(None, given).pictures.max_bytes
    whole = photo(1) + bytes(limit - len(photo(1)))  # what follows a JPEG's end is no part of the picture
    async with roles(given) as (ingress, _, session):
        await post(session, USERS, identity_id="a", reg_photo=encoded(photo(1)), info={"name": "A"})
        infrared = photo(1, infrared=True)
        infrared += bytes(limit - len(infrared))
        both = {"rgb_image_base64": encoded(whole), "ir_image_base64": encoded(infrared)}
        status, answer = await post(session, MATCH, device_ip="10.0.0.1", **both)
        assert (status, answer.get("retcode")) == (200, "1"), answer
        before = await ingress.broker.end_offsets(load_settings(None, given).topics.requests)
        status, answer = await post(session, MATCH, device_ip="10.0.0.1", rgb_image_base64=encoded(whole + b"x"))
        assert (status, answer["error"]["code"]) == (413, 41300)
        assert await ingress.broker.end_offsets(load_settings(None, given).topics.requests) == before


async def test_a_role_refuses_topics_that_are_missing_or_would_lose_data_and_says_what_to_change(kafka_bootstrap):
    given = environment(kafka_bootstrap)
    refused = await run("process", **given)
    assert refused.status == 2
    assert "topics create" in refused.err
    assert "Traceback" not in refused.err
    created = await run("topics", "create", **{**given, "PICTUREMATCH_LOG__MAX_RECORD_BYTES": str(25 * 2**20)})
    assert created.status == 0, created.err
    refused = await run("ingest", **given)
    assert refused.status == 2
    assert "max.message.bytes" in refused.err
    checked = await run("topics", "check", **given)
    assert checked.status == 1
    assert "max.message.bytes" in checked.out
    assert (await run("topics", "create", **given)).status == 0
    assert (await run("topics", "check", **given)).status == 0
    described = await run("topics", "describe", "--json", **given)
    assert described.out.count("max_record_bytes") == 11


@pytest.mark.parametrize(("minutes_more", "status"), [(-1, 0), (0, 1), (60, 1)])
async def test_checking_topics_compares_how_long_requests_and_offsets_are_kept(kafka_bootstrap, minutes_more, status):
    offsets_minutes = await broker_setting(kafka_bootstrap, "offsets.retention.minutes")
    retention_ms = (offsets_minutes + minutes_more) * 60_000
    given = environment(kafka_bootstrap) | {"PICTUREMATCH_LOG__REQUESTS_RETENTION_MS": str(retention_ms)}
    await create_topics(given)
    checked = await run("topics", "check", **given)
    assert checked.status == status, checked.out
    assert ("offsets.retention.minutes" in checked.out) == (status == 1)


async def test_checking_topics_looks_at_min_insync_replicas(kafka_bootstrap):
    given = environment(kafka_bootstrap)
    await create_topics(given)
    topics = load_settings(None, given).topics
    assert (await configs_of_topic(kafka_bootstrap, topics.people))["min.insync.replicas"] == "1"
    configs = {"cleanup.policy": "compact", "min.insync.replicas": "2"}
    await set_configs(kafka_bootstrap, topics.people, configs)
    checked = await run("topics", "check", **given)
    assert checked.status == 1
    assert f"topic {topics.people} has min.insync.replicas=2 and 1 replicas" in checked.out
    assert (await run("topics", "create", **given)).status == 0
    assert (await configs_of_topic(kafka_bootstrap, topics.people))["min.insync.replicas"] == "1"


async def test_roles_need_kafka_and_topics_too():
    for command in (("ingest",), ("process",), ("topics", "check")):
        refused = await run(*command)
        assert refused.status == 2
        assert "kafka://" in refused.err


async def test_roles_wait_for_a_broker_and_outlive_its_loss_without_a_restart(kafka_to_break):
    broker = kafka_to_break
    given = environment(broker.bootstrap)
    await create_topics(given)
    broker.stop()
    settings = load_settings(None, {**given, "PICTUREMATCH_INGEST__PORT": "0"})
    starting = run_system(settings, MODELS)
    entering = asyncio.create_task(starting.__aenter__())
    await asyncio.sleep(2.0)
    assert not entering.done()
    await asyncio.to_thread(broker.start)
    async with asyncio.timeout(PATIENCE_S):
        system = await entering
    try:
        async with aiohttp.ClientSession(system.url) as session:
            await post(session, USERS, identity_id="a", reg_photo=encoded(photo(1)), info={"name": "A"})
            body = {"device_ip": "10.0.0.1", "rgb_image_base64": encoded(photo(1))}
            assert (await post(session, MATCH, **body))[0] == 200
            await asyncio.to_thread(broker.kill)
            await until(lambda: not system.broker.available(), PATIENCE_S)
            loop = asyncio.get_running_loop()
            began = loop.time()
            status, answer = await post(session, MATCH, **body)
            assert (status, answer["error"]["code"]) == (503, 50380)
            assert loop.time() - began < settings.ingest.deadline_s / 2
            async with session.get("/readyz") as ready:
                assert ready.status == 503
            await asyncio.to_thread(broker.start)
            async with asyncio.timeout(PATIENCE_S):
                while (await post(session, MATCH, **body))[0] != 200:
                    await until(system.broker.available, PATIENCE_S)
    finally:
        await starting.__aexit__(None, None, None)


async def test_a_record_that_no_processor_can_read_is_a_dead_letter_beside_the_others(kafka_bootstrap):
    given = environment(kafka_bootstrap)
    await create_topics(given)
    topics = load_settings(None, given).topics
    async with roles(given) as (ingress, _, session):
        await ingress.broker.append([NewRecord(topics.requests, b"10.0.0.1", b"\xff")])
        assert (await post(session, MATCH, device_ip="10.0.0.1", rgb_image_base64=encoded(photo(1))))[0] == 400
        assert sum((await ingress.broker.end_offsets(topics.dead_letters)).values()) > 0
