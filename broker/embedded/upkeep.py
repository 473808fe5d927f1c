"""Retention, compaction and giving space back, in steps so small that an append never waits long for one."""

import sqlite3
from dataclasses import dataclass

from broker.embedded.rows import Topic
from broker.embedded.store import OFFSET_BITS
from broker.embedded.transaction import Transaction

_CHUNK_BYTES = 1024 * 1024  # some 2 ms of deleting (overwriting with zeros), then the appends have their turn
_CHUNK_ROWS = 500
_VACUUM_PAGES = 256
_SLACK_BYTES = 8 * 1024 * 1024  # free pages that are left for the records to come
_SLACK_SHARE = 0.1
TOMBSTONE_MS = 24 * 3600 * 1000  # so long a reader may stand still and still learn of a deletion


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did: whether records were removed, bytes overwritten or moved, whether there may be more to do."""

    removed: bool
    more: bool
    touched_bytes: int = 0


def stored_bytes(connection: sqlite3.Connection, shard: int) -> int:
    """Bytes of keys, headers and values in a shard."""
    (total,) = connection.execute(
        "SELECT coalesce(sum(bytes), 0) FROM record WHERE id >= ? AND id < ?",
        (shard << OFFSET_BITS, shard + 1 << OFFSET_BITS),
    ).fetchone()
    return int(total)


def expire(transaction: Transaction, topic: Topic, shard: int, excess_bytes: int) -> Step:
    """Remove the oldest records of a shard that are past their age, or that `excess_bytes` still asks for.

    Records stamped in the future (the clock was wrong) are passed over: they must not keep the ones behind them.
    """
    age = topic.spec.retention_ms
    oldest_ms = None if age is None else transaction.now_ms - age
    base = shard << OFFSET_BITS
    rows = transaction.connection.execute(
        "SELECT id, timestamp_ms, bytes FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (base, shard + 1 << OFFSET_BITS, _CHUNK_ROWS),
    ).fetchall()
    gone: list[int] = []
    removed_bytes = 0
    for row_id, timestamp_ms, size in rows:
        if removed_bytes < excess_bytes or (oldest_ms is not None and timestamp_ms < oldest_ms):
            gone.append(row_id - base)
            removed_bytes += size
            if removed_bytes >= _CHUNK_BYTES:
                break
        elif timestamp_ms <= transaction.now_ms:
            break
    if gone:
        transaction.remove(shard, gone)
    more = len(gone) == _CHUNK_ROWS or removed_bytes >= _CHUNK_BYTES
    return Step(bool(gone), more, removed_bytes)


def compact(transaction: Transaction, shard: int) -> Step:
    """Go through records not yet compacted and remove, for each, the older record of its key."""
    connection = transaction.connection
    base = shard << OFFSET_BITS
    (cleaned,) = connection.execute("SELECT cleaned_offset FROM shard WHERE id = ?", (shard,)).fetchone()
    rows = connection.execute(
        # typeof, not IS NULL: SQLite then need not load the value
        "SELECT id, timestamp_ms, key, typeof(value) = 'null' FROM record WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
        (base | cleaned, shard + 1 << OFFSET_BITS, _CHUNK_ROWS),
    ).fetchall()
    gone: list[int] = []
    removed_bytes = 0
    for row_id, timestamp_ms, key, tombstone in rows:
        older = connection.execute(
            "SELECT latest.offset, record.bytes FROM latest JOIN record ON record.id = (? | latest.offset)"
            " WHERE latest.shard_id = ? AND latest.key = ?",
            (base, shard, key),
        ).fetchone()
        if older is not None:
            gone.append(older[0])
            removed_bytes += older[1]
        connection.execute(
            "INSERT INTO latest (shard_id, key, offset, expires_ms) VALUES (?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET offset = excluded.offset, expires_ms = excluded.expires_ms",
            (shard, key, row_id - base, timestamp_ms + TOMBSTONE_MS if tombstone else None),
        )
        cleaned = row_id - base + 1
        if removed_bytes >= _CHUNK_BYTES:
            break
    if rows:
        connection.execute("UPDATE shard SET cleaned_offset = ? WHERE id = ?", (cleaned, shard))
    if gone:
        transaction.remove(shard, gone)
    more = len(rows) == _CHUNK_ROWS or removed_bytes >= _CHUNK_BYTES
    return Step(bool(gone), more, removed_bytes)


def bury(transaction: Transaction, shard: int, below_offset: int) -> Step:
    """Remove tombstones that are old enough, below an offset that every reader at work has passed."""
    rows = transaction.connection.execute(
        "SELECT key, offset FROM latest WHERE shard_id = ? AND expires_ms <= ? AND offset < ? LIMIT ?",
        (shard, transaction.now_ms, below_offset, _CHUNK_ROWS),
    ).fetchall()
    if rows:
        transaction.connection.executemany(
            "DELETE FROM latest WHERE shard_id = ? AND key = ?", [(shard, key) for key, _ in rows]
        )
        transaction.remove(shard, [offset for _, offset in rows])
    return Step(bool(rows), more=len(rows) == _CHUNK_ROWS)


def give_back(connection: sqlite3.Connection) -> Step:
    """Return some free pages at the end of the file to the disk, but for some slack. Outside of a transaction."""
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


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Copy what it can from the WAL into the file without waiting for anybody; True when all is copied."""
    _, frames, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
    return bool(frames == copied)


def truncate_wal(connection: sqlite3.Connection) -> bool:
    """Copy the rest of the WAL and cut it to nothing, unless a reader is in it just now; True when it was cut.

    Only the writing thread may call this: it holds the write lock.
    """
    (wait_ms,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {wait_ms}")
    return not busy
