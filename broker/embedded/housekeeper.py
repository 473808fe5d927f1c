"""Schedules housekeeping: checkpoints as the WAL grows; retention, compaction and shrinking of the file periodically.

Removals are submitted to the writing thread step by step, so that appends run between the steps. Checkpoints use a
connection of their own beside the writer; only where the WAL has outgrown its bound does the writer run the checkpoint.

While the system's clock is not trusted (`clocks`), no record is removed for its age. An operator accepts the clock with
`picturematch log accept-clock`, which writes a file into the folder.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path

from broker.embedded import upkeep
from broker.embedded.clocks import Reading, doubt, even_since
from broker.embedded.damage import DamageLog
from broker.embedded.eraser import Eraser
from broker.embedded.filed_records import Filed, filed_records, move_aside
from broker.embedded.locks import remedy
from broker.embedded.reads import Reads
from broker.embedded.records import missing_latest
from broker.embedded.rows import Topic, Topics
from broker.embedded.store import open_checkpointing
from broker.embedded.writer import Writer
from broker.outages import OutageLog
from broker.port import BrokerError, BrokerUnavailable
from contract.files import write_whole

_CHECKPOINT_BYTES = 16 * 1024 * 1024
_WAL_MOST_BYTES = 128 * 1024 * 1024
_COMMIT_OVERHEAD_BYTES = 16 * 1024  # pages of the b-tree and of group offsets in every commit
_CHANGES = 20  # records whose times are changed in one transaction; each may contain a picture
_TIMED_ROWS = 1_000
_FILED_EVERY_S = 1.0
_CLOCK_NOTED_MS = 10 * 60 * 1000
_ACCEPTED_FILE = "clock.accepted"
_ACCEPTED_FOR_MS = 60 * 60 * 1000

_log = logging.getLogger(__name__)


class Housekeeper:
    """Runs the owner's housekeeping in a task from `start` to `stop`; `sweep` runs all of it at once."""

    def __init__(
        self,
        folder: Path,
        writer: Writer,
        reads: Reads,
        topics: Callable[[], Topics],
        lowest: Callable[[str, int], int],
        clocks: Callable[[], Reading],
        damage: DamageLog,
        every_s: float,
    ) -> None:
        self._folder = folder
        self._writer = writer
        self._reads = reads
        self._topics = topics
        self._lowest = lowest
        self._clocks = clocks
        self._damage = damage
        self._every_s = every_s
        self._trusted: Reading | None = None
        self._even_since = clocks()
        self._times: dict[int, upkeep.Times] = {}
        self._outages = OutageLog(_log)
        self.doubt: str | None = None
        """The reason why the clock is not trusted and no record is removed for its age; None: the clock is trusted."""
        self._since_checkpoint_bytes = 0
        self._wal_bytes = 0
        self._wal_is_long = asyncio.Event()
        self._turn = asyncio.Lock()
        self._eraser = Eraser(folder, writer, self._checkpoint)
        self._connection: sqlite3.Connection | None = None
        self._copying: asyncio.Task[bool] | None = None
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Open the file for checkpoints; now, because another file may be at the path later."""
        self._connection = open_checkpointing(self._folder)

    async def start(self) -> None:
        """Check the clock and start the task."""
        self._trusted = await self._reads.run(upkeep.trusted_clock)
        await self._check_clock()
        self._task = asyncio.create_task(self._run(), name="log-housekeeping")

    async def stop(self) -> None:
        """Stop the task and close the file; the writer finishes the step under way."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            with contextlib.suppress(BrokerError):
                await self._writer.submit(upkeep.save_ends)
        async with self._turn:
            if self._copying is not None:  # a thread cannot be cancelled
                await asyncio.wait([self._copying])
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def written(self, written_bytes: int) -> None:
        """Count bytes that were written to the WAL; start a checkpoint if there are enough."""
        self._since_checkpoint_bytes += written_bytes + _COMMIT_OVERHEAD_BYTES
        if self._since_checkpoint_bytes >= _CHECKPOINT_BYTES:
            self._wal_is_long.set()

    async def _look_for_missing(self) -> None:
        """Log the records that are missing in compacted topics; runs once, at the start."""
        for topic in tuple(self._topics().values()):
            if not topic.spec.compacted:
                continue
            for partition in range(len(topic.shards)):
                read = partial(missing_latest, topic=topic, partition=partition)
                self._damage.note(await self._reads.run(read))

    async def _run(self) -> None:
        with contextlib.suppress(BrokerError):
            await self._look_for_missing()
        loop = asyncio.get_running_loop()
        sweep_at = loop.time() + self._every_s
        while True:
            try:
                async with asyncio.timeout_at(min(sweep_at, loop.time() + _FILED_EVERY_S)):
                    await self._wal_is_long.wait()
            except TimeoutError:
                is_due = loop.time() >= sweep_at
                sweep_at = loop.time() + self._every_s if is_due else sweep_at
                work = self.sweep() if is_due else self._carry_out_filed()
            else:
                work = self.checkpoint()
            try:
                await work
            except (BrokerError, OSError, sqlite3.Error) as error:
                self._outages.failed(f"housekeeping of the log failed and is tried again: {error}")
                await asyncio.sleep(1)
            else:
                self._outages.recovered("housekeeping of the log works again")

    async def checkpoint(self) -> None:
        """Copy the WAL into the database file."""
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
        return self._connection is None or upkeep.checkpoint(self._connection)

    async def sweep(self) -> None:
        """Apply retention and compaction to every topic, shrink the file, and leave no deleted record in the WAL.

        Raises:
            BrokerError: a partition could not be cleaned, the others were; or the log cannot be written now.
        """
        async with self._turn:
            await self._check_clock()
            removed = False
            failure: BrokerError | None = None
            for topic in tuple(self._topics().values()):
                for partition in range(len(topic.shards)):
                    try:
                        removed |= await self._tend(topic, partition)
                    except BrokerUnavailable:
                        raise
                    except BrokerError as error:  # a damaged page of one partition must not stop the others
                        failure = error
            await self._save()
            if removed:
                while (step := await self._writer.submit_alone(upkeep.shrink)).more:
                    await self._stepped(step)
                await self._checkpoint()
                await self._writer.submit_alone(upkeep.truncate_wal)

            if failure is not None:
                raise failure

    async def _carry_out_filed(self) -> None:
        """Append the records, and carry out the erasures, that other processes have filed in the folder."""
        for path, filed in await asyncio.to_thread(filed_records, self._folder):
            await self._append_filed(path, filed)
        async with self._turn:
            await self._eraser.carry_out()

    async def _append_filed(self, path: Path, filed: Filed) -> None:
        """Append the records of a filed file and delete the file; records that the log refuses are moved aside."""
        try:
            await self._writer.submit(lambda transaction: transaction.append(filed.records))
        except BrokerUnavailable:
            raise
        except BrokerError as error:
            _log.error("%s contains records that the log refuses (%s); the file is moved aside", path, error)
            await asyncio.to_thread(move_aside, path)
        else:
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def _check_clock(self) -> None:
        """Decide whether the clock is trusted; log when a doubt begins and when it ends."""
        now = self._clocks()
        ages = [topic.spec.retention_ms for topic in self._topics().values() if topic.spec.retention_ms is not None]
        shortest_ms = min(ages, default=None)
        self._even_since = even_since(now, self._even_since, shortest_ms)
        newest_ms = None if self._trusted is not None else await self._reads.run(upkeep.newest_ms)
        reason = doubt(now, self._trusted, newest_ms, self._even_since, shortest_ms)
        if await asyncio.to_thread(_accepted, self._folder, now.wall_ms) and reason is not None:
            _log.warning("the system's clock was accepted by command: %s", reason)
            self._trusted = reason = None
            await self._writer.submit(partial(upkeep.save_clock, reading=now))
        if reason is not None and self.doubt is None:
            _log.error(
                "%s: no record is removed from the log for its age until the clocks agree again; if the system's clock"
                " is right, run `picturematch log accept-clock`",
                reason,
            )
        elif reason is None and self.doubt is not None:
            _log.warning("the system's clock is trusted again: records are removed when they are past their age")
        self.doubt = reason
        if reason is None and (shortest_ms is not None or self._trusted is None) and self._is_worth_noting(now):
            await self._writer.submit(partial(upkeep.save_clock, reading=now))
            self._trusted = now

    def _is_worth_noting(self, now: Reading) -> bool:
        trusted = self._trusted
        return trusted is None or not now.same_boot(trusted) or now.boot_ms - trusted.boot_ms >= _CLOCK_NOTED_MS

    async def _save(self) -> None:
        """Store up to which offset the times of each shard are in order, if that has grown by enough records."""
        stored = await self._reads.run(
            lambda connection: {s: upkeep.ordered_so_far(connection, s) for s in self._times}
        )
        moved = {s: t for s, t in self._times.items() if t.next_offset - stored[s].next_offset >= _TIMED_ROWS}
        if moved:
            await self._writer.submit(partial(upkeep.save_times, times=moved))

    async def _order_times(self, topic: Topic, partition: int) -> None:
        """Put the times of new records in order, so that retention can stop at the first record that is not due."""
        shard = topic.shards[partition]
        known = self._times.get(shard)
        if known is None:
            known = await self._reads.run(partial(upkeep.ordered_so_far, shard=shard))
        now_ms = self._clocks().wall_ms
        while True:
            known = await self._reads.run(partial(upkeep.order_times, shard=shard, known=known, now_ms=now_ms))
            for first in range(0, len(known.changes), _CHANGES):
                some = known.changes[first : first + _CHANGES]
                work = partial(upkeep.correct_times, topic=topic, partition=partition, changes=some)
                self.written(await self._writer.submit(work))
            self._times[shard] = upkeep.Times(known.next_offset, known.last_ms)
            if not known.more:
                return

    async def _stepped(self, step: upkeep.Step) -> None:
        """Count the bytes that a step overwrote, which are in the WAL too, and run a checkpoint if the WAL is long."""
        self.written(step.touched_bytes)
        if self._wal_is_long.is_set():
            await self._checkpoint()

    async def _tend(self, topic: Topic, partition: int) -> bool:
        """Apply retention or compaction to one partition; return whether records were removed."""
        shard = topic.shards[partition]
        if self.doubt is None:
            await self._order_times(topic, partition)
        if topic.spec.compacted:
            if self.doubt is not None and topic.spec.min_compaction_lag_ms:
                return False
            removed = await self._repeat(partial(upkeep.compact, topic=topic, partition=partition))
            if self.doubt is not None:
                return removed
            lowest = self._lowest(topic.spec.name, partition)
            remove_tombstones = partial(upkeep.remove_tombstones, shard=shard, below_offset=lowest)
            return await self._repeat(remove_tombstones) or removed
        excess_bytes = 0
        if topic.spec.retention_bytes is not None:
            most_bytes = topic.spec.max_record_bytes
            stored = await self._reads.run(partial(upkeep.stored_bytes, shard=shard, most_bytes=most_bytes))
            excess_bytes = max(0, stored - topic.spec.retention_bytes)
        elif topic.spec.retention_ms is None:
            return False
        removed = False
        more = True
        first = 0
        while more:
            work = partial(
                upkeep.expire,
                topic=topic,
                shard=shard,
                excess_bytes=excess_bytes,
                first=first,
                ages=self.doubt is None,
            )
            step = await self._writer.submit(work)
            first = step.next_offset
            if step.strange:
                self._times[shard] = upkeep.Times(0, 0)
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


def accept_clock(folder: Path, wall_ms: int) -> None:
    """Let the owner of the folder trust the system's clock, now at `wall_ms` (epoch ms), at its next sweep or start.

    Raises:
        BrokerError: the folder cannot be written.
    """
    try:
        write_whole(folder / _ACCEPTED_FILE, b"%d\n" % wall_ms)
    except OSError as error:
        raise BrokerError(f"{folder / _ACCEPTED_FILE} cannot be written: {remedy(error)}") from error


def _accepted(folder: Path, wall_ms: int) -> bool:
    """Return whether an operator accepted the clock within the last hour; delete the file that records it."""
    path = folder / _ACCEPTED_FILE
    try:
        accepted_ms = path.read_bytes()[:32]
        path.unlink()
    except OSError:
        return False
    return accepted_ms.strip().isdigit() and abs(int(accepted_ms) - wall_ms) <= _ACCEPTED_FOR_MS
