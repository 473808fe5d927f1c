"""FIQA as callers speak it (docs/interface.md)."""

import base64
from pathlib import Path
from typing import Any

import pytest

from contract.answers import Answer, FiqaAnswer, RefusedAnswer
from contract.errors import Code
from contract.findings import CheckResult, FaceBox, FaceQuality
from contract.http import FIQA_V6_PATH
from contract.pictures.limits import PictureSettings
from contract.requests import FiqaRequest, Request
from tests.wire.harness import Serving, Site
from tests.wire.test_bad_input import broken_pictures


def the_request(site: Site) -> FiqaRequest:
    (request,) = site.requests
    assert isinstance(request, FiqaRequest)
    return request


SCORES = {
    "mask": -1,
    "occlusion": [],
    "face_size": 100.0,
    "headpose": {"pitch_angle": -2.0, "roll_angle": 3.0, "yaw_angle": 1.0},
    "partial": False,
    "partial_share": 0.02,
    "brightness": 120.0,
    "clarity": 350.5,
}


async def test_an_assessment_is_answered_with_the_golden_json(site: Site) -> None:
    reply = await site.fiqa()
    assert reply.code == 200
    assert reply.json == {
        "data": [
            {
                "bbox": [10, 21, 110, 141],
                "success": ["headpose", "partial", "brightness"],
                "fails": ["face_size"],
                "fiqa_result": False,
                "info": SCORES,
                "score": 0.5,
            }
        ]
    }
    assert all(type(corner) is int for corner in reply.json["data"][0]["bbox"])


async def test_the_same_asked_as_version_6_asks_it_has_that_version_s_shape(site: Site) -> None:
    reply = await site.call("POST", FIQA_V6_PATH, json={"image_base64_str": site.picture_base64})
    assert reply.status == 200
    assert reply.json == {
        "fiqa_result": False,
        "detailed_result": {
            "bbox": [10, 21, 110, 141],
            "passed_items": ["headpose", "partial", "brightness"],
            "failed_items": ["face_size"],
            "detailed_scores": SCORES,
            "quality_score": 0.5,
        },
    }


async def test_every_face_has_an_entry_and_version_6_hears_of_the_first(serving: Serving) -> None:
    async def three(request: Request) -> Answer:
        faces = (FaceBox(x=0.0, y=0.0, width=size, height=size, confidence=1.0) for size in (90.0, 60.0, 30.0))
        return FiqaAnswer(
            faces=tuple(FaceQuality(passed=True, face=face, checks=(), quality_score=0.5) for face in faces)
        )

    async with serving(three) as site:
        data = (await site.fiqa()).json["data"]
        assert [entry["bbox"][2] for entry in data] == [90, 60, 30]
        first = await site.call("POST", FIQA_V6_PATH, json={"image_base64_str": site.picture_base64})
        assert first.json["detailed_result"]["bbox"] == [0, 0, 90, 90]


@pytest.mark.parametrize(
    ("body", "status", "name"),
    [
        ({}, 400, "MISSING_ARGUMENTS"),
        ({"image_base64_str": 1}, 400, "INVALID_ARGUMENTS"),
        ({"image_path": "/nowhere.jpg"}, 400, "IMAGE_NOT_OPENED"),
        ({"image_base64_str": "!"}, 400, "IMAGE_DECODE_ERROR"),
        ([], 400, "INVALID_REQUEST_JSON"),
    ],
)
async def test_version_6_hears_the_name_of_what_went_wrong(site: Site, body: Any, status: int, name: str) -> None:
    reply = await site.call("POST", FIQA_V6_PATH, json=body)
    assert reply.status == status
    assert list(reply.json["error"]) == ["code", "message"]
    assert reply.json["error"]["code"] == name


async def test_version_6_hears_the_name_of_a_processor_s_refusal(serving: Serving) -> None:
    async def refuse(request: Request) -> Answer:
        return RefusedAnswer(code=int(Code.NO_FACE), message="because")

    async with serving(refuse) as site:
        reply = await site.call("POST", FIQA_V6_PATH, json={"image_base64_str": site.picture_base64})
    assert (reply.status, reply.json) == (400, {"error": {"code": "NO_FACE_ERROR", "message": "because"}})


async def test_version_6_needs_a_content_type(site: Site) -> None:
    assert (await site.call("POST", FIQA_V6_PATH, data=b"{}", headers={"Content-Type": ""})).status == 400


