"""The threads in which networks run: threads for urgent work, such as matches, and background threads."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_NICER = 10
"""How much higher the niceness of background threads is than that of the process: the system gives each a tenth of the
time of another thread, so that their work goes on slowly, however busy the other threads are."""

_HIGHEST_NICENESS = 19


class MatchingPool:
    """`workers` threads for urgent work, and `workers` - 1, at least one, background threads of lower priority."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._urgent = ThreadPoolExecutor(workers, "match")
        self._background = ThreadPoolExecutor(max(1, workers - 1), "prepare", _lower_priority)

    def shutdown(self) -> None:
        """Wait for running work, and drop queued work."""
        for executor in (self._urgent, self._background):
            executor.shutdown(wait=True, cancel_futures=True)

    async def run(self, work: Callable[[], T], *, urgent: bool) -> T:
        """Run `work` in a thread, return its result and raise its errors."""
        return await asyncio.get_running_loop().run_in_executor(self._urgent if urgent else self._background, work)


def _lower_priority() -> None:
    """Lower the priority of the calling thread below that of the thread that started it, if the system can (Linux)."""
    thread = threading.get_native_id()
    with suppress(OSError):
        present = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(present + _NICER, _HIGHEST_NICENESS))
