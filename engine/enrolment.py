"""Adding, changing and removing people: from a request and what is known, to the records that the people topic gets.

Two steps, because the first is slow and needs no order, and the second is quick and must see every earlier decision
about the same person: `prepare_face` (networks) and `decide_enrolment` / `decide_deletion` (values).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from msgspec import structs

from contract.errors import Code, PictureRefused, Refused
from contract.messages import DeletedAnswer, DeleteRequest, EnrolRequest, PersonAnswer, encode
from contract.people.keys import FaceKey, face_key, parse_key, person_key, photo_key
from contract.people.records import WHOLE_FACE, FaceRecord, PersonRecord, PhotoRecord, PhotoReference
from contract.terms import DEFAULT_GROUP, Outcome
from contract.vectors import Vector
from engine.gallery.people import KnownPerson
from engine.matching import require_quality
from engine.policy import Policy
from engine.repeated import NEW_PERSON_INFO, repeated_face, same_faces
from engine.timing import Clock, StageTimer
from engine.vision.decode.versions import Versions, as_jpeg
from engine.vision.finding import find_in_versions
from engine.vision.ports import Check, ModelSet
from engine.vision.quality import measure_quality, quality_score

_MAX_PERSON_BYTES = 256 * 1024
"""Of a person's record: changes add to `info`, which every process keeps and every answer carries."""

KeyedValue = tuple[bytes, bytes | None]
"""Key and value of a record of a compacted topic; None deletes."""

PhotoPlace = tuple[int, int]
"""Partition and offset of a record of the photos topic."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFace:
    """A face ready to be enrolled: its unit vector and, if it came as a photo, that photo as a JPEG and its quality.

    `sha256` is that of the JPEG, `sent_sha256` that of the file that was sent.
    """

    vector: Vector
    jpeg: bytes | None = None
    sha256: bytes | None = None
    sent_sha256: bytes | None = None
    quality: tuple[Check, ...] = ()
    quality_score: float | None = None

    @classmethod
    def of(cls, vector: Vector, sent: bytes | None, jpeg: bytes | None) -> "PreparedFace":
        """The face with the digests of its photo."""
        if sent is None or jpeg is None:
            return cls(vector)
        sent_sha256 = sha256(sent).digest()
        return cls(vector, jpeg, sent_sha256 if jpeg == sent else sha256(jpeg).digest(), sent_sha256)


@dataclass(frozen=True, slots=True, eq=False)
class EnrolmentDecision:
    """What becomes of the photos topic and the people topic, and the answer to the sender.

    `photos` are written first, in this order; `people_records` then gives the records of the people topic. `after` is
    the person as those records leave it: what the next decision about this person builds on.
    """

    outcome: Outcome
    answer: PersonAnswer | DeletedAnswer
    after: KnownPerson
    photos: tuple[KeyedValue, ...] = ()
    face: FaceRecord | None = None
    others: tuple[KeyedValue, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether anything is written about people."""
        return bool(self.face or self.others)

    def people_records(self, places: Sequence[PhotoPlace] = ()) -> tuple[KeyedValue, ...]:
        """The records of the people topic, in the order of writing. `places`: where `photos` were written."""
        face = self.face
        if face is None:
            return self.others
        if face.photo is not None:
            partition, offset = places[0]
            face = structs.replace(face, photo=structs.replace(face.photo, partition=partition, offset=offset))
        return ((face_key(face.identity_id, face.number, face.embedder), encode(face)), *self.others)


