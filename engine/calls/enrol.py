"""Enrol: add or change a person (POST and PUT of users).

The slow part, `EnrolCall.prepare`, decodes and embeds the face and does not depend on other requests. The decision,
`EnrolCall.change`, is quick and depends on all earlier decisions about the same person.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import msgspec
import numpy as np

from contract.answers import Answer, PersonAnswer
from contract.cloud_events import PERSON_EVENTS
from contract.codec import encode
from contract.errors import Code, Refusal, Refused
from contract.events import Event
from contract.findings import Lookalike
from contract.kinds import kind_of
from contract.people.keys import image_id, person_key, photo_key, site_key
from contract.people.records import FaceRecord, PersonRecord, PhotoRecord
from contract.people.site import PermissionRecord, Site, site_key_of
from contract.people.validity import is_ordered
from contract.requests import EnrolRequest
from contract.terms import DEFAULT_GROUP, QualityLevel
from contract.vectors import Vector
from engine.calls.call import Change
from engine.calls.lookalikes import lookalikes_of, refusal_of
from engine.calls.people import (
    NOTHING_PREPARED,
    PEOPLE_UNREADABLE,
    ChangeDecision,
    KeyedValue,
    PeopleNow,
    Prepared,
    PreparedFace,
    deleted_faces,
    deleted_photos,
    merged_info,
    person_event,
    refuse_change,
    require_room,
)
from engine.calls.permission import require_new_permissions
from engine.calls.repeated import NEW_PERSON_INFO, repeated_face, same_faces
from engine.calls.reporting import Circumstances
from engine.context import Context
from engine.gallery.packed import finer
from engine.gallery.people import KnownPerson, Snapshot
from engine.look import Findings, Wanted, look
from engine.policy import Policy
from engine.vision.decode.versions import as_jpeg

_NEW_GROUPS = (DEFAULT_GROUP,)
"""The groups of a new person for whom the request names none."""

_json = msgspec.json.Encoder()


class EnrolCall(Change[EnrolRequest]):
    """The kind of call that adds or changes a person."""

    kind = kind_of(EnrolRequest)
    event_type = PERSON_EVENTS
    outcomes = ("enrolled", "updated", "refused", "expired")
    request_type = EnrolRequest

    def takes_long(self, request: EnrolRequest) -> bool:
        """Return whether the request contains a face: a photo or a feature."""
        return request.feature is not None or request.photo is not None

    def prepare(self, request: EnrolRequest, context: Context) -> Prepared:
        """Return the request's face with its embedding, or the refusal of that face."""
        if request.feature is not None:
            try:
                vector = _imported(request.feature, request.feature_model, context)
                jpeg = as_jpeg(request.photo, context.max_pixels) if request.photo is not None else None
            except Refused as refused:
                return Prepared(refusal=refused.refusal)
            return Prepared(PreparedFace.of(vector, request.photo, jpeg))
        if request.photo is None:
            return Prepared()
        level = request.quality_level or context.policy.enrolment_quality
        return prepare_photo(request.photo, (level,), context)

    def whole_people(self, request: EnrolRequest) -> Sequence[str]:
        """Return the person, whose present info is merged with that of the request and returned."""
        return (request.identity_id,)

    def change(self, request: EnrolRequest, prepared: Prepared, people: PeopleNow, context: Context) -> ChangeDecision:
        """Create or change a person; a request that repeats an earlier one changes nothing (engine.calls.repeated).

        Raises:
            Refused: a group or a permission is unknown, a new person exists already, a person to be changed does not
                exist, or a limit is reached.
        """
        if people.unreadable:
            raise Refused.of(PEOPLE_UNREADABLE)
        face, known = prepared.face, _repaired(request, people.known(request.identity_id))
        person, groups = known.record, _groups(request, people.site)
        found: Mapping[str, Any] = {"findings": prepared.findings, "timings_ms": prepared.timings_ms}
        if person is not None and face is not None:
            repeated = repeated_face(request, groups, face.vector, face.sent_sha256, known)
            if repeated is not None:
                alike = lookalikes_of(face.vector, person, people, context)
                answer = _answer(request, face, person, repeated, people.site, alike, unchanged=True)
                return ChangeDecision("enrolled", answer, lookalikes=alike, **found)
        _require_allowed(request, face, person)
        permissions = _new_permissions(request, person, people, context.policy)

        number = next(same_faces(face.vector, known.vectors), None) if face is not None else None
        new = _new_face(request, face, person, context) if face is not None and number is None else None
        shown = new.number if new else number
        changed = _changed_person(request, person, groups, new, _faces(request, person, shown), context.policy)
        require_room(people, person, changed.group_ids, context.policy)
        alike = lookalikes_of(face.vector, changed, people, context) if face is not None else ()
        if alike and new is not None and context.policy.enrolment_lookalikes == "refuse":
            return replace(refuse_change(refusal_of(alike), prepared), lookalikes=alike)
        site = reduce(Site.put, permissions, people.site)
        dropped = [n for n in (person.faces if person else ()) if n not in changed.faces]
        return ChangeDecision(
            "enrolled" if person is None else "updated",
            _answer(request, face, changed, shown, site, alike),
            {request.identity_id: _after(known, changed, new, face)},
            site if permissions else None,
            photos=(*_photo_records(new, face), *deleted_photos(request.identity_id, dropped, known)),
            faces=(new,) if new else tuple(_completed_face(request.identity_id, number, face, known, context)),
            others=(
                *((site_key(site_key_of(permission)), encode(permission)) for permission in permissions),
                (person_key(request.identity_id), encode(changed)),
                *deleted_faces(request.identity_id, dropped, known),
            ),
            lookalikes=alike,
            **found,
        )

    def refuse(self, request: EnrolRequest, refusal: Refusal, snapshot: Snapshot, context: Context) -> ChangeDecision:
        """Return the decision that answers a request with that refusal."""
        return refuse_change(refusal, NOTHING_PREPARED)

    def pictures(self, request: EnrolRequest) -> Sequence[bytes]:
        """Return the photo, if the request contains one."""
        return () if request.photo is None else (request.photo,)

    def answer(self, request: EnrolRequest, decision: ChangeDecision, context: Context, photo: bytes | None) -> Answer:
        """Return the answer to a request that succeeded."""
        return decision.require_answer()

    def event(self, request: EnrolRequest, decision: ChangeDecision, context: Context, at: Circumstances) -> Event:
        """Return the event that records the decision."""
        return person_event(self.kind, request, decision, context, at)


