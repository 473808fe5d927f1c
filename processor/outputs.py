"""From what was decided to the records that are written: pure."""

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
    match_answer,
    match_event,
    person_event,
    refused_answer,
    unreadable_event,
)
from engine.topics import Topics
from processor.examine import Examined, ExaminedMatch, ExaminedPerson, Failure, Unreadable

_UNREADABLE = Refusal(Code.INTERNAL_ERROR, "the request could not be read back from the log; send it again")


@dataclass(frozen=True, slots=True)
class Emitter:
    """Makes the output records of one processor. `models`: role -> identity; `clock`: epoch seconds."""

    topics: Topics
    policy: Policy
    models: dict[str, str]
    event_source: str
    clock: Callable[[], float]

    def of_match(self, done: ExaminedMatch) -> tuple[Event, tuple[NewRecord, ...]]:
        """The event, the reply and (after an unexpected error) the dead letter of a match."""
        event = match_event(done.request, done.decision, self.policy, self._at(done))
        answer = match_answer(done.request, done.decision, self.policy, done.reg_pic)
        return event, self._records(done, event, answer, done.decision.gallery_version, done.failure)

    def of_unreadable(self, done: Unreadable, gallery_version: int) -> tuple[Event, tuple[NewRecord, ...]]:
        """The event, the reply and the dead letter of a record that is no request."""
        written_s = done.record.timestamp_ms / 1000.0
        event = unreadable_event(done.envelope.request_id, written_s, _UNREADABLE, self._at(done), gallery_version)
        return event, self._records(done, event, refused_answer(_UNREADABLE), gallery_version, done.failure)

    def of_person(
        self, done: ExaminedPerson, decision: EnrolmentDecision | Refusal, gallery_version: int
    ) -> tuple[Event, tuple[NewRecord, ...]]:
        """The event, the reply and (after an unexpected error) the dead letter of a request about a person."""
        event = person_event(
            done.request, decision, done.face, self.policy, self._at(done), gallery_version, done.timings_ms
        )
        answer = refused_answer(decision) if isinstance(decision, Refusal) else decision.answer
        return event, self._records(done, event, answer, gallery_version, done.failure)

    def people(self, decision: EnrolmentDecision) -> tuple[NewRecord, ...]:
        """The people records of a decision."""
        return tuple(NewRecord(self.topics.people, key, value, partition=0) for key, value in decision.records)

    def _records(
        self, done: Examined, event: Event, answer: Answer, gallery_version: int, failure: Failure | None
    ) -> tuple[NewRecord, ...]:
        record = NewRecord(
            self.topics.events, done.record.key, encode_event(event), cloud_event_headers(event, self.event_source)
        )
        reply = Reply(request_id=done.envelope.request_id, answer=answer, gallery_version=gallery_version)
        letters = () if failure is None else (self._dead_letter(done, failure),)
        return (record, *done.envelope.reply(reply), *letters)

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
