"""PictureMatch as devices speak it (docs/interface.md)."""

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from contract.answers import Answer, DebugInfo, MatchAnswer, RefusedAnswer
from contract.errors import Code
from contract.findings import Attributes, CheckResult, FaceBox, LivenessResult, MatchedFace
from contract.http import MATCH_PATH
from contract.requests import Headers, MatchRequest, Request
from tests.support.waiting import until
from tests.wire.harness import Serving, Site, answer_well


async def test_a_match_is_answered_with_the_golden_json(site: Site) -> None:
    reply = await site.match(need_register_photo=True)
    assert reply.code == 200
    assert reply.body == (
        b'{"retcode":"1","identity_id":"666666","name":"Ada","score":0.75,"identity_info":{"type":1},"reg_pic":"cGhvdG8="}'
    )
    assert reply.headers["content-type"] == "application/json"


async def test_a_stranger_is_a_success(serving: Serving) -> None:
    async def stranger(request: Request) -> Answer:
        return MatchAnswer(retcode="0", identity_id="", name="stranger", score=0.4512, identity_info={})

    async with serving(stranger) as site:
        reply = await site.match()
    assert reply.code == 200
    assert reply.body == b'{"retcode":"0","identity_id":"","name":"stranger","score":0.4512,"identity_info":{}}'


async def test_what_was_asked_for_beside_the_answer_comes_with_it(serving: Serving) -> None:
    live = CheckResult(
        name="rgb_live", value=0.9, limit=0.5, passed=True, vote=True, detail={"moire": 0.25, "live": 0.9}
    )

    async def told(request: Request) -> Answer:
        return MatchAnswer(
            retcode="1",
            identity_id="7",
            name="Ada",
            score=0.75,
            identity_info={},
            attributes=Attributes(age_years=33.5, age_class="adult", sex="female"),
            debug=DebugInfo(
                faces=2,
                face=FaceBox(x=1.0, y=2.0, width=30.0, height=40.0, confidence=0.99, turned_degrees=90),
                quality=(),
                liveness=LivenessResult(mode="liveness_rgb", passed=True, checks=(live,)),
                timings_ms={"decode": 1.5},
                quality_score=0.625,
            ),
        )

    async with serving(told) as site:
        document = (await site.match(with_attribute=True, with_debug_info=True)).json
    assert document["attributes"] == {
        "age_years": 33.5,
        "age_class": "adult",
        "sex": "female",
        "mask": None,
        "glasses": None,
    }
    debug = document["debug_info"]
    assert (debug["faces"], debug["quality_score"], debug["timings_ms"]) == (2, 0.625, {"decode": 1.5})
    box = {"x": 1.0, "y": 2.0, "width": 30.0, "height": 40.0}
    assert debug["face"] == {**box, "confidence": 0.99, "turned_degrees": 90}
    (check,) = debug["liveness"]["checks"]
    assert (check["vote"], check["detail"]) == (True, {"moire": 0.25, "live": 0.9})


async def test_all_faces_are_asked_for_and_come_beside_the_fields_of_the_chosen_one(serving: Serving) -> None:
    box = FaceBox(x=1.0, y=2.0, width=30.0, height=40.5, confidence=0.99)
    chosen = MatchedFace(
        face=box, outcome="matched", retcode="1", identity_id="7", name="Ada", score=0.75, quality_score=0.5,
        chosen=True, answered=True,
    )  # fmt: skip
    spoof = MatchedFace(face=box, outcome="spoof", error_code=40080, rival=True)
    asked: list[bool] = []

    async def told(request: Request) -> Answer:
        assert isinstance(request, MatchRequest)
        asked.append(request.match_all_faces)
        faces = (chosen, spoof) if request.match_all_faces else None
        return MatchAnswer(retcode="1", identity_id="7", name="Ada", score=0.75, identity_info={}, faces=faces)

    async with serving(told) as site:
        document, plain = (await site.match(match_all_faces=True)).json, (await site.match()).json
    assert asked == [True, False]
    assert "faces" not in plain
    assert {name: value for name, value in document.items() if name != "faces"} == plain
    flags = {"kept_by_another": False, "quality": [], "liveness": None}
    assert document["faces"] == [
        {
            "bbox": [1.0, 2.0, 30.0, 40.5],
            "outcome": "matched",
            "retcode": "1",
            "identity_id": "7",
            "name": "Ada",
            "score": 0.75,
            "quality_score": 0.5,
            "chosen": True,
            "answered": True,
            **flags,
        },
        {
            "bbox": [1.0, 2.0, 30.0, 40.5],
            "outcome": "spoof",
            "identity_id": "",
            "name": "",
            "error_code": 40080,
            "quality_score": None,
            "chosen": False,
            "answered": False,
            **flags,
        },
    ]