def prepare_photo(photo: bytes, levels: tuple[QualityLevel, ...], context: Context) -> Prepared:
    """Return the face of a photo with its embedding, or the refusal of that face.

    `levels`: the quality levels that the face must have; none for a photo that was enrolled before.
    """
    policy = context.policy
    wanted = Wanted(face=policy.face, quality_levels=levels, as_jpeg=True, covered=policy.covered_templates)
    found = look(photo, wanted, context)
    if isinstance(found.embedding, Refusal):
        refusal = _refusal_of_photo(found.embedding, found.findings)
        return Prepared(None, found.findings, refusal, found.timings_ms)
    face = PreparedFace.of(found.embedding.vector, photo, found.jpeg, found.covered)
    return Prepared(face, found.findings, timings_ms=found.timings_ms)


def _repaired(request: EnrolRequest, known: KnownPerson) -> KnownPerson:
    """Return what is known about the person, without a stored info that is lost where the request has an info."""
    if known.record is None or not known.info_lost or not request.info:
        return known
    return replace(known, record=known.record.whole({}))


def _refusal_of_photo(refusal: Refusal, findings: Findings) -> Refusal:
    """Return the refusal of a photo: where the face is too small, the code is that of too small faces."""
    too_small = any(check.name == "face_size" and not check.passed for check in findings.quality)
    if refusal.code is Code.LOW_QUALITY_ERROR and too_small:
        return Refusal(Code.ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR, "the face in the photo is too small to be enrolled")
    return refusal


