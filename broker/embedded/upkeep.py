"""Retention, compaction and shrinking of the file, in steps so small that an append never waits long for one."""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from broker.embedded.checksum import record_checksum
from broker.embedded.clocks import Reading
from broker.embedded.records import is_whole
from broker.embedded.rows import Topic
from broker.embedded.store import OFFSET_BITS, is_damage
from broker.embedded.transaction import Transaction
from broker.port import DELETIONS_KEPT_MS

_CHUNK_BYTES = 1024 * 1024  # about 2 ms of deleting (overwriting with zeros); after that appends can run
_CHUNK_ROWS = 500
_TIMED_ROWS = 5_000
_FAR_FUTURE_MS = 1 << 62
_TIME_SLACK_MS = 60_000  # small corrections of clocks are common, and keep a picture at most that much longer
REWRITTEN_BYTES = 256 * 1024 * 1024
"""The size of the largest file that is written anew after an erasure: about two seconds without an append."""
_VACUUM_PAGES = 256
_SLACK_BYTES = 8 * 1024 * 1024  # free pages that are left for new records
_SLACK_SHARE = 0.1
_DAMAGED_AT = b"damaged/"  # followed by an offset: the key of a tombstone for a damaged record without a key
_PLACE_DIGITS = len(str((1 << OFFSET_BITS) - 1))


@dataclass(frozen=True, slots=True)
class Step:
    """The result of one step.

    Attributes:
        removed: whether records were removed.
        more: whether there may be more to do.
        touched_bytes: the bytes that were overwritten or moved.
        next_offset: the offset from which the next step goes on.
        strange: whether there were times in the future, which `order_times` must check again.
    """

    removed: bool
    more: bool
    touched_bytes: int = 0
    next_offset: int = 0
    strange: bool = False


def stored_bytes(connection: sqlite3.Connection, shard: int, most_bytes: int) -> int:
    """Return the bytes of keys, headers and values in a shard; sizes over `most_bytes` are damage and not counted."""
    (total,) = connection.execute(
        "SELECT coalesce(sum(bytes), 0) FROM record WHERE id >= ? AND id < ? AND bytes BETWEEN 0 AND ?",
        (shard << OFFSET_BITS, shard + 1 << OFFSET_BITS, most_bytes),
    ).fetchone()
    return int(total)


def expire(
    transaction: Transaction, topic: Topic, shard: int, excess_bytes: int, first: int = 0, *, ages: bool = True
) -> Step:
    """Remove the oldest records of a shard that are past their age, or as many as `excess_bytes` demands.

    The step begins at offset `first`; the next step begins at its `next_offset`. Records with a time in the future are
    skipped, so that the records behind them can be removed, and the step is `strange`: the disk has damaged their
    times, because `order_times` has corrected all others. `ages` False: no record is removed for its age.
    """
    age = topic.spec.retention_ms if ages else None
    oldest_ms = None if age is None else transaction.now_ms - age
    base = shard << OFFSET_BITS
    rows = transaction.connection.execute(
        "SELECT id, timestamp_ms, bytes FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (base | first, shard + 1 << OFFSET_BITS, _CHUNK_ROWS),
    ).fetchall()
    gone: list[int] = []
    strange = False
    removed_bytes = 0
    next_offset = first
    more = len(rows) == _CHUNK_ROWS
    for row_id, written_ms, size in rows:
        offset, timestamp_ms = row_id - base, _ms(written_ms)
        if removed_bytes < excess_bytes or (oldest_ms is not None and timestamp_ms < oldest_ms):
            gone.append(offset)
            removed_bytes += _size(size, topic.spec.max_record_bytes)
        elif timestamp_ms > transaction.now_ms and oldest_ms is not None:
            strange = True
        else:
            more = False
            break
        next_offset = offset + 1
        if removed_bytes >= _CHUNK_BYTES:
            more = True
            break
    if gone:
        transaction.remove(shard, gone)
        transaction.connection.execute(
            "UPDATE shard SET first_offset = max(first_offset, ?) WHERE id = ?", (gone[-1] + 1, shard)
        )
    return Step(bool(gone), more, removed_bytes, next_offset, strange)


@dataclass(frozen=True, slots=True)
class Times:
    """The part of a shard in which the times of records are in order, and the changes that are needed for that.

    Attributes:
        next_offset: the times below this offset are in order.
        last_ms: the last of these times (epoch ms).
        changes: pairs of an offset and the new time (epoch ms) of its record.
        more: whether there are more records to check.
    """

    next_offset: int
    last_ms: int
    changes: Sequence[tuple[int, int]] = ()
    more: bool = False


