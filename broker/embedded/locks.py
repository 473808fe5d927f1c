"""Locks between processes, on files and on a folder's path. The kernel releases them when the owning process dies.

A lock on a lock file excludes others only while that file is at its path. So the owner of the folder also locks the
database file itself, whatever path leads to it (a symbolic or hard link, a bind mount), and claims the path, whatever
folder is there by now.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import socket
import struct
import sys
from pathlib import Path

from broker.port import BrokerError, BrokerInUse
from contract.files import is_locked, try_lock


class FileLock:
    """An exclusive lock on a file, from `acquire` to `release`."""

    def __init__(self, path: Path, in_use: str) -> None:
        """`in_use` is the message of BrokerInUse; {process} in it becomes the id of the process that has the lock."""
        self._path = path
        self._in_use = in_use
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            BrokerInUse: another process has the lock.
            BrokerError: the file cannot be written.
        """
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise BrokerError(f"{self._path} cannot be opened: {remedy(error)}") from error
        try:
            if not try_lock(fd):
                holder = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(fd)
                raise BrokerInUse(self._in_use.format(process=holder))
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(fd)
            raise BrokerError(f"{self._path} cannot be written: {remedy(error)}") from error
        self._fd = fd

    def keep(self) -> None:
        """Lock a new file at the path, if the locked file was deleted or replaced."""
        if self._fd is None:
            return
        try:
            if os.path.samestat(self._path.stat(), os.fstat(self._fd)):
                return
        except FileNotFoundError:
            pass
        except OSError:
            return
        deleted, self._fd = self._fd, None
        try:
            self.acquire()
        except BrokerError:
            self._fd = deleted  # the locks on the database file and on the path remain
        else:
            os.close(deleted)

    def release(self) -> None:
        """Release the lock; no effect without a lock."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


_OFD_LOCK = getattr(fcntl, "F_OFD_SETLK", None)
_OWNERS_BYTE = 1 << 62  # the byte that is locked, far behind the bytes that SQLite locks
_EXCLUSIVE = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, _OWNERS_BYTE, 1, 0)


class DatabaseLock:
    """A lock on the database file itself, where the system has locks that do not conflict with SQLite's own (Linux).

    The lock must be acquired before SQLite opens the file, and released after SQLite has closed it, because closing any
    descriptor of the file in this process releases SQLite's own locks.
    """

    def __init__(self, path: Path, in_use: str) -> None:
        self._path = path
        self._in_use = in_use
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock; the file is created if it is missing.

        Raises:
            BrokerInUse: another process has the lock, by whatever path.
            BrokerError: the file cannot be opened.
        """
        if _OFD_LOCK is None:
            return
        try:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise BrokerError(f"{self._path} cannot be opened: {remedy(error)}") from error
        try:
            fcntl.fcntl(fd, _OFD_LOCK, _EXCLUSIVE)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                os.close(fd)
                raise BrokerInUse(self._in_use) from error
            # The file system has no such locks: the lock file and the claim on the path must suffice.
        self._fd = fd

    def release(self) -> None:
        """Release the lock; no effect without a lock."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


_CALLERS = 4096  # the queue of connections by processes that look for the owner of the path; none is ever accepted


class PathClaim:
    """A claim on the folder's path by an abstract socket (Linux), which has no file, so that it outlives the folder."""

    def __init__(self, folder: Path, in_use: str) -> None:
        self._folder = folder
        self._in_use = in_use
        self._socket: socket.socket | None = None

    def acquire(self) -> None:
        """Claim the path.

        Raises:
            BrokerInUse: another process of this user, or of root, runs a log at the path, even if its folder is gone.
        """
        if not sys.platform.startswith("linux"):
            return
        name = b"\0picturematch-log-" + _path_name(self._folder).encode()
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            claim.bind(name)
            claim.listen(_CALLERS)
        except OSError as error:
            claim.close()
            holder = _holder(name) if error.errno == errno.EADDRINUSE else None
            if holder is not None:
                raise BrokerInUse(self._in_use.format(process=holder)) from error
            return  # another user's process took the name: the locks on the files must suffice
        self._socket = claim

    def release(self) -> None:
        """Release the claim; no effect without a claim."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def in_use(folder: Path) -> bool:
    """Return whether a server has the data folder open now."""
    try:
        fd = os.open(folder / "log.lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        return is_locked(fd)
    finally:
        os.close(fd)


def _path_name(folder: Path) -> str:
    """Return a name for the path within this process's mounts: with other mounts, another folder may be there."""
    root = Path("/").stat()
    mounts = 0
    with contextlib.suppress(OSError):
        mounts = Path("/proc/self/ns/mnt").stat().st_ino
    path = f"{mounts} {root.st_dev} {root.st_ino} {folder.resolve()}"
    return hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()


def _holder(name: bytes) -> int | None:
    """Return the id of the process that listens at that name, if the process is this user's or root's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as caller:
        caller.settimeout(1.0)
        try:
            caller.connect(name)
            raw = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return None
    process, user, _ = struct.unpack("3i", raw)
    return int(process) if user in (0, os.geteuid()) else None


def remedy(error: OSError) -> str:
    """Return the reason why a file of the data folder cannot be written, and what the user can do about it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.strerror}; free some space on the disk of the data folder and try again"
    if error.errno == errno.EBUSY:
        return (
            f"{error.strerror}, because the log's file is mounted by itself (a bind mount): run the command where the"
            " file is, or mount its folder instead of the file"
        )
    return f"{error.strerror}; run the command as the user who owns the data folder"
