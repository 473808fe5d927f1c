"""Locks on files and files that are written whole: what every room that keeps files needs.

Locks are the kernel's (flock): they end with their holder, however that ends. A library for lock files would empty the
file that it locks, and the files locked here have contents.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_HALF = ".half"
HALF_WRITTEN = f"*{_HALF}"
"""Pattern of the names of files that a crash left half written."""


def try_lock(descriptor: int) -> bool:
    """Lock an open file for this process alone; False where another process has it locked. Closing gives it back."""
    return _lock(descriptor, fcntl.LOCK_EX)


def is_locked(descriptor: int) -> bool:
    """Whether another process has the open file locked. The caller closes the file at once."""
    return not _lock(descriptor, fcntl.LOCK_SH)


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def sync_folder(folder: Path | int) -> None:
    """Make the names in a folder (its path, or its open descriptor) durable."""
    if isinstance(folder, int):
        os.fsync(folder)
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_whole(path: Path | str, data: bytes, *, mode: int = 0o600, folder: int | None = None) -> None:
    """Put the bytes under that name, durable, in place of what it named before; after a crash it is one of both.

    `folder` is the open descriptor that a relative `path` is looked up in.
    """
    with half_written(path, data, mode=mode, folder=folder) as half:
        os.replace(half, path, src_dir_fd=folder, dst_dir_fd=folder)
        sync_folder(Path(path).parent if folder is None else folder)


@contextmanager
def half_written(path: Path | str, data: bytes, *, mode: int = 0o600, folder: int | None = None) -> Iterator[str]:
    """The bytes, durable, in a file beside `path`, for a look at it before it takes the name; removed if it did not.

    One process at a time may write a name.
    """
    half = f"{path}{_HALF}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    descriptor = os.open(half, flags, 0o600, dir_fd=folder)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield half
    finally:
        with suppress(FileNotFoundError):  # it took the name
            os.unlink(half, dir_fd=folder)


def cannot_be_written(folder: Path, error: OSError) -> str:
    """The sentence for a folder that refuses what is written to it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        way_out = "free some space on its disk and run the same command again: it goes on where it was"
    else:
        way_out = "put that right or choose another folder"
    return f"{folder} cannot be written ({error.strerror or error}): {way_out}"
