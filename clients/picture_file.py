"""Reading a picture that an operator names: a regular file or standard input, and nothing beyond a limit."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

MAX_PICTURE_BYTES = 64 * 1024 * 1024
"""Nothing is read beyond this; what a server takes is its own setting, and smaller."""


class UnusablePicture(ValueError):
    """What is there is not read; the message says why."""


def read_picture(path: Path) -> bytes:
    """The file's content. Links are followed; FIFOs, devices and sockets are never waited for.

    Raises:
        UnusablePicture: it is not there, is not a regular file, or is larger than `MAX_PICTURE_BYTES`.
        OSError: it cannot be read.
    """
    # Asked before opening, since opening a device may already do something; and after, since it may have changed.
    if not path.is_file():
        raise UnusablePicture("the picture does not exist or is not a file")
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise UnusablePicture("the picture is not a file")
        if facts.st_size > MAX_PICTURE_BYTES:
            raise _too_large()
        return file.read(facts.st_size)


def read_picture_from(stream: BinaryIO) -> bytes:
    """Everything that a stream has until its end, such as standard input.

    Raises:
        UnusablePicture: it is empty, or has more than `MAX_PICTURE_BYTES`; no more than one byte beyond them is read.
        OSError: it cannot be read.
    """
    data = stream.read(MAX_PICTURE_BYTES + 1)
    if not data:
        raise UnusablePicture("there is no picture: nothing came")
    if len(data) > MAX_PICTURE_BYTES:
        raise _too_large()
    return data


def _too_large() -> UnusablePicture:
    return UnusablePicture(f"the picture is larger than {MAX_PICTURE_BYTES} bytes")
