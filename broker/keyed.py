"""Reads the value of one key of a compacted topic that nobody follows.

A reference to a record of such a topic consists of the record's key and, as a hint, the record's position. Positions
are not reliable: a restored or mirrored topic has other offsets. So the record at the position is checked, and if it is
another record, the partition of the key is searched. A search keeps the offset of every key that it reads (about 200
bytes each), and the next search goes on where the last one stopped, so that each record of a partition is read once. A
search takes one second at most, so that a large topic delays nobody; a later search finds the keys that an earlier
search did not reach.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from typing import TypeVar

from broker.partitioner import partition_of
from broker.port import Broker, Position, Start, UnknownPartition

T = TypeVar("T")

_log = logging.getLogger(__name__)

_SEARCH_S = 1.0
_BATCH = 50
_WAIT_S = 0.2
_LARGE_BYTES = 64 * 1024
"""Values of this size or more are checked in a thread, because the check may hash the whole value."""


async def value_at(broker: Broker, position: Position, key: bytes, accept: Callable[[bytes], T | None]) -> T | None:
    """Return the result of `accept` for the value of the record at a position; see `KeyedReader.read` for `accept`.

    None: the position has no record, a damaged one or one of another key, or `accept` returns None for its value.

    Raises:
        BrokerError: the log cannot be read now.
    """
    try:
        record = await broker.read_at(position)
    except UnknownPartition:
        return None
    if record is None or record.key != key or record.value is None or record.damaged:
        return None
    if len(record.value) < _LARGE_BYTES:
        return accept(record.value)
    return await asyncio.to_thread(accept, record.value)


class KeyedReader:
    """Reads values from one topic. All methods are called on one event loop."""

    def __init__(self, broker: Broker, topic: str, search_s: float = _SEARCH_S) -> None:
        """`search_s`: the limit of one search, in seconds."""
        self._broker, self._topic, self._search_s = broker, topic, search_s
        self._offsets: defaultdict[int, dict[bytes, int]] = defaultdict(dict)
        self._searched_to: dict[int, int] = {}
        self._searching = asyncio.Lock()

    async def read(self, key: bytes, partition: int, offset: int, accept: Callable[[bytes], T | None]) -> T | None:
        """Return the result of `accept` for the value of the key.

        None: the topic has no value of the key for which `accept` returns a result, or none was found in time.

        Args:
            key: the key.
            partition: the partition of the hint.
            offset: the offset of the hint.
            accept: is called with a value of the key; returns None for a value that the reference does not mean. It may
                run in a thread.

        Raises:
            BrokerError: the log cannot be read.
        """
        found = await value_at(self._broker, Position(self._topic, partition, offset), key, accept)
        if found is not None:
            return found
        home = partition_of(key, await self._broker.partitions(self._topic))
        known = self._offsets[home].get(key)
        if known is not None:
            found = await value_at(self._broker, Position(self._topic, home, known), key, accept)
        if found is None:
            await self._search(home)
            newest = self._offsets[home].get(key)
            if newest is not None and newest != known:
                found = await value_at(self._broker, Position(self._topic, home, newest), key, accept)
        return found

    async def _search(self, partition: int) -> None:
        """Read the partition from where the last search stopped until the time is over; keep the offset of each key."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._search_s
        async with self._searching:
            end = (await self._broker.end_offsets(self._topic)).get(partition, 0)
            begin = self._searched_to.get(partition)
            if begin is not None and begin >= end:
                return
            start = Start.EARLIEST if begin is None else {partition: begin}
            async with self._broker.reader(self._topic, start, [partition]) as reader:
                while (at := reader.positions()[partition]) < end:
                    for record in await reader.fetch(_BATCH, _WAIT_S):
                        if record.key is not None:
                            self._offsets[partition][record.key] = record.offset
                    at = self._searched_to[partition] = reader.positions()[partition]
                    if loop.time() >= until:
                        break
        if at < end:
            _log.warning(
                "topic %s: a position does not name the expected record (was the topic restored?); partition %d is"
                " searched, %d offsets are left for later searches",
                *(self._topic, partition, end - at),
            )
