"""Reads records from the file and compares each with its checksum; damage never hides the records behind it.

In place of a damaged record, a record that is marked `damaged` is delivered (`broker.port.Record`). Where SQLite cannot
even find the records of a page, every offset that the page may have contained is delivered as a damaged record. In a
topic that is not compacted, records are removed from the front only, so a record that is missing elsewhere is damaged.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from broker.embedded.checksum import record_checksum
from broker.embedded.rows import Topic
from broker.embedded.store import OFFSET_BITS, is_damage
from broker.port import Headers, Record

_decode_headers = msgspec.msgpack.Decoder(Headers).decode

_COLUMNS = "id, timestamp_ms, checksum, key, headers, value, bytes"


def read_records(
    connection: sqlite3.Connection,
    topic: Topic,
    partition: int,
    span: range,
    max_records: int,
    max_bytes: int,
) -> tuple[list[Record], bool]:
    """Return records with offsets in `span`, in order, and whether the span has no more records.

    The result ends at `max_records`, or with the record that reaches `max_bytes`, so that there is at least one record
    whatever its size.
    """
    rows = _PartitionRows(connection, topic, partition)
    try:
        records, ended = rows.take(span, max_records, max_bytes)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return rows.take_around_damage(span, max_records)
    at = records[-1].offset + 1 if records else span.start
    if not ended or at >= span.stop:
        return records, ended
    if at + 1 < span.stop and rows.first_id(range(at + 1, span.stop)) is not None:
        return [*records, rows.damaged(at)], False  # a damaged id ended the scan too early
    missing = rows.missing(range(at, span.stop), max(1, max_records - len(records)))
    return [*records, *missing], not missing


def read_one(connection: sqlite3.Connection, topic: Topic, partition: int, offset: int) -> Record | None:
    """Return the record at the offset, or None where there is none (any more)."""
    rows = _PartitionRows(connection, topic, partition)
    try:
        found, _ = rows.take(range(offset, offset + 1), 1, 1)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return rows.damaged(offset)
    return found[0] if found else None


def missing_latest(connection: sqlite3.Connection, topic: Topic, partition: int) -> list[Record]:
    """Return a damaged record for each latest record of a key that is missing in the file, in a compacted topic.

    A compacted partition has gaps, so a reader would not notice that such a record is missing.
    """
    shard = topic.shard(partition)
    missing = connection.execute(
        "SELECT offset, key FROM latest WHERE shard_id = ?1"
        " AND NOT EXISTS (SELECT 1 FROM record WHERE id = (?2 | latest.offset)) ORDER BY offset",
        (shard, shard << OFFSET_BITS),
    ).fetchall()
    partition_rows = _PartitionRows(connection, topic, partition)
    return [partition_rows.damaged(offset, key) for offset, key in missing]


class _PartitionRows:
    """The rows of one partition in the file."""

    def __init__(self, connection: sqlite3.Connection, topic: Topic, partition: int) -> None:
        self._connection = connection
        self._topic = topic
        self._partition = partition
        self._base = topic.shard(partition) << OFFSET_BITS

    def take(self, span: range, max_records: int, max_bytes: int) -> tuple[list[Record], bool]:
        """Return records as `read_records` does.

        Raises:
            sqlite3.DatabaseError: a page is damaged.
        """
        rows = self._connection.execute(
            f"SELECT {_COLUMNS} FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",  # noqa: S608 - a constant
            (self._base | span.start, self._base + span.stop, max_records),
        )
        try:
            records: list[Record] = []
            room_bytes, expected = max_bytes, span.start
            for row in rows:
                record = self._record(row, expected)
                missing = self.missing(range(expected, record.offset), max_records - len(records))
                if missing:
                    return [*records, *missing], False
                records.append(record)
                misplaced = record.damaged and record.offset != row[0] - self._base
                room_bytes -= row[-1] if isinstance(row[-1], int) else 0
                expected = record.offset + 1
                if room_bytes <= 0 or misplaced:
                    return records, False
        finally:
            rows.close()
        return records, len(records) < max_records

    def take_around_damage(self, span: range, max_records: int) -> tuple[list[Record], bool]:
        """Return records, read one by one, a damaged one for each unreadable offset; and whether there are no more."""
        records: list[Record] = []
        at = span.start
        while at < span.stop and len(records) < max_records:
            rest = range(at, span.stop)
            found: Sequence[Record]
            try:
                found, _ = self.take(rest, 1, 1)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
                found = self._unreadable(rest, max_records - len(records))
            if not found:
                return records, True
            records += found
            at = records[-1].offset + 1
        return records, False

    def _unreadable(self, span: range, max_records: int) -> Sequence[Record]:
        """Return a damaged record for each offset from `span.start` up to where the file can be read again."""
        try:
            first = self.first_id(span)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            behind = self._behind_damage(span)
            return [self.damaged(offset) for offset in range(span.start, min(behind, span.start + max_records))]
        return [] if first is None else [self.damaged(first)]

    def _behind_damage(self, span: range) -> int:
        """Return the lowest offset from which a look-up succeeds again, by bisection: a page has one run of offsets."""
        low, high = span.start, span.stop
        while high - low > 1:
            middle = (low + high) // 2
            if self._can_look_up(range(middle, span.stop)):
                high = middle
            else:
                low = middle
        return high

    def _can_look_up(self, span: range) -> bool:
        try:
            self.first_id(span)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return False
        return True

    def first_id(self, span: range) -> int | None:
        """Return the first offset of a row in the span, without reading the record; None: the span has no row."""
        found = self._connection.execute(
            "SELECT id FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT 1",
            (self._base | span.start, self._base + span.stop),
        ).fetchone()
        return None if found is None else max(int(found[0]) - self._base, span.start)

    def missing(self, gap: range, max_records: int) -> list[Record]:
        """Return a damaged record for each of the first offsets of a gap between records, where there may be no gap."""
        if not gap:
            return []
        # Compaction removes records only below `cleaned_offset`, retention only below `first_offset`.
        column = "cleaned_offset" if self._topic.spec.compacted else "first_offset"
        (first,) = self._connection.execute(
            f"SELECT {column} FROM shard WHERE id = ?",  # noqa: S608 - one of two constants
            (self._base >> OFFSET_BITS,),
        ).fetchone()
        seam = self._connection.execute(
            "SELECT 1 FROM seam WHERE shard_id = ? AND offset = ?", (self._base >> OFFSET_BITS, gap.stop)
        ).fetchone()
        if seam is not None:
            return []  # no record was ever written in the gap before a seam
        gap = range(max(gap.start, first), gap.stop)
        return [self.damaged(offset) for offset in gap[:max_records]]

    def damaged(self, offset: int, key: bytes | None = None) -> Record:
        """Return the record that is delivered in place of a damaged or missing one."""
        return Record(self._topic.spec.name, self._partition, offset, 0, key, b"", damaged=True)

    def _record(self, row: Sequence[Any], expected: int) -> Record:
        row_id, timestamp_ms, _sum, key, headers, value, _bytes = row
        offset = row_id - self._base
        if is_whole(self._topic.spec.name, self._partition, offset, row[1:6]):
            decoded = _decode_headers(headers) if headers else ()
            return Record(self._topic.spec.name, self._partition, offset, timestamp_ms, key, value, decoded)
        # Perhaps the id of the row is damaged; then SQLite does not find the row by that id.
        if self._connection.execute("SELECT 1 FROM record WHERE id = ?", (row_id,)).fetchone() is None:
            offset = expected
        return self.damaged(offset, key if isinstance(key, bytes) else None)


def is_whole(topic: str, partition: int, offset: int, content: Sequence[Any]) -> bool:
    """Return whether timestamp, checksum, key, headers and value, as SQLite returned them, are as they were written."""
    timestamp_ms, checksum, key, headers, value = content
    if not all(part is None or isinstance(part, bytes) for part in (key, headers, value)):
        return False
    if not isinstance(timestamp_ms, int) or not isinstance(checksum, int):
        return False
    return record_checksum(topic, partition, offset, timestamp_ms, key, headers, value) == checksum
