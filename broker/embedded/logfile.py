"""A log in a single file that no server has open: the form of a backup of either adapter.

The file has the format of the embedded log. Offsets that no record ever had, such as the ends of Kafka's transactions,
are recorded as seams, so that a check does not report missing records there.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from broker.backup import GroupOffset
from broker.embedded.records import read_records
from broker.embedded.rows import Topics, end_offsets, load_topics
from broker.embedded.store import OFFSET_BITS, broker_error, create_file, open_file
from broker.embedded.transaction import Transaction, ensure_topic
from broker.port import NewRecord, Record, TopicSpec

_BATCH_RECORDS = 500
_BATCH_BYTES = 8 * 1024 * 1024


class LogFileWriter:
    """Writes a log into a new file; see `broker.backup.Copy`. The file is durable once the context is left.

    All methods raise BrokerError if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._topics: Topics = {}
        self._next: dict[int, int] = {}

    def __enter__(self) -> Self:
        self._connection = create_file(self._path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        if error is None:
            descriptor = os.open(self._path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    def add_topic(self, spec: TopicSpec, firsts: Mapping[int, int]) -> None:
        """See `Copy`. Missing offsets at the front of a compacted topic are recorded as a seam, like any other gap."""
        with _one_transaction(self._connection, self._path):
            ensure_topic(self._connection, self._topics, spec)
            self._topics = load_topics(self._connection)
            for partition, shard in enumerate(self._topics[spec.name].shards):
                self._next[shard] = 0 if spec.compacted else firsts[partition]
                self._connection.execute("UPDATE shard SET first_offset = ? WHERE id = ?", (self._next[shard], shard))

    def write(self, records: Sequence[Record]) -> None:
        """See `Copy`."""
        transaction = Transaction(self._connection, self._topics, self._next, 0)
        with _one_transaction(self._connection, self._path):
            for record in records:
                shard = self._topics[record.topic].shard(record.partition)
                self._note_gap(shard, record.offset)
                transaction.next_offsets[shard] = record.offset
                transaction.now_ms = record.timestamp_ms
                new = NewRecord(record.topic, record.key, record.value, record.headers, record.partition)
                transaction.append([new])
                self._next[shard] = record.offset + 1

    def end_topic(self, topic: str, ends: Mapping[int, int]) -> None:
        """See `Copy`."""
        with _one_transaction(self._connection, self._path):
            for partition, end in ends.items():
                shard = self._topics[topic].shard(partition)
                self._note_gap(shard, end)
                self._connection.execute("UPDATE shard SET floor_offset = ? WHERE id = ?", (end, shard))
                if self._topics[topic].spec.compacted:  # the copied log does not tell which deletions it lacks
                    self._connection.execute("UPDATE shard SET first_offset = ? WHERE id = ?", (end, shard))
                self._next[shard] = end

    def save_group_offset(self, place: GroupOffset) -> None:
        """Record the offset from which a group goes on; an offset behind the end of the copy becomes the end."""
        shard = self._topics[place.topic].shard(place.partition)
        offset = min(place.offset, self._next[shard])
        with _one_transaction(self._connection, self._path):
            transaction = Transaction(self._connection, self._topics, self._next, 0)
            transaction.save_group_offset(place.group, place.topic, place.partition, offset)

    def _note_gap(self, shard: int, offset: int) -> None:
        if self._next[shard] < offset:
            self._connection.execute("INSERT INTO seam (offset, shard_id) VALUES (?, ?)", (offset, shard))


class LogFileReader:
    """Reads the file of a log, which must have passed `verify_backup`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._connection = open_file(self._path)
        self._topics = load_topics(self._connection)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    @property
    def specs(self) -> Mapping[str, TopicSpec]:
        """The topics by name."""
        return {name: topic.spec for name, topic in self._topics.items()}

    def records(self, topic: str, partition: int) -> Iterator[Sequence[Record]]:
        """Yield the records of a partition in offset order, damaged ones included, in batches of some MiB."""
        found = self._topics[topic]
        end = end_offsets(self._connection, [found.shard(partition)])[found.shard(partition)]
        at, ended = 0, False
        while at < end and not ended:
            records, ended = read_records(
                self._connection, found, partition, range(at, end), _BATCH_RECORDS, _BATCH_BYTES
            )
            if records:
                yield records
            at = records[-1].offset + 1 if records else end

    def count(self, topic: str) -> int:
        """Return the number of records of the topic."""
        shards = self._topics[topic].shards
        spans = [(shard << OFFSET_BITS, shard + 1 << OFFSET_BITS) for shard in shards]
        query = "SELECT count(*) FROM record WHERE id >= ? AND id < ?"
        return sum(int(self._connection.execute(query, span).fetchone()[0]) for span in spans)

    def group_offsets(self) -> Sequence[GroupOffset]:
        """Return the offsets from which groups go on."""
        rows = self._connection.execute("SELECT group_name, shard_id, next_offset FROM group_offset").fetchall()
        places = {
            shard: (name, partition)
            for name, topic in self._topics.items()
            for partition, shard in enumerate(topic.shards)
        }
        return [GroupOffset(group, *places[shard], offset) for group, shard, offset in rows if shard in places]


@contextmanager
def _one_transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    """Run the block within one transaction: all of its writes take effect, or none.

    Raises:
        BrokerError: the file cannot be written.
    """
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise broker_error(error, path.parent) from error
