"""Whether the files that a process has open are still the files at their paths.

When a folder is deleted, moved or unmounted, a process that has its files open notices nothing: SQLite goes on writing
to files without a path, and everything written there is lost when the process ends.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from broker.embedded.store import LOG_FILE

OWNERS_FILES = (LOG_FILE, f"{LOG_FILE}-wal", f"{LOG_FILE}-shm")
"""The files that the owner keeps open for as long as it runs, so that nobody may replace them."""
GUESTS_FILES = (LOG_FILE,)


@dataclass(frozen=True, slots=True)
class FileId:
    """The identity of a file, whatever path leads to it."""

    device: int
    inode: int


Files = Mapping[str, FileId | None]
"""File name -> the file at its path; None: there is no file, or it cannot be read."""


class Place:
    """The files of an open log as they were when `Place` was made."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder = folder
        self._paths = {name: os.fspath(folder / name) for name in names}
        self._opened = self._found()

    def trouble(self) -> str | None:
        """Return a sentence if a file is no longer at its path, else None. The check takes some microseconds."""
        if all(map(_is_at, self._paths.values(), self._opened.values())):
            return None
        return moved(self._folder, self._opened, self._found())

    def _found(self) -> dict[str, FileId | None]:
        return {name: _file_at(path) for name, path in self._paths.items()}


def moved(folder: Path, opened: Files, found: Files) -> str | None:
    """Return a sentence if files are not the ones that were opened, else None."""
    gone = [name for name, file in opened.items() if found.get(name) != file]
    if not gone:
        return None
    missing = all(found.get(name) is None for name in gone)
    what = "is not there any more" if missing else "is not the file that was opened"
    return (
        f"the data folder {folder} was deleted, moved, replaced or unmounted while it was in use ({gone[0]} {what}):"
        " put the same folder back and the log goes on by itself; if that is impossible, start the process again"
    )


def _is_at(path: str, file: FileId | None) -> bool:
    try:
        found = os.stat(path)  # noqa: PTH116 - runs at every commit: creating a Path would cost more than the call
    except OSError:
        return file is None
    return file is not None and found.st_ino == file.inode and found.st_dev == file.device


def _file_at(path: str) -> FileId | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - as above
    except OSError:
        return None
    return FileId(found.st_dev, found.st_ino)
