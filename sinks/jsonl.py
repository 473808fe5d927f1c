"""The JSON lines sink: events in rotating files, each exactly once."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from broker.port import Record
from contract.files import cannot_be_written
from sinks.jsonl_files import JsonlFiles
from sinks.port import ReadAt, SinkError, Standing

T = TypeVar("T")

_log = logging.getLogger(__name__)


class JsonlSink:
    """A `sinks.port.Sink` that writes to a folder; `sinks.jsonl_files` says how the files stand.

    Args:
        folder: Made when missing (0700); files are 0600.
        topic: The topic that is read.
        group: The consumer group; a folder belongs to one.
        max_bytes: A file grows no larger than this, or than one batch.
        max_age_s: A file that is older gets no more lines.
        clock_s: Seconds since the epoch, for the age of files.
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

    async def setup(self, standings: Mapping[int, Standing], read_at: ReadAt) -> None:
        """Take the folder; say so when it gets only what the group has not carried elsewhere. Raises SinkError."""
        places = await self._do(self._files.open)
        there = {place: await read_at(*place) for place in places if place[0] in standings}
        ends = {partition: standing.end for partition, standing in standings.items()}
        await self._do(lambda: self._files.settle(ends, there))
        if self._files.is_new and any(standing.committed for standing in standings.values()):
            _log.warning(
                "group %s has carried events to another folder before: %s gets only those that follow; "
                "to have all of them here, take a group of its own: --group NAME",
                self._group,
                self._folder,
            )

    async def add(self, records: Sequence[Record]) -> None:
        """Write the records that the files do not hold yet. Raises SinkError."""
        await self._do(lambda: self._files.write(records, self._clock_s()))

    async def flush(self) -> None:
        """Make them durable. Raises SinkError."""
        await self._do(self._files.sync)

    async def close(self) -> None:
        """Let the folder go."""
        self._files.close()

    async def _do(self, work: Callable[[], T]) -> T:
        """Run file work beside the event loop, which has the log to attend to."""
        try:
            return await asyncio.to_thread(work)
        except OSError as error:
            raise SinkError(cannot_be_written(self._folder, error)) from error
