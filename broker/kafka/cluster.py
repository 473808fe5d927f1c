"""Questions to the cluster itself: which topics there are, how they are kept; and changing that."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiokafka.errors as kafka
from aiokafka.admin.config_resource import ConfigResourceType
from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.protocol.admin import (
    AlterConfigsRequest,
    CreateTopicsRequest,
    DescribeConfigsRequest,
    DescribeGroupsRequest,
)
from aiokafka.protocol.group import LeaveGroupRequest
from aiokafka.protocol.metadata import MetadataRequest

from broker.kafka.clients import bounded
from broker.kafka.config import KafkaConfig
from broker.kafka.errors import broker_error
from broker.kafka.requests import Requests
from broker.kafka.topics import TopicState, configs_of, differences, in_sync_fits, state_of, unchangeable
from broker.port import BrokerError, BrokerUnavailable, TopicSpec, UnknownPartition, UnknownTopic

_MOST_REPLICAS = 3
_DYNAMIC_TOPIC_CONFIG = 1
_TRIES = 3


class Cluster:
    """One client for metadata and administration. Topics are looked up once and remembered."""

    def __init__(self, config: KafkaConfig) -> None:
        self._config = config
        self._client: Any = None
        self._known: dict[str, TopicState] = {}

    async def open(self) -> None:
        """Find the cluster.

        Raises:
            BrokerError: it cannot be reached, or lets nobody in; the message says which.
        """
        self._client = AIOKafkaClient(**self._config.connection())
        Requests(self._client)
        try:
            await bounded(self._client.bootstrap(), self._config.patience_s)
        except (kafka.KafkaError, TimeoutError, OSError) as error:
            await self._client.close()
            self._client = None
            raise await self._why_not(error) from error

    async def _why_not(self, error: BaseException) -> BrokerError:
        """The library tells only that it failed; ask one broker by hand for the reason."""
        from aiokafka.conn import create_conn  # for this rare case only

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
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def ping(self) -> None:
        """Ask for nothing in particular; find the cluster first, if it was not found yet.

        Raises:
            BrokerError: no broker answers, or they let nobody in.
        """
        if self._client is None:
            await self.open()
        await self._ask(lambda: MetadataRequest([], False), "probing")

    async def topic(self, name: str, partition: int | None = None) -> TopicState:
        """The topic as it was when it was first looked up, since `forget`.

        Given a partition, one that has it: where the topic did not have it, it is looked up again, since it may have
        been given more partitions.

        Raises:
            UnknownTopic: there is none; or, as UnknownPartition, it does not have the partition.
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
        """Look topics up anew: a broker has refused what they took when they were looked up."""
        self._known.clear()

    async def describe(self, names: Sequence[str]) -> Sequence[TopicState]:
        """The topics as they are now.

        Raises:
            UnknownTopic: one of them does not exist.
        """
        found = await self._metadata(names)
        for name in names:
            if name not in found:
                raise UnknownTopic(f"topic {name} does not exist in Kafka: create the topics first", name)
        configs = await self._configs(names)
        return [
            state_of(name, *found[name], {key: value for key, (value, _) in configs[name].items()}) for name in names
        ]

    async def evict(self, group: str, endings: tuple[str, ...]) -> Sequence[str]:
        """Take the members out of the group whose client ids end so; the ids of those that were in it.

        Raises:
            BrokerUnavailable: the group cannot be asked now.
        """
        answer = await self._ask(lambda: DescribeGroupsRequest([group]), "looking at a group", group=group)
        evicted = []
        for code, _name, _state, _kind, _protocol, members, *_ in answer.groups:
            if kafka.for_code(code) is not kafka.NoError:
                raise broker_error(kafka.for_code(code)(), f"looking at group {group}")
            for member_id, client_id, *_ in members:
                if client_id.endswith(endings):
                    await self._evict(group, member_id)
                    evicted.append(member_id)
        return evicted

    async def _evict(self, group: str, member_id: str) -> None:
        answer = await self._ask(lambda: LeaveGroupRequest(group, member_id), "taking a member out", group=group)
        error = kafka.for_code(answer.error_code)
        if error not in (kafka.NoError, kafka.UnknownMemberIdError):
            raise broker_error(error(), f"taking a member out of group {group}")

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
            state = state_of(name, partitions, replication, {key: value for key, (value, _) in configs[name].items()})
            reason = unchangeable(spec, state)
            if reason is not None:
                raise BrokerError(reason)
            if any(differences(spec, state)) or state.max_record_bytes != spec.max_record_bytes:
                await self._alter(spec, state, configs[name])
        await self._until_known(list(wanted.values()))

    async def _metadata(self, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        """Name -> partitions and replicas, of those that exist."""
        answer = await self._ask(lambda: MetadataRequest(list(names), False), "asking for topics")
        found = {}
        for code, name, _internal, partitions in answer.topics:
            error = kafka.for_code(code)
            if error is kafka.NoError:
                found[name] = (len(partitions), min((len(partition[3]) for partition in partitions), default=0))
            elif error not in (kafka.UnknownTopicOrPartitionError, kafka.LeaderNotAvailableError):
                raise broker_error(error(), f"topic {name}")
        return found

    async def _configs(self, names: Sequence[str]) -> dict[str, dict[str, tuple[str, int]]]:
        """Name -> setting -> its value and where it comes from."""
        if not names:
            return {}
        wanted = [(ConfigResourceType.TOPIC, name, None) for name in names]
        answer = await self._ask(lambda: DescribeConfigsRequest(wanted), "asking how topics are kept")
        found = {}
        for code, _message, _kind, name, entries in answer.resources:
            error = kafka.for_code(code)
            if error is not kafka.NoError:
                raise broker_error(error(), f"how topic {name} is kept")
            found[name] = {entry[0]: (entry[1], entry[3]) for entry in entries if entry[1] is not None}
        return found

    async def broker_settings(self, setting: str) -> Mapping[int, str]:
        """Broker -> its value of a setting, of those brokers that tell it.

        Raises:
            BrokerError: a broker does not answer, or does not allow this user to ask.
        """
        if self._client is None:
            raise BrokerUnavailable(f"the Kafka brokers at {self._config.bootstrap} have not been reached yet")
        found: dict[int, str] = {}
        for broker in sorted(node.nodeId for node in self._client.cluster.brokers()):
            wanted = [(ConfigResourceType.BROKER, str(broker), [setting])]
            try:
                asked = self._client.send(broker, DescribeConfigsRequest(wanted))
                answer = await bounded(asked, self._config.patience_s)
            except (kafka.KafkaError, TimeoutError, OSError) as error:
                raise broker_error(error, f"asking broker {broker} for {setting}") from error
            for code, _message, _kind, _name, entries in answer.resources:
                refused = kafka.for_code(code)
                if refused is not kafka.NoError:
                    raise broker_error(refused(), f"asking broker {broker} for {setting}")
                found.update((broker, entry[1]) for entry in entries if entry[0] == setting and entry[1] is not None)
        return found

    async def _create(self, specs: Sequence[TopicSpec]) -> None:
        brokers = len(self._client.cluster.brokers())
        replication = self._config.replication_factor or max(1, min(_MOST_REPLICAS, brokers))
        topics: list[Any] = [
            (spec.name, spec.partitions, replication, [], list(configs_of(spec, replication).items())) for spec in specs
        ]
        answer = await self._ask(
            lambda: CreateTopicsRequest(topics, self._config.request_timeout_ms, False), "creating topics", control=True
        )
        for name, code, *message in answer.topic_errors:
            error = kafka.for_code(code)
            if error in (kafka.NoError, kafka.TopicAlreadyExistsError):
                continue
            if error is kafka.InvalidReplicationFactorError:
                raise BrokerError(
                    f"topic {name} cannot be created with {replication} replicas: set replication_factor to"
                    f" the number of brokers at most ({brokers})"
                )
            if error in (kafka.InvalidConfigurationError, kafka.InvalidTopicError, kafka.PolicyViolationError):
                raise BrokerError(f"topic {name} cannot be created in Kafka: {(message or [''])[0]}")
            raise broker_error(error(), f"creating topic {name}")

    async def _alter(self, spec: TopicSpec, state: TopicState, present: Mapping[str, tuple[str, int]]) -> None:
        """The request replaces all settings of a topic, so those that others have made are sent along."""
        kept = {name: value for name, (value, source) in present.items() if source == _DYNAMIC_TOPIC_CONFIG}
        ours = configs_of(spec, state.replication)
        if in_sync_fits(state):
            del ours["min.insync.replicas"]
        wanted = list((kept | ours).items())
        answer = await self._ask(
            lambda: AlterConfigsRequest([(ConfigResourceType.TOPIC, spec.name, wanted)]), "changing how topics are kept"
        )
        for code, _message, _kind, name in answer.resources:
            error = kafka.for_code(code)
            if error is not kafka.NoError:
                raise broker_error(error(), f"changing topic {name}")

    async def _until_known(self, specs: Sequence[TopicSpec]) -> None:
        """A topic that was just created takes a moment to be known everywhere and to have leaders."""
        wanted = {spec.name: spec.partitions for spec in specs}
        async with asyncio.timeout(self._config.patience_s):
            while True:
                found = await self._metadata(list(wanted))
                if all(name in found and found[name][0] == count for name, count in wanted.items()):
                    return
                await asyncio.sleep(0.05)

    async def _ask(self, request: Any, doing: str, *, control: bool = False, group: str | None = None) -> Any:
        """Any broker's answer, the controller's, or that of the group's coordinator; another try where one broker of
        several is down."""
        if self._client is None:
            raise BrokerUnavailable(f"the Kafka brokers at {self._config.bootstrap} have not been reached yet")
        failed: BaseException = kafka.NoBrokersAvailable()
        for _ in range(_TRIES):
            client = self._client
            controller = client.cluster.controller
            node = controller.nodeId if control and controller is not None else client.get_random_node()
            try:
                if group is not None:
                    node = await bounded(
                        client.coordinator_lookup(CoordinationType.GROUP, group), self._config.patience_s
                    )
                return await bounded(client.send(node, request()), self._config.patience_s)
            except kafka.NotControllerError as error:
                failed = error
                await client.force_metadata_update()
            except (kafka.KafkaError, TimeoutError, OSError) as error:
                failed = error
        raise broker_error(failed, doing) from failed


def _lacks(topic: TopicState, partition: int | None) -> bool:
    return partition is not None and not 0 <= partition < topic.partitions
