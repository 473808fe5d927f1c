"""The log on Apache Kafka, as the port wants it."""

import logging
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Self

from broker.backup import GroupOffset
from broker.kafka.appends import Appender
from broker.kafka.beats import Beats
from broker.kafka.clients import tune_library
from broker.kafka.cluster import Cluster
from broker.kafka.config import KafkaConfig
from broker.kafka.contact import Contact
from broker.kafka.lookup import Lookup
from broker.kafka.member import KafkaMember
from broker.kafka.reader import KafkaReader
from broker.kafka.records import PartitionGone, check
from broker.kafka.restore import Restorer
from broker.kafka.topics import OFFSETS_RETENTION, TopicState, differences, losses, offsets_forgotten_early
from broker.kafka.watch import Watch
from broker.port import (
    BrokerError,
    BrokerUnavailable,
    NewRecord,
    OnSkipped,
    Position,
    Record,
    RecordTooLarge,
    Start,
    TopicSpec,
    UnknownTopic,
    WorkedOn,
)

_log = logging.getLogger(__name__)


class KafkaBroker:
    """See `broker.port.Broker`. What a transaction wrote is readable some milliseconds after it returned."""

    def __init__(self, config: KafkaConfig, *, patient: bool = False, members_topic: str | None = None) -> None:
        self._config = config
        self._members_topic = members_topic
        self._patient = patient
        self._cluster = Cluster(config)
        self._contact = Contact(self._cluster.ping, config.probe_ms / 1000, config.bootstrap)
        self._appender = Appender(config, self._contact)
        self._lookup = Lookup(config)
        self._stack = AsyncExitStack()
        self._opened = False

    async def __aenter__(self) -> Self:
        tune_library(self._config.client_log_level)
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._cluster.close)
            found = await self._find()
            self._contact.open(within_reach=found)
            stack.push_async_callback(self._contact.close)
            stack.push_async_callback(self._lookup.close)
            stack.push_async_callback(self._appender.close)
            if found:
                await self._appender.open()
            self._stack = stack.pop_all()
        self._opened = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened = False
        await self._stack.aclose()

    async def _find(self) -> bool:
        """Whether the cluster was found; only who is patient goes on without it."""
        try:
            await self._cluster.open()
        except BrokerUnavailable as error:
            if not self._patient:
                raise
            _log.warning("%s", error)
            return False
        return True

    def _require_open(self) -> None:
        if not self._opened:
            raise BrokerError("the log is not open: enter its context first")

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """See the port; limits of records are taken over too."""
        self._require_open()
        await self._cluster.ensure(specs)

    async def describe_topics(self, names: Sequence[str]) -> Sequence[TopicState]:
        """The topics as they are now.

        Raises:
            UnknownTopic: one of them does not exist.
        """
        self._require_open()
        return await self._cluster.describe(names)

    async def check_topics(self, specs: Sequence[TopicSpec]) -> Sequence[str]:
        """What in the topics is not as specified, one sentence each; changes nothing."""
        return await self._check(specs, differences)

    async def check_offsets(self, spec: TopicSpec) -> Sequence[str]:
        """Which brokers forget how far a group without members is before the topic's records go, one sentence each."""
        self._require_open()
        kept = await self._cluster.broker_settings(OFFSETS_RETENTION)
        told = (offsets_forgotten_early(int(minutes), broker, spec) for broker, minutes in kept.items())
        return [sentence for sentence in told if sentence is not None]

    async def topic_losses(self, specs: Sequence[TopicSpec]) -> Sequence[str]:
        """Of what `check_topics` tells, that by which records would be lost or refused."""
        return await self._check(specs, losses)

    async def _check(
        self, specs: Sequence[TopicSpec], told: Callable[[TopicSpec, TopicState], Iterable[str]]
    ) -> Sequence[str]:
        self._require_open()
        found: list[str] = []
        for spec in specs:
            try:
                (state,) = await self._cluster.describe([spec.name])
            except UnknownTopic as error:
                found.append(str(error))
            else:
                found += told(spec, state)
        return found

    async def partitions(self, topic: str) -> int:
        """How many partitions the topic has."""
        self._require_open()
        return (await self._cluster.topic(topic)).partitions

    async def append(self, records: Sequence[NewRecord]) -> Sequence[Position]:
        """See the port. Given up by its caller or with BrokerUnavailable, it may still be written, once."""
        self._require_open()
        self._contact.require()
        try:
            return await self._append(records)
        except RecordTooLarge:
            self._cluster.forget()
            raise
        except PartitionGone:
            # Nothing was written; a key may choose another partition among those that there are now.
            self._cluster.forget()
            return await self._append(records)

    async def _append(self, records: Sequence[NewRecord]) -> Sequence[Position]:
        checked = await check(self._cluster, records)
        if len(checked) > 1:
            return await self._appender.append_together(checked)
        return [await self._appender.append_one(one) for one in checked]

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        """Partition -> an offset behind all that is committed; see the port."""
        self._require_open()
        self._contact.require()
        async with self._looking_anew():
            return await self._lookup.end_offsets(topic, (await self._cluster.topic(topic)).partitions)

    async def read_at(self, position: Position) -> Record | None:
        """The record at that place, or None."""
        self._require_open()
        self._contact.require()
        async with self._looking_anew():
            await self._cluster.topic(position.topic, position.partition)
            return await self._lookup.read_at(position)

    @asynccontextmanager
    async def _looking_anew(self) -> AsyncIterator[None]:
        """Of a partition that is gone the library says only that nobody answers: the next question looks topics up."""
        try:
            yield
        except BrokerUnavailable:
            self._cluster.forget()
            raise

    def reader(
        self,
        topic: str,
        start: Start | Mapping[int, int] | float = Start.EARLIEST,
        partitions: Sequence[int] | None = None,
    ) -> KafkaReader:
        """A reader with connections of its own."""
        return KafkaReader(self._config, self._cluster, self._contact, topic, start, partitions)

    def member(
        self, topic: str, group: str, worked_on: WorkedOn | None = None, on_skipped: OnSkipped | None = None
    ) -> KafkaMember:
        """A member with connections of its own, and a producer for each of its partitions."""
        return KafkaMember(
            self._config,
            self._cluster,
            self._contact,
            topic,
            group,
            worked_on,
            on_skipped,
            None if self._members_topic is None else partial(self._beats, self._members_topic),
        )

    async def group_offsets(self, topics: Collection[str]) -> Sequence[GroupOffset]:
        """Where groups go on in these topics, of all groups that have committed there."""
        self._require_open()
        return await self._cluster.group_offsets(topics)

    async def has_members(self, group: str) -> bool:
        """Whether a process is a member of the group now."""
        self._require_open()
        return await self._cluster.has_members(group)

    def restorer(self) -> Restorer:
        """Writes a backup into the cluster."""
        return Restorer(self._config)

    def _beats(self, topic: str, group: str, serves: Callable[[], Iterable[int]]) -> Beats:
        reader = partial(self.reader, topic)
        return Beats(self._config, self._cluster, self._contact, topic, group, serves, reader)

    def watch(self, group: str) -> Watch:
        """See the port.

        Raises:
            BrokerError: this log was opened without a members topic.
        """
        if self._members_topic is None:
            raise BrokerError("members cannot be watched: the log was opened without a members topic")
        return Watch(group, partial(self.reader, self._members_topic))

    def available(self) -> bool:
        """Whether a broker answered when last asked. One that is silent is waited for as long as any request."""
        return self._opened and self._contact.available


def open_kafka(config: KafkaConfig, *, patient: bool = False, members_topic: str | None = None) -> KafkaBroker:
    """The log on these brokers; enter it to connect.

    `members_topic`: where members of groups give signs of life, so that one that died is missed within seconds; None:
    they give none, and Kafka's session timeout decides.
    `patient`: brokers that do not answer are no error; they are asked again until they do, see `available`.

    Raises (on entering):
        BrokerUnavailable: no broker answers, and it is not patient.
        BrokerError: the brokers refuse user, password or certificate.
    """
    return KafkaBroker(config, patient=patient, members_topic=members_topic)