@pytest.mark.parametrize(("shown", "worn"), [(0.9, 1), (1.0, 0), (1.4, 0)])
async def test_what_is_measured_of_mask_and_occlusion_takes_the_place_of_the_unknown(
    serving: Serving, shown: float, worn: int
) -> None:
    async def masked(request: Request) -> Answer:
        checks = [
            CheckResult(name=name, value=value, limit=0.5, passed=value <= 0.5)
            for name, value in (("mask", shown), ("occlusion", 0.25), ("partial", 0.4), ("an item of tomorrow", 1.0))
        ]
        face = FaceBox(x=-3.6, y=0.0, width=50.0, height=50.0, confidence=1.0)
        largest = FaceQuality(
            passed=False, face=face, checks=tuple(checks), quality_score=0.25, cut=True, masked=bool(worn)
        )
        return FiqaAnswer(faces=(largest,))

    async with serving(masked) as site:
        (face,) = (await site.fiqa()).json["data"]
    assert face["bbox"] == [-4, 0, 46, 50]
    assert face["info"] == {
        "mask": worn,
        "mouth_shown": shown,
        "occlusion": [0.25],
        "partial": True,
        "partial_share": 0.4,
    }


async def test_the_log_holds_the_raw_picture_and_the_level(site: Site) -> None:
    reply = await site.fiqa(fiqa_level="custom")
    request = the_request(site)
    assert request == FiqaRequest(
        request_id=reply.headers["x-request-id"],
        picture=site.picture,
        received_time_s=request.received_time_s,
        quality_level="custom",
    )
    assert site.records[0].key == request.request_id.encode()


@pytest.mark.parametrize("level", [..., None, ""])
async def test_without_a_level_the_high_one_counts(site: Site, level: Any) -> None:
    assert (await site.fiqa(fiqa_level=level)).code == 200
    assert the_request(site).quality_level == "high"


async def test_broken_pictures_get_their_row_before_the_log(site: Site) -> None:
    for name, (data, code) in broken_pictures(site.picture).items():
        reply = await site.fiqa(image_base64_str=base64.b64encode(data).decode())
        assert (name, reply.code) == (name, code)
    assert (await site.fiqa(image_base64_str="not base64!")).code == 40003
    assert site.requests == []


async def test_a_picture_over_the_limit_is_refused(serving: Serving) -> None:
    async with serving(pictures=PictureSettings(max_bytes=100, max_pixels=1000)) as site:
        assert (await site.fiqa()).code == 41300
    async with serving(pictures=PictureSettings(max_pixels=1000)) as site:
        assert (await site.fiqa()).code == 40007


async def test_a_path_under_a_root_is_measured_and_wins_over_base64(
    serving: Serving, tmp_path: Path, picture: bytes
) -> None:
    other = picture + b"other"
    (tmp_path / "face.jpg").write_bytes(other)
    async with serving() as site:
        assert (await site.fiqa(image_path=str(tmp_path / "face.jpg"))).code == 200
        assert the_request(site).picture == other


async def test_every_failure_of_a_path_is_the_same_answer(serving: Serving, tmp_path: Path, picture: bytes) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside.jpg").write_bytes(picture)
    (root / "text.jpg").write_text("no picture")
    (root / "out.jpg").symlink_to(tmp_path / "outside.jpg")
    paths = [
        str(tmp_path / "outside.jpg"),
        f"{root}/../outside.jpg",
        str(root / "missing.jpg"),
        str(root / "text.jpg"),
        str(root / "out.jpg"),
        str(root),
        "face.jpg",
        "/etc/passwd",
        f"{root}/a\0b.jpg",
    ]
    async with serving(image_roots=(str(root),)) as site:
        answers = [await site.fiqa(image_path=path, image_base64_str=...) for path in paths]
        assert [reply.code for reply in answers] == [40003] * len(paths)
        assert {reply.json["error"]["message"] for reply in answers} == {
            "image_path does not name a picture that may be read"
        }
        assert site.requests == []


@pytest.mark.parametrize("code", [Code.IMAGE_ERROR, Code.NO_FACE, Code.TIMEOUT, Code.INTERNAL_ERROR])
async def test_each_refusal_of_the_processor_becomes_its_row_of_the_table(serving: Serving, code: Code) -> None:
    async def refuse(request: Request) -> Answer:
        return RefusedAnswer(code=int(code), message="because")

    async with serving(refuse) as site:
        reply = await site.fiqa()
    assert reply.code == code
    assert reply.json == {"error": {"code": int(code), "message": "because", "status": code.name}}


async def test_unknown_fields_are_counted_and_calls_are_too(site: Site) -> None:
    assert (await site.fiqa(some_new_field=1)).code == 200
    assert site.metric("picturematch_http_unknown_fields_total") == 1
    assert site.metric("picturematch_http_requests_total", route="fiqa", code="200") == 1
