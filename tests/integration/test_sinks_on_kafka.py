"""Several sinks of one group on a real Kafka broker."""

import asyncio
import time
import uuid
from collections import Counter
from pathlib import Path

import orjson

from broker.kafka.broker import KafkaBroker, open_kafka
from broker.kafka.config import KafkaConfig
from broker.port import NewRecord, TopicSpec
from sinks.jsonl import JsonlSink
from sinks.runner import reading_at, run_sink
from tests.support.waiting import until

PATIENCE_S = 60.0
PARTITIONS = 4


def lines(folder: Path) -> list[int]:
    files = folder.glob("events-*.jsonl")
    return [orjson.loads(line)["number"] for file in files for line in file.read_bytes().splitlines()]


async def carry(broker: KafkaBroker, topic: str, folder: Path, stop: asyncio.Event) -> None:
    sink = JsonlSink(folder, topic, "group", max_bytes=1 << 20, max_age_s=3600.0, clock_s=time.time)
    async with broker.member(topic, f"group-{topic}") as member:
        await run_sink(
            sink, member, await broker.end_offsets(topic), stop, read_at=reading_at(broker, topic), max_batch=5
        )


async def test_sinks_that_share_a_group_write_each_event_into_one_folder(kafka_bootstrap, tmp_path):
    config = KafkaConfig(bootstrap=kafka_bootstrap, session_timeout_ms=3000, rebalance_timeout_ms=6000)
    topic = f"events-{uuid.uuid4().hex}"
    one, two = tmp_path / "one", tmp_path / "two"
    written = 0
    stop, full = asyncio.Event(), asyncio.Event()

    async def write(broker: KafkaBroker) -> None:
        nonlocal written
        while not full.is_set():
            records = [NewRecord(topic, None, b'{"number":%d}' % (written + p), partition=p) for p in range(PARTITIONS)]
            await broker.append(records)
            written += PARTITIONS
            await asyncio.sleep(0.02)

    async with open_kafka(config) as broker, asyncio.TaskGroup() as work, asyncio.timeout(PATIENCE_S):
        await broker.ensure_topics([TopicSpec(topic, PARTITIONS)])
        writing = work.create_task(write(broker))
        sinks = [work.create_task(carry(broker, topic, one, stop))]
        await until(lambda: len(lines(one)) >= 20, PATIENCE_S)
        sinks.append(work.create_task(carry(broker, topic, two, stop)))
        await until(lambda: len(lines(two)) >= 20, PATIENCE_S)
        full.set()
        await writing
        await until(lambda: len({*lines(one), *lines(two)}) == written, PATIENCE_S)
        stop.set()
        await asyncio.wait(sinks)
    assert Counter([*lines(one), *lines(two)]) == Counter(range(written))
