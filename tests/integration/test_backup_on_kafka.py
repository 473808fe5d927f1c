"""`picturematch log backup | restore` on a real Kafka broker, into topics whose offsets are other ones."""

import asyncio
import base64
import json
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from broker.embedded import LogFileReader
from broker.kafka.broker import open_kafka
from contract.codec import encode
from contract.requests import MatchRequest
from contract.topics import Topics
from picturematch.settings import Settings, load_settings
from picturematch.wiring import run_system
from tests.integration.test_roles_on_kafka import MATCH, USERS, create_topics, encoded, environment, post, roles
from tests.support.commands import Finished, run
from tests.support.faces import MODELS, photo
from tests.support.plain_kafka import (
    configs_of_topic,
    group_offsets,
    put_back,
    read_committed,
    remove_before,
    send,
    set_configs,
    until_done,
)
from tests.support.waiting import until

PARTITIONS = 2
SINK = "sink-of-a-stranger"


class Installation:
    """Topics of their own on a broker."""

    def __init__(self, bootstrap: str, **given: str) -> None:
        self.bootstrap = bootstrap
        self.given = environment(bootstrap) | {"PICTUREMATCH_LOG__REQUEST_PARTITIONS": str(PARTITIONS)} | given
        self.settings: Settings = load_settings(None, self.given)
        self.topics: Topics = self.settings.topics

    async def send(self, count: int, partition: int) -> list[str]:
        """The ids of so many new requests, written past any ingress."""
        ids = [uuid.uuid4().hex for _ in range(count)]
        requests = [
            MatchRequest(
                request_id=name, device_ip="10.0.0.1", picture=photo(1), compare_time_s=1.0, received_time_s=1.0
            )
            for name in ids
        ]
        await send(self.bootstrap, self.topics.requests, [encode(request) for request in requests], partition=partition)
        return ids

    async def decide(self) -> None:
        """Run a processor until it has decided everything."""
        async with run_system(self.settings, MODELS, ingest=False):
            assert await until_done(self.bootstrap, self.topics.requests, self.topics.processors, PARTITIONS)

    async def events(self) -> Counter[str]:
        """How many events each request has."""
        return Counter(
            json.loads(each.value)["id"] for each in await read_committed(self.bootstrap, self.topics.events)
        )

    async def shift(self) -> None:
        """Have every topic's offsets begin elsewhere, and no records."""
        await create_topics(self.given)
        for number, spec in enumerate(self.settings.topic_specs):
            configs = await configs_of_topic(self.bootstrap, spec.name)
            await set_configs(self.bootstrap, spec.name, configs | {"cleanup.policy": "delete"})
            for partition in range(spec.partitions):
                count = 3 + number + partition
                await send(self.bootstrap, spec.name, [b"former"] * count, partition=partition)
                await remove_before(self.bootstrap, spec.name, count, partition)
            await set_configs(self.bootstrap, spec.name, configs)

    async def back_up(self, target: Path) -> Finished:
        return await run("log", "backup", target, **self.given)

    async def restore(self, source: Path, *options: str) -> Finished:
        return await run("log", "restore", source, *options, **self.given)


@asynccontextmanager
async def served(there: Installation) -> AsyncIterator[aiohttp.ClientSession]:
    async with roles(there.given) as (_, _, session):
        yield session


async def enrol(session: aiohttp.ClientSession, name: str, seed: int) -> None:
    status, answer = await post(session, USERS, identity_id=name, reg_photo=encoded(photo(seed)), info={"name": name})
    assert status == 200, answer


async def match(session: aiohttp.ClientSession, seed: int) -> dict[str, Any]:
    asked = {"device_ip": "10.0.0.1", "rgb_image_base64": encoded(photo(seed)), "need_register_photo": True}
    status, answer = await post(session, MATCH, **asked)
    assert status == 200, answer
    return answer


@pytest.fixture
async def there(kafka_bootstrap: str) -> Installation:
    """Two people, one of them with a face that replaced another; events; and requests that nobody has decided."""
    installation = Installation(kafka_bootstrap)
    await create_topics(installation.given)
    async with served(installation) as session:
        for name, seed in (("a", 1), ("b", 2), ("gone", 3)):
            await enrol(session, name, seed)
        async with session.delete(USERS, json={"identity_id": "gone"}) as deleted:
            assert deleted.status == 200
        for _ in range(4):
            assert (await match(session, 1))["identity_id"] == "a"
    return installation


def whole(done: Finished) -> None:
    assert (done.status, done.err) == (0, "")


async def test_people_their_photos_and_what_is_undecided_survive_a_restore_into_other_offsets(
    there: Installation, tmp_path: Path
) -> None:
    undecided = [*await there.send(5, 0), *await there.send(3, 1)]
    former = await there.events()
    third = [each for each in await read_committed(there.bootstrap, there.topics.events) if each.partition == 0][2]
    place = TopicPartition(there.topics.events, 0)
    await put_back(there.bootstrap, SINK, {place: OffsetAndMetadata(third.offset, "")})
    copy = tmp_path / "copy.sqlite"
    whole(await there.back_up(copy))
    assert copy.stat().st_mode & 0o777 == 0o600

    other = Installation(there.bootstrap)
    await other.shift()
    whole(await other.restore(copy))
    audited = await run("audit", "--kind", "restore", "--json", **other.given)
    assert f'"{copy.name}"' in audited.out
    async with served(other) as session:
        for name, seed in (("a", 1), ("b", 2)):
            answer = await match(session, seed)
            assert answer["identity_id"] == name
            assert base64.b64decode(answer["reg_pic"]) == photo(seed)
        assert (await match(session, 3))["name"] == "stranger"
        await enrol(session, "c", 4)
    assert await until_done(other.bootstrap, other.topics.requests, other.topics.processors, PARTITIONS)
    events = await other.events()
    assert {name: events[name] for name in (*former, *undecided)} == dict.fromkeys((*former, *undecided), 1)
    assert len(events) == len(former) + len(undecided) + 4
    at = (await group_offsets(other.bootstrap, SINK))[TopicPartition(other.topics.events, 0)]
    (found,) = [
        each
        for each in await read_committed(other.bootstrap, other.topics.events)
        if (each.partition, each.offset) == (0, at.offset)
    ]
    assert (found.value, found.timestamp) == (third.value, third.timestamp)
    assert at.offset != third.offset


