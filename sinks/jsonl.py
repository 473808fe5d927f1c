"""The JSON lines sink: writes each event exactly once to rotating files."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from broker.port import Record
from contract.files import cannot_be_written
from sinks.context import SinkContext
from sinks.jsonl_files import JsonlFiles
from sinks.lag import measured
from sinks.port import PartitionOffsets, ReadAt, SinkError
from sinks.runner import reading_at, run_sink
from sinks.settings import JsonlSettings
from sinks.waiting import until_it_works

T = TypeVar("T")

_log = logging.getLogger(__name__)


async def run_sink_of(settings: JsonlSettings, context: SinkContext) -> int:
    """Write every event until the context's `stop` is set; return the number of events."""
    topic, group = context.topics.events, settings.group
    sink = JsonlSink(
        settings.out,
        topic,
        group,
        max_bytes=settings.max_bytes,
        max_age_s=settings.max_age_s,
        clock_s=context.clock,
    )
    meter = context.metrics.of(settings.name)
    broker = context.broker
    async with (
        broker.member(topic, group, on_skipped=meter.note_skipped) as member,
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
            idle_exit_s=context.idle_exit_s,
            meter=meter,
        )


class JsonlSink:
    """A `sinks.port.Sink` that writes to a folder; `sinks.jsonl_files` describes the files.

    Args:
        folder: The folder, which is created (mode 0700) when it is missing; files have the mode 0600.
        topic: The topic that is read.
        group: The consumer group; a folder belongs to one group.
        max_bytes: The most bytes of a file, unless a single batch is larger.
        max_age_s: The age of a file in seconds from which on no lines are added to it.
        clock_s: Returns the seconds since the epoch, from which the age of files is computed.
    """

    def __init__(
        self,
        folder: Path,
        topic: str,
        group: str,
        *,
        max_bytes: int,
        max_age_s: float,
        clock_s: Callable[[], float],
    ) -> None:
        self._folder = folder
        self._group = group
        self._files = JsonlFiles(folder, topic, group, max_bytes, max_age_s)
        self._clock_s = clock_s

    async def setup(self, offsets: Mapping[int, PartitionOffsets], read_at: ReadAt) -> None:
        """Open the folder; warn where the group has written events to another folder before.

        Raises:
            SinkError: the folder cannot be used.
        """
        places = await self._do(self._files.open)
        there = {place: await read_at(*place) for place in places if place[0] in offsets}
        ends = {partition: known.end for partition, known in offsets.items()}
        await self._do(lambda: self._files.settle(ends, there))
        if self._files.is_new and any(known.committed for known in offsets.values()):
            _log.warning(
                "group %s has written events to another folder before: only later events are written to %s; "
                "to write all events here, choose a new group: --group NAME",
                self._group,
                self._folder,
            )

    async def add(self, records: Sequence[Record]) -> None:
        """Write the records that the files do not contain yet.

        Raises:
            SinkError: the folder cannot be written.
        """
        await self._do(lambda: self._files.write(records, self._clock_s()))

    async def flush(self) -> None:
        """Make all added records durable.

        Raises:
            SinkError: the folder cannot be written, or was moved or deleted.
        """
        await self._do(self._files.sync)

    async def close(self) -> None:
        """Close the files and unlock the folder."""
        self._files.close()

    async def _do(self, work: Callable[[], T]) -> T:
        """Run work on files in a thread, so that the event loop stays free for the log."""
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise SinkError(cannot_be_written(self._folder, error)) from error
