"""Single look-ups in the log: the end offsets of a topic, and the record at a position."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
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
"""The limit of a fetch that needs one record: brokers send the record's batch whole, and no batch behind it."""


_AT_A_TIME = 4
"""The most look-ups at a time: a page of people reads many records, and each look-up waits for a broker's answer."""


class Lookup:
    """Consumers without a group, of both isolation levels; each is used by one look-up at a time."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._consumers: list[Any] = []
        self._idle: dict[Isolation, list[Any]] = {"read_committed": [], "read_uncommitted": []}
        self._turns = asyncio.Semaphore(_AT_A_TIME)
        # The last known ends. A topic that was created anew may have a lower end: the brokers then refuse the offset.
        self._ends: dict[TopicPartition, int] = {}

    async def close(self) -> None:
        """Stop the consumers."""
        for idle in self._idle.values():
            idle.clear()
        while self._consumers:
            await stop_consumer(self._consumers.pop())

    async def end_offsets(self, topic: str, partitions: int) -> Mapping[int, int]:
        """Return partition -> end offset, including the records of open transactions.

        Records may be committed behind an open transaction. They count here, although readers of committed records stop
        before that transaction.

        Raises:
            BrokerUnavailable: no broker answers in time.
        """
        places = [TopicPartition(topic, partition) for partition in range(partitions)]
        try:
            async with self._consumer("read_uncommitted") as consumer:
                ends = await bounded(consumer.end_offsets(places), self._config.patience_s)
        except (kafka.KafkaError, TimeoutError, OSError) as error:
            raise broker_error(error, f"asking for the end of topic {topic}") from error
        return {place.partition: offset for place, offset in ends.items()}

    async def read_at(self, position: Position) -> Record | None:
        """Return the record at the position, or None where there is none (any more).

        A record whose batch has a wrong checksum is returned as damaged.

        Raises:
            BrokerUnavailable: no broker answers in time.
        """
        try:
            async with self._consumer("read_committed") as consumer:
                return await bounded(self._read_at(consumer, position), self._config.patience_s)
        except kafka.OffsetOutOfRangeError:
            return None
        except kafka.CorruptRecordException:  # asking again would fail for ever
            return Record(position.topic, position.partition, position.offset, 0, None, b"", damaged=True)
        except (kafka.KafkaError, TimeoutError, OSError) as error:
            raise broker_error(error, f"reading topic {position.topic}") from error

    async def _read_at(self, consumer: Any, position: Position) -> Record | None:
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
                if await consumer.position(place) > position.offset:  # there is no record from the offset to the end
                    return None
        finally:
            consumer.unsubscribe()

    @asynccontextmanager
    async def _consumer(self, isolation: Isolation) -> AsyncIterator[Any]:
        """Wait for a turn; yield a consumer that no other look-up uses."""
        async with self._turns:
            idle = self._idle[isolation]
            consumer = idle.pop() if idle else await self._started(isolation)
            try:
                yield consumer
            finally:
                idle.append(consumer)

    async def _started(self, isolation: Isolation) -> Any:
        options = {"isolation_level": isolation, "max_partition_fetch_bytes": _FETCH_BYTES}
        consumer = Consumer({**self._config.reader(), **options})
        try:
            await start_consumer(consumer, self._config.patience_s)
        except (kafka.KafkaError, TimeoutError, OSError) as error:
            raise BrokerUnavailable(f"Kafka cannot be reached now ({type(error).__name__})") from error
        self._consumers.append(consumer)
        return consumer