def _require_allowed(request: EnrolRequest, face: PreparedFace | None, person: PersonRecord | None) -> None:
    if request.update and person is None:
        raise Refused(Code.ID_NOT_FOUND, "nobody is enrolled under this identity_id")
    if person is not None and not (request.update or request.ignore_exist):
        raise Refused(Code.IDENTITY_EXSIT_ERROR, "this identity_id is enrolled already; set ignore_exist to change it")
    if person is None and face is None and request.need_bring_pic:
        raise Refused(
            Code.PARAM_ERROR,
            "reg_photo is needed to enrol a person, or import_mode with feature; need_bring_pic false enrols without",
        )


def _groups(request: EnrolRequest, site: Site) -> tuple[str, ...] | None:
    """Return the ids of the groups that the request names; None where it names none."""
    if request.group_names is None:
        return None
    groups = [site.group_named(name) for name in request.group_names]
    if not all(groups):
        raise Refused(Code.NOT_FOUND, "a group that group_name names does not exist")
    return tuple(group.group_id for group in groups if group is not None)


def _new_permissions(
    request: EnrolRequest, person: PersonRecord | None, people: PeopleNow, policy: Policy
) -> tuple[PermissionRecord, ...]:
    """Return the permissions that the request creates: those that it names and that do not exist.

    Raises:
        Refused: 40071: the request names unknown permissions and must not create them; 40012 and 40015: as
            engine.calls.permission.require_new_permissions.
    """
    named = (request.info or {}).get("permission_ids", ())
    # A client may send back what it has read, and that may contain permissions that were deleted meanwhile.
    known = {*people.site.permissions, *(person.permission_ids if person else ())}
    unknown = [permission_id for permission_id in named if permission_id not in known]
    if unknown and not request.create_no_exit_permission:
        raise Refused(
            Code.PARAM_ERROR,
            f"info.permission_ids names permissions that do not exist: {', '.join(unknown)};"
            " create_no_exit_permission creates them",
            "permission",
        )
    require_new_permissions({unknown_id: unknown_id for unknown_id in unknown}, people, policy)
    return tuple(PermissionRecord(permission_id=unknown_id, name=unknown_id) for unknown_id in unknown)


def _answer(
    request: EnrolRequest,
    face: PreparedFace | None,
    person: PersonRecord,
    number: int | None,
    site: Site,
    alike: tuple[Lookalike, ...],
    unchanged: bool = False,
) -> PersonAnswer:
    image = number if number is not None else next(reversed(person.faces), None)
    return PersonAnswer(
        identity_id=person.identity_id,
        group_names=site.group_names(person.group_ids),
        info=site.shown(person.info),
        image_id=None if image is None else image_id(person.identity_id, image),
        photo=face.jpeg if face and not request.update else None,
        unchanged=unchanged,
        lookalikes=alike,
    )


def _changed_person(
    request: EnrolRequest,
    person: PersonRecord | None,
    group_ids: tuple[str, ...] | None,
    new: FaceRecord | None,
    faces: tuple[int, ...],
    policy: Policy,
) -> PersonRecord:
    if new is not None and len(faces) > policy.max_faces_per_person:
        raise Refused(
            Code.PARAM_ERROR, "this person has as many faces as allowed; set support_single_face to replace them"
        )
    return PersonRecord(
        identity_id=request.identity_id,
        group_ids=tuple(dict.fromkeys((*person.group_ids, *(group_ids or ())))) if person else group_ids or _NEW_GROUPS,
        info=_changed_info(request, person, policy),
        faces=faces,
        next_face=new.number + 1 if new else (person.next_face if person else 0),
        stored_at=person.stored_at if person else None,
        enrolled_time=person.enrolled_time if person else None,
    )


