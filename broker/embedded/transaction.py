"""What may be written within one transaction of the log, and what was written once it is durable."""

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
    """What jobs write within one SQLite transaction, and what is to be told when it is durable."""

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
        """Write the records at the ends of their partitions.

        Raises:
            UnknownTopic, RecordTooLarge, BrokerError: one of them cannot be written; earlier ones may have been.
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
        """Store where the group goes on.

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
        """See `ensure_topic`."""
        for spec in specs:
            ensure_topic(self.connection, self.topics, spec)
            self.topics = load_topics(self.connection)

    def remove(self, shard: int, offsets: Sequence[int]) -> None:
        """Delete records; keeps the floor so that their offsets are not used again."""
        base = shard << OFFSET_BITS
        self.connection.executemany("DELETE FROM record WHERE id = ?", [(base | offset,) for offset in offsets])
        self.connection.execute(
            "UPDATE shard SET floor_offset = ? WHERE id = ?", (self.next_offsets.get(shard, 0), shard)
        )
        self.removed[shard] = max(self.removed.get(shard, 0), *offsets)

    def savepoint(self) -> "Savepoint":
        """Begin a job that may be undone by itself."""
        self.connection.execute("SAVEPOINT job")
        return Savepoint(self.topics, dict(self.next_offsets), len(self.written), dict(self.removed))

    def release(self) -> None:
        """The job stays."""
        self.connection.execute("RELEASE job")

    def undo(self, savepoint: "Savepoint") -> None:
        """The job leaves nothing."""
        self.connection.execute("ROLLBACK TO job")
        self.connection.execute("RELEASE job")
        self.topics = savepoint.topics
        self.next_offsets = savepoint.next_offsets
        self.removed = savepoint.removed
        del self.written[savepoint.written :]


@dataclass(frozen=True, slots=True)
class Savepoint:
    """What a transaction goes back to when a job is undone."""

    topics: Topics
    next_offsets: dict[int, int]
    written: int
    removed: dict[int, int]


def ensure_topic(connection: sqlite3.Connection, topics: Topics, spec: TopicSpec) -> None:
    """Create the topic or take over its retention and record limit.

    Raises:
        BrokerError: it exists with other partitions or another kind of clean-up, or the spec makes no sense.
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
