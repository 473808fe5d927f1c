"""The Kafka adapter's implementation of the port."""

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
    DeletionsKept,
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
    """See `broker.port.Broker`. The records of a transaction are readable some milliseconds after the call returns."""

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
        """Return whether the cluster was found.

        Raises:
            BrokerUnavailable: no broker answers, and the log is not `patient`.
        """
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
        """See the port; record limits are changed, too."""
        self._require_open()
        await self._cluster.ensure(specs)

    async def describe_topics(self, names: Sequence[str]) -> Sequence[TopicState]:
        """Return the current state of the topics.

        Raises:
            UnknownTopic: one of them does not exist.
        """
        self._require_open()
        return await self._cluster.describe(names)

    async def check_topics(self, specs: Sequence[TopicSpec]) -> Sequence[str]:
        """Return one sentence for each difference between the topics and their specifications; change nothing."""
        return await self._check(specs, differences)

    async def check_offsets(self, spec: TopicSpec) -> Sequence[str]:
        """Return a sentence for each broker that forgets offsets of groups without members before the topic's records.

        Raises:
            BrokerError: a broker does not answer, or does not allow this user to read its settings.
        """
        self._require_open()
        kept = await self._cluster.broker_settings(OFFSETS_RETENTION)
        found = (offsets_forgotten_early(int(minutes), broker, spec) for broker, minutes in kept.items())
        return [sentence for sentence in found if sentence is not None]

    async def topic_losses(self, specs: Sequence[TopicSpec]) -> Sequence[str]:
        """Return those sentences of `check_topics` whose differences would lose or refuse records."""
        return await self._check(specs, losses)

    async def _check(
        self, specs: Sequence[TopicSpec], compare: Callable[[TopicSpec, TopicState], Iterable[str]]
    ) -> Sequence[str]:
        self._require_open()
        found: list[str] = []
        for spec in specs:
            try:
                (state,) = await self._cluster.describe([spec.name])
            except UnknownTopic as error:
                found.append(str(error))
            else:
                found += compare(spec, state)
        return found

    async def partitions(self, topic: str) -> int:
        """Return the number of partitions of the topic."""
        self._require_open()
        return (await self._cluster.topic(topic)).partitions

    async def append(self, records: Sequence[NewRecord]) -> Sequence[Position]:
        """See the port. The records may still be written after a cancelled call or after BrokerUnavailable."""
        self._require_open()
        self._contact.require()
        try:
            return await self._append(records)
        except RecordTooLarge:
            self._cluster.forget()
            raise
        except PartitionGone:
            # No record was written; with another number of partitions, a key may have another partition.
            self._cluster.forget()
            return await self._append(records)

    async def _append(self, records: Sequence[NewRecord]) -> Sequence[Position]:
        checked = await check(self._cluster, records)
        if len(checked) > 1:
            return await self._appender.append_together(checked)
        return [await self._appender.append_one(one) for one in checked]

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        """Return partition -> an offset above every committed record; see the port."""
        self._require_open()
        self._contact.require()
        async with self._forgetting_topics():
            return await self._lookup.end_offsets(topic, (await self._cluster.topic(topic)).partitions)

    async def read_at(self, position: Position) -> Record | None:
        """Return the record at the position, or None where there is none (any more)."""
        self._require_open()
        self._contact.require()
        async with self._forgetting_topics():
            await self._cluster.topic(position.topic, position.partition)
            return await self._lookup.read_at(position)

    async def deletions_kept(self, topic: str) -> DeletionsKept:
        """Return how far back the compacted topic tells of deletions, by the topic's present settings; see the port."""
        self._require_open()
        self._contact.require()
        (state,) = await self._cluster.describe([topic])
        return DeletionsKept(state.deletions_kept_ms, {})

    @asynccontextmanager
    async def _forgetting_topics(self) -> AsyncIterator[None]:
        """Forget the topics after BrokerUnavailable, so that the next call looks them up again.

        The library reports a partition that is gone only as one that does not answer.
        """
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
        """Return a reader, which has its own connections; see the port."""
        return KafkaReader(self._config, self._cluster, self._contact, topic, start, partitions)

    def member(
        self, topic: str, group: str, worked_on: WorkedOn | None = None, on_skipped: OnSkipped | None = None
    ) -> KafkaMember:
        """Return a member, which has its own connections and a producer for each of its partitions; see the port."""
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
        """Return the offsets from which groups go on in these topics, for all groups that have committed offsets."""
        self._require_open()
        return await self._cluster.group_offsets(topics)

    async def has_members(self, group: str) -> bool:
        """Return whether the group has a member now."""
        self._require_open()
        return await self._cluster.has_members(group)

    def restorer(self) -> Restorer:
        """Return a `Restorer`, which writes a backup into the cluster."""
        return Restorer(self._config)

    def _beats(self, topic: str, group: str, serves: Callable[[], Iterable[int]]) -> Beats:
        reader = partial(self.reader, topic)
        return Beats(self._config, self._cluster, self._contact, topic, group, serves, reader)

    def watch(self, group: str) -> Watch:
        """Return a watch of the group's members; see the port.

        Raises:
            BrokerError: this log was opened without a members topic.
        """
        if self._members_topic is None:
            raise BrokerError("members cannot be watched: the log was opened without a members topic")
        return Watch(group, partial(self.reader, self._members_topic))

    def available(self) -> bool:
        """Return whether a broker answered the last probe. A silent broker fails it at the time limit of requests."""
        return self._opened and self._contact.available


def open_kafka(config: KafkaConfig, *, patient: bool = False, members_topic: str | None = None) -> KafkaBroker:
    """Return the log on these brokers, an async context manager that connects when it is entered.

    Args:
        config: the brokers and the limits of the clients.
        patient: brokers that do not answer are no error; they are probed until they answer, see `available`.
        members_topic: the topic to which members of groups write signs of life, so that the others notice a dead member
            within seconds; None: there are no signs of life, and Kafka's session timeout applies.

    Raises (on entering):
        BrokerUnavailable: no broker answers, and `patient` is False.
        BrokerError: the brokers refuse user, password or certificate.
    """
    return KafkaBroker(config, patient=patient, members_topic=members_topic)
