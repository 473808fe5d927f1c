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
