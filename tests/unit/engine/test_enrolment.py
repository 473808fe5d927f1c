"""Who may be enrolled, changed and removed, and what the people topic gets for it."""

from hashlib import sha256
from typing import Any

import msgspec
import numpy as np
import pytest

from contract.errors import Code, Refusal, Refused
from contract.messages import DeleteRequest, EnrolRequest
from contract.people.records import FaceRecord, PersonRecord, PhotoReference, photo_of
from engine.enrolment import PreparedFace, decide_deletion, decide_enrolment, prepare_face
from engine.gallery.people import KnownPerson
from engine.policy import Policy
from engine.report import Circumstances, person_event
from engine.vision.networks.standin import stand_in_models
from tests.support.faces import MAX_PIXELS, photo

MODELS = stand_in_models()
DIMENSION = MODELS.embedder.dimension


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


def request(**fields: Any) -> EnrolRequest:
    return EnrolRequest(**{"request_id": "r", "identity_id": "p", "received_time_s": 1.0, **fields})


def prepared(seed: int, jpeg: bytes | None = b"jpeg") -> PreparedFace:
    return PreparedFace.of(unit(seed), jpeg, jpeg)


def enrolled(*faces: int, **info: Any) -> PersonRecord:
    return PersonRecord(
        identity_id="p",
        group_names=("default_group",),
        info={"type": 1, "permission_ids": ["0"], **info},
        faces=faces,
        next_face=max(faces, default=-1) + 1,
    )


def known(person: PersonRecord | None, vectors: dict[int, np.ndarray] | None = None) -> KnownPerson:
    numbers = person.faces if person else ()
    photos = {n: PhotoReference(sha256=b"%d" % n, partition=0, offset=n) for n in numbers}
    return KnownPerson(person, vectors or {}, dict.fromkeys(numbers, ("model+1",)), photos)


def decide(asked, face=None, person=None, vectors=None, count=0, policy=None):
    return decide_enrolment(asked, face, known(person, vectors), count, "model+1", policy or Policy())


def refusal_of(*args: Any, **kwargs: Any) -> Refusal:
    with pytest.raises(Refused) as caught:
        decide(*args, **kwargs)
    return caught.value.refusal


def keys(decision) -> list[tuple[str, bool]]:
    places = [(0, 5)] * len(decision.photos)
    return [(key.decode(), value is None) for key, value in (*decision.photos, *decision.people_records(places))]


def person_of(decision) -> PersonRecord:
    records = dict(decision.people_records([(0, 5)] * len(decision.photos)))
    return msgspec.msgpack.decode(records[b"person/p"], type=PersonRecord)


def test_a_new_person_gets_photo_face_and_person_in_that_order():
    decision = decide(request(info={"name": "N"}), prepared(1))
    assert keys(decision) == [("photo/p/0", False), ("face/p/0/model%2B1", False), ("person/p", False)]
    assert decision.outcome == "enrolled"
    assert decision.answer.info == {"type": 1, "permission_ids": ["0"], "name": "N"}
    assert decision.answer.image_id == "0"


def test_a_face_record_holds_the_unit_vector_and_its_model():
    decision = decide(request(), prepared(1, jpeg=None))
    record = msgspec.msgpack.decode(decision.people_records()[0][1], type=FaceRecord)
    assert record.embedder == "model+1"
    assert record.photo is None
    np.testing.assert_array_equal(np.frombuffer(record.templates["whole"], "<f4"), unit(1))


def test_a_face_record_names_its_photo_by_digest_and_by_the_place_where_it_was_written():
    decision = decide(request(photo=b"png"), PreparedFace.of(unit(1), b"png", b"jpeg"))
    ((key, value),) = decision.photos
    assert key == b"photo/p/0"
    record = msgspec.msgpack.decode(decision.people_records([(3, 17)])[0][1], type=FaceRecord)
    assert (record.photo.partition, record.photo.offset) == (3, 17)
    assert record.photo.digest == sha256(b"png").digest()
    assert photo_of(value, record.photo) == b"jpeg"
    other = decide(request(photo=b"x"), PreparedFace.of(unit(1), b"x", b"x")).photos[0][1]
    assert photo_of(other, record.photo) is None, "the photo of another hash"
    assert photo_of(b"\xc1", record.photo) is None


def test_an_identity_that_exists_is_refused_unless_it_may_be_changed():
    assert refusal_of(request(), prepared(1), enrolled(0)).code is Code.IDENTITY_EXSIT_ERROR
    assert decide(request(ignore_exist=True), prepared(1), enrolled(0)).outcome == "updated"


def test_changing_somebody_unknown_is_refused():
    assert refusal_of(request(update=True), prepared(1)).code is Code.ID_NOT_FOUND


def test_a_second_photo_adds_a_face():
    decision = decide(request(ignore_exist=True), prepared(2), enrolled(0), {0: unit(1)})
    assert keys(decision) == [("photo/p/1", False), ("face/p/1/model%2B1", False), ("person/p", False)]
    assert person_of(decision).faces == (0, 1)


