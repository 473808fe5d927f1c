"""compare as callers speak it (docs/interface.md)."""

import base64
import io
import json
from typing import Any

import pytest

from contract.answers import Answer, CompareAnswer, CompareDebug, DebugInfo, RefusedAnswer
from contract.errors import Code
from contract.http import COMPARE_PATH
from contract.pictures.limits import PictureSettings
from contract.requests import CompareRequest, Headers, Request
from tests.wire.harness import HttpReply, Serving, Site, encoded, noise
from tests.wire.test_bad_input import (
    broken_pictures,
)

MIB = 1024 * 1024


def the_request(site: Site) -> CompareRequest:
    (request,) = site.requests
    assert isinstance(request, CompareRequest)
    return request


async def test_a_comparison_is_answered_with_the_golden_json(site: Site) -> None:
    reply = await site.compare()
    assert reply.code == 200
    assert reply.body == b'{"retcode":"1","score":0.75}'
    assert reply.headers["content-type"] == "application/json"


async def test_the_log_holds_the_raw_pictures_and_everything_the_body_said(site: Site) -> None:
    card = encoded(".png", noise(40, 40))
    info = {"identity_id": "4711", "name": "Ada", "card": {"expires": [2030, 1]}}
    reply = await site.compare(
        card_image_base64=base64.b64encode(card).decode(),
        threshold="high",
        fiqa_level="low",
        need_save=True,
        compare_time=1700000000.25,
        identity_info=info,
    )
    assert reply.code == 200
    request = the_request(site)
    assert request == CompareRequest(
        request_id=reply.headers["x-request-id"],
        face_picture=site.picture,
        card_picture=card,
        compare_time_s=1700000000.25,
        received_time_s=request.received_time_s,
        level="high",
        quality_level="low",
        need_save=True,
        identity_info=info,
    )


async def test_what_was_found_in_both_pictures_comes_with_the_answer_when_asked_for(serving: Serving) -> None:
    found = {"faces": 1, "face": None, "quality": (), "liveness": None, "quality_score": 0.5}

    async def told(request: Request) -> Answer:
        assert isinstance(request, CompareRequest)
        debug = CompareDebug(
            face=DebugInfo(**found, timings_ms={"decode": 1.5}), card=DebugInfo(**found, timings_ms={"decode": 1.5})
        )
        return CompareAnswer(retcode="1", score=0.75, debug=debug if request.with_debug_info else None)

    async with serving(told) as site:
        assert "debug_info" not in (await site.compare()).json
        debug = (await site.compare(with_debug_info=True)).json["debug_info"]
    assert list(debug) == ["face", "card"]
    assert debug["card"] == {**found, "quality": [], "timings_ms": {"decode": 1.5}, "cover": None}


async def test_whom_it_is_about_does_not_enter_the_log_unless_it_is_to_be_saved(site: Site) -> None:
    assert (await site.compare(need_save=False, identity_info={"name": "c4n4ry"})).code == 200
    assert the_request(site).identity_info is None
    assert b"c4n4ry" not in (site.records[0].value or b"")


@pytest.mark.parametrize("text", [None, ""])
async def test_what_is_absent_or_null_or_an_empty_text_has_its_default(site: Site, text: str | None) -> None:
    absent = {"threshold": text, "fiqa_level": text, "need_save": None, "compare_time": text, "identity_info": None}
    assert (await site.compare(**absent)).code == 200
    request = the_request(site)
    assert (request.level, request.quality_level, request.need_save, request.identity_info) == (
        "middle",
        None,
        False,
        None,
    )
    assert request.compare_time_s == request.received_time_s


async def test_the_record_is_keyed_by_the_request_and_says_where_the_answer_goes(site: Site) -> None:
    reply = await site.compare()
    (record,) = site.records
    assert record.key == reply.headers["x-request-id"].encode()
    assert record.header(Headers.REQUEST_ID) == record.key
    deadline_ms = int(record.header(Headers.DEADLINE_MS) or b"0")
    assert deadline_ms == int(the_request(site).received_time_s * 1000) + 3000


@pytest.mark.parametrize(
    ("sent", "level"),
    [
        ("high", "high"),
        ("middle", "middle"),
        ("low", "low"),
        (0.275, "high"),
        (0.225, "middle"),
        (0.175, "low"),
        ("0.275", "high"),
        ("0.225", "middle"),
        (" 0.1750 ", "low"),
    ],
)
async def test_a_threshold_is_a_level_or_the_figure_that_stands_for_it(site: Site, sent: Any, level: str) -> None:
    assert (await site.compare(threshold=sent)).code == 200
    assert the_request(site).level == level


@pytest.mark.parametrize("sent", ["HIGH", "best", 0, 0.2, 0.28, 1, "0.3", "nan", True, [], ["high"], {}, 10**30])
async def test_any_other_threshold_is_refused_with_the_choices(site: Site, sent: Any) -> None:
    reply = await site.compare(threshold=sent)
    assert reply.code == 40071
    message = reply.json["error"]["message"]
    for choice in ("threshold", "high", "middle", "low", "0.275", "0.225", "0.175"):
        assert choice in message
    assert site.requests == []


