"""Copies a log of either adapter: its records with offsets, times and headers, and the committed offsets of its groups.

A copy of a log that is written meanwhile is not the log at one moment, but it is consistent: topics are copied in the
given order, each up to the end that it has when its copy begins, so that every record that a record of an earlier topic
depends on is in the copy of a later topic.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from broker.port import Broker, Reader, Record, TopicSpec

_BATCH_RECORDS = 500
_POLL_S = 0.2  # the last offsets of a partition may have no records; a reader passes them only when a fetch returns


@dataclass(frozen=True, slots=True)
class GroupOffset:
    """The offset from which a group goes on in a partition."""

    group: str
    topic: str
    partition: int
    offset: int


class Copy(Protocol):
    """The target of a copy."""

    def add_topic(self, spec: TopicSpec, firsts: Mapping[int, int]) -> None:
        """Begin with a topic; `firsts` maps each partition to the first offset that the log keeps."""
        ...

    def write(self, records: Sequence[Record]) -> None:
        """Write records of topics that were added, of each partition in offset order."""
        ...

    def end_topic(self, topic: str, ends: Mapping[int, int]) -> None:
        """Record the end offsets of the topic's partitions, which may lie behind the last record."""
        ...


async def copy_topics(
    log: Broker, specs: Sequence[TopicSpec], copy: Copy, copied: Callable[[int], None] = lambda count: None
) -> None:
    """Copy the topics, one after the other, each with the number of partitions in the log, whatever its specification.

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
            found for found in await reader.fetch(_BATCH_RECORDS, _POLL_S) if found.offset < ends[found.partition]
        ]
        await asyncio.to_thread(copy.write, records)
        copied(len(records))


class Translation:
    """Translates offsets of one partition into offsets of a copy, which differ.

    An offset becomes the copy's offset of the first record at or behind it; if there is none, it becomes the copy's
    end.
    """

    def __init__(self, offsets: Iterable[int]) -> None:
        self._open = sorted(set(offsets), reverse=True)
        self._found: dict[int, int] = {}

    def copied(self, offset: int, place: int) -> None:
        """Record that the record at `offset` has the offset `place` in the copy; call in the order of offsets."""
        while self._open and self._open[-1] <= offset:
            self._found[self._open.pop()] = place

    def ended(self, end: int) -> Mapping[int, int]:
        """Return offset -> offset in the copy, for the offsets given to the constructor; `end` is the copy's end."""
        return self._found | dict.fromkeys(self._open, end)
