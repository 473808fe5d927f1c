"""Consumers that nobody here wrote read the events: Node's kafkajs, Kafka's own console consumer, and the examples.

Each must read the event of every accepted request once, in order for each device, and nothing of a transaction that was
aborted.
"""

import asyncio
import json
import os
import shutil
import sys
import uuid
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from contract.http import MATCH_PATH, USERS_PATH
from picturematch.settings import load_settings
from tests.integration.test_roles_on_kafka import create_topics, encoded, environment, roles
from tests.support.faces import photo, scene
from tests.support.kafka import REQUIRED
from tests.support.kafka_dev.java import java_and_jars
from tests.support.nodejs import KAFKAJS, node, npm_packages
from tests.support.plain_kafka import ends_of, read_committed

ROOT = Path(__file__).parents[2]
DEVICES = [f"10.0.0.{number}" for number in range(6)]
CALLS = 5
END = "end"
PATIENCE_S = 90.0
NOTHING = dict.fromkeys(("kind", "outcome", "device_ip", "name"), "")
TRACE = "00-{:032x}-00f067aa0ba902b7-01"


@dataclass(frozen=True)
class Written:
    """The events topic of an installation: the ids of the events by key, in the order of the requests.

    The last record of every partition has the id `end-N`, and is no event of PictureMatch.
    """

    bootstrap: str
    topic: str
    partitions: int
    by_key: Mapping[str, Sequence[str]]
    traces: Mapping[str, str]
    aborted: int

    @property
    def ids(self) -> list[str]:
        return [each for ids in self.by_key.values() for each in ids]

    @property
    def ends(self) -> set[str]:
        return {f"{END}-{partition}" for partition in range(self.partitions)}


@dataclass(frozen=True)
class Read:
    """One record as a consumer printed it."""

    partition: int
    key: str
    headers: Mapping[str, str]
    id: str


async def abort(bootstrap: str, topic: str, partitions: int) -> int:
    """Write a record into every partition in a transaction that is aborted; the number of records."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"aborted-{uuid.uuid4().hex}")
    async with producer:
        await producer.begin_transaction()
        for partition in range(partitions):
            value = json.dumps({"id": f"aborted-{partition}"}).encode()
            await producer.send_and_wait(topic, value, DEVICES[0].encode(), partition=partition)
        await producer.abort_transaction()
    return partitions


async def write(bootstrap: str) -> Written:
    given = environment(bootstrap)
    await create_topics(given)
    settings = load_settings(None, given)
    topic, partitions = settings.topics.events, settings.log.request_partitions
    by_key, traces = defaultdict[str, list[str]](list), dict[str, str]()
    pictures = [photo(1), photo(9), scene()]
    async with roles(given) as (_ingress, _processor, session):
        body = {"identity_id": "anna", "reg_photo": encoded(photo(1)), "info": {"name": "Anna"}}
        async with session.post(USERS_PATH, json=body) as response:
            assert response.status == 200
            by_key["anna"].append(response.headers["X-Request-Id"])

        async def pass_by(number: int) -> None:
            for call in range(CALLS):
                traceparent = TRACE.format(1 + number * CALLS + call)
                body = {"device_ip": DEVICES[number], "rgb_image_base64": encoded(pictures[call % len(pictures)])}
                async with session.post(MATCH_PATH, json=body, headers={"traceparent": traceparent}) as response:
                    request_id = response.headers["X-Request-Id"]
                    await response.read()
                by_key[DEVICES[number]].append(request_id)
                traces[request_id] = traceparent

        aborted = await abort(bootstrap, topic, partitions)
        halves = (range(3), range(3, len(DEVICES)))
        for half in halves:
            await asyncio.gather(*map(pass_by, half))
            aborted += await abort(bootstrap, topic, partitions)
    async with AIOKafkaProducer(bootstrap_servers=bootstrap) as producer:
        for partition in range(partitions):
            value = json.dumps(NOTHING | {"id": f"{END}-{partition}"})
            await producer.send_and_wait(topic, value.encode(), b"", partition=partition)
    return Written(bootstrap, topic, partitions, by_key, traces, aborted)


@pytest.fixture(scope="module")
def written(kafka_bootstrap: str) -> Written:
    return asyncio.run(write(kafka_bootstrap))


@pytest.fixture(scope="module")
def kafkajs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a program finds the package kafkajs."""
    folder = tmp_path_factory.mktemp("kafkajs")
    npm_packages(folder, KAFKAJS)
    return folder


async def printed(*command: str) -> AsyncIterator[str]:
    """The lines that a program prints, which is ended behind the last that anybody wants."""
    program = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, limit=1 << 20)
    assert program.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE_S):
            while line := await program.stdout.readline():
                yield line.decode().rstrip("\n")
        pytest.fail(f"{command[0]} ended with status {await program.wait()}")
    finally:
        if program.returncode is None:
            program.kill()
        await program.wait()


async def until_ends(written: Written, read: Callable[[str], Read], *command: str) -> list[Read]:
    """Everything that a consumer printed, once it has read the last record of every partition."""
    found: list[Read] = []
    ends = set(written.ends)
    async with aclosing(printed(*command)) as lines:
        async for line in lines:
            one = read(line)
            found.append(one)
            ends.discard(one.id)
            if not ends:
                return found
    raise AssertionError("the consumer ended")


