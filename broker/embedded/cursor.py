"""The next offsets of a reader or of a group member in the partitions of a topic, and fetching from there on."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from broker.embedded.log import Log
from broker.embedded.records import read_records
from broker.embedded.rows import Topic
from broker.port import Record

_FETCH_BYTES = 32 * 1024 * 1024  # the bytes of one fetch; its last record may exceed them


class Cursor:
    """Reads partitions of one topic from given offsets on, in turns.

    A fetch moves the cursor only after its last await, when it returns, so a cancelled fetch loses no record.
    """

    def __init__(self, log: Log, topic: Topic, offsets: Mapping[int, int]) -> None:
        self._log = log
        self._topic = topic
        self._next = dict(offsets)
        self._paused: set[int] = set()
        self._turn = sorted(offsets)
        log.watch(self)

    @property
    def positions(self) -> Mapping[int, int]:
        """Partition -> the offset that is read next."""
        return dict(self._next)

    def next_offset(self, topic: str, partition: int) -> int | None:
        """Return the offset that is read next in the partition; None: this cursor does not read that partition."""
        return self._next.get(partition) if topic == self._topic.spec.name else None

    def seek(self, partition: int, offset: int) -> None:
        """Read the partition from `offset` on, whichever records were delivered before."""
        self._next[partition] = offset
        self._log.wake(self._topic.spec.name)

    def pause(self, partition: int) -> None:
        """Fetch no records of the partition until `resume`."""
        self._paused.add(partition)

    def resume(self, partition: int) -> None:
        """Fetch records of the partition again."""
        self._paused.discard(partition)
        self._log.wake(self._topic.spec.name)

    async def fetch(self, max_records: int, timeout_s: float | None) -> Sequence[Record]:
        """See `broker.port.Reader.fetch`."""
        loop = asyncio.get_running_loop()
        until = None if timeout_s is None else loop.time() + timeout_s
        while True:
            records = await self._gather(max_records)
            if records:
                return records
            left_s = None if until is None else until - loop.time()
            if left_s is not None and left_s <= 0:
                return ()
            if not self._behind():  # a record may have been appended while another partition was read
                await self._log.wait(self._topic.spec.name, left_s)

    def _behind(self) -> bool:
        return any(
            offset < self._log.end(self._topic.shard(partition))
            for partition, offset in self._next.items()
            if partition not in self._paused
        )

    async def _gather(self, max_records: int) -> Sequence[Record]:
        """Return the records that one partition has now; the partitions come in turns."""
        for partition in tuple(self._turn):
            records = await self._take(partition, max_records)
            if not records:
                continue
            self._turn.remove(partition)
            self._turn.append(partition)
            return records
        return ()

    async def _take(self, partition: int, max_records: int) -> Sequence[Record]:
        shard = self._topic.shard(partition)
        while partition not in self._paused:
            start, end = self._next[partition], self._log.end(shard)
            if start >= end:
                return ()
            exhausted = False
            records: Sequence[Record]
            remembered = self._log.recent(shard, start, max_records, _FETCH_BYTES)
            if remembered is not None:
                records = remembered
            else:
                read = partial(
                    read_records,
                    topic=self._topic,
                    partition=partition,
                    span=range(start, end),
                    max_records=max_records,
                    max_bytes=_FETCH_BYTES,
                )
                records, exhausted = await self._log.read(read)
                self._log.damage.note(records)
            if self._next[partition] != start or partition in self._paused:
                continue  # the cursor was moved or paused meanwhile
            self._next[partition] = end if exhausted else records[-1].offset + 1
            if records:
                return records
        return ()
