"""The body of the vendor's push, and what the answer to it means."""

import base64
from typing import Any

import orjson
import pytest
from msgspec import structs

from contract.findings import Attributes, FaceBox
from contract.people.records import PersonRecord
from contract.people.site import Site
from sinks.push_body import Part, Person, Pushed, form_parts, json_body, push_fields, refusal_in
from tests.support.sinking import NOW_S, event

PERSON = Person(
    PersonRecord(identity_id="7", group_ids=(), info={"name": "Anna", "type": 5}, faces=(0, 3), next_face=4),
    {"name": "Anna", "type": 5, "floor": "12"},
)


def fields(person: Person | None = PERSON, **changes: Any) -> dict[str, Any]:
    return push_fields(event(1, **{"name": "Anna", **changes}), person, Site())


def test_times_are_whole_milliseconds_of_the_compare_time() -> None:
    found = fields(compare_time=NOW_S + 0.1236)
    assert found["timestamp"] == found["out_timestamp"] == round(NOW_S * 1000) + 124
    assert isinstance(found["timestamp"], int)


def test_a_person_has_the_whole_info_with_the_photos_and_a_stranger_has_none() -> None:
    assert fields()["identity_info"] == {**PERSON.info, "face_ids": ["7-0", "7-3"], "image_id": "7-3"}
    assert (fields()["person_type"], fields(person_type=3)["person_type"]) == (5, 3)
    stranger = fields(None, identity_id="", name="whoever was next", person_type=1, retcode="0")
    assert (stranger["identity_name"], stranger["person_type"], stranger["identity_info"]) == ("stranger", 4, {})
    gone = fields(None)
    assert (gone["identity_id"], gone["identity_name"], gone["identity_info"]) == ("7", "Anna", {}), "deleted since"


def test_an_unregistered_device_has_the_id_that_is_made_from_its_address() -> None:
    where = fields()["ep_info"]
    assert where["device_id"] == Site().device_id_of("10.0.0.1") != ""
    assert (where["ep_name"], where["ep_ip"], where["ep_type"]) == ("10.0.0.1", "10.0.0.1", "photo")
    assert set(fields(device_ip=None)["ep_info"].values()) == {"", "photo"}


def test_the_action_score_and_attributes_are_those_of_the_event() -> None:
    found = fields(
        want_action="1001",
        score=6.58,
        face=FaceBox(x=10.4, y=20.0, width=30.0, height=40.4, confidence=0.9),
        attributes=Attributes(age_years=18.9, sex="male", mask=False, glasses=True),
    )
    assert (found["want_action"], found["score"]) == ("1001", 6.58)
    about = found["recognize_face_attr"]
    assert about["box"] == [10, 20, 40, 60]
    assert (about["age"], about["gender"], about["mask"], about["glasses"]) == ("juvenile", "male", "no", "yes")
    assert (about["hat"], about["feature"]) == (None, [])
    assert fields()["recognize_face_attr"]["box"] == []
    assert fields(score=None)["score"] == 0.0


def test_pictures_are_base64_in_json_and_files_in_a_form() -> None:
    pictures = {"spot_pic": b"\x89PNG..", "reg_pic": b"\xff\xd8\xff.."}
    found = orjson.loads(json_body(fields(), pictures))
    assert base64.b64decode(found["spot_pic"], validate=True) == b"\x89PNG.."
    assert (found["ir_pic"], found["recognize_face"]) == ("", "")
    parts = {part.name: part for part in form_parts(fields(), pictures)}
    assert parts["spot_pic"] == Part("spot_pic", b"\x89PNG..", ("spot_pic.png", "image/png"))
    assert parts["reg_pic"].file == ("reg_pic.jpg", "image/jpeg")
    assert parts["ir_pic"] == Part("ir_pic", "")
    assert orjson.loads(parts["identity_info"].value)["floor"] == "12"
    assert (parts["person_type"].value, parts["identity_id"].value) == ("5", "7")
    assert list(parts) == list(found)


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (b'{"message":"SUCCESS","status":0}', None),
        (b"", None),
        (b"OK", None),
        (b"[1]", None),
        (b'{"status":null}', None),
        (b'{"status":"success"}', None),
        (b'{"status":true}', None),
        (b'{"status":"0"}', None),
        (b'{"status":0.0}', None),
        (b'{"status":1}', "1"),
        (b'{"status":-3}', "-3"),
        (b'{"status":"500"}', "500"),
        (b'{"status":0.5}', "0.5"),
    ],
)
def test_a_status_other_than_0_in_the_answer_is_a_failure(body: bytes, refused: str | None) -> None:
    assert refusal_in(body) == refused


def test_matches_and_comparisons_that_were_answered_are_pushed() -> None:
    pushed = Pushed()
    assert pushed.contains(event(1))
    assert pushed.contains(event(1, outcome="stranger", retcode="0"))
    assert pushed.contains(event(1, kind="compare", device_ip=None))
    enrolment = event(1, kind="stranger", outcome="enrolled", retcode=None, want_action="1001", person_type=4)
    assert pushed.contains(enrolment)
    assert not pushed.contains(structs.replace(enrolment, outcome="known", want_action="0"))
    for changes in ({"retcode": None}, {"kind": "enrol"}, {"replay_of": "x"}, {"repeat_of": "x"}):
        assert not pushed.contains(event(1, **changes)), changes
