"""Adding, changing and removing people: from a request and what is known, to the records that the people topic gets.

Two steps, because the first is slow and needs no order, and the second is quick and must see every earlier decision
about the same person: `prepare_face` (networks) and `decide_enrolment` / `decide_deletion` (values).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import structs

from contract.errors import Code, PictureRefused, Refused
from contract.messages import (
    DeletedAnswer,
    DeleteRequest,
    EnrolRequest,
    FaceRecord,
    PersonAnswer,
    PersonRecord,
    PhotoRecord,
    encode,
)
from contract.terms import DEFAULT_GROUP, Outcome
from contract.vectors import Vector
from engine.gallery.people import face_key, person_key, photo_key
from engine.matching import require_quality
from engine.policy import Policy
from engine.repeated import NEW_PERSON_INFO, photo_digest, repeated_face, same_faces
from engine.timing import Clock, StageTimer
from engine.vision.decode.versions import Versions, as_jpeg
from engine.vision.finding import find_in_versions
from engine.vision.ports import Check, ModelSet
from engine.vision.quality import measure_quality, quality_score

_MAX_PERSON_BYTES = 256 * 1024
"""Of a person's record: changes add to `info`, which every process keeps and every answer carries."""

KeyedValue = tuple[bytes, bytes | None]
"""Key and value of a people record; None deletes."""


@dataclass(frozen=True, slots=True, eq=False)
class PreparedFace:
    """A face ready to be enrolled: its unit vector and, if it came as a photo, that photo as a JPEG and its quality."""

    vector: Vector
    jpeg: bytes | None
    quality: tuple[Check, ...] = ()
    quality_score: float | None = None


@dataclass(frozen=True, slots=True)
class EnrolmentDecision:
    """What becomes of the people topic, in the order of writing, and what the sender is told."""

    outcome: Outcome
    records: tuple[KeyedValue, ...]
    answer: PersonAnswer | DeletedAnswer


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
        return PreparedFace(vector, jpeg), timer.timings_ms
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
    return PreparedFace(embedding.vector, versions.as_jpeg(), checks, score), timer.timings_ms


def decide_enrolment(
    request: EnrolRequest,
    face: PreparedFace | None,
    person: PersonRecord | None,
    vectors: Mapping[int, Vector],
    people_count: int,
    model: str,
    policy: Policy,
    digests: Mapping[int, bytes] | None = None,
) -> EnrolmentDecision:
    """Create or change a person; or nothing, where the request only repeats what is so (engine.repeated).

    `person` and `vectors` (face number -> embedding) are what is enrolled under that identity_id now, `people_count`
    how many people there are, `model` the embedder's identity. `digests`: face number -> sha256 of the photo that the
    face was enrolled with; of the faces that `may_repeat` names at least.

    Raises:
        Refused: the group is unknown, the person exists, or does not, or there is no room.
    """
    if person is not None:
        repeated = repeated_face(request, face.vector if face else None, person, vectors, digests or {})
        if repeated is not None:
            answer = structs.replace(_answer(request, face, person, repeated), unchanged=True)
            return EnrolmentDecision("enrolled", (), answer)
    _require_allowed(request, face, person, people_count, policy)

    kept = person.faces if person else ()
    number = person.next_face if person else 0
    faces, added = kept, None
    records: list[KeyedValue] = []
    if face is not None:
        added = next(same_faces(face.vector, vectors), None)
        if added is None:
            added, number = number, number + 1
            records += _face_records(request, added, face, model)
        faces = (added,) if request.support_single_face else tuple(dict.fromkeys((*kept, added)))
        if len(faces) > policy.max_faces_per_person:
            raise Refused(
                Code.PARAM_ERROR, "this person has as many faces as allowed; set support_single_face to replace them"
            )
    changed = PersonRecord(
        identity_id=request.identity_id,
        group_names=request.group_names or (person.group_names if person else (DEFAULT_GROUP,)),
        info={**(person.info if person else NEW_PERSON_INFO), **(request.info or {})},
        faces=faces,
        next_face=number,
    )
    value = encode(changed)
    if len(value) > _MAX_PERSON_BYTES:
        raise Refused(Code.PARAM_ERROR, "info is too large together with what it has already; delete the person first")
    records.append((person_key(request.identity_id), value))
    records += _tombstones(request.identity_id, [n for n in kept if n not in faces])
    answer = _answer(request, face, changed, added)
    return EnrolmentDecision("enrolled" if person is None else "updated", tuple(records), answer)


def decide_deletion(
    request: DeleteRequest, person: PersonRecord | None, hidden: Sequence[bytes] = ()
) -> EnrolmentDecision:
    """Remove a person. `hidden`: all keys of the people topic that are about somebody whose records cannot all be read;
    then everything under them goes, whoever that was.

    Raises:
        Refused: there is none of that id.
    """
    if hidden:
        everything = tuple((key, None) for key in hidden)
        return EnrolmentDecision("deleted", everything, DeletedAnswer(identity_id=request.identity_id))
    if person is None:
        raise Refused(Code.ID_NOT_FOUND, "nobody is enrolled under this identity_id")
    records = ((person_key(person.identity_id), None), *_tombstones(person.identity_id, person.faces))
    return EnrolmentDecision("deleted", records, DeletedAnswer(identity_id=person.identity_id))


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


def _face_records(request: EnrolRequest, number: int, face: PreparedFace, model: str) -> list[KeyedValue]:
    identity_id = request.identity_id
    records: list[KeyedValue] = []
    if face.jpeg is not None:
        sent = photo_digest(request.photo) if request.photo not in (None, face.jpeg) else None
        photo = PhotoRecord(identity_id=identity_id, number=number, jpeg=face.jpeg, sent_sha256=sent)
        records.append((photo_key(identity_id, number), encode(photo)))
    vector = face.vector.astype("<f4").tobytes()
    record = FaceRecord(
        identity_id=identity_id, number=number, vector=vector, model=model, has_photo=face.jpeg is not None
    )
    records.append((face_key(identity_id, number), encode(record)))
    return records


def _tombstones(identity_id: str, numbers: Sequence[int]) -> list[KeyedValue]:
    return [(key(identity_id, number), None) for number in numbers for key in (face_key, photo_key)]


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
