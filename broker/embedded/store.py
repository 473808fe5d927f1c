"""The SQLite file of the log: its tables, its opening, and the sentences for its errors.

A shard is one partition of one topic. A record's row id is the shard in the high bits and the offset in the low bits,
so one b-tree keeps every partition in offset order and needs no index.

Every record has a checksum (`checksum`), which is compared whenever the record is read from the file. Retention removes
records from the front, below `first_offset`; in a compacted topic no tombstone is missing from `first_offset` on. The
times of a shard are in order below `timed_offset`, up to `timed_ms`. Table `damaged` contains the damaged records that
a later record of their key replaces, `seam` the offsets from which a restored log goes on, and `clock` the clocks when
they were last trusted.

A shard's next offset is not written with every append: it is the offset after the last record, or `floor_offset`, which
is stored in the transaction that removes records, whichever is greater. So it survives when all records are removed.
"""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from broker.port import BrokerError, BrokerUnavailable

LOG_FILE = "log.sqlite"
OFFSET_BITS = 40  # a million million records per partition, and eight million partitions
_APPLICATION_ID = 0x504D4C67
_SCHEMA_VERSION = 3
_PAGE_BYTES = 4096  # small commits write least with small pages; 100 KB records were no faster with larger pages
_BUSY_MS = 2_000  # only another program, such as a SQLite shell, can have the write lock; wait so long for it
_WAL_KEEP_BYTES = 64 * 1024 * 1024  # an overwritten WAL syncs faster than a growing one, so some of it is kept

_SCHEMA = """
CREATE TABLE topic (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    partitions INTEGER NOT NULL,
    retention_ms INTEGER,
    retention_bytes INTEGER,
    compacted INTEGER NOT NULL,
    max_record_bytes INTEGER NOT NULL,
    min_compaction_lag_ms INTEGER NOT NULL
);
CREATE TABLE shard (
    id INTEGER PRIMARY KEY,
    topic_id INTEGER NOT NULL REFERENCES topic (id),
    partition INTEGER NOT NULL,
    floor_offset INTEGER NOT NULL DEFAULT 0,
    first_offset INTEGER NOT NULL DEFAULT 0,
    cleaned_offset INTEGER NOT NULL DEFAULT 0,
    timed_offset INTEGER NOT NULL DEFAULT 0,
    timed_ms INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic_id, partition)
);
CREATE TABLE record (
    id INTEGER PRIMARY KEY,
    timestamp_ms INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    checksum INTEGER NOT NULL,
    key BLOB,
    headers BLOB,
    value BLOB
);
CREATE TABLE latest (
    shard_id INTEGER NOT NULL,
    key BLOB NOT NULL,
    offset INTEGER NOT NULL,
    expires_ms INTEGER,
    PRIMARY KEY (shard_id, key)
) WITHOUT ROWID;
CREATE INDEX latest_expires ON latest (shard_id, expires_ms) WHERE expires_ms IS NOT NULL;
CREATE TABLE group_offset (
    group_name TEXT NOT NULL,
    shard_id INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (group_name, shard_id)
) WITHOUT ROWID;
CREATE TABLE damaged (
    shard_id INTEGER NOT NULL,
    key BLOB NOT NULL,
    offset INTEGER NOT NULL,
    PRIMARY KEY (shard_id, key, offset)
) WITHOUT ROWID;
CREATE TABLE seam (
    shard_id INTEGER NOT NULL,
    offset INTEGER NOT NULL,
    PRIMARY KEY (shard_id, offset)
) WITHOUT ROWID;
CREATE TABLE clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    wall_ms INTEGER NOT NULL,
    boot_ms INTEGER NOT NULL,
    boot_id TEXT NOT NULL
);
CREATE TABLE probe (filler BLOB NOT NULL);
"""


def open_writing(folder: Path) -> sqlite3.Connection:
    """Return the owner's connection; create the file, readable by its owner only, if there is none.

    Raises:
        BrokerError: the file is damaged, foreign, or written by a newer version.
    """
    path = folder / LOG_FILE
    try:
        if not path.exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        connection = _connect(path, "rw")
        try:
            if not _is_ours(connection, path):
                _shape(connection)
                connection.execute("PRAGMA journal_mode = WAL")
                _create(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA secure_delete = ON")  # deleted pictures must be overwritten in the file
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
            connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEEP_BYTES}")
            connection.execute("PRAGMA temp_store = MEMORY")
        except BaseException:
            connection.close()
            raise
    except OSError as error:
        raise _forbidden(folder) from error
    except sqlite3.Error as error:
        raise opening_error(error, folder) from error
    return connection


