"""What tests of faults between client and Kafka share: a log through the proxy, a worker on it, a count beside it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from broker.kafka.broker import open_kafka
from broker.kafka.config import KafkaConfig
from broker.port import Broker, BrokerUnavailable, CommitFailed, NewRecord, TopicSpec


def config_of(bootstrap: str, **changes: Any) -> KafkaConfig:
    limits = {
        "session_timeout_ms": 3000,
        "rebalance_timeout_ms": 6000,
        "transaction_timeout_ms": 12_000,
        "request_timeout_ms": 2000,
    }
    return KafkaConfig(bootstrap=bootstrap, client_id=f"test-{uuid.uuid4().hex[:8]}", **{**limits, **changes})


@asynccontextmanager
async def log_of(
    direct: str, through: str, requests: Sequence[bytes], **changes: Any
) -> AsyncIterator[tuple[Broker, str, str]]:
    """A log through the proxy, with a topic of requests that were written without it, and one of events."""
    name = uuid.uuid4().hex[:12]
    work, events = f"work-{name}", f"events-{name}"
    async with open_kafka(config_of(direct)) as beside:
        await beside.ensure_topics([TopicSpec(work, 1), TopicSpec(events, 1)])
        for value in requests:
            await beside.append([NewRecord(work, b"key", value)])
    async with open_kafka(config_of(through, **changes)) as broker:
        yield broker, work, events


class Worker:
    """Commits one event for each request, as a processor does: in order, starting over after a failure."""

    def __init__(self, broker: Broker, work: str, events: str) -> None:
        self._broker, self._work, self._events = broker, work, events
        self._task: asyncio.Task[None] | None = None
        self.committed: list[bytes | None] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            with suppress(BrokerUnavailable):
                await self._be_member()
            await asyncio.sleep(0.1)

    async def _be_member(self) -> None:
        async with self._broker.member(self._work, f"group-{self._work}") as member:
            while True:
                try:
                    found = await member.fetch(1, 0.2)
                except BrokerUnavailable:
                    continue
                for request in found:
                    try:
                        event = NewRecord(self._events, request.key, request.value)
                        await member.commit(request.partition, request.offset + 1, [event])
                        self.committed.append(request.value)
                    except (CommitFailed, BrokerUnavailable):
                        await self._rewind(member, request.partition)

    async def _rewind(self, member: Any, partition: int) -> None:
        while True:
            try:
                return await member.rewind(partition)
            except BrokerUnavailable:
                await asyncio.sleep(0.1)


async def readable(direct: str, topic: str) -> list[bytes | None]:
    """Every committed record's value, by a client that is not ours and does not come through the proxy."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=direct, isolation_level="read_committed", enable_auto_commit=False, auto_offset_reset="none"
    )
    await consumer.start()
    try:
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        end = (await consumer.end_offsets([place]))[place]
        found: list[bytes | None] = []
        while await consumer.position(place) < end:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += [record.value for record in records]
        return found
    finally:
        await consumer.stop()


async def readable_once_settled(direct: str, topic: str, least: int, timeout_s: float = 60.0) -> list[bytes | None]:
    """As `readable`, once there are at least so many different ones, and a further second has brought no more."""
    async with asyncio.timeout(timeout_s):
        while True:
            found = await readable(direct, topic)
            if len(set(found)) >= least:
                await asyncio.sleep(1.0)
                if await readable(direct, topic) == found:
                    return found
            await asyncio.sleep(0.2)


async def settled(direct: str, topic: str, quiet_s: float) -> list[bytes | None]:
    """As `readable`, once nothing more came for so long."""
    found = await readable(direct, topic)
    while True:
        await asyncio.sleep(quiet_s)
        now = await readable(direct, topic)
        if now == found:
            return found
        found = now
