"""Looks a whole log over, reading only: SQLite's own check, every record's checksum, gaps between offsets, the WAL."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.embedded.damage import damage_sentence
from broker.embedded.records import missing_latest, read_records
from broker.embedded.rows import Topic, end_offsets, load_topics
from broker.embedded.store import LOG_FILE, broker_error, is_damage, open_reading
from broker.embedded.wal import what_is_lost
from broker.port import BrokerError

_BATCH_RECORDS = 200
_BATCH_BYTES = 8 * 1024 * 1024
_SQLITE_SENTENCES = 20


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a check is: the part it looks at, records looked at since the last of these, and what it found there."""

    part: str
    records: int = 0
    findings: Sequence[str] = ()


def check_log(folder: Path, *, beside_server: bool) -> Iterator[Progress]:
    """Look the log in `folder` over, piece by piece.

    `beside_server`: a server has the log open, so its WAL is in use and not looked at. A server may go on meanwhile;
    while SQLite's own check runs, its WAL grows.

    Raises:
        BrokerError: the log cannot be opened.
    """
    if not beside_server:
        yield Progress("WAL", findings=_wal(folder / LOG_FILE))
    try:
        connection = open_reading(folder)
    except BrokerError as error:
        if not isinstance(error.__cause__, sqlite3.Error) or not is_damage(error.__cause__):
            raise
        yield Progress("file", findings=[str(error)])
        return
    try:
        yield from look_over(connection)
    except sqlite3.Error as error:
        raise broker_error(error, folder) from error
    finally:
        connection.close()


def look_over(connection: sqlite3.Connection) -> Iterator[Progress]:
    """Look a log over that is open. Raises sqlite3.Error for what is no damage."""
    try:
        yield Progress("file", findings=_integrity(connection))
        for topic in load_topics(connection).values():
            for partition in range(len(topic.shards)):
                yield from _partition(connection, topic, partition)
        yield Progress("groups", findings=_groups(connection))
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        yield Progress("file", findings=[f"the rest of the log cannot be read ({error})"])


def record_count(folder: Path) -> int | None:
    """How many records there are to look at; None where the file cannot tell."""
    connection = open_reading(folder)
    try:
        return int(connection.execute("SELECT count(*) FROM record").fetchone()[0])
    except sqlite3.Error:
        return None
    finally:
        connection.close()


def _wal(database: Path) -> Sequence[str]:
    lost = what_is_lost(database)
    if not lost.transactions:
        return []
    certain = "" if lost.certain else ", which a power cut or a kill may have left half written"
    dropped = f"at most {lost.transactions} transactions ({lost.frames} frames) behind the damage"
    return [f"the WAL is damaged: {dropped} will be dropped when the server starts{certain}"]


def _integrity(connection: sqlite3.Connection) -> Sequence[str]:
    try:
        rows = connection.execute(f"PRAGMA integrity_check({_SQLITE_SENTENCES})").fetchall()
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return [f"the file is damaged ({error})"]
    return [f"the file is damaged: {' '.join(str(told).split())}" for (told,) in rows if told != "ok"]


def _partition(connection: sqlite3.Connection, topic: Topic, partition: int) -> Iterator[Progress]:
    """Every record of a partition. One that is missing where none may be missing is read as a damaged one."""
    part = f"{topic.spec.name}, partition {partition}"
    end = end_offsets(connection, [topic.shards[partition]])[topic.shards[partition]]
    at, ended = 0, False
    while at < end and not ended:
        records, ended = read_records(connection, topic, partition, range(at, end), _BATCH_RECORDS, _BATCH_BYTES)
        yield Progress(part, len(records), [damage_sentence(record) for record in records if record.damaged])
        at = records[-1].offset + 1 if records else end
    if topic.spec.compacted:
        yield Progress(part, 0, [damage_sentence(record) for record in missing_latest(connection, topic, partition)])


def _groups(connection: sqlite3.Connection) -> Sequence[str]:
    """Groups that stand behind the end of a partition, where they would miss what comes."""
    ends = end_offsets(connection)
    rows = connection.execute("SELECT group_name, shard_id, next_offset FROM group_offset").fetchall()
    return [
        f"group {group} stands at offset {offset}, behind the end of its partition, {ends[shard]}"
        for group, shard, offset in rows
        if shard in ends and offset > ends[shard]
    ]
