"""Follows a compacted topic from its start, so that the owner of the follower can keep the topic's table in memory.

The follower passes records on in offset order and knows the offsets that it has read; the owner builds the table. While
the log is out of reach the follower tries again. An error of `apply` ends the follower, because a table that lacks a
record must not be used.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from broker.outages import OutageLog
from broker.port import Broker, BrokerError, Reader, Record, Start

_BATCH_RECORDS = 500
_FIRST_BACKOFF_S = 0.1
_LAST_BACKOFF_S = 5.0
_POLL_S = 0.2  # the last offsets of a partition may have no records; a reader passes them only when a fetch returns

_log = logging.getLogger(__name__)


class TableFollower:
    """A task that reads `topic` and calls `apply` with every batch, on the event loop, while the context is open.

    Until it has caught up, it calls `progress` after every batch with the number of offsets that are read, and with the
    number that were in the topic when the follower first reached the log.

    `begin`: called before the first record is read; it returns the offsets from which the table is to be read, because
    the owner has what is below them.

    The owner must handle an error of `apply`: `caught_up`, `reached`, `failure` and the end of the context raise it.
    """

    def __init__(
        self,
        broker: Broker,
        topic: str,
        apply: Callable[[Sequence[Record]], None],
        progress: Callable[[int, int], None] = lambda _read, _total: None,
        begin: Callable[[], Awaitable[Mapping[int, int]]] | None = None,
    ) -> None:
        self._broker = broker
        self._topic = topic
        self._apply = apply
        self._progress = progress
        self._begin = begin
        self._positions: dict[int, int] = {}
        self._targets: Mapping[int, int] | None = None
        self._caught_up = False
        self._healthy = False
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._outages = OutageLog(_log)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._follow(), name=f"follow-{self._topic}")
        self._task.add_done_callback(lambda _: self._notify())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = self._running()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            try:
                await task
            except Exception:
                if error is None:
                    raise

    @property
    def version(self) -> int:
        """The offset after the last applied record of a topic with one partition; 0 before the first record."""
        return self._positions.get(0, 0)

    @property
    def healthy(self) -> bool:
        """Whether the log could be read when last tried and nothing has failed."""
        return self._healthy

    async def caught_up(self) -> None:
        """Return once every record is applied that was in the topic when the follower first reached the log."""
        while not self._caught_up:
            await self._next_move()

    async def reached(self, version: int, timeout_s: float) -> bool:
        """Wait until the records below `version` are applied; return False if `timeout_s` passes before that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.version < version:
                    await self._next_move()
        return self.version >= version

    async def failure(self) -> None:
        """Never return; raise the error that ends the follower, for a task group that runs beside the follower."""
        while True:
            await self._next_move()

    def _running(self) -> "asyncio.Task[None]":
        if self._task is None:
            raise BrokerError(f"the follower of {self._topic} is not open: enter its context first")
        return self._task

    async def _next_move(self) -> None:
        task = self._running()
        if task.done():
            task.result()  # raises the error that ended the task
            raise BrokerError(f"the follower of {self._topic} has been closed")
        await self._moved.wait()

    def _notify(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _follow(self) -> None:
        backoff_s = _FIRST_BACKOFF_S
        try:
            while True:
                try:
                    if self._targets is None:
                        self._targets = await self._broker.end_offsets(self._topic)
                    if self._begin is not None:
                        self._positions, self._begin = dict(await self._begin()), None
                    async with self._broker.reader(self._topic, self._positions or Start.EARLIEST) as reader:
                        self._advance(reader)
                        while True:
                            await self._step(reader)
                            backoff_s = _FIRST_BACKOFF_S
                            self._outages.recovered(f"topic {self._topic} can be followed again")
                except BrokerError as error:
                    self._healthy = False
                    self._outages.failed(f"topic {self._topic} cannot be followed now, trying again: {error}")
                    await asyncio.sleep(backoff_s)
                    backoff_s = min(2 * backoff_s, _LAST_BACKOFF_S)
        finally:
            self._healthy = False

    async def _step(self, reader: Reader) -> None:
        records = await reader.fetch(_BATCH_RECORDS, _POLL_S)
        if records:
            try:
                self._apply(records)
            except BrokerError as error:
                raise RuntimeError(f"a record of topic {self._topic} could not be applied: {error}") from error
        self._advance(reader)

    def _advance(self, reader: Reader) -> None:
        self._healthy = True
        positions = dict(reader.positions())
        if positions == self._positions and self._caught_up:
            return
        self._positions = positions
        if self._targets is not None and not self._caught_up:
            read = sum(min(positions.get(partition, 0), end) for partition, end in self._targets.items())
            total = sum(self._targets.values())
            self._caught_up = read == total
            self._progress(read, total)
        self._notify()
