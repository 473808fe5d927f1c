"""A lock between processes by the operating system: it ends when its process ends, also when that is killed."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.files import try_lock
from models.errors import FetchFailed

_POLL_S = 0.2


@contextmanager
def exclusive(path: Path, timeout_s: float, waiting: Callable[[], None]) -> Iterator[None]:
    """Lock the file at `path` for the block; `waiting` is called once if another process has locked the file.

    Raises:
        FetchFailed: another process has still locked the file after `timeout_s` seconds.
    """
    deadline_s = time.monotonic() + timeout_s
    reported = False
    with path.open("a+b") as file:
        while not try_lock(file.fileno()):
            if not reported:
                waiting()
                reported = True
            if time.monotonic() > deadline_s:
                raise FetchFailed("another process has been installing networks for too long; end it and try again")
            time.sleep(_POLL_S)
        # Closing the file ends the lock.
        yield
