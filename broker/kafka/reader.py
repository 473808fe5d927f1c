"""Reading by oneself: partitions assigned by hand, a place found before anything is read."""

import math
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiokafka.errors as kafka
from aiokafka import TopicPartition

from broker.kafka.clients import Consumer, bounded, start_consumer, stop_consumer
from broker.kafka.cluster import Cluster
from broker.kafka.config import KafkaConfig
from broker.kafka.contact import Contact
from broker.kafka.errors import broker_error
from broker.kafka.feed import Feed
from broker.port import BrokerError, Record, Start


class KafkaReader:
    """See `broker.port.Reader`. With a mapping as start, partitions it does not name begin at the earliest record."""

    def __init__(
        self,
        config: KafkaConfig,
        cluster: Cluster,
        contact: Contact,
        topic: str,
        start: Start | Mapping[int, int] | float,
        partitions: Sequence[int] | None,
    ) -> None:
        self._config, self._cluster, self._contact = config, cluster, contact
        self._topic = topic
        self._start = start
        self._partitions = partitions
        self._places: list[TopicPartition] = []
        self._positions: dict[int, int] = {}
        self._consumer: Any = None
        self._feed: Feed | None = None

    async def __aenter__(self) -> Self:
        self._contact.require()
        count = (await self._cluster.topic(self._topic)).partitions
        chosen = range(count) if self._partitions is None else self._partitions
        for partition in chosen:
            if not 0 <= partition < count:
                raise BrokerError(f"topic {self._topic} has no partition {partition}")
        self._places = [TopicPartition(self._topic, partition) for partition in chosen]
        limit_s = self._config.patience_s
        consumer = Consumer(self._config.consumer())
        try:
            consumer.assign(self._places)
            await start_consumer(consumer, limit_s)
            try:
                self._positions = await bounded(self._first(consumer), limit_s)
            except BaseException:
                await stop_consumer(consumer)
                raise
        except (kafka.KafkaError, TimeoutError, OSError) as error:
            raise broker_error(error, f"finding a place in topic {self._topic}") from error
        for place in self._places:
            consumer.seek(place, self._positions[place.partition])
        self._consumer = consumer
        self._feed = Feed(consumer, self._topic, self._contact, limit_s)
        self._feed.active = set(self._positions)
        return self

    async def _first(self, consumer: Any) -> dict[int, int]:
        """Asked for now, not when the first record is fetched."""
        ends = await consumer.end_offsets(self._places)
        match self._start:
            case Start.LATEST:
                found = ends
            case Start.EARLIEST:
                found = await consumer.beginning_offsets(self._places)
            case Mapping() as offsets:
                firsts = await consumer.beginning_offsets(self._places)
                found = {
                    place: min(max(int(offsets.get(place.partition, 0)), firsts[place]), ends[place])
                    for place in self._places
                }
            case int() | float() as since_s:
                since_ms = max(0, math.ceil(since_s * 1000))
                times = await consumer.offsets_for_times(dict.fromkeys(self._places, since_ms))
                found = {place: ends[place] if at is None else at.offset for place, at in times.items()}
        return {place.partition: offset for place, offset in found.items()}

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._feed = None
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await stop_consumer(consumer)

    def _open(self) -> Feed:
        if self._feed is None:
            raise BrokerError(f"the reader of {self._topic} is not open: enter its context first")
        return self._feed

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        """The next records; see the port."""
        records = await self._open().fetch(max_records, timeout_s)
        if self._consumer is not None:
            for place in self._places:  # valid from the first seek on, so that this does not wait
                self._positions[place.partition] = await self._consumer.position(place)
        return records

    def positions(self) -> Mapping[int, int]:
        """Partition -> the offset that is read next."""
        self._open()
        return dict(self._positions)
