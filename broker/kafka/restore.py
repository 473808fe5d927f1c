"""Writes a backup into a cluster: records keep their partitions, times and headers, and get new offsets."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiokafka.errors as kafka
from aiokafka import TopicPartition

from broker.kafka.clients import Consumer, bounded, start_consumer, start_producer, stop_consumer, stop_producer
from broker.kafka.config import KafkaConfig
from broker.kafka.errors import broker_error
from broker.kafka.places import metadata_of
from broker.port import Record


class Restorer:
    """Writes records and committed offsets into a cluster; an async context manager with its own producer."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._producer: Any = None
        self._newest_ms = 0

    async def __aenter__(self) -> Self:
        try:
            self._producer = await start_producer(self._config.producer(), self._config.patience_s)
        except (kafka.KafkaError, TimeoutError, OSError) as error:
            raise broker_error(error, "starting to write") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await stop_producer(self._producer)

    async def write(self, records: Sequence[Record]) -> Sequence[int]:
        """Write records in their order; return the offset of each in the cluster.

        A time ahead of this machine's clock is replaced by the clock's, because brokers refuse times too far ahead.

        Raises:
            BrokerError: some records were not written; others may have been.
        """
        now_ms = int(time.time() * 1000)
        sent = []
        try:
            for record in records:
                time_ms = min(record.timestamp_ms, now_ms)
                self._newest_ms = max(self._newest_ms, time_ms)
                place = (record.topic, record.value, record.key, record.partition, time_ms, list(record.headers))
                sent.append(await self._producer.send(*place))
            async with asyncio.timeout(self._config.patience_s):
                written = await asyncio.gather(*sent)
        except (kafka.KafkaError, TimeoutError) as error:
            raise broker_error(error, "writing a backup") from error
        return [found.offset for found in written]

    async def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """Commit offsets, by topic and partition, for a group without members.

        Raises:
            BrokerError: the offsets were not committed.
        """
        metadata = metadata_of(max(self._newest_ms, int(time.time() * 1000)))
        places = {TopicPartition(*place): (offset, metadata) for place, offset in offsets.items()}
        consumer = Consumer({**self._config.consumer(), "group_id": group})
        try:
            await start_consumer(consumer, self._config.patience_s)
            try:
                consumer.assign(list(places))
                await bounded(consumer.commit(places), self._config.patience_s)
            finally:
                await stop_consumer(consumer)
        except (kafka.KafkaError, TimeoutError, OSError) as error:
            raise broker_error(error, f"committing the offsets of group {group}") from error
