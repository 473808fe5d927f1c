"""The writes that a transaction of the log may contain, and their result once the transaction is durable."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from broker.embedded.checksum import record_checksum
from broker.embedded.rows import Topics, load_topics, topic_named
from broker.embedded.store import OFFSET_BITS
from broker.partitioner import partition_of
from broker.port import BrokerError, NewRecord, Record, RecordTooLarge, TopicSpec

_encode_headers = msgspec.msgpack.Encoder().encode


class Transaction:
    """One SQLite transaction: jobs write in it, and its attributes record the changes for when it is durable."""

    def __init__(
        self, connection: sqlite3.Connection, topics: Topics, next_offsets: Mapping[int, int], now_ms: int
    ) -> None:
        self.connection = connection
        self.topics = topics
        self.now_ms = now_ms
        self.next_offsets = dict(next_offsets)
        self.written: list[Record] = []
        self.removed: dict[int, int] = {}  # shard -> highest offset removed

    def append(self, records: Sequence[NewRecord]) -> list[Record]:
        """Write the records at the ends of their partitions, and return them as they will be read.

        Raises:
            UnknownTopic, RecordTooLarge, BrokerError: a record cannot be written; earlier ones may be written already.
        """
        appended = [self._append_one(record) for record in records]
        self.written += appended
        return appended

    def _append_one(self, new: NewRecord) -> Record:
        topic = topic_named(self.topics, new.topic)
        headers = _encode_headers(new.headers) if new.headers else None
        size = len(new.key or b"") + len(new.value or b"") + len(headers or b"")
        if size > topic.spec.max_record_bytes:
            raise RecordTooLarge(
                f"a record of {size} bytes is over the limit of topic {new.topic}, {topic.spec.max_record_bytes} bytes"
            )
        if topic.spec.compacted and new.key is None:
            raise BrokerError(f"topic {new.topic} is compacted: every record in it needs a key")
        if new.partition is not None:
            partition = new.partition
        else:
            partition = 0 if new.key is None else partition_of(new.key, topic.spec.partitions)
        shard = topic.shard(partition)
        offset = self.next_offsets.get(shard, 0)
        checksum = record_checksum(new.topic, partition, offset, self.now_ms, new.key, headers, new.value)
        self.connection.execute(
            "INSERT INTO record (id, timestamp_ms, bytes, checksum, key, headers, value) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (shard << OFFSET_BITS | offset, self.now_ms, size, checksum, new.key, headers, new.value),
        )
        self.next_offsets[shard] = offset + 1
        return Record(new.topic, partition, offset, self.now_ms, new.key, new.value, new.headers)

    def save_group_offset(self, group: str, topic_name: str, partition: int, next_offset: int) -> None:
        """Store the group's new offset.

        Raises:
            BrokerError: the offset is not within the partition.
        """
        shard = topic_named(self.topics, topic_name).shard(partition)
        end = self.next_offsets.get(shard, 0)
        if not 0 <= next_offset <= end:
            raise BrokerError(
                f"group {group} cannot go on at offset {next_offset} of {topic_name},"
                f" partition {partition}: it ends at {end}"
            )
        self.connection.execute(
            "INSERT INTO group_offset (group_name, shard_id, next_offset) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
            (group, shard, next_offset),
        )

    def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """Create the topics or change their retention and record limit; see `ensure_topic`."""
        for spec in specs:
            ensure_topic(self.connection, self.topics, spec)
            self.topics = load_topics(self.connection)

    def remove(self, shard: int, offsets: Sequence[int]) -> None:
        """Delete records; store the shard's next offset, so that the deleted offsets are not used again."""
        base = shard << OFFSET_BITS
        self.connection.executemany("DELETE FROM record WHERE id = ?", [(base | offset,) for offset in offsets])
        self.connection.execute(
            "UPDATE shard SET floor_offset = ? WHERE id = ?", (self.next_offsets.get(shard, 0), shard)
        )
        self.removed[shard] = max(self.removed.get(shard, 0), *offsets)

    def savepoint(self) -> "Savepoint":
        """Begin a job that can be undone without the other jobs."""
        self.connection.execute("SAVEPOINT job")
        return Savepoint(self.topics, dict(self.next_offsets), len(self.written), dict(self.removed))

    def release(self) -> None:
        """End the job and keep its writes."""
        self.connection.execute("RELEASE job")

    def undo(self, savepoint: "Savepoint") -> None:
        """End the job and undo its writes."""
        self.connection.execute("ROLLBACK TO job")
        self.connection.execute("RELEASE job")
        self.topics = savepoint.topics
        self.next_offsets = savepoint.next_offsets
        self.removed = savepoint.removed
        del self.written[savepoint.written :]


@dataclass(frozen=True, slots=True)
class Savepoint:
    """The state of a transaction at the beginning of a job, to which `undo` returns."""

    topics: Topics
    next_offsets: dict[int, int]
    written: int
    removed: dict[int, int]


def ensure_topic(connection: sqlite3.Connection, topics: Topics, spec: TopicSpec) -> None:
    """Create the topic, or change its retention and record limit.

    Raises:
        BrokerError: the topic exists with another number of partitions or another kind of clean-up, or the
            specification has no name or no partition.
    """
    if not spec.name or spec.partitions < 1:
        raise BrokerError(f"topic {spec.name!r} needs a name and at least one partition")
    keep = (spec.retention_ms, spec.retention_bytes, spec.max_record_bytes, spec.min_compaction_lag_ms)
    present = topics.get(spec.name)
    if present is None:
        topic_id = connection.execute(
            "INSERT INTO topic (retention_ms, retention_bytes, max_record_bytes, min_compaction_lag_ms, name,"
            " partitions, compacted) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*keep, spec.name, spec.partitions, spec.compacted),
        ).lastrowid
        connection.executemany(
            "INSERT INTO shard (topic_id, partition) VALUES (?, ?)",
            [(topic_id, partition) for partition in range(spec.partitions)],
        )
        return
    if present.spec.partitions != spec.partitions:
        raise BrokerError(
            f"topic {spec.name} has {present.spec.partitions} partitions and cannot be given {spec.partitions}:"
            " use the number it was created with, or a new data folder"
        )
    if present.spec.compacted != spec.compacted:
        kept = "compacted" if present.spec.compacted else "not compacted"
        raise BrokerError(f"topic {spec.name} is {kept}, and that cannot be changed: use a new data folder")
    if present.spec != spec:
        connection.execute(
            "UPDATE topic SET retention_ms = ?, retention_bytes = ?, max_record_bytes = ?, min_compaction_lag_ms = ?"
            " WHERE id = ?",
            (*keep, present.id),
        )
