"""The one writing thread: it takes all jobs that wait and makes them durable with one sync (group commit).

Each job runs in a savepoint of its own within one transaction. A job that is refused is undone without the others. An
error of the file undoes the whole group; if one job found damage, the group is tried again without that job. Futures
are resolved on the event loop after the COMMIT, never before.

After an error of the file the log is unavailable; the thread then tries to write a probe every second until that
succeeds, so that the log recovers without an operator. The log is also unavailable while its files are not at their
paths (`place`), which is checked every second, and before and after every commit: a commit to a file that was deleted
meanwhile is reported to nobody, unless the same file is put back.
"""

import asyncio
import contextlib
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from broker.embedded.place import OWNERS_FILES, Place
from broker.embedded.rows import Topics, end_offsets, load_topics
from broker.embedded.store import broker_error, is_damage, open_writing
from broker.embedded.transaction import Transaction
from broker.futures import retrieve_error
from broker.outages import OutageLog
from broker.port import BrokerError, BrokerUnavailable, Record

T = TypeVar("T")

_GROUP_JOBS = 256  # the most jobs of one transaction; the queue has no limit, because callers wait for their futures
_PROBE_S = 1.0
_PROBE_BYTES = 256 * 1024  # the size of a few pictures, so that the last free kilobyte does not count as recovery

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Durable:
    """The changes of one commit: written records, shard -> highest removed offset, and the topics if they changed."""

    written: Sequence[Record] = ()
    removed: Mapping[int, int] = field(default_factory=dict)
    topics: Topics | None = None


@dataclass(frozen=True, slots=True)
class _Job:
    run: Callable[[Any], Any]
    alone: bool  # whether `run` is called with the connection, outside any transaction
    future: "asyncio.Future[Any]" = field(hash=False)


class _Damaged(Exception):
    """A job found damage in the file."""

    def __init__(self, job: _Job, error: sqlite3.Error) -> None:
        super().__init__(job)
        self.job = job
        self.error = error


@dataclass(slots=True)
class _Outcome:
    future: "asyncio.Future[Any]"
    value: Any = None
    error: Exception | None = None


