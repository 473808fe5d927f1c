"""kill -9 of the JSON lines sink right before or behind a commit, so that some partitions are committed and others are
not; several times in a row, judged against the log as clients that are not ours read it."""

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from broker.embedded import open_embedded
from broker.kafka.broker import open_kafka
from broker.kafka.config import KafkaConfig
from broker.port import Broker, NewRecord, TopicSpec
from tests.support.commands import ROOT

PARTITIONS = 3
GROUP = "group"


def now_ms() -> int:
    return int(time.time() * 1000)


Place = tuple[int, int]


async def append(log: Broker, topic: str, partitions: list[int]) -> None:
    """One event each."""
    await log.append([NewRecord(topic, None, b'{"id":"%s"}' % uuid.uuid4().hex.encode(), (), p) for p in partitions])


async def sink(address: str, topic: str, out: Path, when: str = "never", commits: int = 0) -> int:
    """Run a sink that is killed before or after its commit number `commits`; its exit status."""
    arguments = (address, topic, GROUP, str(out), when, str(commits))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.dying_sink", *arguments), cwd=ROOT, stderr=subprocess.PIPE
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode in (0, -9), err.decode()
    return process.returncode


async def kill_often(log: Broker, address: str, topic: str, out: Path, seed: int, kills: int) -> None:
    """Kills at one of the first four commits, and events of one partition after each; then one run to the end."""
    chance = random.Random(seed)
    await append(log, topic, [chance.randrange(PARTITIONS) for _ in range(30)])
    for _ in range(kills):
        when, commits = chance.choice(("before", "after")), chance.randint(1, 4)
        if await sink(address, topic, out, when, commits) == 0:
            await append(log, topic, [chance.randrange(PARTITIONS) for _ in range(30)])
        one = chance.randrange(PARTITIONS)
        await append(log, topic, [one] * chance.randint(0, 9))
    assert await sink(address, topic, out) == 0


def places_in(out: Path) -> Counter[Place]:
    """The places that the files' lines name."""
    lines = [line for path in out.glob("events-*.jsonl") for line in path.read_bytes().splitlines()]
    places = [orjson.loads(line)["place"] for line in lines]
    return Counter((place["partition"], place["offset"]) for place in places)


def places_in_file(data: Path, topic: str) -> set[Place]:
    """The places of a topic's records in an embedded log, as SQLite tells them."""
    (path,) = (p for p in data.iterdir() if p.is_file() and p.read_bytes()[:15] == b"SQLite format 3")
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        shards = connection.execute(
            "SELECT shard.id, partition FROM shard JOIN topic ON topic.id = topic_id WHERE name = ?", (topic,)
        ).fetchall()
        ids = [number for (number,) in connection.execute("SELECT id FROM record")]
    finally:
        connection.close()
    bits = 40
    return {(partition, n - (shard << bits)) for shard, partition in shards for n in ids if n >> bits == shard}


async def places_on_broker(bootstrap: str, topic: str) -> set[Place]:
    """The places of a topic's committed records on Kafka, as aiokafka tells them."""
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed") as consumer:
        partitions = [TopicPartition(topic, p) for p in range(PARTITIONS)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        ends = await consumer.end_offsets(partitions)
        places: set[Place] = set()
        while any([await consumer.position(p) < ends[p] for p in partitions]):
            found = await consumer.getmany(timeout_ms=200)
            places |= {(p.partition, record.offset) for p, records in found.items() for record in records}
    return places


def judge(carried: Counter[Place], there: set[Place]) -> str:
    """A sentence for what does not fit; an empty one where each event was carried once."""
    doubled = sum(count - 1 for count in carried.values())
    lost, foreign = len(there - carried.keys()), len(carried.keys() - there)
    return f"{doubled} doubled, {lost} lost, {foreign} unknown of {len(there)}" if doubled or lost or foreign else ""


async def test_a_partition_that_two_kills_left_uncommitted_is_not_written_twice(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    async with open_embedded(data, role="owner", clock_ms=now_ms) as log:
        await log.ensure_topics([TopicSpec("events", PARTITIONS)])
        await append(log, "events", [2] * 7)
        assert await sink(str(data), "events", out, "before", 1) == -9  # partition 2 is written and not committed
        await append(log, "events", [0] * 7 + [1] * 7)
        assert await sink(str(data), "events", out, "before", 2) == -9  # the others have begun another file
        assert await sink(str(data), "events", out) == 0
    assert judge(places_in(out), places_in_file(data, "events")) == ""


@pytest.mark.parametrize("seed", [17, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(18, 30))])
async def test_between_the_commits_of_an_embedded_log_no_kill_doubles_or_loses_an_event(
    tmp_path: Path, seed: int
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    async with open_embedded(data, role="owner", clock_ms=now_ms) as log:
        await log.ensure_topics([TopicSpec("events", PARTITIONS)])
        await kill_often(log, str(data), "events", out, seed, kills=8)
    assert judge(places_in(out), places_in_file(data, "events")) == ""
    assert len(list(out.glob("events-*.jsonl"))) > 2


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", [31, 32, 33])
async def test_between_the_commits_on_kafka_no_kill_doubles_or_loses_an_event(
    kafka_bootstrap: str, tmp_path: Path, seed: int
) -> None:
    out, topic = tmp_path / "out", f"events-{uuid.uuid4().hex}"
    async with open_kafka(KafkaConfig(bootstrap=kafka_bootstrap)) as log:
        await log.ensure_topics([TopicSpec(topic, PARTITIONS)])
        await kill_often(log, f"kafka://{kafka_bootstrap}", topic, out, seed, kills=8)
    assert judge(places_in(out), await places_on_broker(kafka_bootstrap, topic)) == ""
