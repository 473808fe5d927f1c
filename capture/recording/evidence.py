"""Reads the evidence of events, beside the events.

Evidence has partitions of its own, by the id of the event, and is written in the transaction of the event. So each
partition is read until the evidence is found, or until what was written later has been reached. Evidence that is read
on the way is kept for later events, until `forget` names a time; values stay undecoded until they are wanted.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import msgspec

from broker.ordered import fetch_patiently
from broker.partitioner import partition_of
from broker.port import Broker, Reader
from capture.recording.join import Decided
from contract.evidence import Evidence, decode_evidence

_BATCH = 100
_POLL_S = 0.05
_SLACK_MS = 60_000
"""More than the difference of the times at which event and evidence, which are one transaction, were written."""
_SETTLE_S = 2.0
"""The transaction of an event becomes readable in all partitions within this time."""


class _Partition:
    """The evidence of one partition that was read and not asked for: event id -> time of writing (ms), and value."""

    def __init__(self, number: int, reader: Reader) -> None:
        self.number, self.reader = number, reader
        self.waiting: dict[str, tuple[int, bytes]] = {}
        self.newest_ms = 0

    @property
    def position(self) -> int:
        return self.reader.positions()[self.number]

    def lacks(self, decided: Decided) -> bool:
        """Return whether the evidence of the event was not read, and may still come."""
        return decided.event.id not in self.waiting and decided.written_ms + _SLACK_MS >= self.newest_ms


class EvidenceReader:
    """The evidence that was written from a time on (epoch seconds). `partitions`: their number, 0 where the log has no
    evidence topic. `clock_s` returns the seconds since the epoch by the log's clock. `stop` and `patient`: as of
    capture.recording.decisions."""

    def __init__(
        self,
        broker: Broker,
        topic: str,
        partitions: int,
        since_s: float,
        clock_s: Callable[[], float],
        stop: asyncio.Event,
        *,
        patient: bool,
    ) -> None:
        self._broker, self._topic, self._count, self._since_s = broker, topic, partitions, since_s
        self._clock_s, self._stop, self._patient = clock_s, stop, patient
        self._partitions: dict[int, _Partition] = {}
        self._ends: Mapping[int, int] = {}
        self._ends_are_new = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def kept(self) -> int:
        """The number of records in memory."""
        return sum(len(partition.waiting) for partition in self._partitions.values())

    async def of(self, events: Iterable[Decided]) -> Mapping[str, Evidence | None]:
        """Return the evidence of the events by event id, each once; None: the log does not have it.

        An event whose evidence was not found before `stop` was set, and may still be there, is left out.

        Raises:
            BrokerError: the log cannot be read.
        """
        self._ends_are_new = False
        wanted: dict[int, list[Decided]] = {}
        found: dict[str, Evidence | None] = {}
        for decided in events:
            if self._count:
                wanted.setdefault(partition_of(decided.event.id.encode(), self._count), []).append(decided)
            else:
                found[decided.event.id] = None
        for some in await asyncio.gather(*(self._of_partition(number, each) for number, each in wanted.items())):
            found.update(some)
        return found

    def forget(self, before_ms: float) -> None:
        """Forget evidence that was written before a time (epoch ms): no event of that time will be asked for."""
        for partition in self._partitions.values():
            while partition.waiting:
                event_id, (written_ms, _) = next(iter(partition.waiting.items()))
                if written_ms + _SLACK_MS >= before_ms:
                    break
                del partition.waiting[event_id]

    async def _of_partition(self, number: int, events: list[Decided]) -> Mapping[str, Evidence | None]:
        if number not in self._partitions:
            reader = self._broker.reader(self._topic, self._since_s, [number])
            self._partitions[number] = _Partition(number, await self._stack.enter_async_context(reader))
        partition = self._partitions[number]
        until = asyncio.get_running_loop().time() + _SETTLE_S
        unsearched: set[str] = set()
        while missing := [decided for decided in events if partition.lacks(decided)]:
            if await self._is_searched(partition, max(decided.written_ms for decided in missing), until):
                break
            if not await self._read_on(partition):
                unsearched = {decided.event.id for decided in missing}
                break
        return {one.event.id: _taken(partition, one.event.id) for one in events if one.event.id not in unsearched}

    async def _is_searched(self, partition: _Partition, written_ms: int, until: float) -> bool:
        """Return whether the partition is read to its end and nothing more is expected there."""
        if not await self._is_at_end(partition):
            return False
        is_young = self._clock_s() - written_ms / 1000 < _SETTLE_S
        return not is_young or asyncio.get_running_loop().time() >= until

    async def _read_on(self, partition: _Partition) -> bool:
        """Read some records; return False where there were none and `stop` is set."""
        stopped = self._stop.is_set()
        if self._patient and not stopped:
            records = await fetch_patiently(partition.reader, _BATCH, self._stop)
        else:
            records = await partition.reader.fetch(_BATCH, _POLL_S)
        for record in records:
            partition.newest_ms = max(partition.newest_ms, record.timestamp_ms)
            if record.key is not None and record.value:
                partition.waiting[record.key.decode("utf-8", "replace")] = (record.timestamp_ms, record.value)
        return bool(records) or not stopped

    async def _is_at_end(self, partition: _Partition) -> bool:
        """Return whether the partition was read up to everything that was readable when `of` was called."""
        if partition.position >= self._ends.get(partition.number, 0) and not self._ends_are_new:
            self._ends = await self._broker.end_offsets(self._topic)
            self._ends_are_new = True
        return partition.position >= self._ends.get(partition.number, 0)


def _taken(partition: _Partition, event_id: str) -> Evidence | None:
    _, value = partition.waiting.pop(event_id, (0, b""))
    try:
        return decode_evidence(value)
    except msgspec.DecodeError:
        return None  # absent or damaged
