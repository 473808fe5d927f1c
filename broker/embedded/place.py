"""Whether the files that the owner has open are still the ones at their paths.

A folder that is deleted, moved or unmounted takes nothing from a process that has its files open: SQLite goes on
writing to files that no path leads to, and all of it is gone when the process ends.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.embedded.store import LOG_FILE

OWNERS_FILES = (LOG_FILE, f"{LOG_FILE}-wal", f"{LOG_FILE}-shm")
"""The owner keeps them open for as long as it runs, so nobody may replace them."""
GUESTS_FILES = (LOG_FILE,)


@dataclass(frozen=True, slots=True)
class FileId:
    """Which file it is, whatever path leads to it."""

    device: int
    inode: int


Seen = Mapping[str, FileId | None]
"""File name -> the file at its path; None: there is none, or it cannot be looked at."""


class Place:
    """The files of an open log as they were when `Place` was made."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self._paths = {name: os.fspath(folder / name) for name in names}
        self._opened = self._look()

    def trouble(self) -> str | None:
        """What is wrong with the place, as a sentence; None where it is as it was. Takes some microseconds."""
        if all(map(_is_at, self._paths.values(), self._opened.values())):
            return None
        return moved(self._folder, self._opened, self._look())

    def _look(self) -> dict[str, FileId | None]:
        return {name: _file_at(path) for name, path in self._paths.items()}


def moved(folder: Path, opened: Seen, seen: Seen) -> str | None:
    """The sentence for files that are no longer where they were opened."""
    gone = [name for name, file in opened.items() if seen.get(name) != file]
    if not gone:
        return None
    missing = all(seen.get(name) is None for name in gone)
    what = "is not there any more" if missing else "is not the file that was opened"
    return (
        f"the data folder {folder} was deleted, moved, replaced or unmounted while it was in use ({gone[0]} {what}):"
        " put the same folder back and the log goes on by itself; where that cannot be, start the process again"
    )


def _is_at(path: str, file: FileId | None) -> bool:
    try:
        found = os.stat(path)  # noqa: PTH116 - for every commit: a Path would cost more than the look itself
    except OSError:
        return file is None
    return file is not None and found.st_ino == file.inode and found.st_dev == file.device


def _file_at(path: str) -> FileId | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    return FileId(found.st_dev, found.st_ino)
