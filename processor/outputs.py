"""From what was decided to the records that are written: pure.

Every request is answered; every request makes one event, but for a comparison or a quality assessment whose caller
asked for none. Those make one only where it would be lost otherwise: after an unexpected error, and as the retry of a
dead letter, for whose answer nobody waits.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from broker.port import NewRecord, Position
from contract.errors import Code, Refusal
from contract.events import Event, EventKind, encode_event
from contract.messages import Answer, DeadLetter, Reply, encode
from contract.terms import Outcome
from contract.topics import Topics
from engine.enrolment import EnrolmentDecision
from engine.policy import Policy
from engine.report import (
    Circumstances,
    cloud_event_headers,
    compare_answer,
    compare_event,
    fiqa_answer,
    fiqa_event,
    match_answer,
    match_event,
    person_event,
    refused_answer,
    unreadable_event,
)
from processor.examine import (
    Examined,
    ExaminedComparison,
    ExaminedFiqa,
    ExaminedMatch,
    ExaminedPerson,
    Unreadable,
)

_UNREADABLE = Refusal(Code.INTERNAL_ERROR, "the request could not be read back from the log; send it again")


@dataclass(frozen=True, slots=True)
class Emission:
    """What follows from one request: what is counted of it (`timings_ms`: milliseconds per stage), the records that are
    written, and whether its event is one of them (`kept`), and its reply not, for want of its partition (`mute`)."""

    kind: EventKind
    outcome: Outcome
    timings_ms: Mapping[str, float]
    records: tuple[NewRecord, ...]
    kept: bool = True
    mute: bool = False

    def without_replies(self, topic: str, partitions: int) -> "Emission":
        """The same, without a reply to a partition that `topic`, the replies', does not have."""
        records = tuple(
            record
            for record in self.records
            if record.topic != topic or record.partition is None or record.partition < partitions
        )
        return self if len(records) == len(self.records) else replace(self, records=records, mute=True)


@dataclass(frozen=True, slots=True)
class Emitter:
    """Makes the output records of one processor. `models`: role -> identity; `clock`: epoch seconds."""

    topics: Topics
    policy: Policy
    models: dict[str, str]
    event_source: str
    clock: Callable[[], float]

    def of_match(self, done: ExaminedMatch) -> Emission:
        """The event, the reply and (after an unexpected error) the dead letter of a match."""
        event = match_event(done.request, done.decision, self.policy, self._at(done))
        answer = match_answer(done.request, done.decision, self.policy, done.reg_pic)
        return self._with_event(done, event, answer, done.decision.gallery_version)

    def of_comparison(self, done: ExaminedComparison, gallery_version: int) -> Emission:
        """The event (where it is asked for), the reply and (after an unexpected error) the dead letter."""
        answer = compare_answer(done.decision, self.policy)
        if not (done.request.need_save or _would_be_lost(done)):
            return self._answer_only(done, "compare", answer, gallery_version)
        event = compare_event(done.request, done.decision, self.policy, self._at(done), gallery_version)
        return self._with_event(done, event, answer, gallery_version)

    def of_fiqa(self, done: ExaminedFiqa, gallery_version: int) -> Emission:
        """The reply, and after an unexpected error the event and the dead letter."""
        answer = fiqa_answer(done.decision)
        if not _would_be_lost(done):
            return self._answer_only(done, "fiqa", answer, gallery_version)
        event = fiqa_event(done.request, done.decision, self._at(done), gallery_version)
        return self._with_event(done, event, answer, gallery_version)

    def of_unreadable(self, done: Unreadable, gallery_version: int) -> Emission:
        """The event, the reply and the dead letter of a record that is no request."""
        written_s = done.record.timestamp_ms / 1000.0
        event = unreadable_event(done.envelope.request_id, written_s, _UNREADABLE, self._at(done), gallery_version)
        return self._with_event(done, event, refused_answer(_UNREADABLE), gallery_version)

    def of_person(self, done: ExaminedPerson, decision: EnrolmentDecision | Refusal, gallery_version: int) -> Emission:
        """The event, the reply and (after an unexpected error) the dead letter of a request about a person."""
        event = person_event(
            done.request, decision, done.face, self.policy, self._at(done), gallery_version, done.timings_ms
        )
        answer = refused_answer(decision) if isinstance(decision, Refusal) else decision.answer
        return self._with_event(done, event, answer, gallery_version)

    def photos(self, decision: EnrolmentDecision) -> tuple[NewRecord, ...]:
        """The records of the photos topic."""
        return tuple(NewRecord(self.topics.photos, key, value) for key, value in decision.photos)

    def people(self, decision: EnrolmentDecision, photos: Sequence[Position]) -> tuple[NewRecord, ...]:
        """The records of the people topic. `photos`: where the decision's records of the photos topic were written."""
        records = decision.people_records([(place.partition, place.offset) for place in photos])
        return tuple(NewRecord(self.topics.people, key, value, partition=0) for key, value in records)

    def _with_event(self, done: Examined, event: Event, answer: Answer, gallery_version: int) -> Emission:
        records = (
            self._event_record(done, event),
            *_reply(done, answer, gallery_version),
            *self._dead_letter(done),
        )
        return Emission(event.kind, event.outcome, event.timings_ms, records)

    def _answer_only(
        self, done: ExaminedComparison | ExaminedFiqa, kind: EventKind, answer: Answer, gallery_version: int
    ) -> Emission:
        # An event would cost the sha256 of each picture, on the event loop.
        decision, records = done.decision, _reply(done, answer, gallery_version)
        return Emission(kind, decision.outcome, decision.timings_ms, records, kept=False)

    def _event_record(self, done: Examined, event: Event) -> NewRecord:
        headers = cloud_event_headers(event, self.event_source)
        return NewRecord(self.topics.events, done.record.key, encode_event(event), headers)

    def _dead_letter(self, done: Examined) -> tuple[NewRecord, ...]:
        record, failure = done.record, done.failure
        if failure is None:
            return ()
        letter = DeadLetter(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            stage=failure.stage,
            code=int(Code.INTERNAL_ERROR),
            error=failure.error,
            attempt=done.envelope.attempt,
            timestamp_ms=record.timestamp_ms,
            key=record.key,
            value=record.value,
            headers=record.headers,
        )
        return (NewRecord(self.topics.dead_letters, record.key, encode(letter)),)

    def _at(self, done: Examined) -> Circumstances:
        place = done.record.position
        return Circumstances(
            place.topic, place.partition, place.offset, self.clock(), self.models, done.envelope.retry_of
        )


def _would_be_lost(done: Examined) -> bool:
    return done.failure is not None or done.envelope.retry_of is not None


def _reply(done: Examined, answer: Answer, gallery_version: int) -> tuple[NewRecord, ...]:
    request_id = done.envelope.request_id
    effort = done.envelope.spent.effort
    return done.envelope.reply(
        Reply(request_id=request_id, answer=answer, gallery_version=gallery_version, effort=effort)
    )


def version_after(positions: Sequence[Position]) -> int:
    """The gallery version that holds all these people records."""
    return max(position.offset for position in positions) + 1
