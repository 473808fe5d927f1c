"""Opens the files of a capture that somebody else may have made: regular files only, and no symbolic links.

Folders into which a capture is written are emptied after an error, because half of a capture contains faces too.
"""

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from contract.captures.convert import ACCEPTED_FOLDER, REPLACEABLE_FILES
from contract.captures.values import CaptureError
from contract.files import cannot_be_written

MOST_MANIFEST_BYTES = 1024 * 1024


def open_file(folder: Path, name: str) -> BinaryIO:
    """Open a file of a capture for reading. `name`: its path relative to the capture's folder, for messages too.

    A file in `ACCEPTED_FOLDER` counts in place of the file of the same name beside that folder. The caller has checked
    that this is no link (`require_own_folder`).

    Raises:
        CaptureError: the file is missing, cannot be opened, or is a link, FIFO, folder or device.
    """
    try:
        descriptor = _descriptor_of(folder, name)
    except FileNotFoundError as error:
        raise CaptureError(f"{folder} has no {name}") from error
    except OSError as error:
        reason = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
        raise CaptureError(f"{name} cannot be opened: {reason}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise CaptureError(f"{name} is not a regular file")
    return os.fdopen(descriptor, "rb")


def _descriptor_of(folder: Path, name: str) -> int:
    # Without O_NONBLOCK, opening a FIFO would wait for a writer.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    if name in REPLACEABLE_FILES:
        with suppress(FileNotFoundError, NotADirectoryError):
            return os.open(folder / ACCEPTED_FOLDER / name, flags)
    return os.open(folder / name, flags)


def read_file(folder: Path, name: str, most_bytes: int) -> bytes:
    """Return the contents of a file of a capture.

    Raises:
        CaptureError: as `open_file`; the file cannot be read, or has more than `most_bytes` bytes.
    """
    with open_file(folder, name) as file:
        try:
            # A buffer for all bytes that the file may have would cost more than the reading.
            data = file.read(min(os.fstat(file.fileno()).st_size, most_bytes) + 1)
        except OSError as error:
            raise CaptureError(f"{name} cannot be read: {error.strerror}") from error
    if len(data) > most_bytes:
        raise CaptureError(f"{name} has more than {most_bytes} bytes")
    return data


def is_regular_file(path: str) -> bool:
    """Return whether a regular file has that path; the last part of the path may not be a link."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def require_own_folder(folder: Path, name: str) -> None:
    """Check that the folder `name` inside a capture's folder is absent or a folder, and not a link to one.

    Raises:
        CaptureError: it is something else.
    """
    path = folder / name
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise CaptureError(f"{name} is not a folder inside {folder}")


def require_empty(folder: Path) -> None:
    """Check that a folder is absent or empty.

    Raises:
        CaptureError: the folder is not empty, or cannot be read.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            raise CaptureError(f"{folder} is not empty; choose an empty folder")
    except OSError as error:
        raise CaptureError(cannot_be_written(folder, error)) from error


@contextmanager
def empty_after_errors(out: Path) -> Iterator[None]:
    """Check that a folder is new or empty; if the block raises an error, remove what the block has written there.

    Raises:
        CaptureError: the folder is not empty, or cannot be read.
    """
    require_empty(out)
    existed = out.exists()
    try:
        yield
    except BaseException:
        _remove(out, keep=existed)
        raise


def _remove(out: Path, *, keep: bool) -> None:
    if not keep:
        shutil.rmtree(out, ignore_errors=True)
        return
    for path in out.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