def check(written: Written, found: Sequence[Read]) -> None:
    """Each event once, in order for each key, with its headers; nothing that was aborted."""
    events = [one for one in found if one.id not in written.ends]
    assert sorted(one.id for one in events) == sorted(written.ids)
    for key, ids in written.by_key.items():
        assert [one.id for one in events if one.key == key] == ids
        assert len({one.partition for one in events if one.key == key}) == 1
    for one in events:
        assert one.headers["ce_id"] == one.id
        assert one.headers["ce_specversion"] == "1.0"
        assert one.headers["ce_type"] == f"picturematch.{'person' if one.key == 'anna' else 'match'}.v1"
        assert one.headers.get("traceparent") == one.headers.get("ce_traceparent") == written.traces.get(one.id)


async def test_the_aborted_records_are_in_the_log_for_whoever_reads_uncommitted_ones(written: Written) -> None:
    ends = await ends_of(written.bootstrap, written.topic, written.partitions)
    aborted = 0
    async with AIOKafkaConsumer(bootstrap_servers=written.bootstrap, isolation_level="read_uncommitted") as consumer:
        consumer.assign(list(ends))
        await consumer.seek_to_beginning()
        while [place for place, end in ends.items() if await consumer.position(place) < end]:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                aborted += sum(json.loads(record.value)["id"].startswith("aborted-") for record in records)
    assert aborted == written.aborted == 3 * written.partitions


async def test_kafkajs_reads_each_event_once_with_its_default_isolation(written: Written, kafkajs: Path) -> None:
    script = shutil.copy(ROOT / "tests/support/print_records.mjs", kafkajs)

    def read(line: str) -> Read:
        record = json.loads(line)
        return Read(record["partition"], record["key"], record["headers"], json.loads(record["value"])["id"])

    command = (node(), str(script), written.bootstrap, written.topic, f"kafkajs-{uuid.uuid4().hex}")
    check(written, await until_ends(written, read, *command))


async def test_kafkas_console_consumer_reads_each_event_once(written: Written) -> None:
    found = java_and_jars("kafka-tools")
    if found is None and os.environ.get(REQUIRED) != "1":
        pytest.skip("the console consumer needs Java and Maven")
    assert found is not None, "the console consumer needs Java and Maven"
    java, jars = found

    def read(line: str) -> Read:
        partition, headers, key, value = line.split("\t")
        pairs = [] if headers == "NO_HEADERS" else [pair.split(":", 1) for pair in headers.split("|")]
        return Read(int(partition.removeprefix("Partition:")), key, dict(pairs), json.loads(value)["id"])

    wanted = ("print.key=true", "print.headers=true", "print.partition=true", "headers.separator=|")
    properties = [word for each in wanted for word in ("--property", each)]
    check(
        written,
        await until_ends(
            written,
            read,
            *(java, "-Xmx128m", "-XX:+UseSerialGC", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"),
            *("-cp", f"{jars}{os.sep}*", "org.apache.kafka.tools.consumer.ConsoleConsumer"),
            *("--bootstrap-server", written.bootstrap, "--topic", written.topic, "--from-beginning"),
            *("--isolation-level", "read_committed", *properties),
        ),
    )


async def test_the_picture_of_an_event_is_read_from_the_place_that_it_names(written: Written) -> None:
    records = await read_committed(written.bootstrap, written.topic)
    events = {event["id"]: event for event in (json.loads(record.value) for record in records)}
    for key, member in (("anna", "photo"), (DEVICES[0], "picture")):
        event = events[written.by_key[key][0]]
        place = TopicPartition(event["request"]["topic"], event["request"]["partition"])
        async with AIOKafkaConsumer(bootstrap_servers=written.bootstrap, isolation_level="read_committed") as consumer:
            consumer.assign([place])
            consumer.seek(place, event["request"]["offset"])
            record = await consumer.getone()
        assert record.offset == event["request"]["offset"]
        assert dict(record.headers)["request_id"].decode() == event["id"]
        picture = msgspec.msgpack.decode(record.value)[member]
        assert picture == photo(1)
        assert sha256(picture).hexdigest() == event["request"]["sha256"]


def of_example(line: str) -> Read:
    """What the examples print: id, kind, outcome, device and name. The other values are not printed."""
    words = line.split(" ")
    return Read(0, "" if len(words) < 4 else words[3], {}, words[0])


async def test_the_example_in_python_prints_each_event_once(written: Written) -> None:
    await check_example(written, sys.executable, str(ROOT / "examples/print_events.py"))


async def test_the_example_in_node_prints_each_event_once(written: Written, kafkajs: Path) -> None:
    await check_example(written, node(), str(shutil.copy(ROOT / "examples/print_events.mjs", kafkajs)))


async def check_example(written: Written, *command: str) -> None:
    found = await until_ends(written, of_example, *command, written.bootstrap, written.topic)
    assert sorted(one.id for one in found) == sorted([*written.ids, *written.ends])
    for device in DEVICES:
        assert [one.id for one in found if one.key == device] == written.by_key[device]


def test_an_example_has_about_ten_lines() -> None:
    for example in ROOT.glob("examples/print_events.*"):
        code = [line for line in example.read_text().splitlines() if line and not line.startswith(('"""', "//"))]
        assert len(code) <= 13, example.name
