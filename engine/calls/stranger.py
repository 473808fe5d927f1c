"""Stranger: enrol the stranger of a match as a person of type 4, which `engine.strangers` has asked for.

The face is embedded again from the picture, with the quality that a stranger's face must have. The decision is made in
the order of the admin topic, based on the people after all earlier decisions. So a stranger who was seen twice at once
is enrolled once: the second request finds the person whom the first one has enrolled. Where there are as many strangers
as allowed, those who were enrolled first are deleted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from contract.answers import Answer, PersonAnswer
from contract.cloud_events import PERSON_EVENTS
from contract.codec import encode
from contract.errors import Code, Refusal, Refused
from contract.events import Event, EventScope
from contract.kinds import kind_of
from contract.people.keys import image_id, person_key, photo_key
from contract.people.records import FaceRecord, PersonRecord, PhotoRecord
from contract.requests import StrangerRequest
from contract.terms import PERSON_STRANGER, STRANGER
from contract.vendor_words import STRANGER_ENROLLED
from engine.calls.call import Change
from engine.calls.enrol import prepare_photo
from engine.calls.people import (
    NOTHING_PREPARED,
    PEOPLE_UNREADABLE,
    ChangeDecision,
    KeyedValue,
    PeopleNow,
    Prepared,
    PreparedFace,
    deleted_person,
    refuse_change,
)
from engine.calls.reporting import Circumstances, check_results, face_box, picture_size, wire_threshold
from engine.context import Context
from engine.gallery.people import NOBODY, KnownPerson, Snapshot
from engine.gallery.port import Candidate, Scope
from engine.threshold import AppliedThreshold, search_threshold

MOST_LEAVING = 100
"""The most strangers who are deleted for one who is enrolled, where fewer are allowed than before."""

_MOST_NEAR = 1000
"""The most people near the face, of any scope, among whom the nearest one of the scope is looked for."""


@dataclass(frozen=True, slots=True, eq=False)
class StrangerDecision(ChangeDecision):
    """A decision that is no refusal.

    `person`: who has the face: the stranger who is enrolled now, or the person who was known already. `cosine`: that of
    the nearest person, and `threshold` what it was compared with. `scope`: the names of group and permission. `left`:
    the strangers who are deleted to make room.
    """

    person: PersonRecord | None = None
    cosine: float = 0.0
    threshold: AppliedThreshold | None = None
    scope: EventScope | None = None
    left: tuple[str, ...] = ()


class StrangerCall(Change[StrangerRequest]):
    """The kind of call that enrols the stranger of a match; no caller sends its requests."""

    kind = kind_of(StrangerRequest)
    event_type = PERSON_EVENTS
    outcomes = ("enrolled", "known", "refused", "expired")
    request_type = StrangerRequest

    def takes_long(self, request: StrangerRequest) -> bool:
        """Return that the face has to be embedded."""
        return True

    def prepare(self, request: StrangerRequest, context: Context) -> Prepared:
        """Return the face with its embedding, or the refusal of that face."""
        return prepare_photo(request.picture, (context.policy.stranger_quality,), context)

    def change(
        self, request: StrangerRequest, prepared: Prepared, people: PeopleNow, context: Context
    ) -> ChangeDecision:
        """Enrol the stranger, unless somebody of the scope has that face.

        Raises:
            Refused: strangers are not enrolled any more, the group or the permission was deleted, the picture does not
                show exactly one face, somebody is too similar to be sure, or a record of the people cannot be read.
        """
        if people.unreadable:
            raise Refused.of(PEOPLE_UNREADABLE)
        policy, face = context.policy, prepared.face
        if not policy.enrol_strangers:
            raise Refused(Code.PARAM_ERROR, "strangers are not enrolled: matching.enrol_strangers is not set any more")
        if face is None or prepared.findings.faces != 1:
            raise Refused(Code.PARAM_ERROR, "the picture of a stranger must show exactly one face")
        scope = Scope(request.group_id, request.permission_id, means=policy.mean_templates)
        threshold = search_threshold(policy, context.models.embedder, people.templates(scope))
        common: Mapping[str, Any] = {
            "threshold": threshold,
            "scope": _names(request, people),
            "findings": prepared.findings,
            "timings_ms": prepared.timings_ms,
        }
        again = people.known(request.identity_id).record
        if again is not None:
            return StrangerDecision("known", _answer(again, people), person=again, cosine=request.cosine, **common)
        nearest = _nearest(face, scope, threshold.cosine - policy.stranger_margin, people)
        if nearest is None:
            return _enrolled(request, face, people, context, common)
        if nearest.cosine < threshold.cosine:
            raise Refused(
                Code.PARAM_ERROR,
                "the face is nearer to that of an enrolled person than matching.stranger_margin allows",
            )
        answer = _answer(nearest.person, people)
        return StrangerDecision("known", answer, person=nearest.person, cosine=nearest.cosine, **common)

    def refuse(
        self, request: StrangerRequest, refusal: Refusal, snapshot: Snapshot, context: Context
    ) -> ChangeDecision:
        """Return the decision that answers a request with that refusal."""
        return refuse_change(refusal, NOTHING_PREPARED)

    def pictures(self, request: StrangerRequest) -> tuple[bytes, ...]:
        """Return the picture."""
        return (request.picture,)

    def answer(
        self, request: StrangerRequest, decision: ChangeDecision, context: Context, photo: bytes | None
    ) -> Answer:
        """Return the answer to a request that succeeded, for which nobody waits."""
        return decision.require_answer()

    def event(self, request: StrangerRequest, decision: ChangeDecision, context: Context, at: Circumstances) -> Event:
        """Return the event that records the decision, at the time and the device of the match."""
        found, policy = decision.findings, context.policy
        event = structs.replace(
            at.event(self.kind, request, decision.outcome, decision.refusal),
            match_id=request.match_id,
            compare_time=request.compare_time_s,
            compare_time_raw=request.compare_time_raw,
            device_ip=request.device_ip,
            picture=picture_size(request.picture, found),
            faces=found.faces,
            face=face_box(found.face),
            quality=check_results(found.quality),
            quality_score=found.quality_score,
            timings_ms=decision.timings_ms,
        )
        if not isinstance(decision, StrangerDecision) or decision.person is None or decision.threshold is None:
            return event
        person, answer, threshold = decision.person, decision.answer, decision.threshold
        info = answer.info if isinstance(answer, PersonAnswer) else {}
        return structs.replace(
            event,
            identity_id=person.identity_id,
            name=person.name,
            person_type=person.person_type,
            identity_info=info if info and policy.event_identity_info else None,
            identity_ids=decision.left,
            score=threshold.score(decision.cosine, policy),
            cosine=round(decision.cosine, 6),
            threshold=wire_threshold(threshold, policy),
            scope=decision.scope,
            want_action=STRANGER_ENROLLED if decision.outcome == "enrolled" else event.want_action,
        )


def _nearest(face: PreparedFace, scope: Scope, least: float, people: PeopleNow) -> Candidate | None:
    """Return the nearest person of the scope with at least that cosine."""
    near = people.alike(face.vector, least, means=scope.means, most=_MOST_NEAR)
    return next((one for one in near if scope.has_group(one.person) and scope.has_permission(one.person)), None)


def _enrolled(
    request: StrangerRequest, face: PreparedFace, people: PeopleNow, context: Context, common: Mapping[str, Any]
) -> StrangerDecision:
    identity_id, room = request.identity_id, context.policy.max_strangers - 1
    left = tuple(people.oldest_strangers(min(max(0, people.strangers - room), MOST_LEAVING)))
    deletions = [deleted_person(one, people.known(one)) for one in left]
    new = FaceRecord(
        identity_id=identity_id,
        number=0,
        embedder=context.models.embedder_identity,
        templates=face.templates,
        photo=face.photo,
    )
    person = PersonRecord(
        identity_id=identity_id,
        group_ids=(request.group_id,),
        info={"name": STRANGER, "type": PERSON_STRANGER, "permission_ids": [request.permission_id]},
        faces=(new.number,),
        next_face=new.number + 1,
        enrolled_time=request.received_time_s,
    )
    known = KnownPerson(
        person,
        {new.number: face.vector},
        {new.number: (new.embedder,)},
        {} if new.photo is None else {new.number: new.photo},
        covered=frozenset({new.number} if face.covered else ()),
    )
    return StrangerDecision(
        "enrolled",
        _answer(person, people),
        {identity_id: known, **dict.fromkeys(left, NOBODY)},
        photos=(*_photo(new, face), *(photo for photos, _ in deletions for photo in photos)),
        faces=(new,),
        others=((person_key(identity_id), encode(person)), *(one for _, others in deletions for one in others)),
        person=person,
        cosine=request.cosine,
        left=left,
        **common,
    )


def _photo(new: FaceRecord, face: PreparedFace) -> tuple[KeyedValue, ...]:
    if face.jpeg is None:
        return ()
    photo = PhotoRecord(identity_id=new.identity_id, number=new.number, jpeg=face.jpeg)
    return ((photo_key(new.identity_id, new.number), encode(photo)),)


def _names(request: StrangerRequest, people: PeopleNow) -> EventScope:
    """Return the names of the scope.

    Raises:
        Refused: the group or the permission was deleted.
    """
    group = people.site.groups.get(request.group_id)
    permission = people.site.permissions.get(request.permission_id)
    if group is None or permission is None:
        raise Refused(Code.NOT_FOUND, "the group or the permission of the match was deleted meanwhile")
    return EventScope(group_name=group.name, permission_name=permission.name)


def _answer(person: PersonRecord, people: PeopleNow) -> PersonAnswer:
    return PersonAnswer(
        identity_id=person.identity_id,
        group_names=people.site.group_names(person.group_ids),
        info=people.site.shown(person.info),
        image_id=image_id(person.identity_id, person.faces[-1]) if person.faces else None,
    )
