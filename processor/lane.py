"""One partition of the requests: examined in parallel, decided and committed in the log's order.

Invariants: results leave in offset order; a commit covers a run of finished records from the front; at most one commit
is under way; after a failed commit everything in the lane is forgotten and delivered again; a person is decided about
only when everything that was decided before is in the fold, whoever had the partition then.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Any

from broker.outages import OutageLog
from broker.port import BrokerError, BrokerUnavailable, GroupMember, NewRecord, Position, Record, RecordTooLarge
from engine.enrolment import EnrolmentDecision, decide_deletion, decide_enrolment
from engine.errors import Refusal
from engine.gallery.people import People
from engine.messages import EnrolRequest
from processor.examine import (
    Examined,
    ExaminedComparison,
    ExaminedFiqa,
    ExaminedMatch,
    ExaminedPerson,
    Failure,
    Reached,
    Unreadable,
)
from processor.outputs import Emission, Emitter, version_after

log = logging.getLogger(__name__)

_COMMITTED_TOGETHER = 64
"""Results in one transaction: enough that the commits of a long queue cost little, few enough to stay small."""

_RETRY_FIRST_S, _RETRY_MOST_S = 0.05, 2.0
_PEOPLE_WAIT_S = 30.0
"""How long a decision about a person waits for the records of the one before; they are committed, so it is a matter of
reading them."""


@dataclass(frozen=True, slots=True)
class LaneHooks:
    """What a lane tells its processor: what follows from a request was committed; so many records left the lane; a
    commit failed."""

    committed: Callable[[Emission], None]
    left: Callable[[int], None]
    failed: Callable[[], None]
    outages: OutageLog = field(default_factory=lambda: OutageLog(log))
    """Shared by all lanes, so that a log that cannot be written is not told by each of them."""


class _NotMade(Exception):
    """What follows from a request about a person could not be made; nothing of it is in the log."""


class Lane:
    """The records of one partition on their way from fetch to commit."""

    def __init__(
        self,
        partition: int,
        member: GroupMember,
        examine: Callable[[Record], Coroutine[Any, Any, Examined]],
        emitter: Emitter,
        people: People,
        reached: Reached,
        people_end: Callable[[], Awaitable[int]],
        model: str,
        hooks: LaneHooks,
        commit_wait_s: float = 0.0,
    ) -> None:
        self._partition, self._member = partition, member
        self._examine, self._emitter = examine, emitter
        self._people, self._reached, self._people_end, self._model = people, reached, people_end, model
        self._hooks, self._commit_wait_s = hooks, commit_wait_s
        self._queue: deque[asyncio.Task[Examined]] = deque()
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._people_version: int | None = None  # not known where another lane may have decided last

    def put(self, record: Record) -> None:
        """Take a fetched record; records come in offset order."""
        self._queue.append(asyncio.create_task(self._examine(record)))
        self._filled.set()
        self._idle.clear()

    async def idle(self) -> None:
        """Wait until everything taken is committed (or forgotten)."""
        await self._idle.wait()

    async def run(self) -> None:
        """Commit what is finished, for ever.

        Raises:
            BrokerError: the log refused an output for good.
        """
        retry_s = _RETRY_FIRST_S
        try:
            while True:
                batch = await self._finished()
                try:
                    committed = await self._commit(batch)
                except BrokerError as error:
                    if not error.retriable:
                        raise
                    self._hooks.outages.failed(f"requests partition {self._partition}: {error}; trying again")
                    self._hooks.failed()
                    await self._start_over(retry_s)
                    retry_s = min(2 * retry_s, _RETRY_MOST_S)
                else:
                    retry_s = _RETRY_FIRST_S
                    self._hooks.outages.recovered("requests are committed again")
                    self._drop(committed)
        finally:
            self._forget()

    async def _finished(self) -> list[Examined]:
        """What can be committed together: one request about a person, or a run of others."""
        while not self._queue:
            self._idle.set()
            self._filled.clear()
            await self._filled.wait()
        first = await self._queue[0]
        if isinstance(first, ExaminedPerson):
            return [first]
        await self._gather_more()
        done = (task.result() for task in takewhile(asyncio.Task.done, self._queue))
        return list(islice(takewhile(lambda e: not isinstance(e, ExaminedPerson), done), _COMMITTED_TOGETHER))

    async def _gather_more(self) -> None:
        """Wait a moment for what is on its way behind a finished result; a lane without a backlog never waits.

        A transaction costs a log about the same whatever it holds, so a backlog goes faster in few.
        """
        loop = asyncio.get_running_loop()
        until = loop.time() + self._commit_wait_s
        while (left_s := until - loop.time()) > 0:
            front = islice(self._queue, _COMMITTED_TOGETHER)
            unfinished = next((task for task in front if not task.done()), None)
            if unfinished is None:
                return
            await asyncio.wait((unfinished,), timeout=left_s)

    async def _commit(self, batch: Sequence[Examined]) -> int:
        """How many of them, from the front, are committed now."""
        try:
            made = await self._commit_together(batch)
        except (RecordTooLarge, _NotMade) as error:
            if len(batch) > 1:
                return await self._commit(batch[:1])
            # It would fail for ever, and with it everything behind it.
            request_id = batch[0].envelope.request_id
            log.error("request %s: its event could not be committed: %s", request_id, error, exc_info=error.__cause__)
            instead = self._instead(batch[0], "an output is larger than the log takes, or could not be made")
            await self._member.commit(self._partition, batch[0].record.offset + 1, instead.records)
            made = [instead]
        for emission in made:
            self._hooks.committed(emission)
        return len(batch)

    async def _commit_together(self, batch: Sequence[Examined]) -> list[Emission]:
        next_offset = batch[-1].record.offset + 1
        if isinstance(batch[0], ExaminedPerson):
            return [await self._commit_person(batch[0], next_offset)]
        made = [self._emission(examined) for examined in batch]
        await self._member.commit(self._partition, next_offset, [record for one in made for record in one.records])
        return made

    def _emission(self, examined: Examined) -> Emission:
        try:
            if isinstance(examined, ExaminedMatch):
                return self._emitter.of_match(examined)
            if isinstance(examined, ExaminedComparison):
                return self._emitter.of_comparison(examined, self._people.version)
            if isinstance(examined, ExaminedFiqa):
                return self._emitter.of_fiqa(examined, self._people.version)
        except Exception:
            log.exception("request %s: its event could not be made", examined.envelope.request_id)
        return self._instead(examined, "the event could not be made")

    def _instead(self, examined: Examined, reason: str) -> Emission:
        """Event, error and dead letter of what cannot have its own."""
        dead = Unreadable(examined.record, examined.envelope, examined.failure or Failure("emit", reason))
        return self._emitter.of_unreadable(dead, self._people.version)

    async def _commit_person(self, examined: ExaminedPerson, next_offset: int) -> Emission:
        if self._people_version is None:
            self._people_version = await self._people_end()
        if not await self._reached(self._people_version, _PEOPLE_WAIT_S):
            raise BrokerUnavailable("the people topic could not be read in time")
        decision = self._decide(examined)
        if isinstance(decision, Refusal):
            refused = self._person_emission(examined, decision, self._people.version)
            await self._member.commit(self._partition, next_offset, refused.records)
            return refused

        made: list[Emission] = []

        def name_version(positions: Sequence[Position]) -> Sequence[NewRecord]:
            made.append(self._person_emission(examined, decision, version_after(positions)))
            return made[-1].records

        people = self._emitter.people(decision)
        positions = await self._member.commit(self._partition, next_offset, people, name_version)
        self._people_version = version_after(positions[: len(people)])
        return made[-1]

    def _decide(self, examined: ExaminedPerson) -> EnrolmentDecision | Refusal:
        request = examined.request
        if examined.refusal is not None:
            return examined.refusal
        person = self._people.person(request.identity_id)
        try:
            if not isinstance(request, EnrolRequest):
                return decide_deletion(request, person)
            return decide_enrolment(
                request,
                examined.face,
                person,
                self._people.vectors(request.identity_id),
                len(self._people),
                self._model,
                self._emitter.policy,
            )
        except Refusal as refusal:
            return refusal.afresh()
        except Exception as error:
            raise _NotMade(type(error).__name__) from error

    def _person_emission(
        self, examined: ExaminedPerson, decision: EnrolmentDecision | Refusal, version: int
    ) -> Emission:
        try:
            return self._emitter.of_person(examined, decision, version)
        except Exception as error:
            raise _NotMade(type(error).__name__) from error

    async def _start_over(self, pause_s: float) -> None:
        """Forget what was taken and have it delivered again, after a pause."""
        self._people_version = None  # the commit may have been written all the same
        self._member.pause(self._partition)
        await asyncio.sleep(pause_s)
        while True:
            try:
                await self._member.rewind(self._partition)
                break
            except BrokerError as error:
                if not error.retriable:
                    raise
                self._hooks.outages.failed(f"requests partition {self._partition} cannot be rewound yet: {error}")
                await asyncio.sleep(_RETRY_MOST_S)
        self._forget()
        self._member.resume(self._partition)

    def _drop(self, count: int) -> None:
        for _ in range(count):
            self._queue.popleft()
        self._hooks.left(count)

    def _forget(self) -> None:
        for task in self._queue:
            task.cancel()
        self._drop(len(self._queue))