def _ms(stored: object) -> int:
    """Return a stored time; a value that is damaged and no number counts as a time in the future."""
    return stored if isinstance(stored, int) else _FAR_FUTURE_MS


def _size(stored: object, most_bytes: int) -> int:
    """Return a record's stored size; 0 for a size that no record can have, which is damage."""
    return stored if isinstance(stored, int) and 0 <= stored <= most_bytes else 0


def ordered_so_far(connection: sqlite3.Connection, shard: int) -> Times:
    """Return the part of a shard in which times are in order, as it is stored in the file."""
    next_offset, last_ms = connection.execute(
        "SELECT timed_offset, timed_ms FROM shard WHERE id = ?", (shard,)
    ).fetchone()
    return Times(next_offset, last_ms)


def order_times(connection: sqlite3.Connection, shard: int, known: Times, now_ms: int) -> Times:
    """Check the times of some records behind those whose times are in order; `now_ms` is a trusted clock's time.

    Records are written in the order of their offsets, so a record behind another is no older. A time in the future was
    written by a wrong clock: the record was written no later than the next record whose time is not in the future. A
    time far before that of the record in front is wrong, too.
    """
    base, stop = shard << OFFSET_BITS, shard + 1 << OFFSET_BITS
    found = connection.execute(
        "SELECT id, timestamp_ms FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (base | known.next_offset, stop, _TIMED_ROWS),
    ).fetchall()
    rows = [(row_id, _ms(timestamp_ms)) for row_id, timestamp_ms in found]
    bound_ms = now_ms
    if rows and rows[-1][1] > now_ms:
        behind = connection.execute(
            "SELECT timestamp_ms FROM record WHERE id > ? AND id < ? AND timestamp_ms <= ? ORDER BY id LIMIT 1",
            (rows[-1][0], stop, now_ms),
        ).fetchone()
        bound_ms = now_ms if behind is None else behind[0]
    bounded: list[tuple[int, int, int]] = []
    for row_id, timestamp_ms in reversed(rows):
        bound_ms = timestamp_ms if timestamp_ms <= now_ms else bound_ms
        bounded.append((row_id - base, timestamp_ms, min(timestamp_ms, bound_ms)))
    last_ms = known.last_ms
    changes = []
    for offset, timestamp_ms, at_most_ms in reversed(bounded):
        last_ms = max(last_ms, at_most_ms)
        if abs(timestamp_ms - last_ms) > _TIME_SLACK_MS:
            changes.append((offset, last_ms))
    next_offset = rows[-1][0] - base + 1 if rows else known.next_offset
    return Times(next_offset, last_ms, changes, len(rows) == _TIMED_ROWS)


def correct_times(transaction: Transaction, topic: Topic, partition: int, changes: Sequence[tuple[int, int]]) -> int:
    """Store the times that `order_times` computed; return the number of bytes that were written.

    A damaged record gets its new time, so that it ages like the others, but no new checksum, so that it stays damaged.
    """
    connection, shard = transaction.connection, topic.shards[partition]
    touched = 0
    for offset, timestamp_ms in changes:
        row_id = shard << OFFSET_BITS | offset
        row = connection.execute(
            "SELECT timestamp_ms, checksum, key, headers, value, bytes FROM record WHERE id = ?", (row_id,)
        ).fetchone()
        if row is None:
            continue
        checksum = row[1]
        if is_whole(topic.spec.name, partition, offset, row[:5]):
            checksum = record_checksum(topic.spec.name, partition, offset, timestamp_ms, *row[2:5])
        connection.execute(
            "UPDATE record SET timestamp_ms = ?, checksum = ? WHERE id = ?", (timestamp_ms, checksum, row_id)
        )
        connection.execute(
            "UPDATE latest SET expires_ms = ? WHERE shard_id = ? AND key = ? AND offset = ? AND expires_ms NOT NULL",
            (_tombstone_until_ms(topic, timestamp_ms), shard, row[2], offset),
        )
        transaction.removed[shard] = max(transaction.removed.get(shard, 0), offset)  # memory has the old time
        touched += _size(row[5], topic.spec.max_record_bytes)
    return touched


def save_times(transaction: Transaction, times: Mapping[int, Times]) -> None:
    """Store up to which offset each shard's times are in order."""
    transaction.connection.executemany(
        "UPDATE shard SET timed_offset = ?, timed_ms = ? WHERE id = ?",
        [(known.next_offset, known.last_ms, shard) for shard, known in times.items()],
    )