@pytest.mark.parametrize("code", [code for code in Code if code >= 40003])
async def test_each_refusal_of_the_processor_becomes_its_row_of_the_table(serving: Serving, code: Code) -> None:
    async def refuse(request: Request) -> Answer:
        return RefusedAnswer(code=int(code), message="because")

    async with serving(refuse) as site:
        reply = await site.match()
    assert reply.code == code
    assert reply.json == {"error": {"code": int(code), "message": "because", "status": code.status}}
    assert ("retry-after" in reply.headers) == (code is Code.OVERLOADED)


async def test_the_log_holds_the_raw_picture_and_everything_the_body_said(site: Site) -> None:
    reply = await site.match(
        compare_time=1700000000.25,
        need_register_photo=True,
        min_face_size=80,
        liveness_mode="liveness_rgb",
        need_keep_info=True,
        group_name="staff",
        permission_name="door",
        support_stranger=True,
        with_attribute=True,
        with_debug_info=True,
        grab_fiqa_info={"rect": {"top": 1}, "sex": 0},
    )
    assert reply.code == 200
    (request,) = site.requests
    assert request == MatchRequest(
        request_id=reply.headers["x-request-id"],
        device_ip="192.168.1.22",
        picture=site.picture,
        compare_time_s=1700000000.25,
        received_time_s=request.received_time_s,
        need_register_photo=True,
        min_face_size=80,
        liveness_mode="liveness_rgb",
        need_keep_info=True,
        group_name="staff",
        permission_name="door",
        support_stranger=True,
        with_attribute=True,
        with_debug_info=True,
        grab_fiqa_info={"rect": {"top": 1}, "sex": 0},
    )


async def test_the_record_is_keyed_by_the_device_and_says_where_the_answer_goes(site: Site) -> None:
    reply = await site.match()
    await site.match()
    first, second = site.records
    assert first.key == b"192.168.1.22"
    headers = {name: value.decode() for name, value in first.headers}
    assert headers[Headers.REQUEST_ID] == reply.headers["x-request-id"]
    assert headers[Headers.REPLY_TOPIC] == "picturematch.replies"
    assert int(headers[Headers.REPLY_PARTITION]) in range(4)
    assert len(headers[Headers.REPLY_INSTANCE]) == 32
    request = site.requests[0]
    assert int(headers[Headers.DEADLINE_MS]) == int(request.received_time_s * 1000) + 3000
    assert headers[Headers.GALLERY_VERSION] == "0"
    assert second.header(Headers.GALLERY_VERSION) == b"7", "a reply has spoken of gallery 7 by then"


async def test_an_infrared_picture_raises_liveness(site: Site) -> None:
    assert (await site.match(ir_image_base64=site.picture_base64, liveness_mode="liveness_off")).code == 200
    (request,) = site.requests
    assert isinstance(request, MatchRequest)
    assert request.liveness_mode == "liveness_rgb_ir"
    assert request.ir_picture == site.picture


async def test_a_group_name_stands_in_for_the_device(site: Site) -> None:
    assert (await site.match(device_ip=..., group_name="staff")).code == 200
    assert site.records[0].key == b"staff"


@pytest.mark.parametrize(
    "device_ip", ["10.0.0.1", "::1", "fe80::1%eth0", "2001:db8::7", "gate-7.example", "Gate_7", "a" * 255]
)
async def test_addresses_and_host_like_names_are_devices(site: Site, device_ip: str) -> None:
    assert (await site.match(device_ip=device_ip)).code == 200


async def test_an_address_is_the_same_in_every_spelling_and_with_blanks_around_it(site: Site) -> None:
    for sent in (" 192.168.1.22\n", "::ffff:192.168.1.22", "2001:DB8:0::7", "2001:db8::7", "GATE.example"):
        assert (await site.match(device_ip=sent)).code == 200
    names = [request.device_ip for request in site.requests if isinstance(request, MatchRequest)]
    assert names == ["192.168.1.22", "192.168.1.22", "2001:db8::7", "2001:db8::7", "gate.example"]
    assert [record.key for record in site.records] == [name.encode() for name in names if name]


async def test_an_empty_text_of_an_optional_field_is_an_absent_one(site: Site) -> None:
    names = ("group_name", "permission_name", "compare_time", "liveness_mode", "min_face_size", "image_file_path")
    assert (await site.match(**dict.fromkeys(names, ""))).code == 200
    (request,) = site.requests
    assert isinstance(request, MatchRequest)
    assert (request.group_name, request.permission_name, request.liveness_mode) == (None, None, "liveness_off")
    assert (request.compare_time_s, request.min_face_size) == (request.received_time_s, 0)


async def test_a_bare_question_mark_behind_the_path_is_no_part_of_it(site: Site) -> None:
    assert (await site.call("POST", f"{MATCH_PATH}?", json=site.body())).code == 200


