"""The files of a group in the data folder: its lock and, for a guest's group, its committed offsets."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from broker.embedded.locks import FileLock, remedy
from broker.embedded.store import broker_error
from broker.going_on import Committed
from broker.port import BrokerError


def group_file(folder: Path, topic: str, group: str, kind: str) -> Path:
    """Return the path of the group's file of that kind (lock, sqlite) for the topic."""
    return folder / "groups" / f"{quote(group, safe='')}@{quote(topic, safe='')}.{kind}"


def group_lock(folder: Path, topic: str, group: str) -> FileLock:
    """Return the lock by which a group has at most one member on a topic, over all processes on the folder."""
    return FileLock(
        group_file(folder, topic, group, "lock"),
        f"group {group} already reads topic {topic} (process {{process}}) and can have one member here:"
        " stop that one first, or choose another group name",
    )


class GuestOffsets:
    """The committed offsets of a guest's group and the times of the commits, durable, in a SQLite file. Synchronous."""

    def __init__(self, folder: Path, topic: str, group: str) -> None:
        self._folder = folder
        path = group_file(folder, topic, group, "sqlite")
        try:
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._connection.execute("PRAGMA synchronous = FULL")
            self._connection.execute(
                "CREATE TABLE IF NOT EXISTS progress"
                " (partition INTEGER PRIMARY KEY, next_offset INTEGER NOT NULL, committed_ms INTEGER)"
            )
        except OSError as error:
            raise BrokerError(f"{path} cannot be written: {remedy(error)}") from error
        except sqlite3.Error as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
                raise broker_error(error, folder) from error
            raise BrokerError(
                f"{path} cannot be used ({error}): delete that file, then the group begins anew"
            ) from error

    def load(self) -> Mapping[int, Committed]:
        """Return partition -> the group's last commit."""
        rows = self._connection.execute("SELECT partition, next_offset, committed_ms FROM progress").fetchall()
        return {partition: Committed(next_offset, time_ms) for partition, next_offset, time_ms in rows}

    def save(self, partition: int, committed: Committed) -> None:
        """Record a commit of the partition; the commit is durable when this returns."""
        row = (partition, committed.offset, committed.time_ms)
        try:
            self._connection.execute(
                "INSERT OR REPLACE INTO progress (partition, next_offset, committed_ms) VALUES (?, ?, ?)", row
            )
        except sqlite3.Error as error:
            raise broker_error(error, self._folder) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
