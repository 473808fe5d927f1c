"""detect as callers speak it (docs/interface.md)."""

import base64
from typing import Any

import pytest

from contract.answers import Answer, RefusedAnswer
from contract.errors import Code
from contract.http import DETECT_PATH
from contract.requests import DetectRequest, Request
from tests.wire.harness import HttpReply, Serving, Site
from tests.wire.test_bad_input import broken_pictures

FLAGS = ("with_attribute", "with_headpose", "with_landmark", "with_feature")


async def detect(site: Site, **fields: Any) -> HttpReply:
    """A good body of detect, with changes; a field of ... is left out."""
    whole = {"image_base64_str": site.picture_base64, **fields}
    return await site.call("POST", DETECT_PATH, json={name: value for name, value in whole.items() if value is not ...})


async def test_a_face_is_answered_with_the_golden_json(site: Site) -> None:
    assert (await detect(site)).json == {"data": [{"bbox": [10, 21, 110, 141]}]}
    whole = await detect(site, **dict.fromkeys(FLAGS, True))
    assert whole.json == {
        "data": [
            {
                "bbox": [10, 21, 110, 141],
                "attribute": {"age": 27, "gender": "male"},
                "headpose": {"pitch_angle": -2.0, "roll_angle": 3.0, "yaw_angle": 1.0},
                "landmark": [1, 2, 3, 4, 5, 6, 7, 8, 9, 11],
                "feature": [0.5, -0.25],
            }
        ]
    }


async def test_the_log_has_the_raw_picture_and_what_was_asked_for(site: Site) -> None:
    reply = await detect(site, max_num_faces=3, with_landmark=True)
    (request,) = site.requests
    assert isinstance(request, DetectRequest)
    assert request == DetectRequest(
        request_id=reply.headers["x-request-id"],
        picture=site.picture,
        received_time_s=request.received_time_s,
        most_faces=3,
        with_landmark=True,
    )
    assert site.records[0].key == request.request_id.encode()


async def test_ten_faces_are_the_most_where_nothing_else_is_asked(site: Site) -> None:
    assert (await detect(site)).code == 200
    (request,) = site.requests
    assert isinstance(request, DetectRequest)
    assert request.most_faces == 10


@pytest.mark.parametrize("url", ["http://192.168.1.9/face.jpg", "file:///etc/passwd", "x"])
async def test_no_address_is_ever_fetched_also_beside_a_picture(site: Site, url: str) -> None:
    for picture in (..., site.picture_base64):
        reply = await detect(site, image_url=url, image_base64_str=picture)
        assert reply.code == 40071
        assert "image_url" in reply.json["error"]["message"]
        assert url not in reply.json["error"]["message"].replace("fetches", "")
    assert site.requests == []
    assert (await detect(site, image_url="")).code == 200, "an empty text is no address"


async def test_broken_pictures_get_their_row_before_the_log(site: Site) -> None:
    for name, (data, code) in broken_pictures(site.picture).items():
        reply = await detect(site, image_base64_str=base64.b64encode(data).decode())
        assert (name, reply.code) == (name, code)
    assert site.requests == []


async def test_a_refusal_of_the_processor_becomes_its_row_of_the_table(serving: Serving) -> None:
    async def refuse(request: Request) -> Answer:
        return RefusedAnswer(code=int(Code.NO_FACE), message="because")

    async with serving(refuse) as site:
        reply = await detect(site)
    assert reply.json == {"error": {"code": 40004, "message": "because", "status": "NO_FACE"}}


async def test_a_body_without_a_content_type_is_refused(site: Site) -> None:
    assert (await site.call("POST", DETECT_PATH, data=b"{}", headers={"Content-Type": ""})).code == 40001
