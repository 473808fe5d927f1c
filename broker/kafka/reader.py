"""Reading by oneself: partitions assigned by hand, a place found before anything is read."""

import asyncio
import logging
import math
import time
from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import aiokafka.errors as kafka
from aiokafka import TopicPartition

from broker.kafka.clients import Consumer, bounded, start_consumer, stop_consumer
from broker.kafka.cluster import Cluster
from broker.kafka.config import KafkaConfig
from broker.kafka.contact import Contact
from broker.kafka.errors import broker_error
from broker.kafka.feed import Feed, Gate
from broker.kafka.member_events import Run
from broker.kafka.places import span_of
from broker.port import BrokerError, BrokerUnavailable, Record, Start, UnknownTopic

_log = logging.getLogger(__name__)

_LOOK_S = 0.5
"""How often a reader that nothing comes to, and that has no time limit, looks whether its partitions are there."""
_REST_S = 0.02
"""After this time without a fetch a reader asks the brokers for nothing until the next fetch: the library would ask
four times a second, and for each new record, for whoever reads every few seconds only."""


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
        self._opened_ms = 0
        self._newest_ms: dict[int, int] = {}  # partition -> the newest time of the records that were delivered
        self._consumer: Any = None
        self._feed: Feed | None = None
        self._fetching = 0
        self._rest: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._contact.require()
        count = (await self._cluster.topic(self._topic)).partitions
        chosen = range(count) if self._partitions is None else self._partitions
        for partition in chosen:
            await self._cluster.topic(self._topic, partition)
        self._places = [TopicPartition(self._topic, partition) for partition in chosen]
        limit_s = self._config.patience_s
        consumer = Consumer(self._config.reader())
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
        self._opened_ms = int(time.time() * 1000)
        for place in self._places:
            consumer.seek(place, self._positions[place.partition])
        self._consumer = consumer
        gate = Gate(lambda: self._positions, lambda: 0, self._admit, self._find_again)
        self._feed = Feed(consumer, self._topic, self._contact, limit_s, gate, together=True)
        self._rest_soon()
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
        self._awake()
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            await stop_consumer(consumer)

    def _open(self) -> Feed:
        if self._feed is None:
            raise BrokerError(f"the reader of {self._topic} is not open: enter its context first")
        return self._feed

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        """The next records; see the port."""
        feed = self._open()
        self._fetching += 1
        self._awake()
        try:
            return await self._fetch(feed, max_records, timeout_s)
        finally:
            self._fetching -= 1
            self._rest_soon()

    def _awake(self) -> None:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        if self._consumer is not None and (paused := self._consumer.paused()):
            self._consumer.resume(*paused)

    def _rest_soon(self) -> None:
        if not self._fetching:
            self._rest = asyncio.get_running_loop().call_later(_REST_S, self._fall_asleep)

    def _fall_asleep(self) -> None:
        if self._consumer is not None and not self._fetching:
            self._consumer.pause(*self._places)

    async def _fetch(self, feed: Feed, max_records: int, timeout_s: float | None) -> Sequence[Record]:
        records = await feed.fetch(max_records, _LOOK_S if timeout_s is None else timeout_s)
        while not records:
            await self._require_partitions()
            if timeout_s is not None:
                break
            records = await feed.fetch(max_records, _LOOK_S)
        if self._consumer is not None:
            for place in self._places:  # valid from the first seek on, so that this does not wait
                self._positions[place.partition] = await self._consumer.position(place)
        return records

    async def _require_partitions(self) -> None:
        """Return if what is read is there; the library waits for ever for a partition that is gone.

        Raises:
            BrokerUnavailable: it is not there; entered again, a reader finds out what is.
        """
        known = self._consumer.partitions_for_topic(self._topic) or ()
        if all(place.partition in known for place in self._places):
            return
        self._cluster.forget()
        try:
            for place in self._places:
                await self._cluster.topic(self._topic, place.partition)
        except UnknownTopic as error:
            raise BrokerUnavailable(str(error)) from error

    def positions(self) -> Mapping[int, int]:
        """Partition -> the offset that is read next."""
        self._open()
        return dict(self._positions)

    def _admit(self, _: int, runs: Sequence[Run]) -> Collection[int]:
        for run in runs:
            self._newest_ms[run.partition] = max(run.newest_ms, self._newest_ms.get(run.partition, 0))
        return self._positions

    async def _find_again(self, _: int, partition: int, position: int) -> None:
        """The log does not hold what is read next: go on at its first record, or behind the time of what was read."""
        place = TopicPartition(self._topic, partition)
        newest_ms = self._newest_ms.get(partition, self._opened_ms)
        span = await span_of(self._consumer, place, newest_ms, self._config.patience_s)
        if span.first <= position <= span.end:
            return
        if position < span.first:
            lost = (partition, self._topic, span.first - position, position, span.first - 1)
            _log.error("partition %d of %s: %d records (offsets %d to %d) were removed before they were read", *lost)
            target = span.first
        else:
            target = span.end if span.newer is None else max(span.first, span.newer)
            found = (partition, self._topic, position, span.end, target, span.end - target)
            _log.error(
                "partition %d of %s was read up to %d and ends at %d: it was made again, or lost records; going on at"
                " %d, %d records that were written since follow",
                *found,
            )
        self._consumer.seek(place, target)
