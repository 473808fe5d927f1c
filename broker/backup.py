"""Copies of a log: its records with their offsets, times and headers, and how far its groups are; the same for every
adapter.

A copy of a log that goes on meanwhile is of no single moment, but what it holds fits together: topics are copied in
the order in which they are given, each up to the end that it has when its turn comes, so that whatever a record of an
earlier topic depends on is in a later one.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from broker.port import Broker, Reader, Record, TopicSpec

_BATCH_RECORDS = 500
_LOOK_S = 0.2  # how long a fetch may wait for a record before the end is looked at: it may lie behind a gap


@dataclass(frozen=True, slots=True)
class GroupOffset:
    """The offset at which a group goes on in a partition."""

    group: str
    topic: str
    partition: int
    offset: int


class Copy(Protocol):
    """What a log is copied to."""

    def add_topic(self, spec: TopicSpec, firsts: Mapping[int, int]) -> None:
        """Begin with a topic; `firsts` maps each partition to the first offset that the log keeps."""
        ...

    def write(self, records: Sequence[Record]) -> None:
        """Write records of topics that were added, of each partition in offset order."""
        ...

    def end_topic(self, topic: str, ends: Mapping[int, int]) -> None:
        """Note that partitions end at these offsets, which may lie behind the last record."""
        ...


async def copy_topics(
    log: Broker, specs: Sequence[TopicSpec], copy: Copy, copied: Callable[[int], None] = lambda count: None
) -> None:
    """Copy the topics, one after the other; each has as many partitions as in the log, whatever its spec says.

    `copied` is called with the number of records after every batch.

    Raises:
        BrokerError: the log cannot be read, or the copy cannot be written.
    """
    for spec in specs:
        async with log.reader(spec.name) as reader:
            ends = await log.end_offsets(spec.name)
            copy.add_topic(replace(spec, partitions=len(ends)), reader.positions())
            await _copy_up_to(reader, ends, copy, copied)
        copy.end_topic(spec.name, ends)


async def _copy_up_to(reader: Reader, ends: Mapping[int, int], copy: Copy, copied: Callable[[int], None]) -> None:
    while any(reader.positions()[partition] < end for partition, end in ends.items()):
        records = [
            found for found in await reader.fetch(_BATCH_RECORDS, _LOOK_S) if found.offset < ends[found.partition]
        ]
        await asyncio.to_thread(copy.write, records)
        copied(len(records))


class Translation:
    """Finds where offsets of one partition lie in a copy that has other offsets.

    The place of an offset is that of the first record at it or behind it; behind the last record it is the copy's end.
    """

    def __init__(self, offsets: Iterable[int]) -> None:
        self._open = sorted(set(offsets), reverse=True)
        self._found: dict[int, int] = {}

    def copied(self, offset: int, place: int) -> None:
        """Note that the record at `offset` is at `place` in the copy; to be called in offset order."""
        while self._open and self._open[-1] <= offset:
            self._found[self._open.pop()] = place

    def ended(self, end: int) -> Mapping[int, int]:
        """Each offset that was asked for -> its place; `end` is where the copy ends."""
        return self._found | dict.fromkeys(self._open, end)
