"""The lane of one partition: its records are processed in parallel and committed in the log's order.

This is the shell around the lane's machine (processor.lane_machine), which decides. The shell reports records, results
and answers of the log to the machine, and carries out the machine's instructions.
"""

import asyncio
import itertools
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from broker.outages import OutageLog
from broker.port import BrokerError, GroupMember, Record, RecordTooLarge, UnknownTopic
from processor import lane_events as ev
from processor.commits import Commits, NotMade
from processor.lane_machine import LaneMachine
from processor.outputs import Emission
from processor.processing import Processed

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LaneHooks:
    """The functions by which a lane reports to its processor: the records that follow from a request were committed; so
    many records left the lane; a commit failed, and the lane starts over."""

    committed: Callable[[Emission], None]
    left: Callable[[int], None]
    failed: Callable[[], None]
    outages: OutageLog = field(default_factory=lambda: OutageLog(log))
    """Shared by all lanes, so that a log that cannot be written is not reported by each of them."""


class Lane:
    """The records of one partition on their way from fetch to commit.

    `wait_s`: how long a processed record may wait for those behind it to share its transaction.
    """

    def __init__(
        self,
        partition: int,
        member: GroupMember,
        process: Callable[[Record], Coroutine[Any, Any, Processed]],
        commits: Commits,
        hooks: LaneHooks,
        wait_s: Callable[[Processed], float] = lambda processed: 0.0,
    ) -> None:
        self._partition, self._member = partition, member
        self._process, self._commits, self._hooks = process, commits, hooks
        self._wait_s = wait_s
        self._machine = LaneMachine()
        self._numbers = itertools.count()
        self._work: dict[int, asyncio.Task[Processed]] = {}
        self._asked: asyncio.Queue[ev.Question] = asyncio.Queue()
        self._idle = asyncio.Event()
        self._idle.set()
        self._replies_missed = False

    def put(self, record: Record) -> None:
        """Take a fetched record; records come in offset order."""
        number, task = next(self._numbers), asyncio.create_task(self._process(record))
        self._work[number] = task

        def ended(task: asyncio.Task[Processed]) -> None:
            error = None if task.cancelled() else task.exception()
            if number not in self._work:
                return  # an error of forgotten work matters to nobody
            if error is not None:
                self._report(ev.Failed(error, ev.Trouble.FINAL))
            else:
                self._report(ev.Finished(number, 0.0 if task.cancelled() else self._wait_s(task.result())))

        task.add_done_callback(ended)
        self._report(ev.Put(number, len(record.value or b"")))

    async def idle(self) -> None:
        """Wait until every record that was put is committed (or forgotten)."""
        await self._idle.wait()

    async def run(self) -> None:
        """Commit finished records, for ever.

        Raises:
            BrokerError: the log refused an output for good.
            Exception: the error of a record's work, which never raises for the record's content.
        """
        try:
            while True:
                self._report(await self._answer(await self._asked.get()))
        finally:
            self._report(ev.Dropped())

    def _report(self, event: ev.Event) -> None:
        """Have the machine handle the event, and carry out its instructions."""
        for instruction in self._machine.handle(event):
            self._carry_out(instruction)
        (self._idle.set if self._machine.idle else self._idle.clear)()

    def _carry_out(self, instruction: ev.Instruction) -> None:
        match instruction:
            case ev.Commit() | ev.Rewind() | ev.Stop():
                self._asked.put_nowait(instruction)
            case ev.Wait():
                loop = asyncio.get_running_loop()
                loop.call_later(instruction.seconds, self._report, ev.TimeOver(instruction.step))
            case ev.Pause():
                self._hooks.failed()
                self._commits.forget()
                self._member.pause(self._partition)
            case ev.Resume():
                self._member.resume(self._partition)
            case ev.Drop():
                for number in instruction.numbers:
                    self._work.pop(number).cancel()
                self._hooks.left(len(instruction.numbers))

    async def _answer(self, question: ev.Question) -> ev.Event:
        if isinstance(question, ev.Stop):
            raise question.error
        try:
            if isinstance(question, ev.Rewind):
                await self._member.rewind(self._partition)
            else:
                await self._commit(question)
        except (BrokerError, NotMade) as error:
            return self._failed(error)
        return ev.Done()

    async def _commit(self, commit: ev.Commit) -> None:
        if commit.reply_partitions is not None and not self._replies_missed:
            self._replies_missed = True
            log.error(
                "requests partition %d: replies are left out whose partition the replies topic, of %d partitions, does"
                " not have; whoever waits for them is answered TIMEOUT",
                *(self._partition, commit.reply_partitions),
            )
        for emission in await self._commits.write(commit, [self._work[number].result() for number in commit.numbers]):
            self._hooks.committed(emission)
        self._hooks.outages.recovered("requests are committed again")

    def _failed(self, error: BrokerError | NotMade) -> ev.Failed:
        match error:
            case RecordTooLarge() | NotMade():
                return ev.Failed(error, ev.Trouble.UNWRITABLE)
            case UnknownTopic() if error.topic == self._commits.replies_topic:
                return ev.Failed(error, ev.Trouble.NO_REPLY_PARTITION, error.partitions)
            case BrokerError(retriable=True):
                self._hooks.outages.failed(f"requests partition {self._partition}: {error}; trying again")
                return ev.Failed(error, ev.Trouble.RETRIABLE)
        return ev.Failed(error, ev.Trouble.FINAL)
