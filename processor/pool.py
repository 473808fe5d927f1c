"""The matching threads: work that a door waits for comes first, and other work does not starve."""

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_LONGEST_S = 0.5
"""How long other work waits for a free thread before one piece of it queues with the urgent work."""


class MatchingPool:
    """`workers` threads. Urgent work enters their queue at once. Other work enters while a thread is free for it, and
    never takes the last of several threads; when it has waited too long, one piece at a time enters in any case."""

    def __init__(self, workers: int, longest_s: float = _LONGEST_S) -> None:
        self._executor = ThreadPoolExecutor(workers, thread_name_prefix="match")
        self._workers, self._longest_s = workers, longest_s
        self._most_patient = max(1, workers - 1)
        self._urgent = self._patient = 0
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()

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
        await self._turn(loop)
        try:
            return await loop.run_in_executor(self._executor, work)
        finally:
            self._patient -= 1
            self._admit()

    async def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append((loop.time(), turn))
        self._admit()
        timer = loop.call_later(self._longest_s, self._admit)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._patient -= 1
                self._admit()
            raise
        finally:
            timer.cancel()

    def _admit(self) -> None:
        while self._waiting and self._has_room(self._waiting[0][0]):
            _, turn = self._waiting.popleft()
            if not turn.done():
                self._patient += 1
                turn.set_result(None)

    def _has_room(self, since: float) -> bool:
        if self._patient < self._most_patient and self._urgent + self._patient < self._workers:
            return True
        # A timer may come a little early by the clock's resolution.
        waited_s = asyncio.get_running_loop().time() - since
        return self._patient == 0 and waited_s >= 0.99 * self._longest_s
