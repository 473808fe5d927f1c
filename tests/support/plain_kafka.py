"""What a stranger sees and does on Kafka: the library's own clients and the wire, nothing of PictureMatch's log."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord, OffsetAndMetadata

from tests.support.waiting import until_asked

T = TypeVar("T")
Offsets = Mapping[TopicPartition, OffsetAndMetadata]

_DELETE_GROUPS, _VERSION = 42, 0
_PATIENCE_S = 60.0


async def administer(bootstrap: str, work: Callable[[AIOKafkaAdminClient], Awaitable[T]]) -> T:
    """The result of `work`, done with an administrator's client."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        return await work(admin)
    finally:
        await admin.close()


async def send(
    bootstrap: str,
    topic: str,
    values: Sequence[bytes],
    *,
    partition: int = 0,
    headers: Sequence[tuple[str, bytes]] = (),
) -> None:
    """Write the values, in their order and with keys of their own, to one partition."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_request_size=8 * 1024 * 1024)
    await producer.start()
    try:
        for number, value in enumerate(values):
            await producer.send_and_wait(topic, value, b"%d" % number, partition=partition, headers=list(headers))
    finally:
        await producer.stop()


async def read_committed(bootstrap: str, topic: str) -> list[ConsumerRecord]:
    """Every committed record of a topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="none")
    await consumer.start()
    found: list[ConsumerRecord] = []
    try:
        await consumer._client._wait_on_metadata(topic)
        places = [TopicPartition(topic, partition) for partition in sorted(consumer.partitions_for_topic(topic) or ())]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        while [place for place in places if await consumer.position(place) < ends[place]]:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
    finally:
        await consumer.stop()
    return found


async def group_offsets(bootstrap: str, group: str) -> Offsets:
    """How far a group is."""
    found: Offsets = await administer(bootstrap, lambda admin: admin.list_consumer_group_offsets(group))
    return found


async def put_back(bootstrap: str, group: str, offsets: Offsets) -> None:
    """Commit these offsets for a group without members."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(list(offsets))
        await consumer.commit(dict(offsets))
    finally:
        await consumer.stop()


async def forget_offsets(bootstrap: str, group: str) -> None:
    """Delete what the brokers know of a group, as they do by themselves when offsets.retention.minutes are over."""

    async def forgotten() -> bool:
        return await asyncio.to_thread(_delete_group, bootstrap, group) == 0  # not while its members are leaving

    await until_asked(forgotten, _PATIENCE_S, 0.2)


def _delete_group(bootstrap: str, group: str) -> int:
    """The error code of a DeleteGroups request."""
    host, _, port = bootstrap.rpartition(":")
    name = group.encode()
    body = struct.pack(">hhih", _DELETE_GROUPS, _VERSION, 1, -1) + struct.pack(">ih", 1, len(name)) + name
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(struct.pack(">i", len(body)) + body)
        (size,) = struct.unpack(">i", _exactly(connection, 4))
        answer = _exactly(connection, size)
    (code,) = struct.unpack(">h", answer[-2:])
    return int(code)


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        found += connection.recv(size - len(found))
    return found


async def remove_before(bootstrap: str, topic: str, offset: int, partition: int = 0) -> None:
    """Delete the records below an offset, as retention does."""
    wanted = {TopicPartition(topic, partition): RecordsToDelete(before_offset=offset)}
    await administer(bootstrap, lambda admin: admin.delete_records(wanted))


async def delete_topic(bootstrap: str, topic: str) -> None:
    """Delete a topic and wait until it is gone."""
    await administer(bootstrap, lambda admin: admin.delete_topics([topic]))

    async def gone() -> bool:
        return topic not in await administer(bootstrap, lambda admin: admin.list_topics())

    await until_asked(gone, _PATIENCE_S, 0.2)


async def make_topic(bootstrap: str, topic: str, partitions: int) -> None:
    """Create a topic and wait until it is known."""
    configs = {"max.message.bytes": str(33 * 1024 * 1024)}

    async def create(admin: AIOKafkaAdminClient) -> bool:
        answer = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=configs)])
        return not any(error[1] for error in answer.topic_errors)

    async def there() -> bool:
        return topic in await administer(bootstrap, lambda admin: admin.list_topics())

    await until_asked(lambda: administer(bootstrap, create), _PATIENCE_S, 0.2)
    await until_asked(there, _PATIENCE_S, 0.2)


async def make_again(bootstrap: str, topic: str, partitions: int) -> None:
    """Delete a topic and create it again with so many partitions."""
    await delete_topic(bootstrap, topic)
    await make_topic(bootstrap, topic, partitions)


async def ends_of(bootstrap: str, topic: str, partitions: int) -> dict[TopicPartition, int]:
    """Where the partitions of a topic end."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        found: dict[TopicPartition, int] = await consumer.end_offsets(
            [TopicPartition(topic, partition) for partition in range(partitions)]
        )
        return found
    finally:
        await consumer.stop()


async def until_done(bootstrap: str, topic: str, group: str, partitions: int, limit_s: float = _PATIENCE_S) -> bool:
    """Wait until a group has committed everything that its topic holds; False where it does not within `limit_s`."""
    ends = {place: end for place, end in (await ends_of(bootstrap, topic, partitions)).items() if end}
    try:
        async with asyncio.timeout(limit_s):
            while True:
                try:
                    offsets = await group_offsets(bootstrap, group)
                except KafkaError:
                    offsets = {}
                if all(place in offsets and offsets[place].offset == end for place, end in ends.items()):
                    return True
                await asyncio.sleep(0.3)
    except TimeoutError:
        return False


async def configs_of_topic(bootstrap: str, topic: str) -> dict[str, str]:
    """Kafka's settings of a topic."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    (answer,) = await administer(bootstrap, lambda admin: admin.describe_configs([resource]))
    ((_code, _message, _kind, _name, entries),) = answer.resources
    return {entry[0]: entry[1] for entry in entries}


async def set_configs(bootstrap: str, topic: str, configs: Mapping[str, str]) -> None:
    """Replace everything that was set for a topic."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic, dict(configs))
    await administer(bootstrap, lambda admin: admin.alter_configs([resource]))


async def broker_setting(bootstrap: str, setting: str) -> int:
    """A number among the settings of the broker, or the first of several."""

    async def ask(admin: AIOKafkaAdminClient) -> int:
        broker = str((await admin.describe_cluster())["brokers"][0]["node_id"])
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, broker)])
        ((_code, _message, _kind, _name, entries),) = answer.resources
        return next(int(entry[1]) for entry in entries if entry[0] == setting)

    return await administer(bootstrap, ask)
