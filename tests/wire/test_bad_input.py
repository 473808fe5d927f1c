"""Bad input is answered with its row of the error table: never a 500, never a hang, and nothing enters the log."""

import base64
import struct
import zlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.errors import Refused
from contract.http import MATCH_PATH
from contract.pictures.limits import PictureSettings
from ingest.api.listing import DECLARATIONS
from ingest.json_body import read_object
from tests.wire.harness import Serving, Site, encoded, noise

NOT_A_STRING: list[Any] = [1, 1.5, True, [], ["x"], {}, {"a": 1}]
NOT_A_BOOLEAN: list[Any] = [0, 1, 1.5, "true", "", [], {}]
NOT_AN_OBJECT: list[Any] = [1, 1.5, True, "x", "", [], [{}]]
NOT_A_WHOLE_NUMBER: list[Any] = [1.5, -1, True, "80", [], {}, 10**9, 10**30, -(10**30)]
NOT_A_TIME: list[Any] = [
    True,
    False,
    -1,
    -0.5,
    "now",
    "nan",
    "inf",
    "1_000",
    "1e999",
    "0x10",
    "-1",
    [],
    {},
    1e14,
    10**30,
]

WRONG_TYPES: list[tuple[str, Any, int]] = [
    *(
        (field, value, 40071)
        for field in (
            "device_ip",
            "image_file_path",
            "rgb_image_base64",
            "ir_image_base64",
            "liveness_mode",
            "group_name",
        )
        for value in NOT_A_STRING
    ),
    *(
        (field, value, 40005)
        for field in (
            "need_register_photo",
            "need_keep_info",
            "support_stranger",
            "with_attribute",
            "with_debug_info",
        )
        for value in NOT_A_BOOLEAN
    ),
    *(("grab_fiqa_info", value, 40071) for value in NOT_AN_OBJECT),
    *(("min_face_size", value, 40071) for value in NOT_A_WHOLE_NUMBER),
    *(("compare_time", value, 40071) for value in NOT_A_TIME),
    *(("permission_name", value, 40071) for value in NOT_A_STRING),
]


@pytest.mark.parametrize("field", sorted({field for field, _, _ in WRONG_TYPES}))
async def test_a_field_of_the_wrong_type_is_named(site: Site, field: str) -> None:
    cases = [(value, code) for name, value, code in WRONG_TYPES if name == field]
    assert len(cases) >= 7
    for value, code in cases:
        group = {"group_name": "staff"} if field == "permission_name" else {}
        reply = await site.match(**{**group, field: value})
        assert (value, reply.code) == (value, code)
        assert field in reply.json["error"]["message"]
    assert site.requests == []


@pytest.mark.parametrize(
    ("fields", "code", "named"),
    [
        ({"device_ip": ...}, 40071, "device_ip"),
        ({"device_ip": None}, 40071, "device_ip"),
        ({"device_ip": ""}, 40071, "device_ip"),
        ({"device_ip": "a" * 256}, 40071, "device_ip"),
        ({"device_ip": "gate 7"}, 40071, "device_ip"),
        ({"device_ip": "gate\n7"}, 40071, "device_ip"),
        ({"device_ip": "gate\u00007"}, 40071, "device_ip"),
        ({"device_ip": "门"}, 40071, "device_ip"),
        ({"device_ip": "fe80::1%a\tb"}, 40071, "device_ip"),
        ({"rgb_image_base64": ...}, 40071, "rgb_image_base64"),
        ({"rgb_image_base64": "", "image_file_path": ""}, 40071, "rgb_image_base64"),
        ({"rgb_image_base64": None, "image_file_path": None}, 40071, "image_file_path"),
        ({"liveness_mode": "liveness_rgb_ir"}, 40071, "liveness_mode"),
        ({"liveness_mode": "on"}, 40071, "liveness_mode"),
        ({"permission_name": "door"}, 40071, "permission_name"),
        ({"ir_image_base64": ""}, 40003, "ir_image_base64"),
        ({"ir_image_base64": "data:image/jpeg;base64,"}, 40003, "ir_image_base64"),
        ({"ir_image_base64": "not base64"}, 40003, "ir_image_base64"),
        ({"group_name": "  "}, 40012, "group_name"),
        ({"group_name": "a,b"}, 40012, "group_name"),
        ({"group_name": "g" * 65}, 40012, "group_name"),
        ({"group_name": "a\x01b"}, 40012, "group_name"),
        ({"group_name": "a", "permission_name": ","}, 40012, "permission_name"),
        ({"grab_fiqa_info": {"a": "x" * 70_000}}, 40071, "grab_fiqa_info"),
    ],
)
async def test_a_value_against_the_rules_is_refused(site: Site, fields: dict[str, Any], code: int, named: str) -> None:
    reply = await site.match(**fields)
    assert reply.code == code
    assert named in reply.json["error"]["message"]
    assert site.requests == []


