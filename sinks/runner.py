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
from typing import Any

from broker.port import Broker, BrokerError, GroupMember, Position, Record
from sinks.port import PartitionOffsets, ReadAt, Sink, SinkBusy

_log = logging.getLogger(__name__)

_RETRY_FIRST_S, _RETRY_MOST_S = 0.1, 5.0
_AFTER_FAILED_COMMIT_S = 1.0


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
    idle_exit_s: float | None = None,
) -> int:
    """Deliver records to the sink until `stop` is set, or until no record has arrived for `idle_exit_s`.

    Args:
        sink: The destination, which is closed when the function ends in any way.
        member: An entered member of the sink's group.
        ends: Partition -> end offset of the topic.
        stop: The event that ends the function after a last checkpoint.
        read_at: Reads one record of the topic.
        max_batch: The most records per checkpoint.
        idle_exit_s: The seconds without records after which the function ends; None runs until `stop`.

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
        await sink.setup({p: PartitionOffsets(await member.committed(p), end) for p, end in ends.items()}, read_at)
        while not stop.is_set():
            records = await _fetch(pending, member, max_batch, idle_exit_s, stop)
            if records is None:
                break
            await sink.add(records)
            if not await _flushed(sink, stop):
                break
            failure = await _commit(member, records, stop)
            pending.clear()
            if failure is None:
                delivered += len(records)
                logged = None
            else:
                if logged != (logged := str(failure)):
                    _log.warning("%s", logged)
                await _pause(_AFTER_FAILED_COMMIT_S, stop)
    finally:
        pending.clear()
        await sink.close()
    return delivered


async def _fetch(
    pending: _Pending, member: GroupMember, max_batch: int, idle_exit_s: float | None, stop: asyncio.Event
) -> Sequence[Record] | None:
    """Return the next records, or None when the runner is to end."""
    delay_s = _RETRY_FIRST_S
    while True:
        fetching = asyncio.ensure_future(pending.fetch(member, max_batch, idle_exit_s))
        try:
            if not await _before(fetching, stop):
                return None
            return fetching.result() or None
        except BrokerError as error:
            if not error.retriable:
                raise
            if delay_s == _RETRY_FIRST_S:
                _log.warning("%s", error)
            if await _pause(delay_s, stop):
                return None
            delay_s = min(2 * delay_s, _RETRY_MOST_S)


async def _flushed(sink: Sink, stop: asyncio.Event) -> bool:
    """Flush the sink, and wait while it is busy; return False where `stop` was set before the sink was flushed."""
    while True:
        try:
            await sink.flush()
        except SinkBusy as busy:
            if await _pause(busy.retry_after_s, stop):
                return False
        else:
            return True


async def _commit(member: GroupMember, records: Sequence[Record], stop: asyncio.Event) -> BrokerError | None:
    """Commit the offsets behind these records; rewind each partition whose commit failed, and return the last error."""
    failure: BrokerError | None = None
    for partition, offset in {record.partition: record.offset for record in records}.items():
        try:
            await member.commit(partition, offset + 1)
        except BrokerError as error:
            if not error.retriable:
                raise
            await _rewind(member, partition, stop)
            failure = error
            if partition not in member.assignment():
                _log.warning(
                    "partition %d passed to another process of the group before offset %d was committed: that process "
                    "writes the same events again to its own destination",
                    partition,
                    offset,
                )
    return failure


async def _rewind(member: GroupMember, partition: int, stop: asyncio.Event) -> None:
    """Rewind the partition, so that its records are delivered again; retry until that succeeds or `stop` is set."""
    delay_s = _RETRY_FIRST_S
    while True:
        try:
            return await member.rewind(partition)
        except BrokerError as error:
            if not error.retriable:
                raise
            if await _pause(delay_s, stop):
                return None
            delay_s = min(2 * delay_s, _RETRY_MOST_S)


async def _before(fetching: "asyncio.Future[Sequence[Record]]", stop: asyncio.Event) -> bool:
    """Wait for the fetch or for `stop`; return whether the fetch ended. Else it is cancelled, which loses no record."""
    stopping = asyncio.ensure_future(stop.wait())
    both: list[asyncio.Future[Any]] = [fetching, stopping]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        return fetching.done()
    finally:
        stopping.cancel()
        fetching.cancel()  # has no effect on a fetch that has ended
        await asyncio.wait(both)
        if not fetching.cancelled():
            fetching.exception()  # retrieved here, because the caller may not, and asyncio would log an error


async def _pause(seconds: float, stop: asyncio.Event) -> bool:
    """Sleep for that many seconds; return True as soon as `stop` is set, else False."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
