import numpy as np
import pytest

from engine.vision.decode.versions import decode
from engine.vision.ports import Image
from tests.support import pictures

LIMIT = 1_000_000

# EXIF tells where the stored row 0 and column 0 belong; this undoes it with numpy alone.
UPRIGHT = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: image.transpose(1, 0, 2)[:, ::-1],
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: image.transpose(1, 0, 2)[::-1],
}


def upright(image: Image, orientation: int) -> Image:
    return np.ascontiguousarray(UPRIGHT[orientation](image))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("little", [False, True], ids=["big-endian", "little-endian"])
def test_a_jpeg_is_turned_as_its_exif_says(orientation: int, little: bool):
    stored = pictures.jpeg(pictures.colours())

    turned = decode(pictures.with_exif(stored, orientation, little=little), LIMIT)

    assert np.array_equal(turned, upright(decode(stored, LIMIT), orientation))
    assert turned.flags.c_contiguous


@pytest.mark.parametrize("orientation", [3, 6])
def test_png_and_webp_are_turned_as_well(orientation: int):
    rows = b"".join(b"\x00" + row.tobytes() for row in pictures.colours()[:, :, ::-1])
    png = pictures.png(96, 64, rows, extra=pictures.png_chunk(b"eXIf", pictures.exif(orientation)))
    simple = pictures.encoded(pictures.colours(), ".webp", 64, 101)
    webp = pictures.webp_extended(simple, 96, 64, (b"EXIF", pictures.exif(orientation)), flags=8)

    assert np.array_equal(decode(png, LIMIT), upright(pictures.colours(), orientation))
    assert np.array_equal(decode(webp, LIMIT), upright(decode(simple, LIMIT), orientation))


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_an_orientation_that_does_not_exist_leaves_the_picture_as_it_is(orientation: int):
    stored = pictures.jpeg(pictures.colours())

    assert np.array_equal(decode(pictures.with_exif(stored, orientation), LIMIT), decode(stored, LIMIT))


def test_a_broken_exif_block_leaves_the_picture_as_it_is():
    stored = pictures.jpeg(pictures.colours())
    for block in (b"", b"MM", b"MM\x00*\xff\xff\xff\xff", b"II*\x00\x08\x00\x00\x00\xff\xff", b"xx" * 20):
        payload = b"Exif\x00\x00" + block
        data = stored[:2] + b"\xff\xe1" + (len(payload) + 2).to_bytes(2, "big") + payload + stored[2:]
        assert np.array_equal(decode(data, LIMIT), decode(stored, LIMIT))
