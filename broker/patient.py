"""A log that is waited for: calls that only read go on after an outage, for commands that follow the log for days."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self, TypeVar

from broker.outages import OutageLog
from broker.port import (
    Broker,
    BrokerError,
    DeletionsKept,
    GroupMember,
    NewRecord,
    OnSkipped,
    Position,
    Reader,
    Record,
    Start,
    TopicSpec,
    Watch,
    WorkedOn,
)

T = TypeVar("T")

_log = logging.getLogger(__name__)

_RETRY_S = 0.5


class PatientBroker:
    """An open log, see `broker.port.Broker`, of which reading is tried again as long as the log cannot be read now.

    Once `stop` is set, errors are raised as the log raises them. Outages are logged as broker.outages says. What writes
    is not tried again, and neither is the log opened or closed.
    """

    def __init__(self, broker: Broker, stop: asyncio.Event) -> None:
        self._broker, self._stop = broker, stop
        self._outage = OutageLog(_log)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: whoever opened the log closes it."""

    async def until_read(self, read: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `read`, which is called again after each error that may pass.

        Raises:
            BrokerError: the log cannot be read, and trying again will not help or `stop` is set.
        """
        while True:
            try:
                found = await read()
            except BrokerError as error:
                if not error.retriable or self._stop.is_set():
                    raise
                self._outage.failed(f"{error}; reading is tried again until the log can be read")
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), _RETRY_S)
            else:
                self._outage.recovered("the log can be read again")
                return found

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> None:
        """See the port."""
        await self._broker.ensure_topics(specs)

    async def partitions(self, topic: str) -> int:
        """See the port."""
        return await self.until_read(lambda: self._broker.partitions(topic))

    async def append(self, records: Sequence[NewRecord]) -> Sequence[Position]:
        """See the port."""
        return await self._broker.append(records)

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        """See the port."""
        return await self.until_read(lambda: self._broker.end_offsets(topic))

    async def read_at(self, position: Position) -> Record | None:
        """See the port."""
        return await self.until_read(lambda: self._broker.read_at(position))

    async def deletions_kept(self, topic: str) -> DeletionsKept:
        """See the port."""
        return await self.until_read(lambda: self._broker.deletions_kept(topic))

    def reader(
        self,
        topic: str,
        start: Start | Mapping[int, int] | float = Start.EARLIEST,
        partitions: Sequence[int] | None = None,
    ) -> Reader:
        """See the port."""
        return _PatientReader(self, self._broker.reader(topic, start, partitions))

    def member(
        self, topic: str, group: str, worked_on: WorkedOn | None = None, on_skipped: OnSkipped | None = None
    ) -> GroupMember:
        """See the port."""
        return self._broker.member(topic, group, worked_on, on_skipped)

    def watch(self, group: str) -> Watch:
        """See the port."""
        return self._broker.watch(group)

    def available(self) -> bool:
        """See the port."""
        return self._broker.available()


class _PatientReader:
    def __init__(self, log: PatientBroker, reader: Reader) -> None:
        self._log, self._reader = log, reader

    async def __aenter__(self) -> Self:
        await self._log.until_read(self._reader.__aenter__)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reader.__aexit__(kind, error, trace)

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        return await self._log.until_read(lambda: self._reader.fetch(max_records, timeout_s))

    def positions(self) -> Mapping[int, int]:
        return self._reader.positions()
