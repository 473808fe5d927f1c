"""Builds the records that follow from a decision: event, evidence, reply, audit record and dead letter. Pure, except
for the set of policies that are known to be written.

Every request is answered, every administrative request leaves an audit record, and every request leaves one event,
except a query whose caller asked for none. Such a query leaves an event only if there would be no other trace of it
(`Processed.would_be_lost`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from broker.port import NewRecord, Position
from contract.answers import Answer, Reply
from contract.audit import (
    ENROLLING_MATCH,
    MOST_OBJECTS,
    UNKNOWN,
    Actor,
    ChangeRecord,
    action_of,
    encode_audit,
    objects_of,
)
from contract.audit_details import details_of
from contract.cloud_events import cloud_event_headers
from contract.codec import encode
from contract.dead_letters import DeadLetter
from contract.errors import Code
from contract.events import Event, encode_event
from contract.requests import Headers
from contract.topics import Topics
from engine.calls import Query
from engine.calls.call import Decision
from engine.calls.people import ChangeDecision, PhotoPlace
from engine.calls.reporting import Circumstances, error_info, refused_answer
from engine.context import Contexts
from processor.configs import new_config, policy_config
from processor.processing import Processed, digests_of


@dataclass(frozen=True, slots=True)
class Emission:
    """The result of one request.

    Attributes:
        kind, outcome: the labels of the request in metrics.
        timings_ms: stage -> milliseconds.
        records: the records to be written.
        kept: whether the event is one of the records.
        pictures: what became of each picture of a request with several (engine.calls.call.Call.picture_results).
        mute: whether the reply was left out, because the replies topic does not have its partition any more.
    """

    kind: str
    outcome: str
    timings_ms: Mapping[str, float]
    records: tuple[NewRecord, ...]
    kept: bool = True
    mute: bool = False
    is_replay: bool = False
    pictures: tuple[str, ...] = ()

    def without_replies(self, topic: str, partitions: int) -> "Emission":
        """Return this emission without replies to partitions that `topic`, the replies topic, does not have."""
        records = tuple(
            record
            for record in self.records
            if record.topic != topic or record.partition is None or record.partition < partitions
        )
        return self if len(records) == len(self.records) else replace(self, records=records, mute=True)


@dataclass(frozen=True, slots=True)
class Ids:
    """The ids in events and evidence.

    Attributes:
        models: the networks, role -> identity.
        model_set: the id of the model set in the configs topic.
    """

    models: dict[str, str]
    model_set: str


@dataclass(frozen=True, slots=True)
class Emitter:
    """Builds the output records of one processor.

    `clock` returns epoch seconds; `evidence` is whether evidence is written. `written` are the keys of the policies
    that are in the configs topic; the record of any other policy is written with the first event that names it.
    """

    topics: Topics
    contexts: Contexts
    ids: Ids
    event_source: str
    clock: Callable[[], float]
    evidence: bool = True
    written: set[bytes] = field(default_factory=set)

    def committed(self, emissions: Sequence[Emission]) -> None:
        """Note the policies that these emissions, which are committed, contain."""
        for emission in emissions:
            self.written.update(record.key or b"" for record in emission.records if record.topic == self.topics.configs)

    def of(
        self,
        done: Processed,
        decision: Decision,
        gallery_version: int,
        marked: Callable[[Event], Event] = lambda event: event,
    ) -> Emission:
        """Return the emission of a request: event and evidence (if they are left), reply, the request that follows
        from it (if one does), audit record (of an administrative request), dead letter (after an error).

        Args:
            done: the processed request.
            decision: the decision about the request.
            gallery_version: the version that contains the records of the decision, or on which the decision is based.
            marked: returns the event that is written in place of the event of the decision: that of a repeat.
        """
        call, request = done.call, done.request
        if decision.refusal is not None:
            answer: Answer = refused_answer(decision.refusal)
        else:
            answer = call.answer(request, decision, done.context, done.photo)
        kept = self._kept(done, decision, gallery_version, marked) if done.leaves_event else ()
        audit = self._audit(done, decision, answer, gallery_version)
        reply, follow_up = _reply(done, answer, gallery_version), self._follow_up(done, decision)
        records = (*kept, *reply, *follow_up, *audit, *self._dead_letter(done))
        is_replay = done.envelope.replay_of is not None
        return Emission(
            call.kind,
            decision.outcome,
            decision.timings_ms,
            records,
            kept=bool(kept),
            is_replay=is_replay,
            pictures=tuple(call.picture_results(decision)),
        )

    def photos(self, decision: ChangeDecision) -> tuple[NewRecord, ...]:
        """Return the decision's records of the photos topic."""
        return tuple(NewRecord(self.topics.photos, key, value) for key, value in decision.photos)

    def people(self, decisions: Sequence[ChangeDecision], photos: Sequence[Position]) -> list[tuple[NewRecord, ...]]:
        """Return the records of the people topic of each decision of a transaction.

        `photos` are the positions of the photos of all decisions, in the order in which they were written.
        """
        places = iter([(place.partition, place.offset) for place in photos])
        earlier: dict[bytes, PhotoPlace] = {}
        records = []
        for decision in decisions:
            own = list(islice(places, len(decision.photos)))
            written = decision.people_records(own, earlier)
            records.append(tuple(NewRecord(self.topics.people, key, value, partition=0) for key, value in written))
            earlier |= decision.photo_places(own)
        return records

    def _kept(
        self, done: Processed, decision: Decision, gallery_version: int, marked: Callable[[Event], Event]
    ) -> tuple[NewRecord, ...]:
        call, policy = done.call, policy_config(done.context.policy)
        at = self._at(done, gallery_version, policy.id)
        event = marked(call.event(done.request, decision, done.context, at))
        headers = cloud_event_headers(event, call.event_type, self.event_source, done.envelope.trace)
        records = [NewRecord(self.topics.events, done.record.key, encode_event(event), headers)]
        if self.evidence and isinstance(call, Query):
            evidence = call.evidence(done.request, decision, done.context, at)
            if evidence is not None:
                records.append(NewRecord(self.topics.evidence, event.id.encode(), encode(evidence)))
        if policy.key not in self.written:
            records.append(new_config(self.topics.configs, policy))
        return tuple(records)

    def _follow_up(self, done: Processed, decision: Decision) -> tuple[NewRecord, ...]:
        """Return the record of the administrative request that follows from a query.

        Nothing follows from an error, nor from a request that was sent again: its picture is of another time.
        """
        call, envelope = done.call, done.envelope
        again = envelope.retry_of is not None or envelope.replay_of is not None
        if again or done.failure is not None or not isinstance(call, Query):
            return ()
        request = call.follow_up(done.request, decision, done.context, done.record.partition, done.record.offset)
        if request is None:
            return ()
        headers = (
            (Headers.REQUEST_ID, request.request_id.encode()),
            (Headers.ACTOR, encode(Actor(name=ENROLLING_MATCH, role="device"))),
            *(() if envelope.trace is None else envelope.trace.headers),
        )
        return (NewRecord(self.topics.admin, request.key, encode(request), headers, partition=0),)

    def _audit(
        self, done: Processed, decision: Decision, answer: Answer, gallery_version: int
    ) -> tuple[NewRecord, ...]:
        if done.record.topic != self.topics.admin:
            return ()
        actor, objects = done.envelope.actor, objects_of(done.request)
        record = ChangeRecord(
            request_id=done.envelope.request_id,
            actor=UNKNOWN if actor is None else actor.name,
            role=None if actor is None else actor.role,
            peer=UNKNOWN if actor is None else actor.peer,
            key_id=None if actor is None else actor.key_id,
            kind=done.call.kind,
            action=action_of(done.request),
            objects=objects[:MOST_OBJECTS],
            objects_total=len(objects),
            details=details_of(done.request, answer),
            outcome=decision.outcome,
            error=None if decision.refusal is None else error_info(decision.refusal),
            time=self.clock(),
            received_time=done.request.received_time_s,
            gallery_version=gallery_version,
            retry_of=done.envelope.retry_of,
            retried_by=done.envelope.retried_by,
            replay_of=done.envelope.replay_of,
        )
        return (NewRecord(self.topics.audit, record.actor.encode(), encode_audit(record), partition=0),)

    def _dead_letter(self, done: Processed) -> tuple[NewRecord, ...]:
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

    def _at(self, done: Processed, gallery_version: int, policy: str) -> Circumstances:
        record, envelope = done.record, done.envelope
        return Circumstances(
            record.topic,
            record.partition,
            record.offset,
            self.clock(),
            gallery_version,
            self.ids.models,
            digests_of(done) if done.digests is None else done.digests,
            envelope.retry_of,
            envelope.replay_of,
            policy,
            self.ids.model_set,
        )


def _reply(done: Processed, answer: Answer, gallery_version: int) -> tuple[NewRecord, ...]:
    envelope = done.envelope
    return envelope.reply(
        Reply(
            request_id=envelope.request_id,
            answer=answer,
            gallery_version=gallery_version,
            effort=envelope.spent.effort,
            replay_of=envelope.replay_of,
        )
    )


def version_after(positions: Sequence[Position]) -> int:
    """Return the gallery version that contains the people records at all these positions."""
    return max(position.offset for position in positions) + 1
