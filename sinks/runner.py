"""Drives one sink: reads as a member of a consumer group, adds, and checkpoints.

The order of a checkpoint, which makes sure that no event is lost:

1. `sink.flush()`: everything added is durable at the destination. If this fails, nothing is committed.
2. The group's offsets are committed, partition by partition. If this fails, or the process dies before it, the same
   records are delivered again, and the sink recognises them or its receiver does.
3. `sink.committed()`: the sink learns that they will not come again.

Partitions pass to another member of the group only when what was delivered of them is checkpointed: the other one
writes elsewhere, and does not see what stands here already.

The order of a stop: delivery ends, what was delivered is checkpointed, the sink is closed.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from broker.port import BrokerError, GroupMember, Record
from sinks.port import Sink, SinkBusy, Standing

_log = logging.getLogger(__name__)

_RETRY_FIRST_S, _RETRY_MOST_S = 0.1, 5.0
_AFTER_FAILED_COMMIT_S = 1.0


class _Hand:
    """Whether records were delivered that are not checkpointed yet."""

    def __init__(self) -> None:
        self._empty = asyncio.Event()
        self._empty.set()

    async def fetch(self, member: GroupMember, max_records: int, timeout_s: float | None) -> Sequence[Record]:
        """The next records, which are in hand from the moment they are delivered."""
        records = await member.fetch(max_records, timeout_s)
        if records:
            self._empty.clear()
        return records

    def put_down(self) -> None:
        """They are committed, or will be delivered again."""
        self._empty.set()

    async def emptied(self, _: frozenset[int]) -> None:
        """Wait until nothing is in hand; see `broker.port.OnRevoked`."""
        await self._empty.wait()


async def run_sink(
    sink: Sink,
    member: GroupMember,
    ends: Mapping[int, int],
    stop: asyncio.Event,
    *,
    max_batch: int = 500,
    idle_exit_s: float | None = None,
) -> int:
    """Carry records to the sink until `stop` is set, or nothing has come for `idle_exit_s`.

    Args:
        sink: The destination; it is closed on every way out.
        member: An entered member of the sink's group.
        ends: Partition -> end offset of the topic.
        stop: Set it to drain and return.
        max_batch: Records per checkpoint, at most.
        idle_exit_s: None runs until stopped.

    Returns:
        How many records were delivered and committed.

    Raises:
        SinkError: the destination cannot be used.
        BrokerError: the log cannot be read, and trying again will not help.
    """
    delivered = 0
    told: str | None = None
    hand = _Hand()
    member.on_revoked(hand.emptied)
    try:
        await sink.setup({p: Standing(await member.committed(p), end) for p, end in ends.items()})
        while not stop.is_set():
            records = await _fetch(hand, member, max_batch, idle_exit_s, stop)
            if records is None:
                break
            await sink.add(records)
            if not await _flushed(sink, stop):
                break
            failure = await _commit(member, records, stop)
            hand.put_down()
            if failure is None:
                await sink.committed()
                delivered += len(records)
                told = None
            else:
                if told != (told := str(failure)):
                    _log.warning("%s", told)
                await _pause(_AFTER_FAILED_COMMIT_S, stop)
    finally:
        hand.put_down()
        await sink.close()
    return delivered


async def _fetch(
    hand: _Hand, member: GroupMember, max_batch: int, idle_exit_s: float | None, stop: asyncio.Event
) -> Sequence[Record] | None:
    """The next records, or None when it is time to go."""
    delay_s = _RETRY_FIRST_S
    while True:
        fetching = asyncio.ensure_future(hand.fetch(member, max_batch, idle_exit_s))
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
    """Flush, waiting as the sink asks; False when it was still busy at the stop."""
    while True:
        try:
            await sink.flush()
        except SinkBusy as busy:
            if await _pause(busy.retry_after_s, stop):
                return False
        else:
            return True


async def _commit(member: GroupMember, records: Sequence[Record], stop: asyncio.Event) -> BrokerError | None:
    """Commit what these records reach; why a partition was not committed and is to be delivered again, if one was."""
    failure: BrokerError | None = None
    for partition, offset in {record.partition: record.offset for record in records}.items():
        try:
            await member.commit(partition, offset + 1)
        except BrokerError as error:
            if not error.retriable:
                raise
            await _rewind(member, partition, stop)
            failure = error
    return failure


async def _rewind(member: GroupMember, partition: int, stop: asyncio.Event) -> None:
    """Have the partition delivered again as soon as the log can be reached, unless it is time to go before that."""
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
    """Wait for either; True when the fetch came first. Otherwise it is cancelled, which loses no record."""
    stopping = asyncio.ensure_future(stop.wait())
    both: list[asyncio.Future[Any]] = [fetching, stopping]
    try:
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        return fetching.done()
    finally:
        stopping.cancel()
        fetching.cancel()  # does nothing to one that is done
        await asyncio.wait(both)
        if not fetching.cancelled():
            fetching.exception()  # looked at here, since nobody may ask for it any more


async def _pause(seconds: float, stop: asyncio.Event) -> bool:
    """Sleep; True as soon as it is time to stop."""
    try:
        await asyncio.wait_for(stop.wait(), seconds)
    except TimeoutError:
        return False
    return True
