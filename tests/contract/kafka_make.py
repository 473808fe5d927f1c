"""The Kafka make under test: topic and group names that no other test uses, and commits that are waited for.

Kafka answers a commit before the markers that make it readable are written everywhere. The contract speaks of what is
readable once it is; so what these brokers and members return for has been seen by a reader of committed records.
"""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from broker.kafka.broker import KafkaBroker
from broker.kafka.config import KafkaConfig
from broker.kafka.member import KafkaMember
from broker.port import Broker, FollowUp, NewRecord, OnSkipped, Position, WorkedOn

VISIBLE_S = 10.0


def config_of(bootstrap: str, **changes: Any) -> KafkaConfig:
    """Limits as short as the broker allows, so that failures are quick."""
    limits = {"session_timeout_ms": 3000, "rebalance_timeout_ms": 6000, "transaction_timeout_ms": 8000}
    return KafkaConfig(bootstrap=bootstrap, client_id=f"test-{uuid.uuid4().hex[:8]}", **{**limits, **changes})


async def committed_end(broker: KafkaBroker, position: Position) -> int:
    """Where readers of that partition stop now."""
    place = TopicPartition(position.topic, position.partition)
    async with broker._lookup._consumer("read_committed") as consumer:
        return (await consumer.end_offsets([place]))[place]


async def until_visible(broker: KafkaBroker, positions: Sequence[Position]) -> None:
    async with asyncio.timeout(VISIBLE_S):
        for position in positions:
            while await committed_end(broker, position) <= position.offset:  # noqa: ASYNC110 - another process's doing
                await asyncio.sleep(0.002)


class SettledBroker(KafkaBroker):
    async def append(self, records: Sequence[NewRecord]) -> Sequence[Position]:
        positions = await super().append(records)
        await until_visible(self, positions)
        return positions

    def member(
        self, topic: str, group: str, worked_on: WorkedOn | None = None, on_skipped: OnSkipped | None = None
    ) -> "SettledMember":
        return SettledMember(self, topic, f"{group}-{topic}", worked_on, on_skipped)


class SettledMember(KafkaMember):
    def __init__(
        self,
        broker: KafkaBroker,
        topic: str,
        group: str,
        worked_on: WorkedOn | None,
        on_skipped: OnSkipped | None,
    ) -> None:
        super().__init__(broker._config, broker._cluster, broker._contact, topic, group, worked_on, on_skipped)
        self._broker = broker

    async def commit(
        self,
        partition: int,
        next_offset: int,
        outputs: Sequence[NewRecord] = (),
        *then: FollowUp,
    ) -> Sequence[Position]:
        positions = await super().commit(partition, next_offset, outputs, *then)
        await until_visible(self._broker, positions)
        return positions


class KafkaMake:
    """See `tests.contract.suites.Make`."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap
        self._test = uuid.uuid4().hex[:12]

    def open(self) -> KafkaBroker:
        return SettledBroker(config_of(self.bootstrap))

    async def let_pass(self, broker: Broker, topic: str, ms: int) -> None:
        """Segments end after a second here; the cleaner of the development broker looks every half second."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        try:
            (found,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
            ours = {entry[0]: entry[1] for entry in found.resources[0][4] if entry[3] == 1}
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, ours | {"segment.ms": "1000"})])
        finally:
            await admin.close()
        await asyncio.sleep(ms / 1000)
        for turn in range(2):  # a segment ends as the next record comes
            await broker.append([NewRecord(topic, b"filler-%d-%d" % (ms, turn), b"")])
            await asyncio.sleep(1.2)

    def topic(self, name: str) -> str:
        return f"{name}-{self._test}"