@pytest.mark.parametrize(
    ("sent", "seconds", "raw"),
    [
        (1700000000.123456, 1700000000.123456, None),
        ("1700000000.5", 1700000000.5, "1700000000.5"),
        (1700000000123, 1700000000.123, "1700000000123"),
    ],
)
async def test_compare_time_is_understood_as_that_of_picture_match(
    site: Site, sent: Any, seconds: float, raw: str | None
) -> None:
    assert (await site.compare(compare_time=sent)).code == 200
    assert (the_request(site).compare_time_s, the_request(site).compare_time_raw) == (seconds, raw)


@pytest.mark.parametrize("field", ["face_image_base64", "card_image_base64"])
async def test_a_broken_picture_gets_its_row_and_its_name_before_the_log(site: Site, field: str) -> None:
    for name, (data, code) in broken_pictures(site.picture).items():
        reply = await site.compare(**{field: base64.b64encode(data).decode()})
        assert (name, reply.code) == (name, code)
        assert reply.json["error"]["message"].startswith(field)
    reply = await site.compare(**{field: "not base64!"})
    assert reply.code == 40003
    assert field in reply.json["error"]["message"]
    assert site.requests == []


@pytest.mark.parametrize("field", ["face_image_base64", "card_image_base64"])
async def test_base64_comes_with_prefix_and_line_breaks(site: Site, field: str) -> None:
    text = "data:image/jpeg;base64," + base64.encodebytes(site.picture).decode().rstrip("=\n")
    assert (await site.compare(**{field: text})).code == 200
    assert (the_request(site).face_picture, the_request(site).card_picture) == (site.picture, site.picture)


async def test_two_pictures_of_the_largest_size_fit_into_one_body(site: Site) -> None:
    largest = site.picture + b"\0" * (8 * MIB - len(site.picture))

    async def compare_with(card: bytes) -> HttpReply:
        texts = (base64.encodebytes(picture).decode() for picture in (largest, card))
        body = json.dumps(dict(zip(("face_image_base64", "card_image_base64"), texts, strict=True))).encode()
        headers = {"Content-Type": "application/json"}
        return await site.call("POST", COMPARE_PATH, data=io.BytesIO(body), headers=headers)

    assert (await compare_with(largest)).code == 200
    assert len(the_request(site).face_picture) == len(the_request(site).card_picture) == 8 * MIB
    reply = await compare_with(largest + b"\0")
    assert reply.code == 41300
    assert "card_image_base64" in reply.json["error"]["message"]


async def test_a_picture_with_too_many_pixels_is_refused_by_name(serving: Serving) -> None:
    async with serving(pictures=PictureSettings(max_pixels=2000)) as site:
        small = base64.b64encode(encoded(".jpg", noise(40, 40))).decode()
        reply = await site.compare(face_image_base64=small)
        assert reply.code == 40007
        assert reply.json["error"]["message"].startswith("card_image_base64")


@pytest.mark.parametrize(
    "code", [Code.IMAGE_ERROR, Code.NO_FACE, Code.LOW_QUALITY_ERROR, Code.TIMEOUT, Code.INTERNAL_ERROR]
)
async def test_each_refusal_of_the_processor_becomes_its_row_of_the_table(serving: Serving, code: Code) -> None:
    async def refuse(request: Request) -> Answer:
        return RefusedAnswer(code=int(code), message="because")

    async with serving(refuse) as site:
        reply = await site.compare()
    assert reply.code == code
    assert reply.json == {"error": {"code": int(code), "message": "because", "status": code.name}}


async def test_no_answer_within_the_deadline_is_a_timeout(serving: Serving) -> None:
    async def never(request: Request) -> Answer | None:
        return None

    async with serving(never, deadline_ms=150) as site:
        assert (await site.compare()).code == 50480


async def test_a_body_that_is_no_json_object_and_another_method_are_refused(site: Site) -> None:
    headers = {"Content-Type": "application/json"}
    assert (await site.call("POST", COMPARE_PATH, data=b"[]", headers=headers)).code == 40000
    assert (await site.call("POST", COMPARE_PATH, data=b"", headers=headers)).code == 40002
    assert (await site.call("POST", COMPARE_PATH, data=b"{}", headers={"Content-Type": "text/plain"})).code == 40001
    reply = await site.call("GET", COMPARE_PATH)
    assert (reply.code, reply.headers["allow"]) == (40580, "POST")


async def test_unknown_fields_are_counted_and_calls_are_too(site: Site) -> None:
    assert (await site.compare(some_new_field=1)).code == 200
    assert site.metric("picturematch_http_unknown_fields_total") == 1
    assert site.metric("picturematch_http_requests_total", route="compare", code="200") == 1


async def test_a_server_that_is_full_sheds_comparisons_too(serving: Serving) -> None:
    async with serving(max_body_memory_bytes=1000) as site:
        reply = await site.compare()
        assert (reply.code, reply.headers["retry-after"]) == (50380, "1")
        assert site.metric("picturematch_http_in_flight") == 0
