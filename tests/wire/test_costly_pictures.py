"""Small files that ask for seconds of work are refused at the door: nothing of them enters the log."""

import base64

import pytest

from contract.pictures.limits import PictureSettings
from tests.support import jpegs, pictures
from tests.support.jpegs import FlatJpeg
from tests.support.webp_lossless import webp_of_many_tables
from tests.wire.harness import Serving, Site

SIDE = 5600
PHOTO = pictures.busy(160, 120)


def in_empty_scans() -> bytes:
    made = FlatJpeg(SIDE, SIDE).whole(after=13)
    for bit in range(13):
        for component in range(3):
            made.alternating(component, before=13 - bit, after=12 - bit)
    return made.file()


def in_dear_scans() -> bytes:
    made = FlatJpeg(SIDE, SIDE, jpegs.S444).whole(after=13)
    for component in (0, 1, 2) * 3:
        made.alternating(component)
    for bit in range(8):
        made.alternating(bit % 3, before=13 - bit // 3, after=12 - bit // 3)
    return made.file()


def arithmetic(frame: int) -> bytes:
    return FlatJpeg(SIDE, SIDE, jpegs.S444, frame).direct(range(3), data=False).file()


REFUSED = {
    "a JPEG in empty scans": (in_empty_scans(), 40003),
    "a JPEG in scans of another order": (in_dear_scans(), 40003),
    "a JPEG with arithmetic coding": (arithmetic(jpegs.ARITHMETIC), 40003),
    "a progressive JPEG with arithmetic coding": (arithmetic(jpegs.ARITHMETIC_PROGRESSIVE), 40003),
    "a lossless JPEG": (arithmetic(0xC3), 40003),
    "a JPEG of fill bytes": (b"\xff\xd8" + b"\xff" * (512 << 10), 40003),
    "a JPEG with more data than its size needs": (pictures.jpeg(PHOTO)[:-2] + bytes(200_000) + b"\xff\xd9", 40003),
    "a PNG of 16 bits": (pictures.png(3840, 2160, b"", depth=16, colour=6), 40007),
    "a PNG of 16 megapixels": (pictures.png(4000, 4000, b""), 40007),
    "a BMP of 16 megapixels": (pictures.bmp(4000, 4000, b""), 40007),
    "a lossless WebP of many tables": (webp_of_many_tables(1024, 512), 40007),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_picture_that_asks_for_much_work_is_refused_before_the_log(name: str, site: Site) -> None:
    data, code = REFUSED[name]
    text = base64.b64encode(data).decode()

    replies = [
        await site.match(rgb_image_base64=text),
        await site.match(ir_image_base64=text),
        await site.fiqa(image_base64_str=text),
    ]

    assert [reply.code for reply in replies] == [code] * 3
    assert site.requests == []


async def test_the_limit_of_what_cannot_be_decoded_small_can_be_lowered(serving: Serving) -> None:
    text = base64.b64encode(pictures.encoded(pictures.busy(200, 100), ".png")).decode()
    async with serving(pictures=PictureSettings(max_pixels_undecimated=20_000)) as site:
        assert (await site.match(rgb_image_base64=text)).code == 200
    async with serving(pictures=PictureSettings(max_pixels_undecimated=19_999)) as site:
        assert (await site.match(rgb_image_base64=text)).code == 40007
        assert (await site.match()).code == 200, "a JPEG is not meant"
