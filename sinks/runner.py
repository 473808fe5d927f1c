"""Runs one sink: reads records as a member of a consumer group, adds them to the sink, and makes checkpoints.

A checkpoint has two steps, whose order prevents that an event is lost:

1. `sink.flush()` makes all added records durable at the destination. If it fails, nothing is committed.
2. The group's offsets are committed, partition by partition. If a commit fails, or the process dies before it, the same
   records are delivered again, and the sink or its receiver recognises them.

A partition passes to another member of the group only when its delivered records are checkpointed, because the other
member writes to another destination and cannot recognise records that were written to this one.

At a stop, delivery ends, the delivered records are checkpointed, and the sink is closed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence

from broker.port import Broker, BrokerError, GroupMember, Position, Record
from sinks.letters import Letters
from sinks.meter import Meter
from sinks.port import PartitionOffsets, ReadAt, Sink, SinkBusy
from sinks.waiting import pause, rewind, until_it_works

_log = logging.getLogger(__name__)

_AFTER_FAILED_COMMIT_S = 1.0

_FEW = 64
"""The most records of a checkpoint after which the runner waits for more; a sink that is behind gets more at a time."""


class _Pending:
    """Whether delivered records are pending, which means that they are not checkpointed yet."""

    def __init__(self) -> None:
        self._none = asyncio.Event()
        self._none.set()

    async def fetch(self, member: GroupMember, max_records: int, timeout_s: float | None) -> Sequence[Record]:
        """Return the next records, which are pending as soon as they are delivered."""
        records = await member.fetch(max_records, timeout_s)
        if records:
            self._none.clear()
        return records

    def clear(self) -> None:
        """Note that all delivered records are committed or will be delivered again."""
        self._none.set()

    async def wait_until_none(self, _: frozenset[int]) -> None:
        """Wait until no records are pending; a `broker.port.OnRevoked`."""
        await self._none.wait()


def reading_at(broker: Broker, topic: str) -> ReadAt:
    """Return the function with which a sink reads single records of the topic."""

    def read_at(partition: int, offset: int) -> Awaitable[Record | None]:
        return broker.read_at(Position(topic, partition, offset))

    return read_at


async def run_sink(
    sink: Sink,
    member: GroupMember,
    ends: Mapping[int, int],
    stop: asyncio.Event,
    *,
    read_at: ReadAt,
    max_batch: int = 500,
    gather_s: float = 0.0,
    idle_exit_s: float | None = None,
    letters: Letters | None = None,
    meter: Meter | None = None,
) -> int:
    """Deliver records to the sink until `stop` is set, or until no record has arrived for `idle_exit_s`.

    Args:
        sink: The destination, which is closed when the function ends in any way.
        member: An entered member of the sink's group.
        ends: Partition -> end offset of the topic.
        stop: The event that ends the function after a last checkpoint.
        read_at: Reads one record of the topic.
        max_batch: The most records per checkpoint.
        gather_s: The seconds without delivery after a checkpoint of few records, so that a sink whose checkpoint costs
            more than its records gets those that arrive meanwhile together.
        idle_exit_s: The seconds without records after which the function ends; None runs until `stop`.
        letters: The dead letters that the sink has added; they are committed with the offsets.
        meter: Counts the delivered records.

    Returns:
        The number of records that were delivered and committed.

    Raises:
        SinkError: the destination cannot be used.
        BrokerError: the log cannot be read, and another attempt would not help.
    """
    delivered = 0
    logged: str | None = None
    pending = _Pending()
    member.on_revoked(pending.wait_until_none)
    try:
        offsets = await until_it_works(lambda: _offsets(member, ends), stop)
        if offsets is None:
            return 0
        await sink.setup(offsets, read_at)
        while not stop.is_set():
            records = await _fetch(pending, member, max_batch, idle_exit_s, stop)
            if records is None:
                break
            if meter is not None:
                meter.trying(records[0].partition, records[0].timestamp_ms)
            await sink.add(records)
            if not await _flushed(sink, stop):
                break
            failure = await _commit(member, records, stop, letters)
            pending.clear()
            if failure is None:
                delivered += len(records)
                _note(meter, records)
                logged = None
                if gather_s and len(records) <= _FEW:
                    await pause(gather_s, stop)
            else:
                if logged != (logged := str(failure)):
                    _log.warning("%s", logged)
                await pause(_AFTER_FAILED_COMMIT_S, stop)
    finally:
        pending.clear()
        await sink.close()
    return delivered


async def _offsets(member: GroupMember, ends: Mapping[int, int]) -> Mapping[int, PartitionOffsets]:
    return {partition: PartitionOffsets(await member.committed(partition), end) for partition, end in ends.items()}


async def _fetch(
    pending: _Pending, member: GroupMember, max_batch: int, idle_exit_s: float | None, stop: asyncio.Event
) -> Sequence[Record] | None:
    """Return the next records, or None when the runner is to end."""
    return await until_it_works(lambda: pending.fetch(member, max_batch, idle_exit_s), stop) or None


async def _flushed(sink: Sink, stop: asyncio.Event) -> bool:
    """Flush the sink, and wait while it is busy; return False where `stop` was set before the sink was flushed."""
    while True:
        try:
            await sink.flush()
        except SinkBusy as busy:
            if await pause(busy.retry_after_s, stop):
                return False
        else:
            return True


def _note(meter: Meter | None, records: Sequence[Record]) -> None:
    if meter is None:
        return
    meter.delivered.inc(len(records))
    for record in records:
        meter.reached(record.partition, record.offset + 1)


async def _commit(
    member: GroupMember, records: Sequence[Record], stop: asyncio.Event, letters: Letters | None
) -> BrokerError | None:
    """Commit the offsets behind these records; rewind each partition whose commit failed, and return the last error."""
    failure: BrokerError | None = None
    for partition, offset in {record.partition: record.offset for record in records}.items():
        try:
            await member.commit(partition, offset + 1, letters.take(partition) if letters else ())
        except BrokerError as error:
            if not error.retriable:
                raise
            await rewind(member, partition, stop)
            failure = error
            if partition not in member.assignment():
                _log.warning(
                    "partition %d passed to another process of the group before offset %d was committed: that process "
                    "writes the same events again to its own destination",
                    partition,
                    offset,
                )
    return failure
