"""The JSON lines sink: events in rotating files, each exactly once."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from broker.port import Record
from sinks.jsonl_files import JsonlFiles
from sinks.port import SinkError, Standing


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
        self._files = JsonlFiles(folder, topic, group, max_bytes, max_age_s)
        self._clock_s = clock_s

    async def setup(self, standings: Mapping[int, Standing]) -> None:
        """Take the folder. Raises SinkError."""
        await self._do(lambda: self._files.open(standings))

    async def add(self, records: Sequence[Record]) -> None:
        """Write the records that the files do not hold yet. Raises SinkError."""
        await self._do(lambda: self._files.write(records, self._clock_s()))

    async def flush(self) -> None:
        """Make them durable. Raises SinkError."""
        await self._do(self._files.sync)

    async def committed(self) -> None:
        """From here a new file may begin."""
        self._files.mark_committed()

    async def close(self) -> None:
        """Let the folder go."""
        self._files.close()

    async def _do(self, work: Callable[[], None]) -> None:
        """Run file work beside the event loop, which has the log to attend to."""
        try:
            await asyncio.to_thread(work)
        except OSError as error:
            raise SinkError(f"{self._folder} cannot be written: {error.strerror or error}") from error
