"""Locks on files, and files that are written atomically: shared by every room that writes files.

The locks are locks of the kernel (flock): a lock ends when its process ends, also when the process is killed. A library
for lock files would empty the file that it locks, but the files that PictureMatch locks have contents.
"""

import ctypes
import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

HALF = ".half"
"""What the name of a file ends with while it is being written."""
HALF_WRITTEN = f"*{HALF}"
"""Pattern of the names of files that a process did not finish writing because it crashed."""

_ZEROS = 4 * 1024 * 1024

_syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
"""The function of Linux that syncs one file system; the os module has only `sync`, which returns no errors."""


def try_lock(descriptor: int) -> bool:
    """Lock an open file for this process alone; return False where another process has locked the file.

    Closing the file ends the lock.
    """
    return _lock(descriptor, fcntl.LOCK_EX)


def is_locked(descriptor: int) -> bool:
    """Return whether another process has locked the open file. The caller closes the file at once."""
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
    """Replace the file's contents by the bytes, durably; after a crash the file has either the old or the new contents.

    A relative `path` is resolved in `folder`, the open descriptor of a folder, where that is given.
    """
    with half_written(path, data, mode=mode, folder=folder) as half:
        os.replace(half, path, src_dir_fd=folder, dst_dir_fd=folder)
        sync_folder(Path(path).parent if folder is None else folder)


@contextmanager
def half_written(path: Path | str, data: bytes, *, mode: int = 0o600, folder: int | None = None) -> Iterator[str]:
    """Write the bytes, durably, to a temporary file beside `path` and yield the temporary file's name.

    The caller may check the file and then rename it to `path`; a temporary file that was not renamed is removed on
    leaving. Only one process at a time may write a given `path`.
    """
    half = f"{path}{HALF}"
    try:
        with _synced_half(half, mode, folder) as file:
            file.write(data)
        yield half
    finally:
        with suppress(FileNotFoundError):  # the caller renamed the file
            os.unlink(half, dir_fd=folder)


@contextmanager
def new_file(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Yield an open file that gets the name `path` at the end of the `with` block, durably; after an error it is gone.

    Raises:
        FileExistsError: something has that name already.
    """
    if path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    half = f"{path}{HALF}"
    try:
        with _synced_half(half, mode) as file:
            yield file
        Path(half).rename(path)
    finally:
        Path(half).unlink(missing_ok=True)
    sync_folder(path.parent)


@contextmanager
def replaced_file(path: Path) -> Iterator[BinaryIO]:
    """Yield an open file that gets the name `path` at the end of the `with` block, durably; after an error it is gone.

    The contents of a file that had that name, and of one that was not finished, are overwritten with zeros. The new
    file is readable by its owner only.
    """
    half = f"{path}{HALF}"
    try:
        with _synced_half(half, 0o600) as file:
            yield file
        with _opened_to_overwrite(path) as former:
            Path(half).rename(path)
            sync_folder(path.parent)
            _overwrite(former)
    finally:
        remove_overwritten(Path(half))


def remove_overwritten(path: Path) -> None:
    """Overwrite a file with zeros, durably, and remove it; a file that does not exist is ignored."""
    with _opened_to_overwrite(path) as file:
        _overwrite(file)
        path.unlink(missing_ok=True)


@contextmanager
def _opened_to_overwrite(path: Path) -> Iterator[int | None]:
    """Yield the descriptor of a file; None: there is no such file."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        yield None
        return
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _overwrite(descriptor: int | None) -> None:
    if descriptor is None:
        return
    left, zeros = os.fstat(descriptor).st_size, bytes(_ZEROS)
    while left > 0:
        left -= os.write(descriptor, zeros[:left])
    os.fsync(descriptor)


@contextmanager
def _synced_half(half: str, mode: int, folder: int | None = None) -> Iterator[BinaryIO]:
    """Yield a new, empty file, whose contents are durable once the block has ended."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(half, flags, 0o600, dir_fd=folder), "wb") as file:
        os.fchmod(file.fileno(), mode)
        yield file
        file.flush()
        os.fsync(file.fileno())


def write_new(path: str, data: bytes) -> bool:
    """Write a file, not durably; return False, with nothing written, where something has that path.

    After a crash of the process the file may be shorter than its contents, and after a crash of the machine it may have
    other contents or be absent, until `sync_filesystem` has returned.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(descriptor, left) :]
    finally:
        os.close(descriptor)
    return True


def sync_filesystem(folder: int) -> None:
    """Make everything durable that was written to the file system of an open folder (its descriptor).

    One call for many files costs much less than syncing each of them.

    Raises:
        OSError: something that was written after the folder was opened is lost.
    """
    if _syncfs is None:
        os.sync()
    elif _syncfs(folder):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def cannot_be_written(folder: Path, error: OSError) -> str:
    """Return the sentence for the user about a folder to which a file could not be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        way_out = "free some space on its disk and run the same command again: the command continues where it stopped"
    else:
        way_out = "correct that or choose another folder"
    return f"{folder} cannot be written ({error.strerror or error}): {way_out}"
