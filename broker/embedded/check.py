"""Checks a whole log without writing: SQLite's own check, checksums of all records, gaps between offsets, the WAL."""

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.embedded.damage import damage_sentence
from broker.embedded.folder import log_file
from broker.embedded.records import missing_latest, read_records
from broker.embedded.rows import Topic, end_offsets, load_topics
from broker.embedded.store import broker_error, is_damage, open_reading
from broker.embedded.wal import what_is_lost
from broker.port import BrokerError

_BATCH_RECORDS = 200
_BATCH_BYTES = 8 * 1024 * 1024
_SQLITE_SENTENCES = 20


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a check.

    Attributes:
        part: the part of the log that is checked now.
        records: the number of records checked since the last `Progress`.
        findings: a sentence for each damage found since the last `Progress`.
    """

    part: str
    records: int = 0
    findings: Sequence[str] = ()


def check_log(folder: Path, *, beside_server: bool) -> Iterator[Progress]:
    """Check the log in `folder`, piece by piece.

    `beside_server`: a server has the log open, so the WAL is in use and is not checked. The server may go on writing;
    its WAL grows while SQLite's own check runs.

    Raises:
        BrokerError: the log cannot be opened.
    """
    if not beside_server:
        yield Progress("WAL", findings=_wal(log_file(folder)))
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
    """Check an open log, piece by piece.

    Raises:
        sqlite3.Error: the log cannot be read, for another reason than damage.
    """
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
    """Return the number of records in the log; None: damage prevents counting."""
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
    return [f"the WAL is damaged: {dropped} will be lost when the server starts{certain}"]


def _integrity(connection: sqlite3.Connection) -> Sequence[str]:
    try:
        rows = connection.execute(f"PRAGMA integrity_check({_SQLITE_SENTENCES})").fetchall()
    except sqlite3.Error as error:
        if not is_damage(error):
            raise
        return [f"the file is damaged ({error})"]
    return [f"the file is damaged: {' '.join(str(finding).split())}" for (finding,) in rows if finding != "ok"]


def _partition(connection: sqlite3.Connection, topic: Topic, partition: int) -> Iterator[Progress]:
    """Check every record of a partition; a record that is missing without a reason is read as a damaged record."""
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
    """Find groups whose offset lies behind the end of its partition, so that they would miss new records."""
    ends = end_offsets(connection)
    rows = connection.execute("SELECT group_name, shard_id, next_offset FROM group_offset").fetchall()
    return [
        f"group {group} has committed offset {offset}, behind the end of its partition, {ends[shard]}"
        for group, shard, offset in rows
        if shard in ends and offset > ends[shard]
    ]
