"""The messages of real-time clients: every field of the vendor, and nothing else."""

import base64

import orjson
import pytest

from contract.events import EventScope, Threshold
from contract.findings import Attributes, FaceBox
from contract.ids import device_id_at
from contract.people.records import PersonRecord
from contract.people.site import DeviceRecord, GroupRecord, Site
from sinks.realtime_body import Pictures, Told, stream_chunk, v5_body, v6_body
from tests.support.sinking import NOW_S, event

DEVICE = DeviceRecord(
    device_id="d-1", name="door", address="10.0.0.1", device_type="photo", group_id="g-1", permission_id="0"
)
SITE = Site().put(GroupRecord(group_id="g-1", name="staff")).put(DEVICE)
PERSON = PersonRecord(identity_id="7", group_ids=("g-1",), info={"name": "Anna", "type": 5}, faces=(0, 2), next_face=3)
TOLD = Told(PERSON, {"name": "Anna", "type": 5, "room": "12"}, Pictures(b"face", b"spot", b"photo"))
MATCH = event(1, name="Anna", person_type=5, scope=EventScope(group_name="staff"))
STRANGER = event(2, outcome="stranger", retcode="0", identity_id="", score=0.31, cosine=0.31)


def encoded(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def test_a_match_has_exactly_the_fields_of_version_5_and_the_two_that_the_vendor_s_client_reads() -> None:
    assert orjson.loads(v5_body(MATCH, TOLD, SITE, with_face=True)) == {
        "identity_id": "7",
        "identity_name": "Anna",
        "group_name": "staff",
        "device_id": "d-1",
        "identity_info": {
            "name": "Anna",
            "type": 5,
            "room": "12",
            "face_ids": ["7-0", "7-2"],
            "image_id": "7-2",
        },
        "timestamp": int(NOW_S + 1) * 1000,
        "score": 0.75,
        "reg_pic": encoded(b"photo"),
        "ext_data": {
            "device_ip": "10.0.0.1",
            "recognize_face": encoded(b"face"),
            "spot_pic": encoded(b"spot"),
            "person_type": 5,
            "device_type": "0",
        },
        "video_id": "d-1",
        "event_id": "event-1",
    }


def test_a_stranger_has_no_info_no_photo_and_the_type_of_strangers() -> None:
    body = orjson.loads(v5_body(STRANGER, Told(), SITE, with_face=False))
    assert (body["identity_id"], body["identity_name"], body["identity_info"]) == ("", "stranger", {})
    assert (body["reg_pic"], body["score"], body["group_name"]) == ("", 0.31, "staff")
    assert body["ext_data"] == {"device_ip": "10.0.0.1", "person_type": 4, "device_type": "0"}


def test_a_device_that_is_not_registered_has_the_id_of_its_address_and_no_group() -> None:
    body = orjson.loads(v5_body(STRANGER, Told(), Site(), with_face=False))
    expected = device_id_at("10.0.0.1")
    assert (body["device_id"], body["video_id"], body["group_name"]) == (expected, expected, "")


def test_a_deleted_group_is_named_by_its_id_and_a_video_device_has_another_type() -> None:
    camera = DeviceRecord(
        device_id="d-2", name="yard", address="rtsp://x", device_type="rtsp", group_id="gone", permission_id="0"
    )
    site = Site().put(camera)
    body = orjson.loads(v5_body(event(3, device_ip="rtsp://x"), Told(), site, with_face=False))
    assert (body["group_name"], body["ext_data"]["device_type"]) == ("gone", "3")


def test_a_match_in_the_fields_of_version_6() -> None:
    happened = event(
        4,
        name="Anna",
        person_type=5,
        cosine=0.74,
        threshold=Threshold(value=0.48, cosine=0.48, rule="setting"),
        face=FaceBox(x=10.4, y=20, width=30, height=40, confidence=0.9),
        attributes=Attributes(age_years=33.0, sex="female", mask=False, glasses=True),
    )
    assert orjson.loads(v6_body(happened, TOLD, SITE)) == {
        "event_id": "event-4",
        "timestamp": int(NOW_S + 4) * 1000,
        "identity_id": "7",
        "identity_name": "Anna",
        "user_type": "vip",
        "score": 91.0,
        "media_device_ip": "10.0.0.1",
        "media_device_id": "d-1",
        "media_device_type": "photo",
        "register_image": f"data:image/jpeg;base64,{encoded(b'photo')}",
        "recognize_face_image": f"data:image/jpeg;base64,{encoded(b'face')}",
        "recognize_face_attr": {
            "point": [],
            "box": [10, 20, 40, 60],
            "mask": "no",
            "gender": "female",
            "hat": None,
            "age": "youth",
            "glasses": "yes",
            "expression": None,
        },
    }


@pytest.mark.parametrize(("cosine", "percent"), [(-0.2, 0.0), (0.0, 0.0), (0.24, 41.0), (0.48, 82.0), (1.0, 100.0)])
def test_the_score_of_version_6_is_on_the_percent_scale_whatever_scale_answers_have(
    cosine: float, percent: float
) -> None:
    body = orjson.loads(v6_body(event(5, cosine=cosine, score=cosine), Told(), SITE))
    assert body["score"] == pytest.approx(percent)


def test_pictures_that_nobody_asked_for_or_that_are_gone_are_empty() -> None:
    body = orjson.loads(v6_body(MATCH, Told(), SITE))
    assert (body["register_image"], body["recognize_face_image"]) == ("", "")


@pytest.mark.parametrize(
    ("event_id", "value", "chunk"),
    [
        ("a", b'{"x":1}', b'id: a\ndata: {"x":1}\n\n'),
        ("a", b'{\n"x":\r\n1}', b'id: a\ndata: {"x":1}\n\n'),
        ("a\ndata: forged", b"{}", b"data: {}\n\n"),
    ],
)
def test_a_server_sent_event_is_one_line_of_json_and_its_id(event_id: str, value: bytes, chunk: bytes) -> None:
    assert stream_chunk(event_id, value) == chunk


def test_the_enrolment_of_a_stranger_says_so_and_has_no_info() -> None:
    person = PersonRecord(identity_id="s", group_ids=("g-1",), info={"type": 4}, faces=(0,), next_face=1)
    who = {"identity_id": "s", "name": "stranger", "person_type": 4}
    enrolment = event(3, kind="stranger", outcome="enrolled", want_action="1001", **who)
    told = Told(person, {"name": "stranger", "type": 4})
    for body in (v5_body(enrolment, told, SITE, with_face=False), v6_body(enrolment, told, SITE)):
        found = orjson.loads(body)
        assert (found["want_action"], found["identity_id"], found["identity_name"]) == ("1001", "s", "stranger")
        assert found.get("identity_info", {}) == {}
    assert "want_action" not in orjson.loads(v6_body(MATCH, TOLD, SITE))
