"""What makes an enrolment the same as one before."""

from hashlib import sha256
from typing import Any

import numpy as np
import pytest

from contract.people.records import PersonRecord, PhotoReference
from contract.requests import EnrolRequest
from engine.calls.repeated import repeated_face
from engine.gallery.packed import rounded
from engine.gallery.people import KnownPerson

PHOTO, OTHER = b"the photo", b"another file of the same face"
INFO = {"type": 1, "permission_ids": ["0"], "name": "N", "floor": 2}


def unit(seed: int, turn: float = 0.0) -> np.ndarray:
    """A vector of unit length; `turn` moves it a little."""
    vector = np.random.default_rng(seed).normal(size=16).astype(np.float32)
    vector[0] += turn
    return vector / np.linalg.norm(vector)


def person(**changes: Any) -> PersonRecord:
    fields = {"identity_id": "p", "group_ids": ("a", "b"), "info": INFO, "faces": (3, 7), "next_face": 8}
    return PersonRecord(**{**fields, **changes})


def asked(**changes: Any) -> EnrolRequest:
    fields = {"group_names": ("b", "a"), "photo": PHOTO, "info": {"name": "N", "floor": 2}}
    return EnrolRequest(request_id="r", identity_id="p", received_time_s=1.0, **{**fields, **changes})


def digest(photo: bytes | None) -> bytes | None:
    return None if photo is None else sha256(photo).digest()


def reference(photo: bytes) -> PhotoReference:
    return PhotoReference(sha256=sha256(photo).digest(), partition=0, offset=0)


VECTORS = {3: rounded(unit(3)), 7: rounded(unit(7))}
PHOTOS = {3: reference(OTHER), 7: reference(PHOTO)}
FEATURE = {"photo": None, "feature": (0.0,)}


def repeated(request: EnrolRequest, vector: Any = VECTORS[7], who: PersonRecord | None = None) -> int | None:
    known = KnownPerson(who or person(), VECTORS, {}, PHOTOS)
    return repeated_face(request, request.group_names, vector, digest(request.photo), known)


def test_the_same_photo_groups_and_info_are_the_same_enrolment_in_whatever_order() -> None:
    assert repeated(asked()) == 7
    assert repeated(asked(info={"floor": 2, "name": "N"}, group_names=("a", "b", "a"))) == 7
    assert repeated(asked(info={**INFO})) == 7


def test_a_member_that_is_null_is_the_same_as_an_absent_one() -> None:
    assert repeated(asked(info={"floor": 2, "name": "N", "room": None, "valid_until": None})) == 7
    assert repeated(asked(info={"floor": None, "name": "N"})) is None


def test_a_photo_whose_face_another_machine_computed_a_little_differently_is_the_same() -> None:
    near = unit(7, turn=1e-4)
    assert not np.array_equal(near, VECTORS[7])
    assert repeated(asked(), near) == 7


@pytest.mark.parametrize(
    "changes",
    [
        {"photo": OTHER},
        {"info": {"name": "N"}},
        {"info": {"name": "N", "floor": 3}},
        {"info": {"name": "N", "floor": 2.0}},
        {"info": {"name": "N", "floor": 2, "more": 1}},
        {"info": {"name": "N", "floor": 2, "type": 3}},
        {"info": None},
        {"group_names": ("a",)},
        {"group_names": ("a", "b", "c")},
        {"group_names": None},
        {"update": True},
        {"ignore_exist": True},
    ],
    ids=str,
)
def test_anything_else_is_another_enrolment(changes: dict[str, Any]) -> None:
    assert repeated(asked(**changes)) is None


def test_true_is_not_one() -> None:
    assert repeated(asked(info={"name": "N", "floor": 2, "x": True}), who=person(info={**INFO, "x": 1})) is None
    assert repeated(asked(info={"name": "N", "floor": 2, "x": True}), who=person(info={**INFO, "x": True})) == 7


def test_the_same_file_with_another_face_than_the_person_has_is_another_enrolment() -> None:
    assert repeated(asked(), unit(9)) is None
    assert repeated(asked(), None) is None


def test_a_feature_is_the_same_only_number_by_number() -> None:
    assert repeated(asked(**FEATURE)) == 7
    assert repeated(asked(**FEATURE), VECTORS[3]) == 3
    assert repeated(asked(**FEATURE), unit(7)) == 7, "the vector as it was sent, which is stored with fewer bits"
    assert repeated(asked(**FEATURE), unit(7, turn=1e-4)) is None
    assert repeated(asked(feature=(0.0,))) == 7
    assert repeated(asked(feature=(0.0,), photo=OTHER)) is None


def test_somebody_who_is_not_enrolled_repeats_nothing() -> None:
    assert repeated_face(asked(), ("a", "b"), VECTORS[7], digest(PHOTO), KnownPerson()) is None


def test_a_photo_that_was_converted_is_compared_by_the_file_that_was_sent() -> None:
    converted = PhotoReference(sha256=b"of the JPEG", sent_sha256=digest(PHOTO), partition=0, offset=0)
    known = KnownPerson(person(), VECTORS, {}, {7: converted})
    assert repeated_face(asked(), ("a", "b"), VECTORS[7], digest(PHOTO), known) == 7
    assert repeated_face(asked(), ("a", "b"), VECTORS[7], b"of the JPEG", known) is None
