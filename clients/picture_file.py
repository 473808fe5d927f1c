"""Reads a picture that an operator names, from a regular file or from standard input, up to a limit."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

MAX_PICTURE_BYTES = 64 * 1024 * 1024
"""The most bytes of a picture that are read; the limit of a server is a setting of that server, and smaller."""


class UnusablePicture(ValueError):
    """The picture is not read; the message is the reason."""


def read_picture(path: Path) -> bytes:
    """Return the contents of a file. Links are followed; the function never waits for FIFOs, devices and sockets.

    Raises:
        UnusablePicture: the file is missing, is not a regular file, or is larger than `MAX_PICTURE_BYTES`.
        OSError: the file cannot be read.
    """
    # The kind is checked before opening, since opening a device may have effects, and again after opening, since the
    # file may have been replaced in between.
    if not path.is_file():
        raise UnusablePicture("the picture does not exist or is not a file")
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise UnusablePicture("the picture is not a regular file")
        if facts.st_size > MAX_PICTURE_BYTES:
            raise _too_large()
        return file.read(facts.st_size)


def read_picture_from(stream: BinaryIO) -> bytes:
    """Return the bytes of a stream, such as standard input, up to its end.

    Raises:
        UnusablePicture: the stream is empty or has more than `MAX_PICTURE_BYTES`, of which at most one more is read.
        OSError: the stream cannot be read.
    """
    data = stream.read(MAX_PICTURE_BYTES + 1)
    if not data:
        raise UnusablePicture("there is no picture: the input is empty")
    if len(data) > MAX_PICTURE_BYTES:
        raise _too_large()
    return data


def _too_large() -> UnusablePicture:
    return UnusablePicture(f"the picture is larger than {MAX_PICTURE_BYTES} bytes")