async def test_the_value_that_was_sent_is_never_echoed(site: Site) -> None:
    for field in ("device_ip", "liveness_mode", "min_face_size", "compare_time", "rgb_image_base64", "image_file_path"):
        reply = await site.match(**{field: "c4n4ry !"})
        assert reply.code != 200
        assert b"c4n4ry" not in reply.body


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 40002),
        (b" \r\n\t", 40002),
        (b"\xef\xbb\xbf", 40002),
        (b" " * 100_000, 40002),
        (b"{", 40000),
        (b"nonsense", 40000),
        (b"[]", 40000),
        (b"null", 40000),
        (b'"text"', 40000),
        (b"1", 40000),
        (b'{"a":1}{"a":2}', 40000),
        (b"{'a':1}", 40000),
        (b'{"a":1,}', 40000),
        (b'{"device_ip":NaN}', 40000),
        (b'{"compare_time":NaN}', 40000),
        (b'{"compare_time":Infinity}', 40000),
        (b'{"compare_time":-Infinity}', 40000),
        (b'{"compare_time":1e999}', 40000),
        (b'{"compare_time":' + b"9" * 400 + b"}", 40000),
        (b'{"device_ip":"\xff\xfe"}', 40000),
        (b'{"device_ip":"\xc0\xaf"}', 40000),
        (b'{"device_ip":"\\ud800"}', 40000),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", 40000),
        (b'{"a":' * 100_000, 40000),
        (b'{"a":[' + b"0," * 50_000 + b"0]}", 40000),
        ('{"device_ip":"x"}'.encode("utf-16"), 40000),
        (b'{"device_ip":"a\x00b"}', 40000),
        (b'{"device_ip":"a', 40000),
    ],
    ids=range(28),
)
async def test_what_is_not_a_json_object_is_refused(site: Site, body: bytes, code: int) -> None:
    assert (await site.match_bytes(body)).code == code
    assert site.requests == []


@pytest.mark.parametrize("depth", [17, 200, 1000])
async def test_deep_nesting_inside_a_kept_object_is_refused(site: Site, depth: int) -> None:
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    body = orjson.dumps(site.body())[:-1] + b',"grab_fiqa_info":' + nested + b"}"
    assert (await site.match_bytes(body)).code == 40071


async def test_deep_nesting_inside_an_unknown_field_is_ignored(site: Site) -> None:
    body = orjson.dumps(site.body())[:-1] + b',"unknown":' + b"[" * 500 + b"]" * 500 + b"}"
    assert (await site.match_bytes(body)).code == 200


