"""The embedded log in a folder of its own, with switches for its faults."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import BrokerError, NewRecord, Position, Reader, Record, Start, TopicSpec
from contract.topics import Topics

REPLY_PARTITIONS = 4

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - a folder is made in it under a name of its own
IN_MEMORY = _SHARED_MEMORY if _SHARED_MEMORY.is_dir() else None
"""A disk takes 50 ms to make a log safe, which hundreds of tests would wait for."""


class FaultyLog:
    """As much of `broker.port.Broker` as an ingress uses; without a fault switched on all of it is the log's own."""

    def __init__(self, broker: EmbeddedBroker) -> None:
        self._broker = broker
        self.is_available = True
        self.is_served: bool | None = True
        self.append_error: BrokerError | None = None
        self.append_blocks = False
        self.append_lasts_s = 0.0
        """From the moment when a record can be read until its writer hears of it."""
        self.fetch_error: BrokerError | None = None
        """What the next record, and any fetch after it, is answered with."""
        self.close_error: Exception | None = None
        self.readers_opened = 0

    async def partitions(self, topic: str) -> int:
        return await self._broker.partitions(topic)

    def available(self) -> bool:
        return self.is_available and self._broker.available()

    async def append(self, records: Sequence[NewRecord]) -> Sequence[Position]:
        if self.append_blocks:
            await asyncio.Event().wait()
        if self.append_error is not None:
            raise self.append_error
        places = await self._broker.append(records)
        if self.append_lasts_s:
            await asyncio.sleep(self.append_lasts_s)
        return places

    async def read_at(self, position: Position) -> Record | None:
        return await self._broker.read_at(position)

    def reader(
        self,
        topic: str,
        start: Start | Mapping[int, int] | float = Start.EARLIEST,
        partitions: Sequence[int] | None = None,
    ) -> "FaultyReader":
        self.readers_opened += 1
        return FaultyReader(self, self._broker.reader(topic, start, partitions))

    def watch(self, group: str) -> "SwitchedWatch":
        return SwitchedWatch(self)


class SwitchedWatch:
    def __init__(self, log: FaultyLog) -> None:
        self._log = log

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def served(self) -> bool | None:
        return self._log.is_served


class FaultyReader:
    def __init__(self, log: FaultyLog, reader: Reader) -> None:
        self._log, self._reader = log, reader

    async def __aenter__(self) -> Self:
        await self._reader.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._reader.__aexit__(kind, error, trace)
        if self._log.close_error is not None:
            raise self._log.close_error

    async def fetch(self, max_records: int = 100, timeout_s: float | None = None) -> Sequence[Record]:
        records = await self._reader.fetch(max_records, timeout_s)
        if self._log.fetch_error is not None:
            raise self._log.fetch_error
        return records

    def positions(self) -> Mapping[int, int]:
        return self._reader.positions()


@asynccontextmanager
async def faulty_log() -> AsyncIterator[FaultyLog]:
    """An open log with the topics of an ingress, in a folder that goes afterwards."""
    topics = Topics()
    specs = [TopicSpec(topic, 1) for topic in (topics.requests, topics.admin, topics.audit, topics.evidence)]
    specs += [TopicSpec(topics.replies, REPLY_PARTITIONS), TopicSpec(topics.photos, 1, compacted=True)]
    with tempfile.TemporaryDirectory(prefix="picturematch-log-", dir=IN_MEMORY) as folder:
        async with open_embedded(Path(folder), role="owner", clock_ms=lambda: int(time.time() * 1000)) as broker:
            await broker.ensure_topics(specs)
            yield FaultyLog(broker)
