"""The matching threads: work that a door waits for comes first."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class MatchingPool:
    """`workers` threads. Urgent work enters their queue at once; other work enters only while a thread is free for it,
    and never takes the last of several threads, so that urgent work never waits for more than the work under way."""

    def __init__(self, workers: int) -> None:
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="match")
        self._workers = workers
        self._most_patient = max(1, workers - 1)
        self._urgent = self._patient = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def shutdown(self) -> None:
        """Wait for the work under way and forget what is queued."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    async def run(self, work: Callable[[], T], *, urgent: bool) -> T:
        """The result of `work`, which runs in a thread; raises what it raises. Called on the event loop."""
        loop = asyncio.get_running_loop()
        if urgent:
            self._urgent += 1
            try:
                return await loop.run_in_executor(self._executor, work)
            finally:
                self._urgent -= 1
                self._admit()
        turn = loop.create_future()
        self._waiting.append(turn)
        self._admit()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._patient -= 1
                self._admit()
            raise
        try:
            return await loop.run_in_executor(self._executor, work)
        finally:
            self._patient -= 1
            self._admit()

    def _admit(self) -> None:
        while self._waiting and self._patient < self._most_patient and self._urgent + self._patient < self._workers:
            turn = self._waiting.popleft()
            if not turn.done():
                self._patient += 1
                turn.set_result(None)
