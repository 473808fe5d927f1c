"""Locks between processes: files in the data folder that the kernel unlocks when their holder dies."""

import errno
import fcntl
import os
from pathlib import Path

from broker.port import BrokerError, BrokerInUse


class FileLock:
    """An exclusive lock on a file, held from `acquire` to `release`."""

    def __init__(self, path: Path, in_use: str) -> None:
        """`in_use` is the sentence for whom it is refused; {process} in it becomes the holder's number."""
        self._path = path
        self._in_use = in_use
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            BrokerInUse: somebody else has it.
            BrokerError: the file cannot be written.
        """
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise BrokerError(f"{self._path} cannot be opened: {remedy(error)}") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(fd)
            raise BrokerInUse(self._in_use.format(process=holder)) from error
        try:
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(fd)
            raise BrokerError(f"{self._path} cannot be written: {remedy(error)}") from error
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def remedy(error: OSError) -> str:
    """What to do about a file of the data folder that cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.strerror}; free some space on the disk of the data folder and try again"
    return f"{error.strerror}; run the command as the user who owns the data folder"
