"""Records on their way in and out: the checks before anything is sent, and the library's form of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from broker.kafka.cluster import Cluster
from broker.kafka.topics import TopicState
from broker.partitioner import partition_of
from broker.port import BrokerError, NewRecord, Record, RecordTooLarge


@dataclass(frozen=True, slots=True)
class Checked:
    """A record that its topic takes, and the partition it goes to."""

    new: NewRecord
    partition: int


async def check(cluster: Cluster, records: Sequence[NewRecord]) -> Sequence[Checked]:
    """Find what the log would refuse before anything of it is sent.

    Raises:
        UnknownTopic, RecordTooLarge, BrokerError: one of them cannot be written.
    """
    return [_check_one(await cluster.topic(new.topic), new) for new in records]


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
    if not 0 <= new.partition < topic.partitions:
        raise BrokerError(f"topic {new.topic} has no partition {new.partition}")
    return Checked(new, new.partition)


async def send(producer: Any, checked: Checked) -> Any:
    """Hand the record to the producer; the future that is returned tells where it stands."""
    new = checked.new
    return await producer.send(new.topic, new.value, new.key, checked.partition, headers=list(new.headers))


def record_of(found: Any) -> Record:
    """A consumed record in the port's form."""
    return Record(
        found.topic, found.partition, found.offset, found.timestamp, found.key, found.value, tuple(found.headers)
    )
