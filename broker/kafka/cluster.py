"""Metadata and administration of the cluster: reads, creates and changes topics; removes members from groups."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import aiokafka.errors as kafka
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.protocol.metadata import MetadataRequest

from broker.backup import GroupOffset
from broker.kafka.clients import bounded
from broker.kafka.config import KafkaConfig
from broker.kafka.errors import broker_error
from broker.kafka.requests import Requests
from broker.kafka.topics import TopicState, configs_of, differences, in_sync_fits, state_of, unchangeable
from broker.port import BrokerError, BrokerUnavailable, TopicSpec, UnknownPartition, UnknownTopic

_MOST_REPLICAS = 3
_DYNAMIC_TOPIC_CONFIG = 1
_TRIES = 3
_NO_LEADER = kafka.LeaderNotAvailableError
_NO_COORDINATOR = (
    kafka.GroupCoordinatorNotAvailableError,
    kafka.GroupLoadInProgressError,
    kafka.NotCoordinatorForGroupError,
)
_COORDINATOR_PAUSE_S = 0.1

T = TypeVar("T")


class Cluster:
    """One client for metadata and administration. Topics are looked up once and remembered.

    Two requests are built by hand: the library's client has no request that removes another member from a group, and
    its request for topics creates missing topics on brokers that allow it.
    """

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._admin: Any = None
        self._client: Any = None
        self._known: dict[str, TopicState] = {}

    async def open(self) -> None:
        """Connect to the cluster.

        Raises:
            BrokerUnavailable: the cluster cannot be reached.
            BrokerError: the brokers refuse user, password or certificate.
        """
        admin = AIOKafkaAdminClient(**self._config.connection())
        client = admin._client  # noqa: SLF001 - for the two requests by hand and for `Requests`
        Requests(client)
        try:
            await bounded(admin.start(), self._config.patience_s)
        except (kafka.KafkaError, TimeoutError, OSError) as error:
            await admin.close()
            raise await self._why_not(error) from error
        self._admin, self._client = admin, client

    async def _why_not(self, error: BaseException) -> BrokerError:
        """Return the reason why the connection failed, from one broker, because the library reports none."""
        from aiokafka.conn import create_conn  # needed in this rare case only

        options = self._config.connection()
        del options["retry_backoff_ms"]
        host, _, port = options.pop("bootstrap_servers").partition(",")[0].strip().rpartition(":")
        try:
            connection = await bounded(create_conn(host, int(port), **options), self._config.patience_s)
        except (kafka.KafkaError, TimeoutError, OSError, ValueError) as reason:
            found = broker_error(reason, "connecting")
            if not isinstance(found, BrokerUnavailable):
                return found
            error = reason
        else:
            connection.close()
        return BrokerUnavailable(
            f"the Kafka brokers at {self._config.bootstrap} cannot be reached ({error or type(error).__name__}):"
            " check the address, and that they run"
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._admin is not None:
            await self._admin.close()
            self._admin = self._client = None

    async def ping(self) -> None:
        """Send a request without content; connect first, if that was not done yet.

        Raises:
            BrokerError: no broker answers, or the brokers refuse user, password or certificate.
        """
        if self._client is None:
            await self.open()
        await self._ask(lambda: self._send(MetadataRequest([], False)), "probing")

    async def topic(self, name: str, partition: int | None = None) -> TopicState:
        """Return the topic as it was at the first look-up, or at the first one after `forget`.

        If `partition` is not among the known partitions, the topic is looked up again, because partitions may have been
        added.

        Raises:
            UnknownTopic: the topic does not exist.
            UnknownPartition: the topic does not have the partition.
        """
        known = self._known.get(name)
        if known is None or _lacks(known, partition):
            (known,) = await self.describe([name])
            self._known[name] = known
        if _lacks(known, partition):
            raise UnknownPartition(
                f"topic {name} has {known.partitions} partitions; there is no partition {partition}",
                name,
                known.partitions,
            )
        return known

    def forget(self) -> None:
        """Forget all topics, so that they are looked up again, because a broker has refused a record or a partition."""
        self._known.clear()

    async def describe(self, names: Sequence[str]) -> Sequence[TopicState]:
        """Return the current state of the topics.

        Raises:
            UnknownTopic: one of them does not exist.
        """
        found = await self._metadata(names)
        for name in names:
            if name not in found:
                raise UnknownTopic(f"topic {name} does not exist in Kafka: create the topics first", name)
        configs = await self._configs(names)
        return [state_of(name, *found[name], _values(configs[name])) for name in names]

    async def evict(self, group: str, endings: tuple[str, ...]) -> Sequence[str]:
        """Remove the members whose client ids have one of these endings from the group; return their member ids.

        Raises:
            BrokerUnavailable: no broker answers now.
        """
        doing = f"asking for the members of group {group}"
        evicted = []
        for answer in await self._ask(lambda: self._admin.describe_consumer_groups([group]), doing):
            for found in answer.to_object()["groups"]:
                _require_done(found, doing)
                for member in found["members"]:
                    if member["client_id"].endswith(endings):
                        await self._evict(group, member["member_id"])
                        evicted.append(member["member_id"])
        return evicted

    async def _evict(self, group: str, member_id: str) -> None:
        async def leave() -> Any:
            coordinator = await self._admin.find_coordinator(group)
            return await self._client.send(coordinator, LeaveGroupRequest(group, member_id))

        doing = f"removing a member from group {group}"
        answer = await self._ask(leave, doing)
        _require_done(answer.to_object(), doing, kafka.UnknownMemberIdError)

    async def group_offsets(self, topics: Collection[str]) -> Sequence[GroupOffset]:
        """Return the offsets from which groups go on in these topics, for all groups that have committed offsets."""
        doing = "asking for the offsets of groups"
        found = []
        for group, *_ in await self._ask(lambda: self._admin.list_consumer_groups(), doing):
            offsets = await self._ask_coordinator(partial(self._offsets_of, group, doing), doing)
            found += [
                GroupOffset(group, place.topic, place.partition, at.offset)
                for place, at in offsets.items()
                if place.topic in topics and at.offset >= 0
            ]
        return found

    async def _offsets_of(self, group: str, doing: str) -> Mapping[Any, Any]:
        found: Mapping[Any, Any] = await self._ask(
            partial(self._admin.list_consumer_group_offsets, group), doing, tries=1
        )
        return found

    async def has_members(self, group: str) -> bool:
        """Return whether the group has a member now."""
        doing = f"asking for the members of group {group}"

        async def described() -> bool:
            answers = await self._ask(lambda: self._admin.describe_consumer_groups([group]), doing, tries=1)
            groups = [found for answer in answers for found in answer.to_object()["groups"]]
            for found in groups:
                _require_done(found, doing)
            return any(found["members"] for found in groups)

        return await self._ask_coordinator(described, doing)

    async def ensure(self, specs: Sequence[TopicSpec]) -> None:
        """See `broker.port.Broker.ensure_topics`."""
        wanted: dict[str, TopicSpec] = {}
        for spec in specs:
            if not spec.name or spec.partitions < 1:
                raise BrokerError(f"topic {spec.name!r} needs a name and at least one partition")
            wanted[spec.name] = spec
        present = await self._metadata(list(wanted))
        missing = [spec for name, spec in wanted.items() if name not in present]
        if missing:
            await self._create(missing)
        configs = await self._configs(list(present))
        for name, (partitions, replication) in present.items():
            self._known.pop(name, None)
            spec = wanted[name]
            state = state_of(name, partitions, replication, _values(configs[name]))
            reason = unchangeable(spec, state)
            if reason is not None:
                raise BrokerError(reason)
            if any(differences(spec, state)) or state.max_record_bytes != spec.max_record_bytes:
                await self._alter(spec, state, configs[name])
        await self._until_known(list(wanted.values()))

    async def _metadata(self, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Return name -> number of partitions and of replicas, for the topics that exist."""
        answer = await self._ask(lambda: self._send(MetadataRequest(list(names), False)), "asking for topics")
        found = {}
        for topic in answer.to_object()["topics"]:
            _require_done(topic, f"topic {topic['topic']}", kafka.UnknownTopicOrPartitionError, _NO_LEADER)
            if not topic["error_code"]:
                replicas = [len(partition["replicas"]) for partition in topic["partitions"]]
                found[topic["topic"]] = (len(replicas), min(replicas, default=0))
        return found

    async def _configs(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return name -> setting -> entry (`config_value`, `config_source`), for the settings that have a value."""
        wanted = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        doing = "asking for the settings of topics"
        found = await self._ask(lambda: self._admin.describe_configs(wanted), doing)
        return _described(found, doing)

    async def broker_settings(self, setting: str) -> Mapping[int, str]:
        """Return broker -> value of a setting, for the brokers that report the setting.

        Raises:
            BrokerError: a broker does not answer, or does not allow this user to read its settings.
        """
        values = {}
        for node in sorted(node.nodeId for node in self._reached().cluster.brokers()):
            doing = f"asking broker {node} for {setting}"
            wanted = ConfigResource(ConfigResourceType.BROKER, str(node), {setting: None})
            found = await self._ask(partial(self._admin.describe_configs, [wanted]), doing, tries=1)
            entries = _described(found, doing)[str(node)]
            if setting in entries:
                values[node] = entries[setting]["config_value"]
        return values

    async def _create(self, specs: Sequence[TopicSpec]) -> None:
        brokers = len(self._client.cluster.brokers())
        replication = self._config.replication_factor or max(1, min(_MOST_REPLICAS, brokers))
        topics = [
            NewTopic(spec.name, spec.partitions, replication, topic_configs=configs_of(spec, replication))
            for spec in specs
        ]

        async def create() -> Any:
            if self._client.cluster.controller is None:  # the library's client fails without a controller
                await self._client.force_metadata_update()
                raise kafka.NodeNotReadyError("the brokers have no controller now")
            return await self._admin.create_topics(topics)

        answer = await self._ask(create, "creating topics")
        for topic in answer.to_object()["topic_errors"]:
            name, error = topic["topic"], kafka.for_code(topic["error_code"])
            if error is kafka.InvalidReplicationFactorError:
                raise BrokerError(
                    f"topic {name} cannot be created with {replication} replicas: set replication_factor to"
                    f" the number of brokers at most ({brokers})"
                )
            if error in (kafka.InvalidConfigurationError, kafka.InvalidTopicError, kafka.PolicyViolationError):
                raise BrokerError(f"topic {name} cannot be created in Kafka: {topic.get('error_message') or ''}")
            _require_done(topic, f"creating topic {name}", kafka.TopicAlreadyExistsError)

    async def _alter(self, spec: TopicSpec, state: TopicState, present: Mapping[str, Any]) -> None:
        """Change the topic's settings to the specification.

        The request replaces all settings of the topic, so the settings that others have made are sent, too.
        """
        kept = {
            name: entry["config_value"]
            for name, entry in present.items()
            if entry["config_source"] == _DYNAMIC_TOPIC_CONFIG
        }
        ours = configs_of(spec, state.replication)
        if in_sync_fits(state):
            del ours["min.insync.replicas"]
        wanted = ConfigResource(ConfigResourceType.TOPIC, spec.name, kept | ours)
        doing = f"changing topic {spec.name}"
        for answer in await self._ask(lambda: self._admin.alter_configs([wanted]), doing):
            for topic in answer.to_object()["resources"]:
                _require_done(topic, doing)

    async def _until_known(self, specs: Sequence[TopicSpec]) -> None:
        """Wait until the topics have all their partitions in the metadata; after their creation that takes a moment."""
        wanted = {spec.name: spec.partitions for spec in specs}
        async with asyncio.timeout(self._config.patience_s):
            while True:
                found = await self._metadata(list(wanted))
                if all(name in found and found[name][0] == count for name, count in wanted.items()):
                    return
                await asyncio.sleep(0.05)

    async def _send(self, request: Any) -> Any:
        """Send the request to any broker and return the answer."""
        return await self._client.send(self._client.get_random_node(), request)

    async def _ask_coordinator(self, question: Callable[[], Awaitable[T]], doing: str) -> T:
        """Return the result of `question` about a group; try again while the group has no coordinator.

        A new cluster has none at first, because it creates its topic of committed offsets at the first such request.

        Raises:
            BrokerError: the request failed for another reason, or there was no coordinator in time.
        """
        deadline_s = time.monotonic() + self._config.patience_s
        while True:
            try:
                return await question()
            except (kafka.KafkaError, BrokerUnavailable) as error:
                if not isinstance(error.__cause__ or error, _NO_COORDINATOR) or time.monotonic() > deadline_s:
                    raise broker_error(error, doing) from error
            await asyncio.sleep(_COORDINATOR_PAUSE_S)

    async def _ask(self, question: Callable[[], Awaitable[Any]], doing: str, tries: int = _TRIES) -> Any:
        """Return the result of `question`; call it again after a failure, because one of several brokers may be down.

        Raises:
            BrokerError: all tries failed; `doing` is in its message.
        """
        self._reached()
        failed: BaseException = kafka.NoBrokersAvailable()
        for _ in range(tries):
            try:
                async with asyncio.timeout(self._config.patience_s):
                    return await question()
            except (kafka.KafkaError, TimeoutError, OSError) as error:
                failed = error
        raise broker_error(failed, doing) from failed

    def _reached(self) -> Any:
        """Return the library's client.

        Raises:
            BrokerUnavailable: the brokers have not been reached yet.
        """
        if self._client is None:
            raise BrokerUnavailable(f"the Kafka brokers at {self._config.bootstrap} have not been reached yet")
        return self._client


def _lacks(topic: TopicState, partition: int | None) -> bool:
    return partition is not None and not 0 <= partition < topic.partitions


def _require_done(part: Mapping[str, Any], doing: str, *passed_over: type[kafka.KafkaError]) -> None:
    """Raise the port's error for the error code of one part of an answer, unless it is one of `passed_over`."""
    error = kafka.for_code(part["error_code"])
    if error is not kafka.NoError and error not in passed_over:
        failed = error()
        raise broker_error(failed, doing) from failed


def _described(answers: Sequence[Any], doing: str) -> dict[str, dict[str, Any]]:
    """Return name of a topic or broker -> setting -> entry, for the settings that have a value."""
    found = {}
    for answer in answers:
        for resource in answer.to_object()["resources"]:
            _require_done(resource, f"{doing}: {resource['resource_name']}")
            entries = (entry for entry in resource["config_entries"] if entry["config_value"] is not None)
            found[resource["resource_name"]] = {entry["config_names"]: entry for entry in entries}
    return found


def _values(entries: Mapping[str, Any]) -> dict[str, str]:
    return {name: entry["config_value"] for name, entry in entries.items()}
