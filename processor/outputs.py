"""From what was decided to the records that are written: pure.

Every request is answered; every request makes one event, but for a comparison or a quality assessment whose caller
asked for none. Those make one only where it would be lost otherwise: after an unexpected error, and as the retry of a
dead letter, for whose answer nobody waits.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from broker.port import NewRecord, Position
from engine.enrolment import EnrolmentDecision
from engine.errors import Code, Refusal
from engine.event import Event, encode_event
from engine.messages import Answer, DeadLetter, Reply, encode
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
from engine.topics import Topics
from processor.examine import (
    Examined,
    ExaminedComparison,
    ExaminedFiqa,
    ExaminedMatch,
    ExaminedPerson,
    Failure,
    Unreadable,
)

_UNREADABLE = Refusal(Code.INTERNAL_ERROR, "the request could not be read back from the log; send it again")


@dataclass(frozen=True, slots=True)
class Emission:
    """What follows from one request: what happened, the records that are written, and whether what happened is one of
    them (`kept`)."""

    event: Event
    records: tuple[NewRecord, ...]
    kept: bool = True


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
        return self._emission(done, event, answer, done.decision.gallery_version, done.failure)

    def of_comparison(self, done: ExaminedComparison, gallery_version: int) -> Emission:
        """The event (where it is asked for), the reply and (after an unexpected error) the dead letter."""
        event = compare_event(done.request, done.decision, self.policy, self._at(done), gallery_version)
        answer = compare_answer(done.decision, self.policy)
        return self._emission(done, event, answer, gallery_version, done.failure, asked_for=done.request.need_save)

    def of_fiqa(self, done: ExaminedFiqa, gallery_version: int) -> Emission:
        """The reply, and after an unexpected error the event and the dead letter."""
        event = fiqa_event(done.request, done.decision, self._at(done), gallery_version)
        answer = fiqa_answer(done.decision)
        return self._emission(done, event, answer, gallery_version, done.failure, asked_for=False)

    def of_unreadable(self, done: Unreadable, gallery_version: int) -> Emission:
        """The event, the reply and the dead letter of a record that is no request."""
        written_s = done.record.timestamp_ms / 1000.0
        event = unreadable_event(done.envelope.request_id, written_s, _UNREADABLE, self._at(done), gallery_version)
        return self._emission(done, event, refused_answer(_UNREADABLE), gallery_version, done.failure)

    def of_person(self, done: ExaminedPerson, decision: EnrolmentDecision | Refusal, gallery_version: int) -> Emission:
        """The event, the reply and (after an unexpected error) the dead letter of a request about a person."""
        event = person_event(
            done.request, decision, done.face, self.policy, self._at(done), gallery_version, done.timings_ms
        )
        answer = refused_answer(decision) if isinstance(decision, Refusal) else decision.answer
        return self._emission(done, event, answer, gallery_version, done.failure)

    def people(self, decision: EnrolmentDecision) -> tuple[NewRecord, ...]:
        """The people records of a decision."""
        return tuple(NewRecord(self.topics.people, key, value, partition=0) for key, value in decision.records)

    def _emission(
        self,
        done: Examined,
        event: Event,
        answer: Answer,
        gallery_version: int,
        failure: Failure | None,
        *,
        asked_for: bool = True,
    ) -> Emission:
        kept = asked_for or failure is not None or done.envelope.retry_of is not None
        events = (self._event_record(done, event),) if kept else ()
        reply = Reply(request_id=done.envelope.request_id, answer=answer, gallery_version=gallery_version)
        letters = () if failure is None else (self._dead_letter(done, failure),)
        return Emission(event, (*events, *done.envelope.reply(reply), *letters), kept)

    def _event_record(self, done: Examined, event: Event) -> NewRecord:
        headers = cloud_event_headers(event, self.event_source)
        return NewRecord(self.topics.events, done.record.key, encode_event(event), headers)

    def _dead_letter(self, done: Examined, failure: Failure) -> NewRecord:
        record = done.record
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
        return NewRecord(self.topics.dead_letters, record.key, encode(letter))

    def _at(self, done: Examined) -> Circumstances:
        place = done.record.position
        return Circumstances(
            place.topic, place.partition, place.offset, self.clock(), self.models, done.envelope.retry_of
        )


def version_after(positions: Sequence[Position]) -> int:
    """The gallery version that holds all these people records."""
    return max(position.offset for position in positions) + 1