def save_ends(transaction: Transaction) -> None:
    """Store every shard's end, so that damage of the last page cannot lower it."""
    transaction.connection.executemany(
        "UPDATE shard SET floor_offset = ?1 WHERE id = ?2 AND floor_offset < ?1",
        [(end, shard) for shard, end in transaction.next_offsets.items()],
    )


def trusted_clock(connection: sqlite3.Connection) -> Reading | None:
    """Return the clocks when they were last trusted; None in a new log."""
    row = connection.execute("SELECT wall_ms, boot_ms, boot_id FROM clock").fetchone()
    return None if row is None else Reading(*row)


def save_clock(transaction: Transaction, reading: Reading) -> None:
    """Store that the clocks are trusted now."""
    transaction.connection.execute(
        "INSERT OR REPLACE INTO clock (id, wall_ms, boot_ms, boot_id) VALUES (1, ?, ?, ?)",
        (reading.wall_ms, reading.boot_ms, reading.boot_id),
    )


def newest_ms(connection: sqlite3.Connection) -> int | None:
    """Return the newest time of the last records of all shards (epoch ms); None: the log has no record."""
    (newest,) = connection.execute(
        "SELECT max((SELECT timestamp_ms FROM record WHERE id >= shard.id << ? AND id < (shard.id + 1) << ?"
        " ORDER BY id DESC LIMIT 1)) FROM shard",
        (OFFSET_BITS, OFFSET_BITS),
    ).fetchone()
    return None if newest is None else int(newest)


def compact(transaction: Transaction, topic: Topic, partition: int) -> Step:
    """Compact some records that are not compacted yet and older than the topic's lag: remove each key's older record.

    The key of a damaged record may be wrong, so a damaged record replaces none; it is removed once there is a later
    record of the key that it has. A damaged record without a key is removed once there is a tombstone with the key
    damaged/OFFSET. That tombstone stays for ever: if the disk does not even let the record be removed, readers need it.
    """
    connection, shard = transaction.connection, topic.shards[partition]
    base = shard << OFFSET_BITS
    (cleaned,) = connection.execute("SELECT cleaned_offset FROM shard WHERE id = ?", (shard,)).fetchone()
    gone: list[int] = []
    looked_at = looked_bytes = removed_bytes = 0
    most_bytes, lag_ms = topic.spec.max_record_bytes, topic.spec.min_compaction_lag_ms
    while looked_at < _CHUNK_ROWS and max(looked_bytes, removed_bytes) < _CHUNK_BYTES:
        row = connection.execute(
            "SELECT timestamp_ms, checksum, key, headers, value, id, bytes FROM record WHERE id >= ? AND id < ?"
            " ORDER BY id LIMIT 1",
            (base | cleaned, shard + 1 << OFFSET_BITS),
        ).fetchone()
        if row is None:
            break
        timestamp_ms, _, key, _, value, row_id, size = row
        if lag_ms and _ms(timestamp_ms) > transaction.now_ms - lag_ms:
            break
        offset = row_id - base
        if is_whole(topic.spec.name, partition, offset, row[:5]):
            is_permanent = value is not None or key.startswith(_DAMAGED_AT)
            expires_ms = None if is_permanent else _tombstone_until_ms(topic, timestamp_ms)
            superseded = _supersede(connection, shard, key, offset, expires_ms)
            if value is None:
                superseded += _without_key(connection, topic, partition, key)
            gone += [older for older, _ in superseded]
            removed_bytes += sum(_size(older_bytes, most_bytes) for _, older_bytes in superseded)
        elif isinstance(key, bytes):
            connection.execute("INSERT OR REPLACE INTO damaged VALUES (?, ?, ?)", (shard, key, offset))
        looked_at += 1
        looked_bytes += _size(size, most_bytes)
        cleaned = offset + 1
    if looked_at:
        connection.execute("UPDATE shard SET cleaned_offset = ? WHERE id = ?", (cleaned, shard))
    if gone:
        transaction.remove(shard, gone)
    more = looked_at == _CHUNK_ROWS or max(looked_bytes, removed_bytes) >= _CHUNK_BYTES
    return Step(bool(gone), more, removed_bytes)


def _tombstone_until_ms(topic: Topic, timestamp_ms: int) -> int:
    """Return until when (epoch ms) a tombstone stays: its key's older records stay until the lag has passed."""
    return timestamp_ms + topic.spec.min_compaction_lag_ms + DELETIONS_KEPT_MS


