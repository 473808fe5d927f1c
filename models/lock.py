"""A lock between processes, held by the operating system: it ends with its holder, however that ends."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from contract.files import try_lock
from models.errors import FetchFailed

_POLL_S = 0.2


@contextmanager
def exclusive(path: Path, timeout_s: float, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold the lock file at `path`; `waiting` is called once if another process holds it.

    Raises:
        FetchFailed: the other process still held it after `timeout_s`.
    """
    deadline_s = time.monotonic() + timeout_s
    told = False
    with path.open("a+b") as file:
        while not try_lock(file.fileno()):
            if not told:
                waiting()
                told = True
            if time.monotonic() > deadline_s:
                raise FetchFailed("another process has been installing networks for too long; end it and try again")
            time.sleep(_POLL_S)
        # Closing the file gives the lock back.
        yield
