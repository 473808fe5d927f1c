"""Single questions to the log: where it ends, and what stands at one place."""

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

import aiokafka.errors as kafka
from aiokafka import TopicPartition

from broker.kafka.clients import Consumer, bounded, start_consumer, stop_consumer
from broker.kafka.config import KafkaConfig
from broker.kafka.errors import broker_error
from broker.kafka.records import record_of
from broker.port import BrokerUnavailable, Position, Record

Isolation = Literal["read_committed", "read_uncommitted"]


_FETCH_BYTES = 4096
"""One record is wanted at a time: brokers send its batch whole, and nothing of those behind it."""


class Lookup:
    """A consumer without a group for each isolation, used by one question at a time."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._consumers: dict[Isolation, Any] = {}
        self._one_question = asyncio.Lock()
        # The ends last asked for. A topic that was made again may end before: its brokers then refuse the offset.
        self._ends: dict[TopicPartition, int] = {}

    async def close(self) -> None:
        """Stop the consumers."""
        while self._consumers:
            await stop_consumer(self._consumers.popitem()[1])

    async def end_offsets(self, topic: str, partitions: int) -> Mapping[int, int]:
        """Where each partition ends, transactions that are not ended included.

        Readers of committed records stop before the first of those, and what was committed behind it is to be counted.

        Raises:
            BrokerUnavailable: no answer in time.
        """
        places = [TopicPartition(topic, partition) for partition in range(partitions)]
        async with self._one_question:
            try:
                consumer = await self._started("read_uncommitted")
                ends = await bounded(consumer.end_offsets(places), self._config.patience_s)
            except (kafka.KafkaError, TimeoutError, OSError) as error:
                raise broker_error(error, f"asking where topic {topic} ends") from error
        return {place.partition: offset for place, offset in ends.items()}

    async def read_at(self, position: Position) -> Record | None:
        """The record at that place, or None.

        Raises:
            BrokerUnavailable: no answer in time.
        """
        async with self._one_question:
            try:
                return await bounded(self._read_at(position), self._config.patience_s)
            except kafka.OffsetOutOfRangeError:
                return None
            except (kafka.KafkaError, TimeoutError, OSError) as error:
                raise broker_error(error, f"reading topic {position.topic}") from error

    async def _read_at(self, position: Position) -> Record | None:
        consumer = await self._started("read_committed")
        place = TopicPartition(position.topic, position.partition)
        if position.offset >= self._ends.get(place, 0):
            self._ends[place] = (await consumer.end_offsets([place]))[place]
        if not 0 <= position.offset < self._ends[place]:
            return None
        consumer.assign([place])
        try:
            consumer.seek(place, position.offset)
            while True:
                found = await consumer.getmany(place, timeout_ms=100, max_records=1)
                for record in found.get(place, ()):
                    return record_of(record) if record.offset == position.offset else None
                if await consumer.position(place) > position.offset:  # a gap up to the end
                    return None
        finally:
            consumer.unsubscribe()

    async def _started(self, isolation: Isolation) -> Any:
        if isolation not in self._consumers:
            options = {"isolation_level": isolation, "max_partition_fetch_bytes": _FETCH_BYTES}
            consumer = Consumer({**self._config.consumer(), **options})
            try:
                await start_consumer(consumer, self._config.patience_s)
            except (kafka.KafkaError, TimeoutError, OSError) as error:
                raise BrokerUnavailable(f"Kafka cannot be reached now ({type(error).__name__})") from error
            self._consumers[isolation] = consumer
        return self._consumers[isolation]
