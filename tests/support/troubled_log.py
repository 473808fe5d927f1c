"""A log whose reading is slow, fails, or is watched."""

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from broker.port import Broker, Reader, Record, Start

BeforeFetch = Callable[[str], bool]
"""Called with the topic before a fetch; returns whether the fetch returns nothing although there are records; may raise
the error of the fetch."""


class TroubledLog:
    """The log `broker`; `before_fetch` is called before each fetch of a reader, `before_call` before other reading."""

    def __init__(
        self, broker: Broker, before_fetch: BeforeFetch, before_call: Callable[[str], None] = lambda _: None
    ) -> None:
        self._broker, self.before_fetch, self.before_call = broker, before_fetch, before_call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._broker, name)

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        self.before_call(topic)
        return await self._broker.end_offsets(topic)

    def reader(
        self,
        topic: str,
        start: Start | Mapping[int, int] | float = Start.EARLIEST,
        partitions: Sequence[int] | None = None,
    ) -> "TroubledReader":
        return TroubledReader(self, topic, self._broker.reader(topic, start, partitions))


class TroubledReader:
    def __init__(self, log: TroubledLog, topic: str, reader: Reader) -> None:
        self._log, self._topic, self._reader = log, topic, reader

    async def __aenter__(self) -> Self:
        self._log.before_call(self._topic)
        await self._reader.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reader.__aexit__(kind, error, trace)

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        if self._log.before_fetch(self._topic):
            return ()
        return await self._reader.fetch(max_records, timeout_s)

    def positions(self) -> Mapping[int, int]:
        return self._reader.positions()
