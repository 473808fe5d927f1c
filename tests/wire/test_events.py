"""GET of events, of their pictures and of counts, from a whole server whose sink fills the store."""

import asyncio
import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from contract.calls.devices import CREATE as DEVICES
from contract.calls.events import COUNTS, IMAGE, LIST
from contract.calls.match import MATCH
from contract.calls.people import ENROL
from tests.support.faces import photo
from tests.wire.whole_site import WholeSite


def until_it_holds(whole: WholeSite, condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    """Let the server go on until the condition holds."""
    ends = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < ends
        whole.runner.run(asyncio.sleep(0.05))


def post(whole: WholeSite, declaration: Any, body: dict[str, Any]) -> dict[str, Any]:
    status, answer = whole.post(declaration, json.dumps(body))
    assert status == 200, answer
    return answer  # type: ignore[no-any-return]


def listed(whole: WholeSite, **fields: str) -> list[dict[str, Any]]:
    status, answer = whole.get(LIST, fields)
    assert status == 200, answer
    return answer["data"]  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def filled(whole: WholeSite) -> WholeSite:
    """A server with a device, a person, and the events of two people at doors."""
    post(
        whole,
        ENROL,
        {
            "identity_id": "ev-1",
            "group_name": "default_group",
            "reg_photo": base64.b64encode(photo(31)).decode(),
            "fiqa_level": "no",
            "info": {"name": "Ana Björk", "type": 5},
        },
    )
    device = {"device_type": "photo", "device_name": "hall", "device_key": "10.9.0.1"}
    post(
        whole,
        DEVICES,
        {"devices_list": [{**device, "group_id": "default_group", "permission_id": "0", "is_start_rtmp": False}]},
    )
    for number, (who, address) in enumerate(((31, "10.9.0.1"), (32, "10.9.0.1"), (31, "10.9.0.2"))):
        picture = base64.b64encode(photo(who)).decode()
        post(
            whole,
            MATCH,
            {"device_ip": address, "rgb_image_base64": picture, "compare_time": 1_700_000_000 + number},
        )
    until_it_holds(whole, lambda: len(listed(whole, datetime_gte="1700000000", datetime_lte="1700000002")) == 3)
    return whole


def test_events_are_listed_as_the_vendor_describes_them(filled: WholeSite) -> None:
    newest, stranger, first = listed(filled, datetime_gte="1700000000", datetime_lte="1700000002")
    assert [newest["timestamp"], stranger["timestamp"], first["timestamp"]] == [1.7e9 + 2, 1.7e9 + 1, 1.7e9]
    assert (first["identity_id"], first["identity_name"], first["person_type"]) == ("ev-1", "Ana Björk", 5)
    assert first["identity_info"]["face_ids"] == [0]
    assert first["identity_info"]["image_id"] == "ev-1-0"
    assert (first["ep_info"]["ep_ip"], first["ep_info"]["ep_name"]) == ("10.9.0.1", "hall")
    assert newest["ep_info"]["ep_name"] == ""
    assert first["ep_info"]["ep_id"] == f"{first['ep_info']['device_id']}__10.9.0.1"
    assert (stranger["identity_id"], stranger["identity_name"], stranger["identity_info"]) == ("", "", {})
    assert (stranger["person_type"], stranger["outcome"]) == (4, "stranger")
    assert len(first["recognize_face_attr"]["box"]) == 4


def test_events_are_chosen_by_the_fields_of_the_query(filled: WholeSite) -> None:
    window = {"datetime_gte": "1700000000", "datetime_lte": "1700000002"}
    (device,) = {e["ep_info"]["device_id"] for e in listed(filled, **window) if e["ep_info"]["ep_name"] == "hall"}
    for fields, count in (
        ({"name": "BJÖ"}, 2),
        ({"identity_id": "ev-1"}, 2),
        ({"streams": device}, 2),
        ({"streams": f'["{device}", "other"]'}, 2),
        ({"outcomes": "stranger"}, 1),
        ({"score_min": "82"}, 2),
        ({"score_max": "81.9"}, 1),
        ({"userType": "5"}, 2),
        ({"groups": "default_group"}, 3),
        ({"groups": "nothing"}, 0),
        ({"kinds": "compare"}, 0),
        ({"top_k": "1"}, 1),
        ({"per_page": "2", "page": "1"}, 1),
    ):
        assert len(listed(filled, **window, **fields)) == count, fields


def test_the_place_of_a_page_is_told(filled: WholeSite) -> None:
    window = {"datetime_gte": "1700000000", "datetime_lte": "1700000002", "per_page": "2", "page": "1"}
    _, answer = filled.get(LIST, window)
    assert answer["pagination"] == {"num_pages": 2, "page": 1, "per_page": 2, "total_count": 3}


def test_pictures_of_an_event_are_answered_whole_and_cut_out(filled: WholeSite) -> None:
    first = listed(filled, datetime_gte="1700000000", datetime_lte="1700000000")[0]
    assert fetched(filled, first["spot_pic_id"]) == (200, photo(31))
    status, face = fetched(filled, first["recognize_face_pic_id"])
    assert (status, face[:2]) == (200, b"\xff\xd8")
    assert len(face) < len(photo(31))


@pytest.mark.parametrize("image_id", ["unknown", "unknown-face", "x-ir"])
def test_pictures_of_no_event_are_refused(filled: WholeSite, image_id: str) -> None:
    status, answer = filled.get(IMAGE, {"image_id": image_id, "datetime": "1"})
    assert (status, answer["error"]["code"]) == (404, 40400)


def test_events_are_counted(filled: WholeSite) -> None:
    window = {"datetime_gte": "1700000000", "datetime_lte": "1700000002"}
    status, answer = filled.get(COUNTS, {**window, "by": "outcome"})
    assert status == 200
    assert [(c["outcome"], c["count"]) for c in answer["data"]] == [("matched", 2), ("stranger", 1)]
    status, answer = filled.get(COUNTS, {**window, "by": "weather"})
    assert (status, answer["error"]["code"]) == (400, 40071)


def fetched(whole: WholeSite, image_id: str) -> tuple[int, bytes]:
    async def get() -> tuple[int, bytes]:
        url = whole.system.url + IMAGE.path.replace("{image_id}", image_id)
        async with whole.session.get(url, params={"datetime": "1700000000"}) as response:
            return response.status, await response.read()

    return whole.runner.run(get())
