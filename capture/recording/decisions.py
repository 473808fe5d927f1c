"""Reads the events topic, partition by partition, as far as the requests of a recording need."""

import asyncio
from collections.abc import Collection, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import msgspec

from broker.ordered import fetch_patiently
from broker.port import Broker, Reader, Record
from capture.recording.join import Join
from contract.events import decode_event

_BATCH = 200  # a partition is read no further than this ahead of the requests
_POLL_S = 0.2


class Decisions:
    """The events that were written from a time on (epoch seconds).

    `patient`: wait while the log cannot be reached, until `stop` is set, instead of raising its error.
    """

    def __init__(self, broker: Broker, topic: str, since_s: float, stop: asyncio.Event, *, patient: bool) -> None:
        self._broker, self._topic, self._since_s = broker, topic, since_s
        self._stop, self._patient = stop, patient
        self._readers: dict[int, Reader] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def read(self, join: Join, partitions: Collection[int]) -> bool:
        """Add further events of some partitions to `join`; return False where 0.2 s passed without any event.

        Raises:
            BrokerError: the log cannot be read.
        """
        batches = await asyncio.gather(*map(self._fetch, sorted(partitions)))
        for record in (record for batch in batches for record in batch):
            try:
                join.decide(decode_event(record.value or b""), record.timestamp_ms)
            except msgspec.DecodeError:
                continue
        return any(batches)

    async def _fetch(self, partition: int) -> Sequence[Record]:
        if partition not in self._readers:
            reader = self._broker.reader(self._topic, self._since_s, [partition])
            self._readers[partition] = await self._stack.enter_async_context(reader)
        if self._patient:
            return await fetch_patiently(self._readers[partition], _BATCH, self._stop)
        return await self._readers[partition].fetch(_BATCH, _POLL_S)
