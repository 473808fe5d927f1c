"""Copies of the whole log: backup, also while a server runs; restore, from a backup; and rewrite, into a new file."""

import contextlib
import os
import shutil
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from broker.embedded.check import look_over
from broker.embedded.folder import hand_over, log_file, make_private, restored_file, rewritten_file
from broker.embedded.locks import DatabaseLock, FileLock, PathClaim, remedy
from broker.embedded.rows import end_offsets
from broker.embedded.store import LOG_FILE, broker_error, check_is_log, open_file, open_reading, open_writing
from broker.port import BrokerError

_STEP_PAGES = 1024
_GAP_OFFSETS = 1 << 24  # more records than a partition gets between two backups; there are 2**40 offsets
_PAUSE_S = 0.01  # the writer can write between two steps

Copied = Callable[[int, int], None]
"""Called after every step with the number of copied pages and the number of all pages."""


def backup_log(folder: Path, target: Path, copied: Copied = lambda done, total: None) -> None:
    """Copy the log in `folder` to the new file `target`, readable by its owner only and durable when this returns.

    The copy is the log at one moment. It contains faces, and later deletions in the log do not reach the copy: keep it
    no longer than the retention of the log.

    Raises:
        BrokerError: there is no log, the log is damaged, or the target exists already or cannot be written.
    """
    source = open_reading(folder)
    try:
        _new_file(target)
        try:
            _copy(source, target, copied, folder)
            _sync(target)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise BrokerError(f"the backup {target} cannot be written: {remedy(error)}") from error
    finally:
        source.close()


def restore_log(
    source: Path,
    folder: Path,
    *,
    replace: bool,
    accept_damage: bool = False,
    copied: Copied = lambda done, total: None,
) -> Path | None:
    """Create the log in `folder` from a backup; the server must be stopped.

    The backup is checked before anything is replaced. A former log is moved to a new folder beside its file, which is
    returned. The new file has the owner, the group and the mode of the former one.

    Raises:
        BrokerInUse: a server runs on the folder.
        BrokerError: the backup is no log; the backup is damaged and `accept_damage` is False; there is a log already
            and `replace` is False.
    """
    verify_backup(source, accept_damage=accept_damage)
    make_private(folder)
    if (folder / LOG_FILE).exists() and not replace:
        raise BrokerError(f"there is a log in {folder} already: add --replace to move that log aside first")
    with _locked(folder, "restore"):
        fresh, path = restored_file(folder), log_file(folder)
        try:
            fresh.unlink(missing_ok=True)
            _new_file_like(fresh, path if path.exists() else None)
            with contextlib.closing(open_file(source)) as backup:
                _copy(backup, fresh, copied, folder)
            _leave_gap(fresh)
            _sync(fresh)
            aside = _move_aside(folder)
            fresh.rename(path)
            _sync_folder(path.parent)
        except OSError as error:
            raise BrokerError(f"the log in {folder} cannot be restored: {remedy(error)}") from error
    return aside


def rewrite_log(folder: Path) -> None:
    """Write the log into a new file, so that no unused part of a page contains a piece of an erased or removed value.

    The server must be stopped, and the disk of the log's file needs room for the new file beside the present one. The
    new file has the owner, the group and the mode of the present one, and a symbolic link still leads to it.

    Raises:
        BrokerInUse: a server runs on the folder.
        BrokerError: there is no log; another program reads the log; the file has several hard links or is mounted by
            itself, so that the old contents would stay; or the new file cannot be written or given to its owner.
    """
    open_reading(folder).close()
    fresh, path = rewritten_file(folder), log_file(folder)
    with _locked(folder, "rewrite the log"):
        try:
            _require_one_link(path)
            fresh.unlink(missing_ok=True)
            _new_file_like(fresh, path)
            with contextlib.closing(open_writing(folder)) as log:
                _end_wal(log, folder)
                log.execute("VACUUM INTO ?", (str(fresh),))
            _sync(fresh)
            fresh.replace(path)
            _sync_folder(path.parent)
        except sqlite3.Error as error:
            raise broker_error(error, folder) from error
        except OSError as error:
            raise BrokerError(f"the log in {folder} cannot be written anew: {remedy(error)}") from error
        finally:
            fresh.unlink(missing_ok=True)


def _end_wal(log: sqlite3.Connection, folder: Path) -> None:
    """Copy the WAL into the file and delete the WAL, whose frames would otherwise be taken for frames of a new file.

    Raises:
        BrokerError: another program reads the log.
    """
    try:
        (mode,) = log.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.OperationalError:
        mode = "wal"
    if mode != "delete":
        raise BrokerError(f"another program reads the log in {folder}: end that program first")


