"""Probes the brokers, so that a call fails at once, not at its time limit, while the brokers are out of reach."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from broker.futures import retrieve_error
from broker.port import BrokerError, BrokerUnavailable

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Contact:
    """Calls `ping` every `every_s` seconds; after a BrokerError the brokers count as out of reach."""

    def __init__(self, ping: Callable[[], Awaitable[None]], every_s: float, brokers: str) -> None:
        self._ping = ping
        self._every_s = every_s
        self._brokers = brokers
        self._lost: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def open(self, *, within_reach: bool) -> None:
        """Begin to probe; `within_reach`: the brokers have just answered."""
        self._lost = asyncio.get_running_loop().create_future()
        if not within_reach:
            self._lost.set_result(None)
        self._task = asyncio.create_task(self._run(), name="kafka-contact")

    async def close(self) -> None:
        """Stop probing, and end all calls of `unless_lost`."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._lost is not None and not self._lost.done():
            self._lost.set_result(None)

    @property
    def available(self) -> bool:
        """Whether the brokers answered the last probe."""
        return self._lost is not None and not self._lost.done()

    def require(self) -> None:
        """Return if the brokers are within reach.

        Raises:
            BrokerUnavailable: the brokers are out of reach.
        """
        if not self.available:
            raise self._unavailable()

    async def unless_lost(self, work: "asyncio.Future[T]") -> T:
        """Return the result of `work`, which goes on if the brokers are lost or the caller is cancelled.

        Raises:
            BrokerUnavailable: the brokers are out of reach.
        """
        if self._lost is None or self._lost.done():
            work.add_done_callback(retrieve_error)
            raise self._unavailable()
        try:
            await asyncio.wait((work, self._lost), return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not work.done():
                work.add_done_callback(retrieve_error)
        if not work.done():
            raise self._unavailable()
        return work.result()

    def _unavailable(self) -> BrokerUnavailable:
        return BrokerUnavailable(f"the Kafka brokers at {self._brokers} cannot be reached now")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self._ping()
            except BrokerError as error:
                if self._lost is not None and not self._lost.done():
                    _log.warning("the Kafka brokers at %s are out of reach: %s", self._brokers, error)
                    self._lost.set_result(None)
            else:
                if not self.available:
                    _log.warning("the Kafka brokers at %s are within reach again", self._brokers)
                    self._lost = asyncio.get_running_loop().create_future()
