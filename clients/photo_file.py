"""Reads a photo file that an operator names, if it is a regular file and not larger than a limit."""

import os
import stat
from pathlib import Path

MAX_PICTURE_BYTES = 64 * 1024 * 1024
"""The most bytes of a file that is read; the limit of a server is a setting of that server, and smaller."""


class UnusablePhoto(ValueError):
    """The file is not read; the message is the reason."""


def read_photo(path: Path) -> bytes:
    """Return the contents of a file. Links are followed; the function never waits for FIFOs, devices and sockets.

    Raises:
        UnusablePhoto: the file is missing, is not a regular file, or is larger than `MAX_PICTURE_BYTES`.
        OSError: the file cannot be read.
    """
    # The kind is checked before opening, since opening a device may have effects, and again after opening, since the
    # file may have been replaced in between.
    if not path.is_file():
        raise UnusablePhoto("the photo does not exist or is not a file")
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise UnusablePhoto("the photo is not a regular file")
        if facts.st_size > MAX_PICTURE_BYTES:
            raise UnusablePhoto(f"the photo is larger than {MAX_PICTURE_BYTES} bytes")
        return file.read(facts.st_size)