@contextlib.contextmanager
def _locked(folder: Path, then: str) -> Iterator[None]:
    """Lock the folder as its owner does; `then` completes the sentence of BrokerInUse."""
    in_use = f"a server runs on the data folder {folder}: stop it, {then}, and start it again"
    locks: list[FileLock | PathClaim | DatabaseLock] = [
        FileLock(folder / "log.lock", in_use),
        PathClaim(folder, in_use),
    ]
    if (folder / LOG_FILE).exists():
        locks.append(DatabaseLock(folder / LOG_FILE, in_use))
    with contextlib.ExitStack() as stack:
        for lock in locks:
            lock.acquire()
            stack.callback(lock.release)
        stack.callback(hand_over, folder)
        yield


def _leave_gap(path: Path) -> None:
    """Set the next offset of every partition far behind its end.

    The lost log had more records than the backup. Readers, files and devices know the offsets of those records, so they
    must not be used again: a reader whose position lies behind the end would skip as many new records.
    """
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("BEGIN IMMEDIATE")
        floors = [(end + _GAP_OFFSETS, shard) for shard, end in end_offsets(connection).items()]
        connection.executemany("UPDATE shard SET floor_offset = ? WHERE id = ?", floors)
        connection.executemany("INSERT INTO seam (offset, shard_id) VALUES (?, ?)", floors)
        connection.execute("COMMIT")


def verify_backup(source: Path, *, accept_damage: bool) -> None:
    """Check that the file is a log of this format and, unless `accept_damage`, that it is not damaged.

    Raises:
        BrokerError: the file fails the check.
    """
    try:
        with contextlib.closing(open_file(source)) as connection:
            check_is_log(connection, source)
            findings = [finding for looked_at in look_over(connection) for finding in looked_at.findings]
    except FileNotFoundError as error:
        raise BrokerError(f"there is no backup {source}") from error
    except sqlite3.Error as error:
        raise BrokerError(f"{source} cannot be used as a backup ({error})") from error
    if findings and not accept_damage:
        raise BrokerError(
            f"the backup {source} is damaged in {len(findings)} places ({findings[0]}): use another backup, or add"
            " --accept-damage to restore what is whole"
        )


def _new_file(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
    except FileExistsError as error:
        raise BrokerError(f"{path} exists already: name a new file") from error


def _new_file_like(path: Path, former: Path | None) -> None:
    """Create a file with the owner, the group and the mode of the former file, so that the same server can open it.

    Raises:
        BrokerError: this user may not create such a file; nothing was changed.
    """
    _new_file(path)
    like = (former or path.parent).stat()
    try:
        if (like.st_uid, like.st_gid) != (path.stat().st_uid, path.stat().st_gid):
            os.chown(path, like.st_uid, like.st_gid)
        if former is not None:
            path.chmod(stat.S_IMODE(like.st_mode))
    except PermissionError as error:
        if former is None:
            return  # the folder of another user, in which this user may begin a log
        path.unlink()
        raise BrokerError(
            f"{former} belongs to user {like.st_uid} and group {like.st_gid}, whose server could not open a new file of"
            f" yours: run the command as user {like.st_uid}, or as root"
        ) from error


def _require_one_link(path: Path) -> None:
    """Return where no other path leads to the file.

    Raises:
        BrokerError: the file has several hard links; the old contents would stay at the others.
    """
    links = path.stat().st_nlink
    if links > 1:
        raise BrokerError(
            f"{path} has {links} hard links, and a rewrite would leave the old contents at the others: delete the"
            f" others (`find / -xdev -samefile {path}` prints them) and try again"
        )


def _copy(source: sqlite3.Connection, target: Path, copied: Copied, folder: Path) -> None:
    try:
        # One read transaction, because SQLite begins the copy anew at every commit outside of one: beside a busy server
        # the copy would never end.
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM topic").fetchone()
        with contextlib.closing(sqlite3.connect(target, isolation_level=None)) as copy:
            copy.execute("PRAGMA synchronous = FULL")
            source.backup(
                copy,
                pages=_STEP_PAGES,
                progress=lambda _, left, total: copied(total - left, total),
                sleep=_PAUSE_S,
            )
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a WAL beside it
        source.execute("COMMIT")
    except sqlite3.Error as error:
        raise broker_error(error, folder) from error


def _move_aside(folder: Path) -> Path | None:
    """Move the log's files, and copy the offsets of groups, to a new folder beside the log; return that folder."""
    log = log_file(folder)
    paths = [log, *(log.with_name(f"{log.name}-{word}") for word in ("wal", "shm"))]
    present = [path for path in paths if path.exists()]
    # A filed erasure names places of the former log, at which the restored log has other records.
    filed = sorted(folder.glob("erase-*.request"))
    if not (present or filed):
        return None
    aside = log.parent / f"replaced-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    aside.mkdir(mode=0o700)
    for path in present:
        path.rename(aside / path.name)
    for path in filed:
        shutil.move(path, aside / path.name)  # the log's file may be on another file system than the folder
    groups = folder / "groups"
    if groups.is_dir():
        shutil.copytree(groups, aside / "groups")
    _sync_folder(aside)
    return aside


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
