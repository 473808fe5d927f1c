"""One partition of the requests: examined in parallel, decided and committed in the log's order.

Invariants: results leave in offset order; a commit covers a run of finished records from the front; at most one commit
is under way; after a failed commit everything in the lane is forgotten and delivered again.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from typing import Any

from broker.port import BrokerError, BrokerUnavailable, GroupMember, NewRecord, Position, Record
from engine.enrolment import EnrolmentDecision, decide_deletion, decide_enrolment
from engine.errors import Refusal
from engine.gallery.people import People
from engine.messages import EnrolRequest, Event
from processor.examine import Examined, ExaminedMatch, ExaminedPerson, Failure, Reached, Unreadable
from processor.outputs import Emitter, version_after

log = logging.getLogger(__name__)

_COMMITTED_TOGETHER = 64
"""Results in one transaction: enough that the commits of a long queue cost little, few enough to stay small."""

_RETRY_FIRST_S, _RETRY_MOST_S = 0.05, 2.0
_PEOPLE_WAIT_S = 30.0
"""How long a decision about a person waits for the records of the one before; they are committed, so it is a matter of
reading them."""


@dataclass(frozen=True, slots=True)
class LaneHooks:
    """What a lane tells its processor: an event was committed; so many records left the lane."""

    committed: Callable[[Event], None]
    left: Callable[[int], None]
    failed: Callable[[], None]


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
        model: str,
        hooks: LaneHooks,
    ) -> None:
        self._partition, self._member = partition, member
        self._examine, self._emitter = examine, emitter
        self._people, self._reached, self._model = people, reached, model
        self._hooks = hooks
        self._queue: deque[asyncio.Task[Examined]] = deque()
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._people_version = 0

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
                    await self._commit(batch)
                except BrokerError as error:
                    if not error.retriable:
                        raise
                    log.warning("requests partition %d: %s; trying again", self._partition, error)
                    self._hooks.failed()
                    await self._start_over(retry_s)
                    retry_s = min(2 * retry_s, _RETRY_MOST_S)
                else:
                    retry_s = _RETRY_FIRST_S
                    self._drop(len(batch))
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
        done = (task.result() for task in takewhile(asyncio.Task.done, self._queue))
        return list(islice(takewhile(lambda e: not isinstance(e, ExaminedPerson), done), _COMMITTED_TOGETHER))

    async def _commit(self, batch: Sequence[Examined]) -> None:
        next_offset = batch[-1].record.offset + 1
        if isinstance(batch[0], ExaminedPerson):
            events = [await self._commit_person(batch[0], next_offset)]
        else:
            made = [self._outputs(examined) for examined in batch]
            events = [event for event, _ in made]
            records = [record for _, outputs in made for record in outputs]
            await self._member.commit(self._partition, next_offset, records)
        for event in events:
            self._hooks.committed(event)

    def _outputs(self, examined: Examined) -> tuple[Event, tuple[NewRecord, ...]]:
        try:
            if isinstance(examined, ExaminedMatch):
                return self._emitter.of_match(examined)
        except Exception:
            log.exception("request %s: its event could not be made", examined.envelope.request_id)
        failure = examined.failure or Failure("emit", "the event could not be made")
        dead = Unreadable(examined.record, examined.envelope, failure)
        return self._emitter.of_unreadable(dead, self._people.version)

    async def _commit_person(self, examined: ExaminedPerson, next_offset: int) -> Event:
        if not await self._reached(self._people_version, _PEOPLE_WAIT_S):
            raise BrokerUnavailable("the people topic could not be read in time")
        decision = self._decide(examined)
        if isinstance(decision, Refusal):
            event, outputs = self._emitter.of_person(examined, decision, self._people.version)
            await self._member.commit(self._partition, next_offset, outputs)
            return event

        made: list[Event] = []

        def name_version(positions: Sequence[Position]) -> Sequence[NewRecord]:
            event, outputs = self._emitter.of_person(examined, decision, version_after(positions))
            made.append(event)
            return outputs

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

    async def _start_over(self, pause_s: float) -> None:
        """Forget what was taken and have it delivered again, after a pause."""
        self._member.pause(self._partition)
        await asyncio.sleep(pause_s)
        while True:
            try:
                await self._member.rewind(self._partition)
                break
            except BrokerError as error:
                if not error.retriable:
                    raise
                log.warning("requests partition %d cannot be rewound yet: %s", self._partition, error)
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
