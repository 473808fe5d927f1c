"""Counts refused API keys per peer and minute, and writes the counts into the audit topic.

Counting only changes a table in memory, so it never delays a call. The table has at most `capacity` rows: further peers
of a minute are counted together. A minute is written when it is over; while the log cannot be written the counts stay
in the table, and minutes for which it has no room are dropped with a log line.

A write is never cancelled, because nobody would know whether the log has it, and writing the counts again would double
them. A write that takes long is waited for again later, before anything else is written.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

from broker.port import Broker, BrokerError, NewRecord
from contract.audit import OTHER_PEERS, RefusedKeysRecord, encode_audit
from ingest.keys import Reason

_log = logging.getLogger(__name__)

CAPACITY = 2048
MINUTE_S = 60.0
_WRITE_S = 3.0

_Row = tuple[float, str]
"""The beginning of a minute, and the peer."""


class RefusedKeyCounts:
    """The counts that are not written yet. Pure: the clock is an argument."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._rows: dict[_Row, Counter[str]] = {}
        self.dropped = 0
        """The number of refused keys that were counted and could not be kept."""

    def __len__(self) -> int:
        return len(self._rows)

    def count(self, peer: str, reason: Reason, now_s: float) -> None:
        """Count a refused key of a peer at `now_s` (epoch seconds)."""
        minute = now_s - now_s % MINUTE_S
        for row in ((minute, peer), (minute, OTHER_PEERS)):
            # One row is kept free for the peers together.
            room = self._capacity - (0 if row[1] == OTHER_PEERS else 1)
            if row in self._rows or len(self._rows) < room:
                self._rows.setdefault(row, Counter())[reason] += 1
                return
        self.dropped += 1

    def over(self, before_s: float) -> list[RefusedKeysRecord]:
        """Return the records of the minutes that ended by `before_s`, oldest first; they stay in the table."""
        rows = sorted(row for row in self._rows if row[0] + MINUTE_S <= before_s)
        return [RefusedKeysRecord(peer=row[1], time=row[0], counts=dict(self._rows[row])) for row in rows]

    def forget(self, records: list[RefusedKeysRecord]) -> None:
        """Take the counts of these records from the table."""
        for record in records:
            row = record.time, record.peer
            self._rows[row].subtract(record.counts)
            if not any(self._rows[row].values()):
                del self._rows[row]


class RefusedKeys:
    """Counts refused keys and writes the counts; an async context manager that writes what is left at its end.

    `clock` returns epoch seconds.
    """

    def __init__(self, broker: Broker, topic: str, clock: Callable[[], float], every_s: float = MINUTE_S) -> None:
        self._broker, self._topic, self._clock, self._every_s = broker, topic, clock, every_s
        self._counts = RefusedKeyCounts()
        self._task: asyncio.Task[None] | None = None
        self._writing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._written()
        if self._writing is None:
            await self._write(self._clock() + MINUTE_S)
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    def count(self, peer: str, reason: Reason) -> None:
        """Count a refused key of a peer now."""
        self._counts.count(peer, reason, self._clock())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            await self._write(self._clock())

    async def _write(self, before_s: float) -> None:
        records = self._counts.over(before_s)
        if records and self._writing is None:
            self._writing = asyncio.create_task(self._append(records))
        await self._written()
        if self._counts.dropped:
            _log.warning("%d refused API keys are missing in the audit topic", self._counts.dropped)
            self._counts.dropped = 0

    async def _append(self, records: list[RefusedKeysRecord]) -> None:
        try:
            await self._broker.append([self._record(record) for record in records])
        except BrokerError as error:
            _log.warning("the counts of refused API keys cannot be written yet (%s)", type(error).__name__)
        else:
            self._counts.forget(records)

    async def _written(self) -> None:
        """Wait for the write under way, but no longer than `_WRITE_S`."""
        if self._writing is None:
            return
        done, _ = await asyncio.wait([self._writing], timeout=_WRITE_S)
        if done:
            self._writing = None
        else:
            _log.warning("the counts of refused API keys are still being written")

    def _record(self, record: RefusedKeysRecord) -> NewRecord:
        return NewRecord(self._topic, record.peer.encode(), encode_audit(record), partition=0)
