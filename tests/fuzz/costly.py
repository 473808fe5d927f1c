"""Pictures that are small as files and ask for much work, each made by code and named after where the work lies.

The sizes are those of a test that takes seconds; bench.decode_cost makes them as large as the limits allow.
"""

import struct
import zlib
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Literal

import cv2
import numpy as np
import simplejpeg

from contract.errors import Code
from tests.fuzz.recipe import UNREADABLE, Hostile
from tests.support import jpegs, pictures
from tests.support.deflate import empty_blocks
from tests.support.jpegs import S420, S444, FlatJpeg, segment
from tests.support.webp_lossless import webp_of_many_tables

Make = Callable[[int, int], Hostile]
_INK: jpegs.Sampling = ((1, 1),) * 4
_RGB, _GREY_ALPHA, _RGBA = 2, 4, 6
_CHANNELS = {_RGB: 3, _GREY_ALPHA: 2, _RGBA: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@cache
def ordinary(width: int, height: int) -> bytes:
    """A baseline JPEG of that size with the detail and the noise of a photo: what the others are held against."""
    return pictures.jpeg(_photo(width, height))


def costly_jpegs() -> Mapping[str, Make]:
    """Name -> what makes it in a given size."""
    return {**_many_passes(), **_damaged(), **_dense(), **_stuffed()}


def costly_others() -> Mapping[str, Make]:
    """The same of PNG, WebP and BMP."""
    return {
        "png of 16 bits and four channels": lambda w, h: Hostile(_flat_png(w, h, 16, _RGBA), "either"),
        "png of 16 bits, each row from the one above": lambda w, h: Hostile(_flat_png(w, h, 16, _RGBA, 4), "either"),
        "png of 16 bits in seven passes": lambda w, h: Hostile(_flat_png(w, h, 16, _RGBA, 4, True), "either"),
        "png of 16 bits, grey and alpha": lambda w, h: Hostile(_flat_png(w, h, 16, _GREY_ALPHA, 4), "either"),
        "png in seven passes": lambda w, h: Hostile(_flat_png(w, h, 8, _RGBA, 4, True), "either"),
        "png of noise": lambda w, h: Hostile(pictures.encoded(_noise(w, h) & 0x0F, ".png"), "either"),
        "png of nothing but code tables": lambda _w, _h: Hostile(_png_of_tables(8, 8, 4_500_000), "either"),
        "png of as many code tables as the file may be long": lambda _w, _h: Hostile(
            _png_of_tables(8, 8, 8_200_000), "either"
        ),
        "png of code tables behind the rows": lambda _w, _h: Hostile(_png_of_tables(2000, 2000, 3_300_000), "either"),
        "webp of noise": lambda _w, _h: Hostile(_noisy_webp(1600, 1200), "either"),
        "webp with a noise of alpha": lambda _w, _h: Hostile(_see_through_webp(1600, 1200), "either"),
        "webp with 65,536 sets of code tables": lambda w, h: Hostile(webp_of_many_tables(w, h), "either"),
        "bmp of runs of one": lambda w, h: Hostile(_bmp_runs(w, h, b"\x01\x05" * w), "either"),
        "bmp of jumps": lambda w, h: Hostile(_bmp_runs(w, h, b"\x00\x02\x00\x00" * w), "either"),
    }


def spoilt_late() -> Mapping[str, Callable[[int, int], tuple[bytes, bytes]]]:
    """Name -> what makes, in a given size, a JPEG and the same with little of its data missing just before its end."""
    kinds: Mapping[str, Callable[[int, int], bytes]] = {
        "in one scan": ordinary,
        "in many scans": lambda w, h: _progressive(w, h, 90),
        "of the best quality": lambda w, h: pictures.encoded(_photo(w, h), ".jpg", cv2.IMWRITE_JPEG_QUALITY, 100),
    }

    def both(make: Callable[[int, int], bytes], width: int, height: int) -> tuple[bytes, bytes]:
        whole = make(width, height)
        return whole, whole[: len(whole) * 49 // 50].rstrip(b"\xff") + b"\xff\xd9"

    return {name: partial(both, make) for name, make in kinds.items()}


def _many_passes() -> dict[str, Make]:
    def refined(sampling: jpegs.Sampling, rounds: int, width: int, height: int) -> bytes:
        made = FlatJpeg(width, height, sampling).whole(after=13)
        for bit in range(rounds):
            for component in range(len(sampling)):
                made.alternating(component, before=13 - bit, after=12 - bit)
        return made.file()

    def repeated(width: int, height: int, scans: int, *, data: bool = True) -> bytes:
        made = FlatJpeg(width, height, S444).whole()
        for _ in range(scans):
            made.direct(range(3), data=data)
        return made.file()

    def one_by_one(width: int, height: int) -> bytes:
        made = FlatJpeg(width, height, S444).direct(range(3))
        for place in range(1, 64):
            made.alternating(0, place, place)
        return made.file()

    def in_scans(width: int, height: int, frame: int, scans: int) -> bytes:
        made = FlatJpeg(width, height, S444, frame)
        for scan in range(scans):
            made.sequential(scan % 3)
        return made.file()

    return {
        "39 empty refinements": lambda w, h: Hostile(refined(S420, 13, w, h)),
        "27 empty refinements, sampled fully": lambda w, h: Hostile(refined(S444, 9, w, h), "either"),
        "12 empty refinements": lambda w, h: Hostile(refined(S420, 4, w, h), "either"),
        "52 empty refinements of ink": lambda w, h: Hostile(refined(_INK, 13, w, h)),
        "60 direct scans": lambda w, h: Hostile(repeated(w, h, 60)),
        "28 direct scans": lambda w, h: Hostile(repeated(w, h, 28), "either"),
        "60 direct scans without data": lambda w, h: Hostile(repeated(w, h, 60, data=False)),
        "a coefficient at a time": lambda w, h: Hostile(one_by_one(w, h)),
        "60 sequential scans": lambda w, h: Hostile(in_scans(w, h, jpegs.BASELINE, 60)),
        "30 sequential scans": lambda w, h: Hostile(in_scans(w, h, jpegs.EXTENDED, 30), "either"),
        "arithmetic coding": lambda w, h: Hostile(in_scans(w, h, jpegs.ARITHMETIC, 30)),
        "arithmetic coding of no data": lambda w, h: Hostile(_arithmetic(w, h, 60)),
        "4000 comments between scans": lambda w, h: Hostile(_commented(w, h)),
    }


def _damaged() -> dict[str, Make]:
    """What used to be decoded again, and a third time."""

    def inconsistent(width: int, height: int) -> bytes:
        made = FlatJpeg(width, height, S444).whole(after=13)
        for scan in range(50):
            made.alternating(scan % 3, before=9, after=8)
        return made.file()

    def padded(width: int, height: int) -> bytes:
        made = FlatJpeg(width, height, S444).whole(after=6)
        for bit in range(6):
            for component in range(3):
                made.alternating(component, before=6 - bit, after=5 - bit).add(bytes(9))
        return made.file()

    def padded_at_the_end(width: int, height: int) -> bytes:
        made = FlatJpeg(width, height, S444).whole(after=6)
        for bit in range(6):
            for component in range(3):
                made.alternating(component, before=6 - bit, after=5 - bit)
        return made.add(bytes(9)).file()

    return {
        "an inconsistent progression": lambda w, h: Hostile(inconsistent(w, h)),
        "padding between scans": lambda w, h: Hostile(padded(w, h), "either"),
        "padding behind the last of many scans": lambda w, h: Hostile(padded_at_the_end(w, h), "either"),
        "padding before the end": lambda w, h: Hostile(ordinary(w, h)[:-2] + bytes(30) + b"\xff\xd9", "picture"),
        "an end amid the data": lambda w, h: Hostile(_halved(ordinary(w, h)) + b"\xff\xd9"),
        "half of it": lambda w, h: Hostile(_halved(ordinary(w, h))),
        "stray bytes before its tables and half of it": lambda w, h: Hostile(
            ordinary(w, h)[:2] + b"stray" + _halved(ordinary(w, h))[2:] + b"\xff\xd9"
        ),
        "half a scan of many": lambda w, h: Hostile(_halved(_progressive(w, h, 90)) + b"\xff\xd9"),
    }


def _dense() -> dict[str, Make]:
    full = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    steps = (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)

    def noise(*parameters: int) -> Make:
        return lambda w, h: Hostile(pictures.encoded(_noise(w, h), ".jpg", *parameters), "either")

    def ink(width: int, height: int) -> bytes:
        noisy = np.dstack([_noise(width, height), _noise(width, height)[:, :, :1]])
        return bytes(simplejpeg.encode_jpeg(noisy, 100, "CMYK", "444"))

    return {
        "noise": noise(cv2.IMWRITE_JPEG_QUALITY, 75),
        "noise, of the best quality": noise(cv2.IMWRITE_JPEG_QUALITY, 100, *full),
        "noise in many scans": noise(cv2.IMWRITE_JPEG_QUALITY, 75, *steps),
        "noise in many scans, of the best quality": noise(cv2.IMWRITE_JPEG_QUALITY, 100, *steps, *full),
        "noise with restarts all over": noise(cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
        "noise in ink": lambda w, h: Hostile(ink(w, h // 4), "either"),
        "a photo in many scans": lambda w, h: Hostile(_progressive(w, h, 90), "either"),
        "a photo in many scans that lies on its side": lambda w, h: Hostile(
            pictures.with_exif(_progressive(w, h, 90), 5), "either"
        ),
    }


def _stuffed() -> dict[str, Make]:
    """Much between the segments that make the picture."""
    one_table = segment(0xC4, b"\x00" + bytes([1] + [0] * 15) + b"\x00")
    quantisation = segment(0xDB, b"\x00" + bytes([1] * 64))
    profile = b"".join(segment(0xE2, b"ICC_PROFILE\x00" + bytes([n, 60]) + bytes(60_000)) for n in range(1, 61))

    def before(raw: bytes, answer: Code | Literal["picture"] = "picture") -> Make:
        return lambda w, h: Hostile(ordinary(w, h)[:2] + raw + ordinary(w, h)[2:], answer)

    return {
        "four hundred Huffman tables": before(one_table * 400),
        "four hundred quantisation tables": before(quantisation * 400),
        "eight thousand quantisation tables": before(segment(0xDB, (b"\x00" + bytes([1] * 64)) * 900) * 9, UNREADABLE),
        "a long profile": before(profile),
        "four hundred comments": before(segment(0xFE, b"x") * 400),
        "four thousand comments": before(segment(0xFE, b"x") * 4000, UNREADABLE),
        "four megabytes of fill bytes": before(b"\xff" * (4 << 20), UNREADABLE),
        "four megabytes of stray bytes": before(b"\xff\x00" * (2 << 20), UNREADABLE),
        "four megabytes behind the end": lambda w, h: Hostile(ordinary(w, h) + b"\xff\xd8" * (2 << 20), "picture"),
        "a height that comes later": lambda w, h: Hostile(_with_late_height(w, h)),
        "a second frame": lambda w, h: Hostile(
            FlatJpeg(w, h).whole().add(segment(0xC2, struct.pack(">BHHB", 8, h, w, 1) + b"\x01\x11\x00")).file()
        ),
        "a second picture before the end": lambda w, h: Hostile(ordinary(w, h)[:-2] + ordinary(w, h)),
        "a thousand ends and beginnings": lambda w, h: Hostile(ordinary(w, h) + b"\xff\xd9\xff\xd8" * 1000, "picture"),
    }


def _arithmetic(width: int, height: int, scans: int) -> bytes:
    made = FlatJpeg(width, height, S444, jpegs.ARITHMETIC_PROGRESSIVE)
    for _ in range(scans):
        made.direct(range(3), data=False)
    return made.file()


def _commented(width: int, height: int) -> bytes:
    """More segments between two scans than a walk that gives up in silence would count."""
    made = FlatJpeg(width, height, S444).whole(after=13).add(segment(0xFE, b"x") * 4200)
    for bit in range(13):
        for component in range(3):
            made.alternating(component, before=13 - bit, after=12 - bit)
    return made.file()


def _with_late_height(width: int, height: int) -> bytes:
    data = ordinary(width, height)
    place, frame = pictures.frame_of(data)
    late = segment(0xDC, struct.pack(">H", height))
    return data[:place] + pictures.resized_frame(frame, width, 0) + data[place + len(frame) : -2] + late + data[-2:]


def _halved(data: bytes) -> bytes:
    return data[: len(data) // 2].rstrip(b"\xff")


def _progressive(width: int, height: int, quality: int) -> bytes:
    return pictures.encoded(
        _photo(width, height), ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1, cv2.IMWRITE_JPEG_QUALITY, quality
    )


@cache
def _photo(width: int, height: int) -> np.ndarray:
    coarse = pictures.busy(max(1, width // 4), max(1, height // 4))
    large = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.int16)
    grain = np.random.default_rng(2).normal(0, 3, (height, width, 1)).astype(np.int16)
    return np.clip(large + grain, 0, 255).astype(np.uint8)


@cache
def _noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _png_of_tables(width: int, height: int, size: int) -> bytes:
    """Behind the rows, deflate blocks that hold nothing but new code tables, so many bytes of them."""
    packer = zlib.compressobj(wbits=-15)
    rows = bytes(height * (1 + 3 * width))
    picture = packer.compress(rows) + packer.flush(zlib.Z_FULL_FLUSH)
    tables = b"\x78\x9c" + picture + empty_blocks(size) + b"\x03\x00" + struct.pack(">I", zlib.adler32(rows))
    header = struct.pack(">IIBBBBB", width, height, 8, _RGB, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", tables), (b"IEND", b""))
    return pictures.PNG_SIGNATURE + b"".join(pictures.png_chunk(*part) for part in parts)


def _flat_png(width: int, height: int, depth: int, colour: int, filtering: int = 0, passes: bool = False) -> bytes:
    each = _CHANNELS[colour] * depth // 8
    packer = zlib.compressobj(9)
    packed = []
    for left, top, right, down in _ADAM7 if passes else ((0, 0, 1, 1),):
        columns, rows = -((left - width) // right), -((top - height) // down)
        if columns > 0 and rows > 0:
            row = bytes([filtering]) + bytes(columns * each)
            packed += [packer.compress(row) for _ in range(rows)]
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, passes)
    stream = b"".join([*packed, packer.flush()])
    chunks = ((b"IHDR", header), (b"IDAT", stream), (b"IEND", b""))
    return pictures.PNG_SIGNATURE + b"".join(pictures.png_chunk(kind, payload) for kind, payload in chunks)


@cache
def _noisy_webp(width: int, height: int) -> bytes:
    return pictures.encoded(_noise(width, height), ".webp", cv2.IMWRITE_WEBP_QUALITY, 100)


@cache
def _see_through_webp(width: int, height: int) -> bytes:
    picture = np.dstack([_photo(width, height), _noise(width, height)[:, :, :1]])
    return pictures.encoded(picture, ".webp", cv2.IMWRITE_WEBP_QUALITY, 80)


def _bmp_runs(width: int, height: int, row: bytes) -> bytes:
    rows = (row + b"\x00\x00") * height
    return pictures.bmp(width, height, rows[: 7 << 20] + b"\x00\x01", bits=8, compression=1, palette=bytes(1024))
