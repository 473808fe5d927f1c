"""Reads topics, ends, times and group offsets from the log's tables, in plain synchronous functions."""

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from broker.embedded.store import OFFSET_BITS
from broker.port import TopicSpec, UnknownPartition, UnknownTopic

_TIME_SCAN_ROWS = 20_000  # a read must be short: SQLite cannot restart the WAL as long as a read lasts


@dataclass(frozen=True, slots=True)
class Topic:
    """A stored topic: its specification and the shard id of each partition."""

    id: int
    spec: TopicSpec
    shards: tuple[int, ...]

    def shard(self, partition: int) -> int:
        """Return the shard of the partition.

        Raises:
            UnknownPartition: the topic has no such partition.
        """
        if 0 <= partition < len(self.shards):
            return self.shards[partition]
        raise UnknownPartition(
            f"topic {self.spec.name} has {len(self.shards)} partitions; there is no partition {partition}",
            self.spec.name,
            len(self.shards),
        )


Topics = Mapping[str, Topic]


def topic_named(topics: Topics, name: str) -> Topic:
    """Return the topic of that name; raise UnknownTopic if there is none."""
    try:
        return topics[name]
    except KeyError:
        raise UnknownTopic(f"there is no topic {name} in this log: create it first", name) from None


def load_topics(connection: sqlite3.Connection) -> dict[str, Topic]:
    """Return name -> topic, for every topic of the log."""
    shards: dict[int, list[int]] = {}
    for topic_id, shard in connection.execute("SELECT topic_id, id FROM shard ORDER BY topic_id, partition"):
        shards.setdefault(topic_id, []).append(shard)
    rows = connection.execute(
        "SELECT id, name, partitions, retention_ms, retention_bytes, compacted, max_record_bytes, min_compaction_lag_ms"
        " FROM topic"
    ).fetchall()
    return {
        name: Topic(
            topic_id, TopicSpec(name, partitions, age, size, bool(compacted), most, lag), tuple(shards[topic_id])
        )
        for topic_id, name, partitions, age, size, compacted, most, lag in rows
        if topic_id in shards
    }


def end_offsets(connection: sqlite3.Connection, only: Collection[int] | None = None) -> dict[int, int]:
    """Return shard -> the offset after its last record, for every shard, or only for the shards in `only`."""
    ends = {}
    for shard, floor in connection.execute("SELECT id, floor_offset FROM shard").fetchall():
        if only is not None and shard not in only:
            continue
        base = shard << OFFSET_BITS
        (last,) = connection.execute(
            "SELECT max(id) FROM record WHERE id >= ? AND id < ?", (base, shard + 1 << OFFSET_BITS)
        ).fetchone()
        ends[shard] = floor if last is None else max(floor, last - base + 1)
    return ends


def first_offset(connection: sqlite3.Connection, shard: int) -> int | None:
    """Return the offset of the shard's first record; None if there is none."""
    base = shard << OFFSET_BITS
    (found,) = connection.execute(
        "SELECT min(id) FROM record WHERE id >= ? AND id < ?", (base, shard + 1 << OFFSET_BITS)
    ).fetchone()
    return None if found is None else int(found) - base


def deletions_from(connection: sqlite3.Connection, shards: Sequence[int]) -> dict[int, int]:
    """Return partition -> the offset from which on no tombstone was removed, for the shards of a compacted topic."""
    found = dict(connection.execute("SELECT id, first_offset FROM shard").fetchall())
    return {partition: int(found[shard]) for partition, shard in enumerate(shards)}


def first_since(connection: sqlite3.Connection, shard: int, timestamp_ms: int) -> int | None:
    """Return the offset of the first record that was written at that time or later; None if there is none.

    The times of all records are compared, in short reads, because clocks jump and times need not be in order.
    """
    base, stop = shard << OFFSET_BITS, shard + 1 << OFFSET_BITS
    at = base
    while True:
        found, last = connection.execute(
            "SELECT min(CASE WHEN timestamp_ms >= ? THEN id END), max(id) FROM"
            " (SELECT id, timestamp_ms FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT ?)",
            (timestamp_ms, at, stop, _TIME_SCAN_ROWS),
        ).fetchone()
        if found is not None:
            return int(found) - base
        if last is None:
            return None
        at = last + 1


def group_offsets(connection: sqlite3.Connection, group: str, topic: Topic) -> dict[int, int]:
    """Return partition -> the group's committed offset, for the partitions that have one."""
    stored = dict(
        connection.execute("SELECT shard_id, next_offset FROM group_offset WHERE group_name = ?", (group,)).fetchall()
    )
    return {partition: stored[shard] for partition, shard in enumerate(topic.shards) if shard in stored}
