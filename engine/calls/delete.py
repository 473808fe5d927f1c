"""Delete: delete a person with all faces and photos (DELETE of users)."""

from contract.answers import Answer, DeletedAnswer
from contract.cloud_events import PERSON_EVENTS
from contract.errors import Code, Refusal, Refused
from contract.events import Event
from contract.kinds import kind_of
from contract.people.keys import FaceKey, parse_key, photo_key
from contract.requests import DeleteRequest
from engine.calls.call import Change
from engine.calls.people import (
    NOTHING_PREPARED,
    PEOPLE_UNREADABLE,
    ChangeDecision,
    KeyedValue,
    PeopleNow,
    Prepared,
    deleted_person,
    person_event,
    refuse_change,
)
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.people import NOBODY, Snapshot


class DeleteCall(Change[DeleteRequest]):
    """The kind of call that deletes a person."""

    kind = kind_of(DeleteRequest)
    event_type = PERSON_EVENTS
    outcomes = ("deleted", "refused", "expired")
    request_type = DeleteRequest

    def change(self, request: DeleteRequest, prepared: Prepared, people: PeopleNow, context: Context) -> ChangeDecision:
        """Delete a person. Where a record about that person cannot be read, all records about the person are deleted.

        Raises:
            Refused: nobody is enrolled under that id, or a record about somebody else cannot be read.
        """
        identity_id = request.identity_id
        hidden = people.hidden_keys(identity_id)
        if hidden:
            numbers = {key.number for key in map(parse_key, hidden) if isinstance(key, FaceKey)}
            photos: tuple[KeyedValue, ...] = tuple((photo_key(identity_id, number), None) for number in sorted(numbers))
            answer = DeletedAnswer(identity_id=identity_id)
            return ChangeDecision(
                "deleted",
                answer,
                {identity_id: NOBODY},
                photos=photos,
                others=tuple((key, None) for key in hidden),
            )
        if people.unreadable:
            raise Refused.of(PEOPLE_UNREADABLE)
        known = people.known(identity_id)
        person = known.record
        if person is None:
            raise Refused(Code.ID_NOT_FOUND, "nobody is enrolled under this identity_id")
        answer = DeletedAnswer(identity_id=identity_id, group_names=people.site.group_names(person.group_ids))
        photos, others = deleted_person(identity_id, known)
        return ChangeDecision("deleted", answer, {identity_id: NOBODY}, photos=photos, others=others)

    def refuse(self, request: DeleteRequest, refusal: Refusal, snapshot: Snapshot, context: Context) -> ChangeDecision:
        """Return the decision that answers a request with that refusal."""
        return refuse_change(refusal, NOTHING_PREPARED)

    def answer(self, request: DeleteRequest, decision: ChangeDecision, context: Context, photo: bytes | None) -> Answer:
        """Return the answer to a request that succeeded."""
        return decision.require_answer()

    def event(self, request: DeleteRequest, decision: ChangeDecision, context: Context, at: Circumstances) -> Event:
        """Return the event that records the decision."""
        return person_event(self.kind, request, decision, context, at)