@pytest.mark.parametrize(
    ("sent", "seconds", "raw"),
    [
        (1700000000, 1700000000.0, None),
        (1700000000.123456, 1700000000.123456, None),
        ("1700000000.5", 1700000000.5, "1700000000.5"),
        (1700000000123, 1700000000.123, "1700000000123"),
        ("1700000000123", 1700000000.123, "1700000000123"),
        (0, 0.0, None),
    ],
)
async def test_compare_time_is_understood_as_seconds_text_and_milliseconds(
    site: Site, sent: Any, seconds: float, raw: str | None
) -> None:
    assert (await site.match(compare_time=sent)).code == 200
    (request,) = site.requests
    assert isinstance(request, MatchRequest)
    assert (request.compare_time_s, request.compare_time_raw) == (seconds, raw)


async def test_without_compare_time_the_time_of_arrival_counts(site: Site) -> None:
    await site.match(compare_time=None)
    (request,) = site.requests
    assert isinstance(request, MatchRequest)
    assert request.compare_time_s == request.received_time_s


@pytest.mark.parametrize(
    "prefix", ["", "data:image/jpeg;base64,", "\n data:image/jpeg;base64,\n", "DATA:image/jpeg;charset=utf-8;BASE64,"]
)
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("encode", [base64.encodebytes, base64.b64encode, base64.urlsafe_b64encode])
async def test_base64_comes_in_every_dress(
    site: Site, prefix: str, padded: bool, encode: Callable[[bytes], bytes]
) -> None:
    text = encode(site.picture).decode()
    if not padded:
        text = text.rstrip("=\n")
    assert (await site.match(rgb_image_base64=prefix + text)).code == 200
    (request,) = site.requests
    assert isinstance(request, MatchRequest)
    assert request.picture == site.picture


async def test_the_vendors_own_client_is_served(site: Site) -> None:
    """No content type, Connection: close, base64 with newlines, empty path, fields of a newer firmware."""
    body = json.dumps(
        {
            "image_file_path": "",
            "rgb_image_base64": base64.encodebytes(site.picture).decode(),
            "device_ip": "192.168.1.22",
            "need_register_photo": False,
            "some_new_field": {"a": [1, 2]},
            "another": None,
        }
    ).encode()
    (reply,) = await site.raw(
        b"POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
        % (MATCH_PATH.encode(), len(body), body)
    )
    assert reply.code == 200
    assert reply.headers["connection"] == "close"
    assert site.metric("picturematch_http_unknown_fields_total") == 2


async def test_a_byte_order_mark_before_the_json_is_skipped(site: Site) -> None:
    assert (await site.match_bytes(b"\xef\xbb\xbf" + orjson.dumps(site.body()))).code == 200


async def test_of_a_repeated_key_the_last_counts(site: Site) -> None:
    body = orjson.dumps(site.body())[:-1] + b',"device_ip":"last.example"}'
    assert (await site.match_bytes(body)).code == 200
    assert site.records[0].key == b"last.example"


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "text/json",
        "application/problem+json",
        "APPLICATION/JSON",
    ],
)
async def test_json_content_types_are_served(site: Site, content_type: str) -> None:
    reply = await site.match_bytes(orjson.dumps(site.body()), **{"Content-Type": content_type})
    assert reply.code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "application/x-www-form-urlencoded",
        "text/plain",
        "multipart/form-data; boundary=x",
        "application/json; charset=gbk",
    ],
)
async def test_other_content_types_are_told_what_to_set(site: Site, content_type: str) -> None:
    reply = await site.match_bytes(orjson.dumps(site.body()), **{"Content-Type": content_type})
    assert reply.code == 40001
    assert ("curl -d" in reply.json["error"]["message"]) == ("urlencoded" in content_type)
    assert site.requests == []


async def test_no_answer_within_the_deadline_is_a_timeout_and_the_late_reply_is_dropped(serving: Serving) -> None:
    released = asyncio.Event()

    async def late(request: Request) -> Answer | None:
        await released.wait()
        return await answer_well(request)

    async with serving(late, deadline_ms=150) as site:
        reply = await site.match()
        assert reply.code == 50480
        released.set()
        await until(lambda: site.metric("picturematch_replies_total", kind="late") == 1)


async def test_a_log_that_hangs_is_a_timeout(serving: Serving) -> None:
    async with serving(deadline_ms=150) as site:
        site.log.append_blocks = True
        assert (await site.match()).code == 50480


async def test_a_client_that_goes_away_leaves_nothing_behind(serving: Serving) -> None:
    async def never(request: Request) -> Answer | None:
        return None

    async with serving(never, deadline_ms=300) as site:
        body = orjson.dumps(site.body())
        _, writer = await asyncio.open_connection("127.0.0.1", site.ingress.port)
        writer.write(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (MATCH_PATH.encode(), len(body)))
        writer.write(body)
        await until(lambda: bool(site.requests))
        assert site.metric("picturematch_http_in_flight") == 1
        writer.transport.abort()
        await until(lambda: site.metric("picturematch_http_in_flight") == 0)
        assert site.metric("picturematch_http_held_bytes") == 0
        assert len(site.requests) == 1, "the request stays in the log"
