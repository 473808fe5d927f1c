"""The threads that networks run in: those for work that a door waits for, and those for work that gives way to it."""

import asyncio
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")

_NICENESS = 10
"""Of the threads that give way: the system gives each of them a tenth of what it gives to one that does not, so that
the work goes on, slowly, however busy the others are."""


class MatchingPool:
    """`workers` threads for urgent work, and one fewer, at least one, for work that gives way to it."""

    def __init__(self, workers: int) -> None:
        self._urgent = ThreadPoolExecutor(workers, "match")
        self._patient = ThreadPoolExecutor(max(1, workers - 1), "prepare", _give_way)

    def shutdown(self) -> None:
        """Wait for the work under way and forget what is queued."""
        for executor in (self._urgent, self._patient):
            executor.shutdown(wait=True, cancel_futures=True)

    async def run(self, work: Callable[[], T], *, urgent: bool) -> T:
        """The result of `work`, which runs in a thread; raises what it raises."""
        return await asyncio.get_running_loop().run_in_executor(self._urgent if urgent else self._patient, work)


def _give_way() -> None:
    """Have the system prefer other threads to the one that calls this, where it can (Linux)."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
