"""The sql sink: keeps the events in a database, each once, for questions about who was where and when.

An event of the store is recognised by its id, so a record that is delivered again changes nothing. The event of an
erasure (`picturematch people erase`) deletes what the store has of the person.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence

from broker.port import Record
from contract.event_store import StoredEvent, StoreUnavailable
from contract.kinds import ERASE_KIND
from sinks.context import PeopleView, SinkContext
from sinks.lag import measured
from sinks.letters import Letters
from sinks.meter import Meter
from sinks.outgoing import Outgoing, Unusable, outgoing
from sinks.port import PartitionOffsets, ReadAt, SinkBusy
from sinks.runner import reading_at, run_sink
from sinks.settings import SqlSettings
from sinks.sql_engine import DataRefused
from sinks.sql_rows import stored_event, stored_text
from sinks.sql_writer import SqlWriter
from sinks.waiting import until_it_works

_log = logging.getLogger(__name__)

_AGAIN_S = 5.0
_SWEEP_EVERY_S, _SWEEP_AGAIN_S = 3600.0, 60.0
_BATCH = 1000

_GATHER_S = 0.25
"""A checkpoint is a transaction of the database and one of the log, which together cost many times what an event does.
The first event after a pause is stored at once, and those that follow are stored four times a second."""


class SqlSink:
    """A `sinks.port.Sink` that writes to a store of events.

    Args:
        store: The store; the sink closes it.
        people: The site, for the names of devices, groups and permissions.
        letters: The dead letters of the sink.
        meter: The metrics of the sink.
        clock: Returns epoch seconds.
        keep_s: How long the store keeps events, in seconds.
    """

    def __init__(
        self,
        store: SqlWriter,
        people: PeopleView,
        letters: Letters,
        meter: Meter,
        clock: Callable[[], float],
        keep_s: float,
    ) -> None:
        self._store, self._people, self._letters, self._meter = store, people, letters, meter
        self._clock, self._keep_s = clock, keep_s
        self._added: list[tuple[Record, StoredEvent]] = []
        self._erased: list[tuple[str, float]] = []
        self._writing = asyncio.Lock()
        self._sweeping: asyncio.Task[None] | None = None
        self._failing = False

    async def setup(self, offsets: Mapping[int, PartitionOffsets], read_at: ReadAt) -> None:
        """Create or upgrade the tables.

        Raises:
            StoreUnavailable: the database cannot be used, or its tables are of a later version.
        """
        await asyncio.to_thread(self._store.prepare)
        self._sweeping = asyncio.create_task(self._sweep_again_and_again(), name=f"sink-{self._meter.name}-sweep")

    async def add(self, records: Sequence[Record]) -> None:
        """Add the events of the records; a record without an event becomes a dead letter."""
        for record in records:
            match outgoing(record):
                case Outgoing(event) if event.kind == ERASE_KIND:
                    self._erased.append((stored_text(event.identity_id), event.received_time))
                case Outgoing(event):
                    self._added.append((record, stored_event(event, self._people.site)))
                case Unusable(_, reason):
                    self._letter(record, reason)
                case None:
                    self._meter.passed_over.inc()

    async def flush(self) -> None:
        """Write the added events in one transaction; an event that the database never takes becomes a dead letter.

        Raises:
            SinkBusy: the database cannot be used now.
        """
        try:
            async with self._writing:
                refused = await asyncio.to_thread(self._write)
        except StoreUnavailable as error:
            self._meter.failed.inc()
            if not self._failing:
                self._failing = True
                _log.warning("sink %s: %s; it is tried again", self._meter.name, error)
            raise SinkBusy(_AGAIN_S) from error
        if self._failing:
            self._failing = False
            _log.warning("sink %s: the store of events can be used again", self._meter.name)
        for record in refused:
            self._letter(record, "the database cannot store the event")
        self._added.clear()
        self._erased.clear()

    def _write(self) -> Sequence[Record]:
        """Write the added events, and return the records of those that the database never takes."""
        refused: list[Record] = []
        try:
            self._store.write([event for _, event in self._added])
        except DataRefused:
            for record, event in self._added:
                try:
                    self._store.write([event])
                except DataRefused:
                    refused.append(record)
        for identity_id, at_s in self._erased:
            self._store.forget(identity_id, at_s)
        return refused

    def _letter(self, record: Record, reason: str) -> None:
        self._letters.add(record, reason)
        self._meter.dead_letters.inc()

    async def _sweep_again_and_again(self) -> None:
        """Delete what is too old, also while no event comes."""
        while True:
            wait_s = _SWEEP_EVERY_S
            try:
                async with self._writing:
                    await asyncio.to_thread(self._sweep)
            except StoreUnavailable as error:
                wait_s = min(wait_s, _SWEEP_AGAIN_S)
                _log.warning("sink %s: old events are deleted later: %s", self._meter.name, error)
            except Exception:  # noqa: BLE001 - after any error the next sweep may work
                wait_s = min(wait_s, _SWEEP_AGAIN_S)
                _log.exception("sink %s: old events are deleted later, after an unexpected error", self._meter.name)
            await asyncio.sleep(wait_s)

    def _sweep(self) -> None:
        self._store.delete_before(self._clock() - self._keep_s)
        self._store.analyse()

    async def close(self) -> None:
        """Close the connections."""
        if self._sweeping is not None:
            self._sweeping.cancel()
            await asyncio.wait({self._sweeping})
        await asyncio.to_thread(self._store.close)


async def run_sink_of(settings: SqlSettings, context: SinkContext) -> int:
    """Store events until the context's `stop` is set; return the number of events."""
    topic, broker = context.topics.events, context.broker
    meter, letters = context.metrics.of(settings.name), context.letters(settings.name)
    store = SqlWriter(settings.url)
    sink = SqlSink(store, context.people, letters, meter, context.clock, settings.keep_days * 86_400.0)
    async with (
        broker.member(topic, settings.group, on_skipped=meter.note_skipped) as member,
        measured(meter, broker, topic, member, context.events_retention_ms),
    ):
        ends = await until_it_works(lambda: broker.end_offsets(topic), context.stop)
        if ends is None:
            return 0
        return await run_sink(
            sink,
            member,
            ends,
            context.stop,
            read_at=reading_at(broker, topic),
            max_batch=_BATCH,
            gather_s=_GATHER_S,
            idle_exit_s=context.idle_exit_s,
            letters=letters,
            meter=meter,
        )