def prepare_face(
    request: EnrolRequest, models: ModelSet, policy: Policy, max_pixels: int, clock: Clock
) -> tuple[PreparedFace | None, dict[str, float]]:
    """The face that the request brings (None: it brings none), and milliseconds per stage.

    Raises:
        Refused: the photo or the feature cannot be enrolled.
    """
    timer = StageTimer(clock)
    if request.feature is not None:
        vector = _imported(request.feature, models.embedder.dimension)
        jpeg = as_jpeg(request.photo, max_pixels) if request.photo is not None else None
        return PreparedFace.of(vector, request.photo, jpeg), timer.timings_ms
    if request.photo is None:
        return None, timer.timings_ms
    versions = Versions(request.photo, max_pixels)
    image, faces = find_in_versions(versions, models.detector, timer)
    if not faces:
        raise PictureRefused(Code.NO_FACE, "no face found in the photo")
    level = request.quality_level or policy.enrolment_quality
    with timer.stage("quality"):
        checks = tuple(measure_quality(image, faces[0], level, policy.custom_quality, models.pose))
    if any(check.name == "face_size" and not check.passed for check in checks):
        raise PictureRefused(
            Code.ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR, "the face in the photo is too small to be enrolled"
        )
    require_quality(checks)
    with timer.stage("embed"):
        embedding = models.embedder(image, faces[0])
    score = quality_score(image, faces[0], embedding)
    prepared = PreparedFace.of(embedding.vector, request.photo, versions.as_jpeg())
    return replace(prepared, quality=checks, quality_score=score), timer.timings_ms


def decide_enrolment(
    request: EnrolRequest,
    face: PreparedFace | None,
    known: KnownPerson,
    people_count: int,
    embedder: str,
    policy: Policy,
) -> EnrolmentDecision:
    """Create or change a person; or nothing, where the request only repeats what is so (engine.repeated).

    `known` is who is enrolled under that identity_id now, `people_count` how many people there are, `embedder` the
    identity of the embedder in use.

    Raises:
        Refused: the group is unknown, the person exists, or does not, or there is no room.
    """
    person = known.record
    if person is not None and face is not None:
        repeated = repeated_face(request, face.vector, face.sent_sha256, known)
        if repeated is not None:
            answer = structs.replace(_answer(request, face, person, repeated), unchanged=True)
            return EnrolmentDecision("enrolled", answer, known)
    _require_allowed(request, face, person, people_count, policy)

    number = next(same_faces(face.vector, known.vectors), None) if face is not None else None
    new = _new_face(request, face, person, embedder) if face is not None and number is None else None
    shown = new.number if new else number
    faces = _faces(request, person, shown)
    if len(faces) > policy.max_faces_per_person:
        raise Refused(
            Code.PARAM_ERROR, "this person has as many faces as allowed; set support_single_face to replace them"
        )
    changed = PersonRecord(
        identity_id=request.identity_id,
        group_names=request.group_names or (person.group_names if person else (DEFAULT_GROUP,)),
        info={**(person.info if person else NEW_PERSON_INFO), **(request.info or {})},
        faces=faces,
        next_face=new.number + 1 if new else (person.next_face if person else 0),
    )
    value = encode(changed)
    if len(value) > _MAX_PERSON_BYTES:
        raise Refused(Code.PARAM_ERROR, "info is too large together with what it has already; delete the person first")
    dropped = [n for n in (person.faces if person else ()) if n not in faces]
    return EnrolmentDecision(
        "enrolled" if person is None else "updated",
        _answer(request, face, changed, shown),
        _after(known, changed, new, face),
        (*_photo_records(new, face), *_deleted_photos(request.identity_id, dropped, known)),
        new,
        ((person_key(request.identity_id), value), *_deleted_faces(request.identity_id, dropped, known)),
    )


def decide_deletion(request: DeleteRequest, known: KnownPerson, hidden: Sequence[bytes] = ()) -> EnrolmentDecision:
    """Remove a person with all faces and photos. `hidden`: all keys of the people topic that are about somebody whose
    records cannot all be read; then everything under them is deleted, whoever that was.

    Raises:
        Refused: there is none of that id.
    """
    identity_id, person = request.identity_id, known.record
    answer = DeletedAnswer(identity_id=identity_id)
    if hidden:
        numbers = {key.number for key in map(parse_key, hidden) if isinstance(key, FaceKey)}
        photos: tuple[KeyedValue, ...] = tuple((photo_key(identity_id, number), None) for number in sorted(numbers))
        return EnrolmentDecision("deleted", answer, KnownPerson(), photos, others=tuple((key, None) for key in hidden))
    if person is None:
        raise Refused(Code.ID_NOT_FOUND, "nobody is enrolled under this identity_id")
    others = ((person_key(identity_id), None), *_deleted_faces(identity_id, person.faces, known))
    photos = tuple(_deleted_photos(identity_id, person.faces, known))
    return EnrolmentDecision("deleted", answer, KnownPerson(), photos, others=others)


