"""Reads the evidence of events, beside the events.

Evidence has partitions of its own, by the id of the event, and is written in the transaction of the event. So the
topic is read until the evidence is found, or until what was written later has been reached in its partition. Ids are
random, so all partitions are about equally long at any time, and one reader reads them all. Evidence that is read on
the way is kept for later events as long as there may be such: none of them is older than its request, and requests are
asked for in their order. Values stay undecoded until they are wanted.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import msgspec

from broker.partitioner import partition_of
from broker.port import Broker, Reader, Record
from capture.recording.join import Decided, Pending
from contract.events import Event
from contract.evidence import Evidence, decode_evidence

_BATCH = 100
_POLL_S = 0.05
_SLACK_MS = 60_000
"""More than the difference of the times at which event and evidence, which are one transaction, were written."""


class _Partition:
    """The evidence of one partition that was read and not asked for: the times of writing (ms) and values by the id of
    the event. The log may have a request twice, and so two events and two values of one id."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._waiting: dict[str, list[tuple[int, bytes]]] = {}
        self.newest_ms = 0

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def add(self, record: Record) -> None:
        """Keep the evidence in a record."""
        self.newest_ms = max(self.newest_ms, record.timestamp_ms)
        if record.key is not None and record.value:
            event_id = record.key.decode("utf-8", "replace")
            # The newest is the last, so that one old id does not keep everything behind it.
            self._waiting[event_id] = [*self._waiting.pop(event_id, ()), (record.timestamp_ms, record.value)]

    def forget(self, before_ms: float) -> None:
        """Forget what was written before a time, less the slack."""
        while self._waiting:
            event_id, kept = next(iter(self._waiting.items()))
            if kept[-1][0] + _SLACK_MS >= before_ms:
                break
            del self._waiting[event_id]

    def take(self, event: Event) -> Evidence | None:
        """Return the evidence of the event, which is kept no longer; None: it was not read, or is damaged."""
        kept = self._waiting.get(event.id, [])
        for place, (_, value) in enumerate(kept):
            found = _decoded(value)
            if found is not None and (found.decided_time, found.gallery_version) == _decided_by(event):
                del kept[place]
                if not kept:
                    del self._waiting[event.id]
                return found
        return None

    def may_come(self, decided: Decided) -> bool:
        """Return whether evidence that was not read may still follow."""
        return decided.written_ms + _SLACK_MS >= self.newest_ms


@dataclass(frozen=True, slots=True)
class _Sought:
    pending: Pending
    decided: Decided
    partition: _Partition


class EvidenceReader:
    """The evidence that was written from a time on (epoch seconds). `partitions`: their number, 0 where the log has no
    evidence topic. Once `stop` is set, nothing more is waited for."""

    def __init__(
        self,
        broker: Broker,
        topic: str,
        partitions: int,
        since_s: float,
        stop: asyncio.Event,
    ) -> None:
        self._broker, self._topic, self._count, self._since_s = broker, topic, partitions, since_s
        self._stop = stop
        self._partitions = [_Partition(number) for number in range(partitions)]
        self._reader: Reader
        self._ends: Mapping[int, int] = {}
        self._ends_are_new = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._count:
            reader = self._broker.reader(self._topic, self._since_s)
            self._reader = await self._stack.enter_async_context(reader)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    @property
    def kept(self) -> int:
        """The number of records in memory."""
        return sum(map(len, self._partitions))

    async def of(self, events: Iterable[tuple[Pending, Decided]]) -> Mapping[Decided, Evidence | None]:
        """Return the evidence of the events of requests; None: the log does not have it.

        An event whose evidence was not found before `stop` was set, and may still be there, is left out. The requests
        are those behind the ones of the last call, in the order of their writing.

        Raises:
            BrokerError: the log cannot be read.
        """
        if not self._count:
            return {decided: None for _, decided in events}
        self._ends_are_new = False
        found: dict[Decided, Evidence | None] = {}
        missing = [_Sought(pending, decided, self._partition_of(decided)) for pending, decided in events]
        while True:
            missing = [one for one in missing if not self._take(one, found)]
            if not missing:
                return found
            self.forget(min(one.pending.written_s for one in missing) * 1000)
            missing = await self._not_searched(missing, found)
            if missing and not await self._read_on():
                return found

    def forget(self, before_ms: float) -> None:
        """Forget evidence that was written before a time (epoch ms): no event of that time will be asked for."""
        for partition in self._partitions:
            partition.forget(before_ms)

    def _partition_of(self, decided: Decided) -> _Partition:
        return self._partitions[partition_of(decided.event.id.encode(), self._count)]

    def _take(self, sought: _Sought, found: dict[Decided, Evidence | None]) -> bool:
        """Add what is known about the evidence of an event to `found`; return whether anything is."""
        decided = sought.decided
        evidence = sought.partition.take(decided.event)
        if evidence is None and sought.partition.may_come(decided):
            return False
        found[decided] = evidence
        return True

    async def _not_searched(self, missing: Sequence[_Sought], found: dict[Decided, Evidence | None]) -> list[_Sought]:
        """Note as absent the evidence in partitions that are read to their end; return what is still missing.

        An event and its evidence are one transaction, so an end that was taken after the event was read is behind both.
        """
        if not self._ends_are_new and any(self._is_at_end(one.partition) for one in missing):
            self._ends = await self._broker.end_offsets(self._topic)
            self._ends_are_new = True
        found.update({one.decided: None for one in missing if self._is_searched(one.partition)})
        return [one for one in missing if one.decided not in found]

    def _is_searched(self, partition: _Partition) -> bool:
        return self._ends_are_new and self._is_at_end(partition)

    def _is_at_end(self, partition: _Partition) -> bool:
        """Return whether the partition was read up to the end that was taken last."""
        return self._reader.positions().get(partition.number, 0) >= self._ends.get(partition.number, 0)

    async def _read_on(self) -> bool:
        """Read some records; return False where there were none and `stop` is set."""
        stopped = self._stop.is_set()
        records = await self._reader.fetch(_BATCH, _POLL_S)
        for record in records:
            self._partitions[record.partition].add(record)
        return bool(records) or not stopped


def _decided_by(event: Event) -> tuple[float, int]:
    return event.processed_time, event.gallery_version


def _decoded(value: bytes) -> Evidence | None:
    try:
        return decode_evidence(value)
    except msgspec.DecodeError:
        return None  # damaged