def _changed_info(request: EnrolRequest, person: PersonRecord | None, policy: Policy) -> dict[str, Any]:
    before = person.info if person else NEW_PERSON_INFO
    info = merged_info(before, request.info)
    size = len(_json.encode(info))
    if size > policy.max_info_bytes and (person is None or size > len(_json.encode(before))):
        raise Refused(
            Code.PARAM_ERROR, f"info would have {size} bytes as JSON; at most {policy.max_info_bytes} are allowed"
        )
    if not is_ordered(info):
        raise Refused(Code.PARAM_ERROR, "info.valid_until must not be before info.valid_from")
    return info


def _new_face(request: EnrolRequest, face: PreparedFace, person: PersonRecord | None, context: Context) -> FaceRecord:
    return FaceRecord(
        identity_id=request.identity_id,
        number=person.next_face if person else 0,
        embedder=context.models.embedder_identity,
        templates=face.templates,
        photo=face.photo,
    )


def _completed_face(
    identity_id: str, number: int | None, face: PreparedFace | None, known: KnownPerson, context: Context
) -> Iterator[FaceRecord]:
    """Yield the record of a known face with templates of covered faces, where it has none and is sent once more."""
    if face is None or number is None or not face.covered or number in known.covered:
        return
    yield FaceRecord(
        identity_id=identity_id,
        number=number,
        embedder=context.models.embedder_identity,
        templates=replace(face, vector=finer(known.vectors[number], face.vector)).templates,
        photo=known.photos.get(number),
    )


def _faces(request: EnrolRequest, person: PersonRecord | None, shown: int | None) -> tuple[int, ...]:
    kept = person.faces if person else ()
    if shown is None:
        return kept
    return (shown,) if request.support_single_face else tuple(dict.fromkeys((*kept, shown)))


def _after(known: KnownPerson, person: PersonRecord, new: FaceRecord | None, face: PreparedFace | None) -> KnownPerson:
    vectors, embedders, photos = dict(known.vectors), dict(known.embedders), dict(known.photos)
    covered = set(known.covered)
    if face is not None and face.covered:
        covered.add(new.number if new else next(same_faces(face.vector, known.vectors)))
    if new is not None and face is not None:
        vectors[new.number] = face.vector
        embedders[new.number] = (new.embedder,)
        if new.photo is not None:
            photos[new.number] = new.photo
    return KnownPerson(
        person,
        {n: vector for n, vector in vectors.items() if n in person.faces},
        {n: names for n, names in embedders.items() if n in person.faces},
        {n: photo for n, photo in photos.items() if n in person.faces},
        covered=frozenset(n for n in covered if n in person.faces),
    )


def _photo_records(new: FaceRecord | None, face: PreparedFace | None) -> Iterator[KeyedValue]:
    if new is not None and face is not None and face.jpeg is not None:
        photo = PhotoRecord(identity_id=new.identity_id, number=new.number, jpeg=face.jpeg)
        yield photo_key(new.identity_id, new.number), encode(photo)


def _imported(feature: Sequence[float], feature_model: str | None, context: Context) -> Vector:
    dimension, installed = context.models.embedder.dimension, context.models.embedder_identity
    if feature_model != installed and not (feature_model is None and context.policy.trust_unnamed_features):
        raise Refused(
            Code.BAD_FEATURE_ERROR,
            f"features of different networks cannot be compared: feature_model must name the network that computed the"
            f" feature, and only features of {installed}, the installed embedder, can be imported; send a photo instead"
            " of any other feature",
        )
    if len(feature) != dimension:
        raise Refused(Code.BAD_FEATURE_ERROR, f"feature must have {dimension} numbers")
    with np.errstate(over="ignore"):
        vector = np.asarray(feature, dtype=np.float64)
        norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or norm == 0.0:
        raise Refused(Code.BAD_FEATURE_ERROR, "feature must be finite numbers that are not all zero")
    unit: Vector = (vector / norm).astype(np.float32)
    return unit