async def kinds_of_configs(installation: Installation) -> set[bytes]:
    records = await read_committed(installation.bootstrap, installation.topics.configs)
    return {each.key.partition(b"/")[0] for each in records}


async def test_configurations_are_restored_and_checkpoints_of_other_offsets_are_not(
    there: Installation, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.sqlite"
    whole(await there.back_up(copy))
    other = Installation(there.bootstrap)
    whole(await other.restore(copy))
    assert await kinds_of_configs(there) == {b"policy", b"model-set", b"checkpoint"}
    assert await kinds_of_configs(other) == {b"policy", b"model-set"}


async def test_a_request_whose_event_is_in_the_backup_is_not_decided_again_though_its_group_was_behind(
    there: Installation, tmp_path: Path
) -> None:
    early = await group_offsets(there.bootstrap, there.topics.processors)
    await there.send(6, 0)
    await there.send(2, 1)
    await there.decide()
    await put_back(there.bootstrap, there.topics.processors, early)  # as if they had been decided during the backup
    former = await there.events()
    copy = tmp_path / "copy.sqlite"
    whole(await there.back_up(copy))
    other = Installation(there.bootstrap)
    whole(await other.restore(copy))
    later = await other.send(1, 0)
    await other.decide()
    assert await other.events() == former + Counter(later)


async def test_a_backup_that_is_made_while_requests_are_decided_holds_the_request_of_every_event(
    there: Installation, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.sqlite"
    async with served(there) as session:

        async def keep_matching() -> None:
            while True:
                await match(session, 2)

        matching = asyncio.create_task(keep_matching())
        whole(await there.back_up(copy))
        matching.cancel()
    with LogFileReader(copy) as file:
        places, named = set(), []
        for partition in range(PARTITIONS):
            for batch in file.records(there.topics.requests, partition):
                places |= {(partition, record.offset) for record in batch}
            for batch in file.records(there.topics.events, partition):
                named += [json.loads(record.value or b"") for record in batch]
    requests = [event["request"] for event in named if event["request"]["topic"] == there.topics.requests]
    assert len(requests) >= 4
    assert {(request["partition"], request["offset"]) for request in requests} <= places
    other = Installation(there.bootstrap)
    whole(await other.restore(copy))
    await other.decide()
    assert set((await other.events()).values()) == {1}


async def test_a_backup_of_kafka_becomes_an_embedded_log_and_one_of_that_a_log_on_kafka(
    there: Installation, tmp_path: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    whole(await there.back_up(first))
    embedded = {**there.given, "PICTUREMATCH_BROKER": "embedded", "PICTUREMATCH_DATA_FOLDER": str(tmp_path / "data")}
    whole(await run("log", "restore", first, **embedded))
    checked = await run("log", "check", **embedded)
    assert (checked.status, checked.err) == (0, "")
    async with (
        run_system(load_settings(None, embedded), MODELS) as system,
        aiohttp.ClientSession(system.url) as session,
    ):
        answer = await match(session, 2)
        assert base64.b64decode(answer["reg_pic"]) == photo(2)
        await enrol(session, "c", 4)
        whole(await run("log", "backup", second, **embedded))
    other = Installation(there.bootstrap)
    whole(await other.restore(second))
    async with served(other) as session:
        for name, seed in (("b", 2), ("c", 4)):
            answer = await match(session, seed)
            assert (answer["identity_id"], base64.b64decode(answer["reg_pic"])) == (name, photo(seed))
    assert set((await other.events()).values()) == {1}


def sentence(done: Finished) -> str:
    assert done.status == 2
    assert len(done.err.splitlines()) == 1, done.err
    return done.err


async def test_what_cannot_be_restored_is_refused_in_one_sentence_and_leaves_everything_as_it_was(
    there: Installation, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.sqlite"
    whole(await there.back_up(copy))
    assert "exists already" in sentence(await there.back_up(copy))
    before = await there.events()
    assert "empty topics only" in sentence(await there.restore(copy))
    assert "delete the topics" in sentence(await there.restore(copy, "--replace"))
    assert await there.events() == before

    wider = Installation(there.bootstrap, PICTUREMATCH_LOG__REQUEST_PARTITIONS="3")
    assert "log.request_partitions" in sentence(await wider.restore(copy))
    strange = tmp_path / "strange"
    strange.write_bytes(b"no log at all " * 1000)
    other = Installation(there.bootstrap)
    assert str(strange) in sentence(await other.restore(strange))
    await create_topics(other.given)
    async with run_system(other.settings, MODELS, ingest=False) as processor:
        await until(lambda: processor.people is not None)
        assert "stop all roles" in sentence(await other.restore(copy))
    async with open_kafka(other.settings.kafka_config) as cluster:
        for spec in other.settings.topic_specs:
            if spec.name not in (other.topics.members, other.topics.configs):  # a processor writes there as it starts
                assert set((await cluster.end_offsets(spec.name)).values()) == {0}
