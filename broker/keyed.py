"""Reads the value of one key of a compacted topic that nobody follows.

Whoever refers to a record of such a topic names its key and, as a hint, its position. A position cannot be relied on: a
restored or mirrored topic has other offsets. So what is found at the position is checked, and where it is another
record, the key's partition is read from its start. The positions that are found on the way are remembered.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from broker.partitioner import partition_of
from broker.port import Broker, Position, Record, UnknownPartition

T = TypeVar("T")

_REMEMBERED = 100_000
"""Positions, about 200 bytes each."""
_BATCH = 50
_WAIT_S = 0.5
_LARGE_BYTES = 64 * 1024
"""Values from this size on are checked in a thread: the check may hash all of them."""


class KeyedReader:
    """Reads from one topic. All methods are called on one event loop."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._broker, self._topic = broker, topic
        self._found: OrderedDict[bytes, Position] = OrderedDict()
        self._searching = asyncio.Lock()

    async def read(self, key: bytes, partition: int, offset: int, accept: Callable[[bytes], T | None]) -> T | None:
        """What `accept` makes of the key's value; None where the topic has no value of this key that it accepts.

        Args:
            key: the key.
            partition: the partition of the hint.
            offset: the offset of the hint.
            accept: returns None for a value that is not the one that is meant. May run in a thread.

        Raises:
            BrokerError: the log cannot be read.
        """
        for position in (Position(self._topic, partition, offset), self._found.get(key)):
            found = None if position is None else await self._read_at(position, key, accept)
            if found is not None:
                return found
        async with self._searching:
            position = await self._search(key)
        return None if position is None else await self._read_at(position, key, accept)

    async def _read_at(self, position: Position, key: bytes, accept: Callable[[bytes], T | None]) -> T | None:
        try:
            record = await self._broker.read_at(position)
        except UnknownPartition:
            return None
        if record is None or record.key != key or record.value is None or record.damaged:
            return None
        if len(record.value) < _LARGE_BYTES:
            return accept(record.value)
        return await asyncio.to_thread(accept, record.value)

    async def _search(self, key: bytes) -> Position | None:
        """The position of the key's last record."""
        partition = partition_of(key, await self._broker.partitions(self._topic))
        end = (await self._broker.end_offsets(self._topic)).get(partition, 0)
        last: Position | None = None
        async with self._broker.reader(self._topic, partitions=[partition]) as reader:
            while reader.positions()[partition] < end:
                for record in await reader.fetch(_BATCH, _WAIT_S):
                    self._remember(record)
                    last = record.position if record.key == key else last
        return last

    def _remember(self, record: Record) -> None:
        if record.key is None:
            return
        self._found[record.key] = record.position
        self._found.move_to_end(record.key)
        if len(self._found) > _REMEMBERED:
            self._found.popitem(last=False)
