"""The order in which waiting requests reach the matching threads: runs of requests of one partition.

Requests of one partition share a transaction only if they are finished one soon after the other. So where many wait,
the threads take several of one partition, then of the partition whose first request has waited longest.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from processor.lane_machine import ENOUGH


class Runs:
    """Lets at most `most` requests pass at a time; only the event loop's thread may use it.

    While another partition waits, one partition's requests pass only until they are enough for a transaction.
    """

    def __init__(self, most: int) -> None:
        self._free = most
        self._numbers = itertools.count()
        self._waiting: dict[int, deque[tuple[int, asyncio.Future[None]]]] = {}  # by partition, each in order
        self._partition = -1  # of the run
        self._passed = 0  # requests of the run

    @asynccontextmanager
    async def turn(self, partition: int) -> AsyncIterator[None]:
        """Wait for the turn of a request of that partition; the turn ends with the context."""
        if self._free:
            self._free -= 1
            self._note(partition)
        else:
            passing = asyncio.get_running_loop().create_future()
            self._waiting.setdefault(partition, deque()).append((next(self._numbers), passing))
            try:
                await passing
            except asyncio.CancelledError:
                if passing.done() and not passing.cancelled():
                    self._pass_on()  # it was let through at the moment of its cancellation
                raise
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        """Let the next request that waits take the place of one that has ended."""
        while self._waiting:
            partition = self._next()
            queue = self._waiting[partition]
            _, passing = queue.popleft()
            if not queue:
                del self._waiting[partition]
            if not passing.done():
                self._note(partition)
                passing.set_result(None)
                return
        self._free += 1

    def _next(self) -> int:
        """Return the partition whose request is next."""
        if self._partition in self._waiting and self._passed < ENOUGH:
            return self._partition
        return min(self._waiting, key=lambda partition: self._waiting[partition][0][0])

    def _note(self, partition: int) -> None:
        self._passed = self._passed + 1 if partition == self._partition else 1
        self._partition = partition
