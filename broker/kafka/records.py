"""Records and the library: checks records before they are sent, sends them, and converts consumed records."""

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

_CHECK_S = 1.0
"""The time between two checks whether partitions that have not acknowledged a record still exist."""


class PartitionGone(UnknownPartition):
    """A producer does not find a partition; whether the partition is gone or the producer is wrong, `check` decides."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A record that its topic accepts, and its partition."""

    new: NewRecord
    partition: int


async def check(cluster: Cluster, records: Sequence[NewRecord]) -> Sequence[Checked]:
    """Check all records before any of them is sent, and choose their partitions.

    Raises:
        UnknownTopic, UnknownPartition, RecordTooLarge, BrokerError: the log would refuse one of the records.
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
    """Pass the record to the producer; return a future of the record's metadata, among it the offset.

    Raises:
        PartitionGone: the producer does not find the record's partition.
        KafkaError: the producer cannot send.
    """
    new = checked.new
    for last in (False, True):
        try:
            return await producer.send(new.topic, new.value, new.key, checked.partition, headers=list(new.headers))
        except kafka.UnknownTopicOrPartitionError as error:
            raise _gone(producer, checked) from error
        except AssertionError as error:  # the library raises this for a partition that it does not know
            if _is_there(producer, checked):
                raise
            if last:
                raise _gone(producer, checked) from error
        await producer.client.force_metadata_update()
    return None


async def acknowledged(producer: Any, records: Sequence[Checked], sent: Sequence["asyncio.Future[Any]"]) -> list[Any]:
    """Wait for all futures of `send`; return the result or the error of each, as `asyncio.gather` does.

    Raises:
        PartitionGone: one of the partitions is gone, so that the library would wait for ever.
    """
    waiting = set(sent)
    try:
        while waiting:
            _, waiting = await asyncio.wait(sent, timeout=_CHECK_S)
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
    """Return the partitions of the topic that the producer knows."""
    return producer.client.cluster.partitions_for_topic(topic) or set()


def _is_there(producer: Any, checked: Checked) -> bool:
    return checked.partition in _known(producer, checked.new.topic)


def _gone(producer: Any, checked: Checked) -> PartitionGone:
    topic = checked.new.topic
    return PartitionGone(f"partition {checked.partition} of topic {topic} is gone", topic, len(_known(producer, topic)))


def record_of(found: Any) -> Record:
    """Return the port's record for a record that a consumer returned."""
    return Record(
        found.topic, found.partition, found.offset, found.timestamp, found.key, found.value, tuple(found.headers)
    )