def open_reading(folder: Path) -> sqlite3.Connection:
    """Return a connection to the log in `folder` that cannot write.

    Raises:
        BrokerError: there is no log in the folder, or it cannot be read.
    """
    path = folder / LOG_FILE
    try:
        path.stat()
        connection = _connect(path, "ro")
        try:
            if not _is_ours(connection, path):
                raise _no_log(folder)
        except BaseException:
            connection.close()
            raise
    except FileNotFoundError as error:
        raise _no_log(folder) from error
    except OSError as error:
        raise _forbidden(folder) from error
    except sqlite3.Error as error:
        raise opening_error(error, folder) from error
    return connection


def open_file(path: Path) -> sqlite3.Connection:
    """Return a connection to the database at `path` that cannot write.

    Raises:
        OSError, sqlite3.Error: the file cannot be opened.
    """
    path.stat()
    return _connect(path, "ro")


def create_file(path: Path) -> sqlite3.Connection:
    """Return a connection to a new, empty log at `path`: one file, readable by its owner only, without a WAL.

    Writes are durable only once the caller has synced the file; after a crash before that the file cannot be used.

    Raises:
        BrokerError: the file cannot be created, or there is a file at the path already.
    """
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        connection = _connect(path, "rw")
        connection.execute("PRAGMA journal_mode = MEMORY")
        connection.execute("PRAGMA synchronous = OFF")
        _shape(connection)
        _create(connection)
    except FileExistsError as error:
        raise BrokerError(f"{path} exists already: name a new file") from error
    except OSError as error:
        raise BrokerError(f"{path} cannot be created ({error.strerror}): name a file in another folder") from error
    except sqlite3.Error as error:
        raise opening_error(error, path.parent) from error
    return connection


def _shape(connection: sqlite3.Connection) -> None:
    """Set the options that must be set before the first page is written; the file can then shrink in small steps."""
    connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")


def check_is_log(connection: sqlite3.Connection, path: Path) -> None:
    """Check that the database is a log of this format.

    Raises:
        BrokerError: the database is not a log, or a log of another format.
    """
    if not _is_ours(connection, path):
        raise BrokerError(f"{path} is not a log of this program")


def open_checkpointing(folder: Path) -> sqlite3.Connection:
    """Return a connection for checkpoints beside the writer."""
    connection = _connect(folder / LOG_FILE, "rw")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?mode={mode}",
        uri=True,
        timeout=_BUSY_MS / 1000,
        isolation_level=None,
        check_same_thread=False,
    )
    connection.text_factory = _text
    return connection


def _text(raw: bytes) -> str:
    """Decode text leniently, because damaged text must not stop a read."""
    return raw.decode("utf-8", "surrogateescape")


def _is_ours(connection: sqlite3.Connection, path: Path) -> bool:
    """Return True for a log of this format, False for an empty file.

    Raises:
        BrokerError: the file is a log of another format, or no log.
    """
    application = _pragma(connection, "application_id")
    version = _pragma(connection, "user_version")
    if application == _APPLICATION_ID and version == _SCHEMA_VERSION:
        return True
    if application == _APPLICATION_ID:
        raise BrokerError(
            f"the log {path} has format {version}, this version reads format {_SCHEMA_VERSION}:"
            " use the version of the program that wrote the log, or begin a new log in another data folder"
        )
    if _pragma(connection, "schema_version"):
        raise BrokerError(f"{path} is not a log of this program: choose another data folder")
    return False


def _create(connection: sqlite3.Connection) -> None:
    connection.executescript(
        f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id = {_APPLICATION_ID};"
        f"PRAGMA user_version = {_SCHEMA_VERSION}; COMMIT;"
    )


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    (value,) = connection.execute(f"PRAGMA {name}").fetchone()
    return int(value)


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether the error means that the file is damaged."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def broker_error(error: sqlite3.Error, folder: Path) -> BrokerError:
    """Return the port's error for an error of SQLite."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL:
        return BrokerUnavailable(f"the disk of the data folder {folder} is full: free some space, then the log goes on")
    if is_damage(error):
        return BrokerError(
            f"the log in {folder} is damaged: stop the server, keep a copy of the folder, run"
            f" `picturematch log check`, and restore a backup (`picturematch log restore`) or move {LOG_FILE}"
            " away to begin a new log"
        )
    return BrokerUnavailable(f"the log in {folder} cannot be read or written now ({error})")


def opening_error(error: sqlite3.Error, folder: Path) -> BrokerError:
    """Return the port's error for an error of SQLite while the file was opened."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return _forbidden(folder)
    return broker_error(error, folder)


def _forbidden(folder: Path) -> BrokerError:
    return BrokerError(f"the log in {folder} may not be opened: run the command as the user who owns the data folder")


def _no_log(folder: Path) -> BrokerError:
    return BrokerError(f"there is no log in {folder} yet: start the server with this data folder first")