def test_the_same_face_sent_again_is_not_added_twice():
    decision = decide(request(ignore_exist=True), prepared(1), enrolled(0), {0: unit(1)})
    assert keys(decision) == [("person/p", False)]
    assert decision.answer.image_id == "0"


def test_support_single_face_drops_the_older_ones():
    decision = decide(request(ignore_exist=True, support_single_face=True), prepared(3), enrolled(0, 1))
    assert keys(decision) == [
        ("photo/p/2", False),
        ("photo/p/0", True),
        ("photo/p/1", True),
        ("face/p/2/model%2B1", False),
        ("person/p", False),
        ("face/p/0/model%2B1", True),
        ("face/p/1/model%2B1", True),
    ]
    assert person_of(decision).faces == (2,)
    assert set(decision.after.vectors) == {2}


def test_a_face_number_is_never_used_again():
    person = PersonRecord(identity_id="p", group_names=("default_group",), info={}, faces=(1,), next_face=7)
    decision = decide(request(ignore_exist=True), prepared(3), person)
    assert keys(decision)[0] == ("photo/p/7", False)


def test_a_change_without_a_photo_keeps_the_faces_and_merges_the_info():
    decision = decide(request(update=True, info={"name": "new"}), None, enrolled(0, name="old", floor=3))
    assert keys(decision) == [("person/p", False)]
    changed = person_of(decision)
    assert changed.faces == (0,)
    assert changed.info == {"type": 1, "permission_ids": ["0"], "name": "new", "floor": 3}


def test_changes_do_not_add_up_to_facts_without_end():
    facts = {f"a{n}": "x" * 1000 for n in range(200)}
    assert decide(request(update=True, info=facts), None, enrolled(0)).outcome == "updated"
    more = {f"b{n}": "x" * 1000 for n in range(200)}
    assert refusal_of(request(update=True, info=more), None, enrolled(0, **facts)).code is Code.PARAM_ERROR


def test_a_full_group_takes_nobody_new_but_still_changes_those_it_has():
    policy = Policy(max_people=1)
    assert refusal_of(request(), prepared(1), count=1, policy=policy).code is Code.GROUP_LEN_ERROR
    assert decide(request(update=True), prepared(1), enrolled(0), count=1, policy=policy).outcome == "updated"


def test_a_person_has_a_bounded_number_of_faces():
    refusal = refusal_of(request(ignore_exist=True), prepared(5), enrolled(0), policy=Policy(max_faces_per_person=1))
    assert refusal.code is Code.PARAM_ERROR


@pytest.mark.parametrize("person", [None, enrolled(0)], ids=["somebody new", "somebody known"])
@pytest.mark.parametrize("update", [False, True])
def test_an_unknown_group_is_told_before_anything_about_the_person(person, update):
    refusal = refusal_of(request(group_names=("default_group", "nowhere"), update=update), prepared(1), person)
    assert refusal.code is Code.GROUP_NAME_ERROR
    assert "only default_group" in refusal.message


def test_the_photo_comes_back_only_when_asked_for():
    assert decide(request(), prepared(1)).answer.photo is None
    assert decide(request(need_bring_pic=True), prepared(1)).answer.photo == b"jpeg"


def test_a_deletion_removes_person_faces_and_photos():
    asked = DeleteRequest(request_id="r", identity_id="p", received_time_s=1.0)
    decision = decide_deletion(asked, known(enrolled(0, 2)))
    assert keys(decision) == [
        ("photo/p/0", True),
        ("photo/p/2", True),
        ("person/p", True),
        ("face/p/0/model%2B1", True),
        ("face/p/2/model%2B1", True),
    ]
    assert decision.after.record is None
    with pytest.raises(Refused) as caught:
        decide_deletion(asked, KnownPerson())
    assert caught.value.code is Code.ID_NOT_FOUND


def test_an_imported_feature_is_brought_to_unit_length():
    face, _ = prepare_face(request(feature=tuple(7.0 * unit(1))), MODELS, Policy(), 1_000_000, lambda: 0.0)
    np.testing.assert_allclose(face.vector, unit(1), atol=1e-6)


@pytest.mark.parametrize(
    "feature",
    [(), (0.0,) * DIMENSION, (1.0,) * (DIMENSION + 1), (1e300,) * DIMENSION, (5e-324,) * DIMENSION],
    ids=["empty", "all zero", "too long", "overflowing", "vanishing"],
)
def test_a_feature_that_is_no_direction_is_refused(feature):
    with pytest.raises(Refused) as caught:
        prepare_face(request(feature=feature), MODELS, Policy(), 1_000_000, lambda: 0.0)
    assert caught.value.code is Code.BAD_FEATURE_ERROR


def test_the_event_of_an_enrolment_tells_how_good_the_photo_is():
    asked = request(photo=photo(1))
    face, _ = prepare_face(asked, MODELS, Policy(), MAX_PIXELS, lambda: 0.0)
    at = Circumstances("requests", 0, 0, 2.0, {})

    event = person_event(asked, decide(asked, face), face, Policy(), at, 3, {})

    assert face is not None
    assert 0 < face.quality_score == event.quality_score <= 1
    assert [check.name for check in event.quality] == ["face_size", "headpose"]