def _require_allowed(
    request: EnrolRequest, face: PreparedFace | None, person: PersonRecord | None, people_count: int, policy: Policy
) -> None:
    if any(name != DEFAULT_GROUP for name in request.group_names or ()):
        raise Refused(Code.GROUP_NAME_ERROR, f"no such group: in this version there is only {DEFAULT_GROUP}")
    if request.update and person is None:
        raise Refused(Code.ID_NOT_FOUND, "nobody is enrolled under this identity_id")
    if person is not None and not (request.update or request.ignore_exist):
        raise Refused(Code.IDENTITY_EXSIT_ERROR, "this identity_id is enrolled already; set ignore_exist to change it")
    if person is None and people_count >= policy.max_people:
        raise Refused(Code.GROUP_LEN_ERROR, "the group is full; remove people or raise the limit in the settings")
    if person is None and face is None:
        raise Refused(Code.PARAM_ERROR, "reg_photo is needed to enrol a person, or import_mode with feature")


def _answer(request: EnrolRequest, face: PreparedFace | None, person: PersonRecord, number: int | None) -> PersonAnswer:
    return PersonAnswer(
        identity_id=person.identity_id,
        group_names=person.group_names,
        info=person.info,
        image_id=None if number is None else str(number),
        photo=face.jpeg if face and request.need_bring_pic else None,
    )


def _new_face(request: EnrolRequest, face: PreparedFace, person: PersonRecord | None, embedder: str) -> FaceRecord:
    photo = None
    if face.sha256 is not None:
        sent = face.sent_sha256 if face.sent_sha256 != face.sha256 else None
        photo = PhotoReference(sha256=face.sha256, sent_sha256=sent, partition=0, offset=0)
    return FaceRecord(
        identity_id=request.identity_id,
        number=person.next_face if person else 0,
        embedder=embedder,
        templates={WHOLE_FACE: face.vector.astype("<f4").tobytes()},
        photo=photo,
    )


def _faces(request: EnrolRequest, person: PersonRecord | None, shown: int | None) -> tuple[int, ...]:
    kept = person.faces if person else ()
    if shown is None:
        return kept
    return (shown,) if request.support_single_face else tuple(dict.fromkeys((*kept, shown)))


def _after(known: KnownPerson, person: PersonRecord, new: FaceRecord | None, face: PreparedFace | None) -> KnownPerson:
    vectors, embedders, photos = dict(known.vectors), dict(known.embedders), dict(known.photos)
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
    )


def _photo_records(new: FaceRecord | None, face: PreparedFace | None) -> Iterator[KeyedValue]:
    if new is not None and face is not None and face.jpeg is not None:
        photo = PhotoRecord(identity_id=new.identity_id, number=new.number, jpeg=face.jpeg)
        yield photo_key(new.identity_id, new.number), encode(photo)


def _deleted_photos(identity_id: str, numbers: Sequence[int], known: KnownPerson) -> Iterator[KeyedValue]:
    return ((photo_key(identity_id, number), None) for number in numbers if number in known.photos)


def _deleted_faces(identity_id: str, numbers: Sequence[int], known: KnownPerson) -> Iterator[KeyedValue]:
    return ((face_key(identity_id, n, name), None) for n in numbers for name in known.embedders.get(n, ()))


def _imported(feature: Sequence[float], dimension: int) -> Vector:
    if len(feature) != dimension:
        raise Refused(Code.BAD_FEATURE_ERROR, f"feature must have {dimension} numbers")
    with np.errstate(over="ignore"):
        vector = np.asarray(feature, dtype=np.float64)
        norm = float(np.linalg.norm(vector))
    if not np.isfinite(norm) or norm == 0.0:
        raise Refused(Code.BAD_FEATURE_ERROR, "feature must be finite numbers that are not all zero")
    unit: Vector = (vector / norm).astype(np.float32)
    return unit
