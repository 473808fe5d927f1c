"""One partition of the requests: examined in parallel, decided and committed in the log's order.

Invariants: results leave in offset order; a commit covers a run of finished records from the front; at most one commit
is under way; after a failed commit everything in the lane is forgotten and delivered again; a person is decided about
only when everything that was decided before is in the fold, whoever had the partition then; what nobody waits for any
more when its turn to be committed comes is recorded as expired, and enrols nobody.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from itertools import islice, takewhile
from typing import Any

from broker.outages import OutageLog
from broker.port import BrokerError, GroupMember, NewRecord, Position, Record, RecordTooLarge, UnknownTopic
from contract.errors import Refusal, Refused
from contract.messages import EnrolRequest
from engine.enrolment import EnrolmentDecision, decide_deletion, decide_enrolment
from engine.repeated import may_repeat, stored_digest
from processor.examine import (
    EXPIRED,
    Examined,
    ExaminedComparison,
    ExaminedFiqa,
    ExaminedMatch,
    ExaminedPerson,
    Failure,
    Unreadable,
)
from processor.outputs import Emission, Emitter, version_after
from processor.people import PeopleAccess

log = logging.getLogger(__name__)

_COMMITTED_TOGETHER = 64
"""Results in one transaction: enough that the commits of a long queue cost little, few enough to stay small."""

_RETRY_FIRST_S, _RETRY_MOST_S = 0.05, 2.0


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


class _TooLate(Exception):
    """The deadline passed while the records of a person were being written; nothing of them is in the log."""


class Lane:
    """The records of one partition on their way from fetch to commit."""

    def __init__(
        self,
        partition: int,
        member: GroupMember,
        examine: Callable[[Record], Coroutine[Any, Any, Examined]],
        expire: Callable[[Examined], Examined],
        emitter: Emitter,
        access: PeopleAccess,
        model: str,
        hooks: LaneHooks,
        commit_wait_s: float = 0.0,
    ) -> None:
        self._partition, self._member = partition, member
        self._examine, self._expire, self._emitter = examine, expire, emitter
        self._access, self._people, self._model = access, access.people, model
        self._hooks, self._commit_wait_s = hooks, commit_wait_s
        self._queue: deque[asyncio.Task[Examined]] = deque()
        self._filled = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._reply_partitions: int | None = None  # None: no reply is left out
        self._replies_missed = False
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
        """How many of them, from the front, are committed now; without replies that have no partition any more."""
        self._reply_partitions = None
        while True:
            try:
                return await self._commit_or_instead(batch)
            except UnknownTopic as error:
                fewer = self._reply_partitions is None or error.partitions < self._reply_partitions
                if error.topic != self._emitter.topics.replies or not fewer:
                    raise
                self._reply_partitions = error.partitions
                if not self._replies_missed:
                    log.error(
                        "requests partition %d: replies are left out whose partition the replies topic does not have"
                        " (%s); whoever waits for them is answered TIMEOUT",
                        *(self._partition, error),
                    )
                    self._replies_missed = True

    async def _commit_or_instead(self, batch: Sequence[Examined]) -> int:
        try:
            made = await self._commit_together(batch)
        except (RecordTooLarge, _NotMade) as error:
            if len(batch) > 1:
                return await self._commit_or_instead(batch[:1])
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
        made = [self._emission(self._expire(e) if self._expired(e) else e) for e in batch]
        await self._member.commit(self._partition, next_offset, [record for one in made for record in one.records])
        return made

    def _expired(self, examined: Examined) -> bool:
        return examined.envelope.expired(self._emitter.clock())

    def _emission(self, examined: Examined) -> Emission:
        try:
            if isinstance(examined, ExaminedMatch):
                return self._sendable(self._emitter.of_match(examined))
            if isinstance(examined, ExaminedComparison):
                return self._sendable(self._emitter.of_comparison(examined, self._people.version))
            if isinstance(examined, ExaminedFiqa):
                return self._sendable(self._emitter.of_fiqa(examined, self._people.version))
        except Exception:
            log.exception("request %s: its event could not be made", examined.envelope.request_id)
        return self._instead(examined, "the event could not be made")

    def _instead(self, examined: Examined, reason: str) -> Emission:
        """Event, error and dead letter of what cannot have its own."""
        dead = Unreadable(examined.record, examined.envelope, examined.failure or Failure("emit", reason))
        return self._sendable(self._emitter.of_unreadable(dead, self._people.version))

    def _sendable(self, emission: Emission) -> Emission:
        if self._reply_partitions is None:
            return emission
        return emission.without_replies(self._emitter.topics.replies, self._reply_partitions)

    async def _commit_person(self, examined: ExaminedPerson, next_offset: int) -> Emission:
        if self._people_version is None:
            self._people_version = await self._access.end()
        await self._access.read_up_to(self._people_version)
        decision = await self._decide(examined)
        if isinstance(decision, Refusal) or not decision.records:
            return await self._commit_without_records(examined, decision, next_offset)

        made: list[Emission] = []

        def name_version(positions: Sequence[Position]) -> Sequence[NewRecord]:
            if self._expired(examined):  # the log was slow to take the records; its sender has been told TIMEOUT
                raise _TooLate
            made.append(self._person_emission(examined, decision, version_after(positions)))
            return made[-1].records

        people = self._emitter.people(decision)
        try:
            positions = await self._member.commit(self._partition, next_offset, people, name_version)
        except _TooLate:
            return await self._commit_without_records(examined, EXPIRED, next_offset)
        self._people_version = version_after(positions[: len(people)])
        return made[-1]

    async def _commit_without_records(
        self, examined: ExaminedPerson, decision: EnrolmentDecision | Refusal, next_offset: int
    ) -> Emission:
        made = self._person_emission(examined, decision, self._people.version)
        await self._member.commit(self._partition, next_offset, made.records)
        return made

    async def _decide(self, examined: ExaminedPerson) -> EnrolmentDecision | Refusal:
        if examined.failure is None and self._expired(examined):
            return EXPIRED
        if examined.refusal is not None:
            return examined.refusal
        request = examined.request
        hidden = not isinstance(request, EnrolRequest) and self._people.hides(request.identity_id)
        if not hidden and (refusal := await self._access.complete(examined.envelope)) is not None:
            return refusal
        try:
            digests = await self._digests(examined)
            person = self._people.person(request.identity_id)
            if not isinstance(request, EnrolRequest):
                return decide_deletion(request, person, self._people.keys_of(request.identity_id) if hidden else ())
            return decide_enrolment(
                request,
                examined.face,
                person,
                self._people.vectors(request.identity_id),
                len(self._people),
                self._model,
                self._emitter.policy,
                digests,
            )
        except Refused as error:
            return error.refusal
        except BrokerError:
            raise
        except Exception as error:
            raise _NotMade(type(error).__name__) from error

    async def _digests(self, examined: ExaminedPerson) -> dict[int, bytes]:
        """Face number -> sha256 of the photo that was sent, of the faces that the request may repeat."""
        request, digests = examined.request, dict[int, bytes]()
        if not isinstance(request, EnrolRequest) or request.photo is None:
            return digests
        person, vectors = self._people.person(request.identity_id), self._people.vectors(request.identity_id)
        vector = examined.face.vector if examined.face else None
        for number in may_repeat(request, vector, person, vectors):
            photo = await self._access.photo(request.identity_id, number)
            if photo is not None:
                digests[number] = stored_digest(photo)
        return digests

    def _person_emission(
        self, examined: ExaminedPerson, decision: EnrolmentDecision | Refusal, version: int
    ) -> Emission:
        try:
            return self._sendable(self._emitter.of_person(examined, decision, version))
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
