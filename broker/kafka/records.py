"""Records on their way in and out: the checks before anything is sent, and the library's form of them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiokafka.errors as kafka

from broker.futures import retrieve_error
from broker.kafka.cluster import Cluster
from broker.kafka.topics import TopicState
from broker.partitioner import partition_of
from broker.port import BrokerError, NewRecord, Record, RecordTooLarge, UnknownPartition

_LOOK_S = 1.0
"""How often somebody looks whether the partitions that have not answered yet are still there."""


class PartitionGone(UnknownPartition):
    """A producer has learnt that a partition is gone; whether that is so, or the producer errs, `check` finds out."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A record that its topic takes, and the partition it goes to."""

    new: NewRecord
    partition: int


async def check(cluster: Cluster, records: Sequence[NewRecord]) -> Sequence[Checked]:
    """Find what the log would refuse before anything of it is sent.

    Raises:
        UnknownTopic, UnknownPartition, RecordTooLarge, BrokerError: one of them cannot be written.
    """
    return [_check_one(await cluster.topic(new.topic, new.partition), new) for new in records]


def _check_one(topic: TopicState, new: NewRecord) -> Checked:
    headers = sum(len(name.encode()) + len(value) for name, value in new.headers)
    size = len(new.key or b"") + len(new.value or b"") + headers
    if size > topic.max_record_bytes:
        raise RecordTooLarge(
            f"a record of {size} bytes is over the limit of topic {new.topic}, {topic.max_record_bytes} bytes"
        )
    if topic.compacted and new.key is None:
        raise BrokerError(f"topic {new.topic} is compacted: every record in it needs a key")
    if new.key is None and new.value is None:
        raise BrokerError(f"a record of topic {new.topic} has neither key nor value")
    if new.partition is None:
        return Checked(new, 0 if new.key is None else partition_of(new.key, topic.partitions))
    return Checked(new, new.partition)


async def send(producer: Any, checked: Checked) -> Any:
    """Hand the record to the producer; the future that is returned tells where it stands.

    Raises:
        PartitionGone: its partition is not there as far as the producer knows.
        KafkaError: the producer cannot send.
    """
    new = checked.new
    for last in (False, True):
        try:
            return await producer.send(new.topic, new.value, new.key, checked.partition, headers=list(new.headers))
        except kafka.UnknownTopicOrPartitionError as error:
            raise _gone(producer, checked) from error
        except AssertionError as error:  # so the library says that it knows no such partition
            if _is_there(producer, checked):
                raise
            if last:
                raise _gone(producer, checked) from error
        await producer.client.force_metadata_update()
    return None


async def acknowledged(producer: Any, records: Sequence[Checked], sent: Sequence["asyncio.Future[Any]"]) -> list[Any]:
    """Wait for all these futures; what each came to, as `asyncio.gather` returns it.

    Raises:
        PartitionGone: one of the partitions is gone, so that the library would wait for ever.
    """
    waiting = set(sent)
    try:
        while waiting:
            _, waiting = await asyncio.wait(sent, timeout=_LOOK_S)
            if not waiting:
                break
            await producer.client.force_metadata_update()
            for record, future in zip(records, sent, strict=True):
                if future in waiting and not _is_there(producer, record):
                    raise _gone(producer, record)
    finally:
        for future in waiting:
            future.add_done_callback(retrieve_error)
    return await asyncio.gather(*sent, return_exceptions=True)


def _known(producer: Any, topic: str) -> set[int]:
    """The partitions that the producer knows."""
    return producer.client.cluster.partitions_for_topic(topic) or set()


def _is_there(producer: Any, checked: Checked) -> bool:
    return checked.partition in _known(producer, checked.new.topic)


def _gone(producer: Any, checked: Checked) -> PartitionGone:
    topic = checked.new.topic
    return PartitionGone(f"partition {checked.partition} of topic {topic} is gone", topic, len(_known(producer, topic)))


def record_of(found: Any) -> Record:
    """A consumed record in the port's form."""
    return Record(
        found.topic, found.partition, found.offset, found.timestamp, found.key, found.value, tuple(found.headers)
    )
