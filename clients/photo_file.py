"""Reading a photo file that an operator names: a regular one, and none beyond a limit."""

import os
import stat
from pathlib import Path

MAX_PICTURE_BYTES = 64 * 1024 * 1024
"""No file is read beyond this; what a server takes is its own setting, and smaller."""


class UnusablePhoto(ValueError):
    """What is there is not read; the message says why."""


def read_photo(path: Path) -> bytes:
    """The file's content. Links are followed; FIFOs, devices and sockets are never waited for.

    Raises:
        UnusablePhoto: it is not there, is not a regular file, or is larger than `MAX_PICTURE_BYTES`.
        OSError: it cannot be read.
    """
    # Asked before opening, since opening a device may already do something; and after, since it may have changed.
    if not path.is_file():
        raise UnusablePhoto("the photo does not exist or is not a file")
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise UnusablePhoto("the photo is not a file")
        if facts.st_size > MAX_PICTURE_BYTES:
            raise UnusablePhoto(f"the photo is larger than {MAX_PICTURE_BYTES} bytes")
        return file.read(facts.st_size)