def _supersede(
    connection: sqlite3.Connection, shard: int, key: bytes, offset: int, expires_ms: int | None
) -> list[tuple[int, int]]:
    """Store that the record at `offset` is its key's latest; return offset and size of each record that it replaces."""
    older: list[tuple[int, int]] = connection.execute(
        "SELECT replaced.offset, record.bytes FROM ("
        "SELECT offset FROM latest WHERE shard_id = ?1 AND key = ?2"
        " UNION SELECT offset FROM damaged WHERE shard_id = ?1 AND key = ?2) AS replaced"
        " JOIN record ON record.id = (?3 | replaced.offset)",
        (shard, key, shard << OFFSET_BITS),
    ).fetchall()
    connection.execute("DELETE FROM damaged WHERE shard_id = ? AND key = ?", (shard, key))
    connection.execute(
        "INSERT INTO latest (shard_id, key, offset, expires_ms) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET offset = excluded.offset, expires_ms = excluded.expires_ms",
        (shard, key, offset, expires_ms),
    )
    return older


def _without_key(connection: sqlite3.Connection, topic: Topic, partition: int, key: bytes) -> list[tuple[int, int]]:
    """Return offset and size of the damaged record without a key whose offset is in `key` (damaged/OFFSET), if any."""
    place = key.removeprefix(_DAMAGED_AT)
    if place == key or not place.isdigit() or len(place) > _PLACE_DIGITS:
        return []
    shard, offset = topic.shards[partition], int(place)
    try:
        row = connection.execute(
            "SELECT timestamp_ms, checksum, key, headers, value, bytes FROM record WHERE id = ?",
            (shard << OFFSET_BITS | offset,),
        ).fetchone()
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        return []
    if row is None or isinstance(row[2], bytes) or is_whole(topic.spec.name, partition, offset, row[:5]):
        return []
    connection.execute("DELETE FROM latest WHERE shard_id = ? AND offset = ?", (shard, offset))
    return [(offset, row[5])]


def remove_tombstones(transaction: Transaction, shard: int, below_offset: int) -> Step:
    """Remove tombstones that are old enough and lie below an offset that every cursor has passed.

    `first_offset` then tells from which offset on none was removed.
    """
    rows = transaction.connection.execute(
        "SELECT key, offset FROM latest WHERE shard_id = ? AND expires_ms <= ? AND offset < ? LIMIT ?",
        (shard, transaction.now_ms, below_offset, _CHUNK_ROWS),
    ).fetchall()
    if rows:
        transaction.connection.executemany(
            "DELETE FROM latest WHERE shard_id = ? AND key = ?", [(shard, key) for key, _ in rows]
        )
        transaction.remove(shard, [offset for _, offset in rows])
        transaction.connection.execute(
            "UPDATE shard SET first_offset = max(first_offset, ?) WHERE id = ?",
            (max(offset for _, offset in rows) + 1, shard),
        )
    return Step(bool(rows), more=len(rows) == _CHUNK_ROWS)


def shrink(connection: sqlite3.Connection) -> Step:
    """Free some unused pages at the end of the file, and leave some for new records. Not within a transaction."""
    page_bytes, pages, free = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count", "freelist_count")
    )
    slack = max(_SLACK_BYTES // page_bytes, int(pages * _SLACK_SHARE))
    surplus = min(free - slack, _VACUUM_PAGES)
    if surplus <= 0:
        return Step(removed=False, more=False)
    # The pragma frees a page with every step, and only executescript steps a statement without columns to its end.
    connection.executescript(f"PRAGMA incremental_vacuum({surplus})")
    return Step(removed=False, more=True, touched_bytes=surplus * page_bytes)


def rewrite(connection: sqlite3.Connection) -> bool:
    """Write the whole file anew, so that no unused part of a page contains a piece of an erased value.

    SQLite overwrites what it deletes, but not the copies that it left behind when it moved records between pages.
    Appends wait meanwhile, so a file larger than REWRITTEN_BYTES is left as it is. The connection of the writer keeps
    the copy in memory, because a temporary file would leave faces on the disk. Not within a transaction.

    Returns:
        Whether the file was written anew.
    """
    page_bytes, pages = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_size", "page_count"))
    if pages * page_bytes > REWRITTEN_BYTES:
        return False
    connection.execute("VACUUM")
    return True


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Copy as much as possible from the WAL into the file without waiting; return whether all of it is copied."""
    _, frames, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return bool(frames == copied)


def truncate_wal(connection: sqlite3.Connection) -> bool:
    """Copy the rest of the WAL and truncate the WAL, unless a reader uses it now; return whether it was truncated.

    Only the writing thread may call this function, because it takes the write lock.
    """
    (wait_ms,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {wait_ms}")
    return not busy