class Writer:
    """Owns the writing connection and its thread. All methods except the constructor are called on the event loop."""

    def __init__(
        self,
        folder: Path,
        loop: asyncio.AbstractEventLoop,
        clock_ms: Callable[[], int],
        on_durable: Callable[[Durable], None],
        keep_lock: Callable[[], None] = lambda: None,
        probe_s: float = _PROBE_S,
    ) -> None:
        self._folder = folder
        self._loop = loop
        self._clock_ms = clock_ms
        self._on_durable = on_durable
        self._keep_lock = keep_lock
        self._probe_s = probe_s
        self._connection = open_writing(folder)
        try:
            self._topics: Topics = load_topics(self._connection)
            self._next_offsets = end_offsets(self._connection)
            self._place = Place(folder, OWNERS_FILES)
        except sqlite3.Error as error:
            self._connection.close()
            raise broker_error(error, folder) from error
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="log-writer", daemon=True)
        self._closing = False
        self._outages = OutageLog(_log)
        self._displacements = OutageLog(_log)
        self._unreported: list[Durable] = []  # committed while the files were not at their paths
        self._checked_s = 0.0
        self.trouble: str | None = None

    @property
    def available(self) -> bool:
        """Whether the last write succeeded and the files are at their paths."""
        return self.trouble is None

    def start(self) -> tuple[Topics, dict[int, int]]:
        """Start the thread; return the topics of the file and shard -> end offset."""
        found = self._topics, dict(self._next_offsets)
        self._thread.start()
        return found

    def submit(self, run: Callable[[Transaction], T]) -> "asyncio.Future[T]":
        """Run `run` within a transaction; the future is resolved once that is durable."""
        return self._put(run, alone=False)

    def submit_alone(self, run: Callable[[sqlite3.Connection], T]) -> "asyncio.Future[T]":
        """Run `run` on the writing connection between two transactions."""
        return self._put(run, alone=True)

    def _put(self, run: Callable[[Any], T], alone: bool) -> "asyncio.Future[T]":
        if self._closing:
            raise BrokerError("the log is closed: no record can be written any more")
        future: asyncio.Future[T] = self._loop.create_future()
        future.add_done_callback(retrieve_error)
        self._jobs.put(_Job(run, alone, future))
        return future

    async def drain(self) -> None:
        """Write what was submitted, refuse new jobs, and end the thread."""
        if not self._closing:
            self._closing = True
            self._jobs.put(None)
            await asyncio.to_thread(self._thread.join)

    async def close(self) -> None:
        """Close the file after `drain`; SQLite then copies the WAL into the file, if no other process reads."""
        await asyncio.to_thread(self._connection.close)

    def _work(self) -> None:
        while True:
            try:
                first = self._jobs.get(timeout=self._probe_s)
            except queue.Empty:
                self._check_place()
                continue
            if time.monotonic() - self._checked_s >= self._probe_s:
                self._keep_lock()
                self._checked_s = time.monotonic()
            group, last = self._group(first)
            if group:
                self._run(group)
            if last is None:
                return
            if last.alone:
                self._run_alone(last)

    def _group(self, job: _Job | None) -> tuple[list[_Job], _Job | None]:
        """Return the jobs of one transaction, and the job after them: None ends the thread, another job runs alone."""
        group: list[_Job] = []
        while job is not None and not job.alone:
            group.append(job)
            try:
                if len(group) >= _GROUP_JOBS:
                    return group, job
                job = self._jobs.get_nowait()
            except queue.Empty:
                return group, job
        return group, job

    def _check_place(self) -> None:
        """Check lock, paths and, if the log is unavailable, writing; runs once a second while there is no job."""
        self._keep_lock()
        self._checked_s = time.monotonic()
        if self._in_place() and not self.available:
            self._probe()

    def _in_place(self) -> bool:
        """Return whether the files are at their paths; if they are not, mark the log as unavailable."""
        trouble = self._place.trouble()
        if trouble is not None:
            self.trouble = trouble
            self._displacements.failed(trouble, logging.ERROR)
        return trouble is None

    def _displaced(self, futures: "Sequence[asyncio.Future[Any]]") -> bool:
        """Return whether the files are not at their paths; if so, fail the futures with BrokerUnavailable."""
        if self._in_place():
            return False
        sentence = self.trouble or ""
        self._report([_Outcome(future, error=BrokerUnavailable(sentence)) for future in futures], Durable())
        return True

    def _run(self, group: Sequence[_Job]) -> None:
        try:
            self._run_together(group)
        except _Damaged as damaged:
            # The other jobs found no damage, but SQLite may have rolled back the whole transaction.
            failure = broker_error(damaged.error, self._folder)
            self._report([_Outcome(damaged.job.future, error=failure)], Durable())
            others = [job for job in group if job is not damaged.job]
            if others:
                self._run(others)

    def _run_together(self, group: Sequence[_Job]) -> None:
        futures = [job.future for job in group]
        if self._displaced(futures):
            return
        outcomes: list[_Outcome] = []
        try:
            transaction = self._commit(group, outcomes)
        except sqlite3.Error as error:
            self._fail(futures, error)
            return
        except _Damaged:
            raise
        except Exception as error:  # noqa: BLE001 - the callers that wait must get the error, whatever it is
            self._report([_Outcome(job.future, error=error) for job in group], Durable())
            return
        changed = transaction.topics if transaction.topics is not self._topics else None
        self._topics = transaction.topics
        self._next_offsets = transaction.next_offsets
        durable = Durable(transaction.written, transaction.removed, changed)
        if self._displaced(futures):
            self._unreported.append(durable)
            return
        self._recovered()
        self._report(outcomes, durable)

    def _commit(self, group: Sequence[_Job], outcomes: list[_Outcome]) -> Transaction:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            transaction = Transaction(self._connection, self._topics, self._next_offsets, self._clock_ms())
            for job in group:
                savepoint = transaction.savepoint()
                try:
                    value = job.run(transaction)
                except sqlite3.Error as error:
                    if is_damage(error):
                        raise _Damaged(job, error) from error
                    raise
                except Exception as error:  # noqa: BLE001 - a follow_up is the caller's code; its error is the caller's
                    transaction.undo(savepoint)
                    outcomes.append(_Outcome(job.future, error=error))
                else:
                    transaction.release()
                    outcomes.append(_Outcome(job.future, value))
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        return transaction

    def _run_alone(self, job: _Job) -> None:
        if self._displaced([job.future]):
            return
        try:
            value = job.run(self._connection)
        except sqlite3.Error as error:
            self._fail([job.future], error)
        except Exception as error:  # noqa: BLE001 - handed to the caller
            self._report([_Outcome(job.future, error=error)], Durable())
        else:
            self._report([_Outcome(job.future, value)], Durable())

    def _probe(self) -> None:
        try:
            self._connection.execute("INSERT INTO probe VALUES (zeroblob(?))", (_PROBE_BYTES,))
            self._connection.execute("DELETE FROM probe")
        except sqlite3.Error:
            return
        self._recovered()

    def _recovered(self) -> None:
        if not self.available:
            self.trouble = None
            self._outages.recovered("the log can be written again")
            self._displacements.recovered("the files of the log are at their paths again")
        durables, self._unreported = self._unreported, []
        for durable in durables:
            self._report([], durable)

    def _fail(self, futures: "Sequence[asyncio.Future[Any]]", error: sqlite3.Error) -> None:
        failure = broker_error(error, self._folder)
        if not is_damage(error):
            self.trouble = str(failure)
        self._outages.failed(str(failure), logging.ERROR)
        self._report([_Outcome(future, error=type(failure)(*failure.args)) for future in futures], Durable())

    def _report(self, outcomes: Sequence[_Outcome], durable: Durable) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed, and every caller with it
            self._loop.call_soon_threadsafe(self._resolve, outcomes, durable)

    def _resolve(self, outcomes: Sequence[_Outcome], durable: Durable) -> None:
        self._on_durable(durable)
        for outcome in outcomes:
            if outcome.future.done():
                continue
            if outcome.error is None:
                outcome.future.set_result(outcome.value)
            else:
                outcome.future.set_exception(outcome.error)
