"""When housekeeping is done: checkpoints as the WAL grows; retention, compaction and giving space back by the clock.

Removing is submitted to the writing thread step by step, so appends come in between. Checkpoints run beside the
writer on a connection of their own; only a WAL that has outgrown its bound is finished by the writer itself.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

from broker.embedded import upkeep
from broker.embedded.reads import Reads
from broker.embedded.rows import Topic, Topics
from broker.embedded.store import open_checkpointing
from broker.embedded.writer import Writer
from broker.port import BrokerError

_CHECKPOINT_BYTES = 16 * 1024 * 1024
_WAL_MOST_BYTES = 128 * 1024 * 1024
_COMMIT_OVERHEAD_BYTES = 16 * 1024  # the pages of tree and group offsets that every commit writes besides

_log = logging.getLogger(__name__)


class Housekeeper:
    """Does the owner's housekeeping in a task from `start` to `stop`; `sweep` does all of it at once."""

    def __init__(
        self,
        folder: Path,
        writer: Writer,
        reads: Reads,
        topics: Callable[[], Topics],
        lowest: Callable[[str, int], int],
        every_s: float,
    ) -> None:
        self._folder = folder
        self._writer = writer
        self._reads = reads
        self._topics = topics
        self._lowest = lowest
        self._every_s = every_s
        self._since_checkpoint_bytes = 0
        self._wal_bytes = 0
        self._wal_is_long = asyncio.Event()
        self._turn = asyncio.Lock()
        self._connection: sqlite3.Connection | None = None
        self._copying: asyncio.Task[bool] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="log-housekeeping")

    async def stop(self) -> None:
        """End; the step under way is finished by the writer."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        async with self._turn:
            if self._copying is not None:  # a thread cannot be cancelled
                await asyncio.wait([self._copying])
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def written(self, written_bytes: int) -> None:
        """Count what went into the WAL."""
        self._since_checkpoint_bytes += written_bytes + _COMMIT_OVERHEAD_BYTES
        if self._since_checkpoint_bytes >= _CHECKPOINT_BYTES:
            self._wal_is_long.set()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        sweep_at = loop.time() + self._every_s
        while True:
            try:
                async with asyncio.timeout_at(sweep_at):
                    await self._wal_is_long.wait()
            except TimeoutError:
                sweep_at = loop.time() + self._every_s
                work = self.sweep()
            else:
                work = self.checkpoint()
            try:
                await work
            except (BrokerError, sqlite3.Error) as error:
                _log.warning("housekeeping of the log is put off: %s", error)
                await asyncio.sleep(1)

    async def checkpoint(self) -> None:
        """Copy the WAL into the file."""
        async with self._turn:
            await self._checkpoint()

    async def _checkpoint(self) -> None:
        self._wal_is_long.clear()
        self._wal_bytes += self._since_checkpoint_bytes
        self._since_checkpoint_bytes = 0
        self._copying = asyncio.create_task(asyncio.to_thread(self._copy_wal))
        complete = await asyncio.shield(self._copying)
        if not complete and self._wal_bytes > _WAL_MOST_BYTES:
            complete = await self._writer.submit_alone(upkeep.checkpoint)
        if complete:
            self._wal_bytes = 0

    def _copy_wal(self) -> bool:
        if self._connection is None:
            self._connection = open_checkpointing(self._folder)
        return upkeep.checkpoint(self._connection)

    async def sweep(self) -> None:
        """Apply retention and compaction to every topic, give space back, and leave no deleted record in the WAL."""
        async with self._turn:
            removed = False
            for topic in tuple(self._topics().values()):
                for partition in range(len(topic.shards)):
                    removed |= await self._tend(topic, partition)
            if removed:
                while (step := await self._writer.submit_alone(upkeep.give_back)).more:
                    await self._stepped(step)
                await self._checkpoint()
                await self._writer.submit_alone(upkeep.truncate_wal)

    async def _stepped(self, step: upkeep.Step) -> None:
        """Overwriting goes through the WAL like writing; it must not grow for as long as a sweep takes."""
        self.written(step.touched_bytes)
        if self._wal_is_long.is_set():
            await self._checkpoint()

    async def _tend(self, topic: Topic, partition: int) -> bool:
        """Keep one partition; whether records were removed."""
        shard = topic.shards[partition]
        if topic.spec.compacted:
            removed = await self._repeat(partial(upkeep.compact, shard=shard))
            lowest = self._lowest(topic.spec.name, partition)
            return await self._repeat(partial(upkeep.bury, shard=shard, below_offset=lowest)) or removed
        excess_bytes = 0
        if topic.spec.retention_bytes is not None:
            stored = await self._reads.run(partial(upkeep.stored_bytes, shard=shard))
            excess_bytes = max(0, stored - topic.spec.retention_bytes)
        elif topic.spec.retention_ms is None:
            return False
        removed = False
        more = True
        while more:
            step = await self._writer.submit(
                partial(upkeep.expire, topic=topic, shard=shard, excess_bytes=excess_bytes)
            )
            await self._stepped(step)
            excess_bytes = max(0, excess_bytes - step.touched_bytes)
            removed |= step.removed
            more = step.more
        return removed

    async def _repeat(self, work: Callable[..., upkeep.Step]) -> bool:
        removed = False
        while True:
            step = await self._writer.submit(work)
            await self._stepped(step)
            removed |= step.removed
            if not step.more:
                return removed
