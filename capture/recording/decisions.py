"""Reads the events topic as far as the requests of a recording need: partition by partition, or all with one reader."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import msgspec

from broker.ordered import start_offsets
from broker.port import Broker, Reader, Record
from capture.recording.join import Join
from contract.events import decode_event

_BATCH = 200  # a partition is read no further than this ahead of the requests
_POLL_S = 0.2
_ASK_S = 1.0
"""How often the ends of the topic are looked up while events of other requests keep coming."""


class Decisions:
    """The events that were written from a time on (epoch seconds). `clock_s` returns the time by the log's clock.

    That a fetch returns nothing says nothing: a broker may answer slowly. So it is known that an event was not written
    only once the partition is read up to an end that was taken later.
    """

    def __init__(self, broker: Broker, topic: str, since_s: float, clock_s: Callable[[], float]) -> None:
        self._broker, self._topic, self._since_s, self._clock_s = broker, topic, since_s, clock_s
        self._at: dict[int, int] = {}
        self._apart: dict[int, Reader] = {}
        self._all: Reader | None = None
        self._asked: tuple[float, Mapping[int, int]] | None = None
        self._ask_again_s = 0.0
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._at = await start_offsets(self._broker, self._topic, self._since_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def begin(self, *, together: bool) -> None:
        """Prepare to read the events of further requests, which have been read.

        `together`: with one reader for all partitions, which costs less, and needs memory for the events of all
        partitions from the oldest of the requests on.

        Raises:
            BrokerError: the log cannot be read.
        """
        self._asked, self._ask_again_s = None, 0.0
        if together == (self._all is not None):
            return
        await self._stack.aclose()
        self._apart, self._all = {}, None
        if together:
            self._all = await self._stack.enter_async_context(self._broker.reader(self._topic, self._at))

    async def read(self, join: Join, partitions: Collection[int]) -> float | None:
        """Add further events of some partitions to `join`; no longer than 0.2 s is waited for them.

        Returns:
            The time (epoch seconds) until which all events of the partitions have been read; None: none is known.

        Raises:
            BrokerError: the log cannot be read.
        """
        records = await self._fetch(partitions)
        for record in records:
            try:
                join.decide(decode_event(record.value or b""), record.timestamp_ms)
            except msgspec.DecodeError:
                continue
        loop_s = asyncio.get_running_loop().time()
        if self._asked is None and join.is_due(self._clock_s()) and (not records or loop_s >= self._ask_again_s):
            self._ask_again_s = loop_s + _ASK_S
            asked_s = self._clock_s()
            self._asked = (asked_s, await self._broker.end_offsets(self._topic))
        if self._asked is None or any(self._at[number] < self._asked[1].get(number, 0) for number in partitions):
            return None
        (searched_s, _), self._asked = self._asked, None
        return searched_s

    async def _fetch(self, partitions: Collection[int]) -> Sequence[Record]:
        if self._all is not None:
            return await self._fetch_from(self._all)
        for number in partitions:
            if number not in self._apart:
                reader = self._broker.reader(self._topic, {number: self._at[number]}, [number])
                self._apart[number] = await self._stack.enter_async_context(reader)
        batches = await asyncio.gather(*(self._fetch_from(self._apart[number]) for number in sorted(partitions)))
        return [record for batch in batches for record in batch]

    async def _fetch_from(self, reader: Reader) -> Sequence[Record]:
        records = await reader.fetch(_BATCH, _POLL_S)
        self._at.update(reader.positions())
        return records
