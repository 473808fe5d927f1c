"""What lists, pushes and real-time messages say of a face, in the vendor's words."""

import pytest
from msgspec import structs

from contract.findings import Attributes, FaceBox
from contract.people.records import PersonRecord
from contract.vendor_words import face_attributes, identity_info, person_type
from tests.support.sinking import event

ANNA = PersonRecord(identity_id="7", group_ids=("default_group",), info={"type": 5}, faces=(0, 3), next_face=4)


def test_no_info_is_told_of_a_stranger() -> None:
    stranger = structs.replace(ANNA, info={"type": 4})
    assert identity_info(stranger, {"name": "stranger"}) == {}
    assert identity_info(ANNA, {"name": "Anna"})["name"] == "Anna"


@pytest.mark.parametrize(
    ("years", "word"),
    [
        (0.0, "child"),
        (6.9, "child"),
        (7.0, "juvenile"),
        (18.9, "juvenile"),
        (19.0, "youth"),
        (40.9, "youth"),
        (41.0, "middle-aged"),
        (65.9, "middle-aged"),
        (66.0, "aged"),
        (None, None),
    ],
)
def test_an_age_has_the_word_of_its_class(years: float | None, word: str | None) -> None:
    assert face_attributes(None, Attributes(age_years=years), None)["age"] == word


def test_what_is_known_of_a_face_is_said_and_the_rest_is_null() -> None:
    box = FaceBox(x=1.4, y=2.0, width=10.0, height=20.6, confidence=0.9)
    found = face_attributes(box, Attributes(sex="male", mask=False, glasses=True), [])
    assert found == {
        "point": [],
        "box": [1, 2, 11, 23],
        "age": None,
        "mask": "no",
        "gender": "male",
        "glasses": "yes",
        "hat": None,
        "expression": None,
    }
    assert set(face_attributes(None, None, None).values()) == {None}


def test_the_type_and_the_info_of_a_person_are_those_of_now_where_the_event_has_none() -> None:
    assert person_type(event(1, person_type=3), ANNA) == 3
    assert person_type(event(1), ANNA) == 5
    assert person_type(event(1), None) == 4
    assert person_type(event(1, identity_id="", outcome="stranger"), None) == 4
    assert identity_info(ANNA, {"name": "Anna"}) == {"name": "Anna", "face_ids": ["7-0", "7-3"], "image_id": "7-3"}
    assert identity_info(None, {}) == {}