# Pictures.


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of_header(width: int, height: int) -> bytes:
    """A PNG that claims these dimensions and holds next to nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", zlib.compress(b"\0"))
        + png_chunk(b"IEND", b"")
    )


def broken_pictures(picture: bytes) -> dict[str, tuple[bytes, int]]:
    """Name -> bytes and the code they deserve."""
    frame = picture.index(b"\xff\xc0")
    lying_jpeg = picture[: frame + 5] + struct.pack(">HH", 30_000, 30_000) + picture[frame + 9 :]
    return {
        "one byte": (b"\xff", 40003),
        "text": (b"this is no picture at all", 40003),
        "gif": (b"GIF89a\x01\x00\x01\x00\x00\x00\x00;", 40003),
        "pdf": (b"%PDF-1.7\n", 40003),
        "magic only": (b"\xff\xd8\xff", 40003),
        "zeros": (b"\0" * 1000, 40003),
        "truncated in the head": (picture[:20], 40003),
        "png signature only": (b"\x89PNG\r\n\x1a\n", 40003),
        "png of no width": (png_of_header(0, 10), 40003),
        "polyglot of html and jpeg": (b"<html>" + picture, 40003),
        "png bomb": (png_of_header(30_000, 30_000), 40007),
        "jpeg whose header lies": (lying_jpeg, 40007),
    }


async def test_broken_pictures_get_their_row(site: Site) -> None:
    for name, (data, code) in broken_pictures(site.picture).items():
        for field in ("rgb_image_base64", "ir_image_base64"):
            reply = await site.match(**{field: base64.b64encode(data).decode()})
            assert (name, field, reply.code) == (name, field, code)
    assert site.requests == []


async def test_a_polyglot_that_begins_as_a_jpeg_is_just_a_picture(site: Site) -> None:
    data = site.picture + b"<script>alert(1)</script>"
    assert (await site.match(rgb_image_base64=base64.b64encode(data).decode())).code == 200


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
async def test_the_four_kinds_of_picture_enter_the_log_as_they_are(site: Site, suffix: str) -> None:
    data = encoded(suffix, noise(40, 40))
    assert (await site.match(rgb_image_base64=base64.b64encode(data).decode())).code == 200
    assert site.requests[0].picture == data  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        "=",
        "A",
        "====",
        "AAAA=",
        "QUJDQ===",
        "QU=J",
        "QUI==",
        "QU JD",
        "ÄÖÜß",
        "data:image/jpeg;base64",
        "data:,QUJD",
        "QUJD\x00",
        "\n",
    ],
)
async def test_what_is_not_base64_is_refused(site: Site, text: str) -> None:
    assert (await site.match(rgb_image_base64=text)).code == 40003


async def test_a_picture_over_the_limit_is_refused_before_it_is_decoded(serving: Serving) -> None:
    async with serving(pictures=PictureSettings(max_bytes=10_000)) as site:
        assert (await site.match(rgb_image_base64="A" * 13_332)).code == 40003, "9,999 bytes, but no picture"
        assert (await site.match(rgb_image_base64="A" * 13_336)).code == 41300


async def test_a_body_over_the_limit_is_refused(serving: Serving) -> None:
    async with serving(max_body_bytes=10_000) as site:
        reply = await site.match_bytes(b"[" * 10_001)
        assert reply.code == 41300
        (chunked,) = await site.raw(
            b"POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % MATCH_PATH.encode(),
            *(b"1000\r\n" + b"x" * 0x1000 + b"\r\n" for _ in range(5)),
        )
        assert chunked.code == 41300


async def test_a_body_over_the_limit_is_refused_before_it_is_sent(site: Site) -> None:
    (reply,) = await site.raw(
        b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n" % MATCH_PATH.encode(), half_close=True
    )
    assert reply.code == 41300


# Lone surrogates cannot be sent as JSON at all; the broken bodies above hold one as an escape.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
FIELDS = st.sampled_from(sorted({field.name for declaration in DECLARATIONS for field in declaration.fields}))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bodies=st.lists(st.dictionaries(FIELDS, JSON, max_size=6), min_size=20, max_size=20), junk=st.binary(max_size=200)
)
def test_no_body_ever_ends_in_an_internal_error(bodies: list[dict[str, Any]], junk: bytes) -> None:
    """At the level of the declarations, which are all that a body meets before the log."""
    for declaration in DECLARATIONS:
        good = declaration.example()
        for body in [junk, *(orjson.dumps({**good, **fields}) for fields in bodies)]:
            assert outcome(lambda sent=body, call=declaration: call.read(read_object(sent, 1000))) < 50000


def outcome(parse: Callable[[], object]) -> int:
    """The code of a refusal, or 200; anything else that is raised gets through."""
    try:
        parse()
    except Refused as refusal:
        return int(refusal.code)
    return 200


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(fields=st.lists(st.dictionaries(FIELDS, JSON, max_size=6), min_size=10, max_size=10))
async def test_no_body_over_the_wire_ends_in_an_internal_error(serving: Serving, fields: list[dict[str, Any]]) -> None:
    async with serving() as site:
        for some in fields:
            reply = await site.match(**some)
            assert reply.code < 50000
