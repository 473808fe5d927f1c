"""From a request record to what is known about it: the part that may run for many records at once.

Matches, comparisons and quality assessments are decided here; of enrolments only the face is made ready, because
whether a person may be added is decided in the order of the log (processor.lane).
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec

from broker.port import BrokerError, Record
from contract.errors import Code, Refusal, Refused
from contract.messages import (
    CompareRequest,
    DeleteRequest,
    Effort,
    EnrolRequest,
    FiqaRequest,
    MatchRequest,
    PersonRequest,
    decode_request,
)
from engine.comparing import CompareDecision, decide_compare, refuse_compare
from engine.enrolment import PreparedFace, prepare_face
from engine.fiqa import FiqaDecision, decide_fiqa, refuse_fiqa
from engine.matching import MatchDecision, decide_match, refuse_match
from engine.policy import Policy
from engine.report import shown_candidate
from engine.vision.ports import ModelSet
from processor.envelope import Envelope, envelope_of
from processor.people import PeopleAccess
from processor.pool import MatchingPool

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record is a dead letter: the stage it failed in and the error in words without its data."""

    stage: str
    error: str


@dataclass(frozen=True, slots=True)
class ExaminedMatch:
    """A decided match."""

    record: Record
    envelope: Envelope
    request: MatchRequest
    decision: MatchDecision
    reg_pic: bytes | None = None
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class ExaminedComparison:
    """Two pictures that were compared."""

    record: Record
    envelope: Envelope
    request: CompareRequest
    decision: CompareDecision
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class ExaminedFiqa:
    """A picture whose quality was measured."""

    record: Record
    envelope: Envelope
    request: FiqaRequest
    decision: FiqaDecision
    failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class ExaminedPerson:
    """A request about a person, ready to be decided. `refusal` is set where there is nothing left to decide."""

    record: Record
    envelope: Envelope
    request: PersonRequest
    face: PreparedFace | None = None
    refusal: Refusal | None = None
    failure: Failure | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that is no request."""

    record: Record
    envelope: Envelope
    failure: Failure


Examined = ExaminedMatch | ExaminedComparison | ExaminedFiqa | ExaminedPerson | Unreadable

EXPIRED = Refusal(Code.TIMEOUT, "the answer was not ready within the deadline")
"""What is told of a request that nobody waits for any more."""


class Examiner:
    """Examines the records of one topic on a pool of matching threads; never raises for what a record contains.

    `administrative`: the topic is the admin topic, whose requests do not take the turn of others in the pool.
    """

    def __init__(
        self,
        access: PeopleAccess,
        models: ModelSet,
        policy: Policy,
        pool: MatchingPool,
        clock: Callable[[], float],
        *,
        replies_topic: str,
        max_pixels: int,
        gallery_wait_s: float,
        administrative: bool = False,
    ) -> None:
        self._access = access
        self._models, self._policy, self._pool, self._clock = models, policy, pool, clock
        self._replies_topic = replies_topic
        self._max_pixels, self._gallery_wait_s = max_pixels, gallery_wait_s
        self._administrative = administrative

    async def __call__(self, record: Record) -> Examined:
        """All that can be known about a record without knowing what the records before it come to."""
        envelope = envelope_of(record, self._replies_topic)
        if record.damaged:
            log.error("request %s is damaged in the log; it becomes a dead letter", envelope.request_id)
            return Unreadable(record, envelope, Failure("decode", "the record is damaged in the file of the log"))
        try:
            request = decode_request(record.value or b"")
        except msgspec.DecodeError:
            return Unreadable(record, envelope, Failure("decode", "the record is not a request"))
        if request.administrative is not self._administrative:
            return Unreadable(record, envelope, Failure("decode", "the request belongs in another topic"))
        if isinstance(request, MatchRequest):
            return await self._match(record, envelope, request)
        if isinstance(request, CompareRequest):
            return await self._compare(record, envelope, request)
        if isinstance(request, FiqaRequest):
            return await self._fiqa(record, envelope, request)
        return await self._person(record, envelope, request)

    def expire(self, examined: Examined) -> Examined:
        """What is left of it when its sender has been told TIMEOUT meanwhile: the refusal that says so.

        What became a dead letter stays one.
        """
        expired = EXPIRED
        if isinstance(examined, Unreadable) or examined.failure is not None:
            return examined
        if isinstance(examined, ExaminedMatch):
            return replace(examined, decision=self._refuse(expired), reg_pic=None)
        if isinstance(examined, ExaminedComparison):
            return replace(examined, decision=refuse_compare(expired, examined.request, self._models))
        if isinstance(examined, ExaminedFiqa):
            return replace(examined, decision=refuse_fiqa(expired))
        return replace(examined, refusal=expired)

    async def _match(self, record: Record, envelope: Envelope, request: MatchRequest) -> ExaminedMatch:
        try:
            await self._wait_for_gallery(envelope)
            gallery = self._access.people.gallery()
            decision = await self._in_pool(
                envelope,
                lambda: decide_match(request, gallery, self._models, self._policy, self._max_pixels, time.perf_counter),
            )
            return ExaminedMatch(record, envelope, request, decision, await self._reg_pic(request, decision))
        except Refused as error:
            return ExaminedMatch(record, envelope, request, self._refuse(error.refusal))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, this request still gets its event and answer
            internal, failure = _unexpected(envelope, "match", error)
            return ExaminedMatch(record, envelope, request, self._refuse(internal), failure=failure)

    async def _compare(self, record: Record, envelope: Envelope, request: CompareRequest) -> ExaminedComparison:
        decision, failure = await self._decided(
            envelope,
            "compare",
            lambda: decide_compare(request, self._models, self._policy, self._max_pixels, time.perf_counter),
            lambda refusal: refuse_compare(refusal, request, self._models),
        )
        return ExaminedComparison(record, envelope, request, decision, failure)

    async def _fiqa(self, record: Record, envelope: Envelope, request: FiqaRequest) -> ExaminedFiqa:
        decision, failure = await self._decided(
            envelope,
            "fiqa",
            lambda: decide_fiqa(request, self._models, self._policy, self._max_pixels, time.perf_counter),
            refuse_fiqa,
        )
        return ExaminedFiqa(record, envelope, request, decision, failure)

    async def _decided(
        self, envelope: Envelope, stage: str, decide: Callable[[], T], refuse: Callable[[Refusal], T]
    ) -> tuple[T, Failure | None]:
        """What was decided, or refused; and why it is a dead letter, if it is."""
        try:
            return await self._in_pool(envelope, decide), None
        except Refused as error:
            return refuse(error.refusal), None
        except Exception as error:  # noqa: BLE001 - whatever went wrong, this request still gets its answer
            internal, failure = _unexpected(envelope, stage, error)
            return refuse(internal), failure

    def _refuse(self, refusal: Refusal) -> MatchDecision:
        return refuse_match(refusal, self._access.people.gallery(), self._models, self._policy)

    async def _person(self, record: Record, envelope: Envelope, request: PersonRequest) -> ExaminedPerson:
        if isinstance(request, DeleteRequest):
            expired = EXPIRED if envelope.expired(self._clock()) else None
            return ExaminedPerson(record, envelope, request, refusal=expired)
        try:
            face, timings_ms = await self._in_pool(envelope, lambda: self._prepare(request))
        except Refused as error:
            return ExaminedPerson(record, envelope, request, refusal=error.refusal)
        except Exception as error:  # noqa: BLE001 - whatever went wrong, this request still gets its event and answer
            internal, failure = _unexpected(envelope, "enrol", error)
            return ExaminedPerson(record, envelope, request, refusal=internal, failure=failure)
        return ExaminedPerson(record, envelope, request, face, timings_ms=timings_ms)

    def _prepare(self, request: EnrolRequest) -> tuple[PreparedFace | None, dict[str, float]]:
        return prepare_face(request, self._models, self._policy, self._max_pixels, time.perf_counter)

    async def _in_pool(self, envelope: Envelope, work: Callable[[], T]) -> T:
        asked = time.perf_counter()

        def unless_expired() -> T:
            # Asked at the moment a thread is free: work that nobody waits for any more is not inferred.
            if envelope.expired(self._clock()):
                raise Refused.of(EXPIRED)
            began = time.perf_counter()
            try:
                return work()
            finally:
                envelope.spent.effort = Effort(waited_s=began - asked, worked_s=time.perf_counter() - began)

        done = await self._pool.run(unless_expired, urgent=not self._administrative)
        if envelope.expired(self._clock()):
            # Whoever waited has been told TIMEOUT meanwhile; the event says the same.
            raise Refused.of(EXPIRED)
        return done

    async def _wait_for_gallery(self, envelope: Envelope) -> None:
        access, wanted = self._access, envelope.gallery_version
        if wanted > access.people.version and not await access.reached(wanted, self._gallery_wait_s):
            raise Refused(Code.OVERLOADED, "the people enrolled last are not loaded yet; try again shortly")
        refusal = await access.complete(envelope)
        if refusal is not None:
            raise Refused.of(refusal)

    async def _reg_pic(self, request: MatchRequest, decision: MatchDecision) -> bytes | None:
        shown = shown_candidate(request, decision, self._policy)
        if shown is None or not request.need_register_photo:
            return None
        identity_id = shown.person.identity_id
        for number in dict.fromkeys((shown.number, *shown.person.faces)):
            try:
                stored = await self._access.photo(identity_id, number)
            except BrokerError as error:
                log.warning("request %s: the enrolled photo could not be read: %s", request.request_id, error)
                return None
            if stored is not None:
                return stored
        return None


def _unexpected(envelope: Envelope, stage: str, error: Exception) -> tuple[Refusal, Failure]:
    log.error("request %s: unexpected error in stage %s", envelope.request_id, stage, exc_info=error)
    refusal = Refusal(
        Code.INTERNAL_ERROR, f"something went wrong here; ask the operator about request {envelope.request_id}"
    )
    return refusal, Failure(stage, type(error).__name__)
