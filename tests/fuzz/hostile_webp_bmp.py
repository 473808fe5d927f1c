"""Hostile and odd WebPs and BMPs."""

import struct

from tests.fuzz.recipe import TOO_LARGE, Hostile
from tests.fuzz.wholes import HEIGHT, WIDTH, whole_pictures
from tests.support.pictures import bmp, webp_extended

_ROWS = bytes(3 * WIDTH * HEIGHT)
_PALETTE = bytes(range(256)) * 4
_PIXELS_AT, _INFO_SIZE, _WIDTH_AT, _HEIGHT_AT, _PLANES, _COLOURS = 10, 14, 18, 22, 26, 46
_RLE8, _RLE4, _BITFIELDS, _AS_JPEG, _AS_PNG = 1, 2, 3, 4, 5


def hostile_webps() -> dict[str, Hostile]:
    """Name -> file and answer."""
    whole = whole_pictures()
    lossy, lossless, moving = whole["webp"], whole["webp lossless"], whole["webp animated"]
    extended = whole["webp with exif"]
    frame = moving.index(b"ANMF")
    made = {
        "a size smaller than the file": Hostile(_sized(lossy, 30)),
        "a size larger than the file": Hostile(_sized(lossy, len(lossy))),
        "a size of four gigabytes": Hostile(_sized(lossy, 0xFFFFFFFF)),
        "no size": Hostile(_sized(lossy, 0)),
        "bytes behind its end": Hostile(lossy + b"appended", "picture"),
        "a frame of no size": Hostile(lossy[:26] + bytes(4) + lossy[30:]),
        "a frame of other size": Hostile(lossy[:26] + struct.pack("<HH", 64, 64) + lossy[30:]),
        "a frame that needs one before it": Hostile(lossy[:20] + bytes([lossy[20] | 1]) + lossy[21:]),
        "a frame without its mark": Hostile(lossy[:23] + b"\x00\x00\x00" + lossy[26:]),
        "a lossless frame without its mark": Hostile(lossless[:20] + b"\x00" + lossless[21:]),
        "a lossless frame of the largest size": Hostile(lossless[:21] + b"\xff\xff\xff\x0f" + lossless[25:], TOO_LARGE),
        "a canvas and no frame": Hostile(_riff(_canvas(WIDTH, HEIGHT))),
        "two canvases": Hostile(_riff(_canvas(WIDTH, HEIGHT) + _canvas(9, 9) + lossy[12:]), "either"),
        "a canvas that is cut short": Hostile(_riff(b"VP8X\x04\x00\x00\x00\x00\x00\x00\x00" + lossy[12:]), "either"),
        "the largest canvas": Hostile(webp_extended(lossy, 1 << 24, 1 << 24)),
        "a moving canvas of gigapixels": Hostile(moving[:24] + b"\xff\xff\xff" * 2 + moving[30:], TOO_LARGE),
        "a moving frame that starts outside": Hostile(moving[: frame + 8] + b"\xff\xff\x00" * 2 + moving[frame + 14 :]),
        "a moving frame larger than its canvas": Hostile(
            moving[: frame + 14] + b"\xff\xff\x00" * 2 + moving[frame + 20 :]
        ),
        "a moving picture without its flag": Hostile(moving[:20] + b"\x00" + moving[21:], "either"),
        "a moving picture of half a frame": Hostile(moving[: frame + 30]),
        "alpha that is noise": Hostile(whole["webp alpha"].replace(b"ALPH", b"ALPX"), "either"),
        "five thousand empty chunks": Hostile(_riff(b"JUNK\x00\x00\x00\x00" * 5000 + lossy[12:])),
        "an EXIF chunk of noise": Hostile(
            webp_extended(lossy, WIDTH, HEIGHT, (b"EXIF", b"\xff" * 99), flags=8), "picture"
        ),
        "an EXIF chunk of nothing": Hostile(_with_exif(lossy, b""), "picture"),
        "a frame of two kinds": Hostile(_riff(lossy[12:] + lossless[12:]), "either"),
        "an EXIF chunk cut off": Hostile(extended[:-3]),
    }
    return {f"webp: {name}": file for name, file in made.items()}


def hostile_bmps() -> dict[str, Hostile]:
    """Name -> file and answer."""
    whole = whole_pictures()["bmp"]
    runs = (b"\x30\x05\x00\x00" * HEIGHT) + b"\x00\x01"

    def with_number(at: int, value: int) -> bytes:
        return whole[:at] + struct.pack("<I", value & 0xFFFFFFFF) + whole[at + 4 :]

    def packed(rows: bytes, compression: int = _RLE8, bits: int = 8) -> bytes:
        return bmp(WIDTH, HEIGHT, rows, bits=bits, compression=compression, palette=_PALETTE[: 4 << bits])

    made = {
        "the lowest height": Hostile(with_number(_HEIGHT_AT, -(1 << 31)), TOO_LARGE),
        "the highest width": Hostile(with_number(_WIDTH_AT, (1 << 31) - 1), TOO_LARGE),
        "a negative width": Hostile(with_number(_WIDTH_AT, -WIDTH)),
        "gigapixels": Hostile(bmp(60_000, -60_000, b""), TOO_LARGE),
        "a side that no JPEG could keep": Hostile(bmp(1, 65_501, bytes(4 * 65_501)), TOO_LARGE),
        "pixels beyond the file": Hostile(with_number(_PIXELS_AT, 0x7FFFFFFF)),
        "pixels before the file": Hostile(with_number(_PIXELS_AT, -1)),
        "pixels within the header": Hostile(with_number(_PIXELS_AT, 0), "either"),
        "a header of four gigabytes": Hostile(with_number(_INFO_SIZE, -1)),
        "a header of 13 bytes": Hostile(with_number(_INFO_SIZE, 13)),
        "a header of 36 bytes": Hostile(with_number(_INFO_SIZE, 36), "either"),
        "a header that is the file": Hostile(with_number(_INFO_SIZE, len(whole) - 14), "either"),
        "no planes": Hostile(whole[:_PLANES] + b"\x00\x00" + whole[_PLANES + 2 :], "either"),
        "a palette of four billion colours": Hostile(with_number(_COLOURS, -1), "either"),
        "a palette that is not there": Hostile(bmp(WIDTH, HEIGHT, bytes(WIDTH * HEIGHT), bits=8), "either"),
        "a palette longer than its depth": Hostile(
            bmp(WIDTH, HEIGHT, bytes(24 * HEIGHT), bits=4, palette=_PALETTE), "either"
        ),
        "colours beyond the palette": Hostile(
            bmp(WIDTH, HEIGHT, b"\xff" * (WIDTH * HEIGHT), bits=8, palette=_PALETTE[:8]), "either"
        ),
        "two bits": Hostile(bmp(WIDTH, HEIGHT, _ROWS, bits=2, palette=_PALETTE[:16])),
        "64 bits": Hostile(bmp(WIDTH, HEIGHT, bytes(8 * WIDTH * HEIGHT), bits=64)),
        "no bits": Hostile(bmp(WIDTH, HEIGHT, _ROWS, bits=0)),
        "masks that are not there": Hostile(bmp(WIDTH, HEIGHT, _ROWS, bits=16, compression=_BITFIELDS), "either"),
        "a JPEG within": Hostile(bmp(WIDTH, HEIGHT, whole_pictures()["jpeg"], compression=_AS_JPEG)),
        "a PNG within": Hostile(bmp(WIDTH, HEIGHT, whole_pictures()["png"], compression=_AS_PNG)),
        "rows that stop": Hostile(whole[:-1]),
        "runs that stop": Hostile(packed(runs[:40])),
        "runs without an end": Hostile(packed(runs[:-2]), "either"),
        "runs beyond the row": Hostile(packed(b"\xff\x05" * HEIGHT + b"\x00\x01"), "either"),
        "runs beyond the picture": Hostile(packed((b"\x30\x05\x00\x00" * (4 * HEIGHT)) + b"\x00\x01"), "either"),
        "runs that jump out of the picture": Hostile(packed(b"\x00\x02\xff\xff" * 9 + runs), "either"),
        "runs that end at once": Hostile(packed(b"\x00\x01"), "either"),
        "runs with a copy beyond the file": Hostile(packed(b"\x00\xff\x01")),
        "runs of four bits beyond the row": Hostile(packed(b"\xff\x12" * HEIGHT + b"\x00\x01", _RLE4, 4), "either"),
        "runs of four bits of a deep picture": Hostile(packed(runs, _RLE4, 8), "either"),
    }
    return {f"bmp: {name}": file for name, file in made.items()}


def _sized(webp: bytes, size: int) -> bytes:
    return webp[:4] + struct.pack("<I", size) + webp[8:]


def _with_exif(lossy: bytes, exif: bytes) -> bytes:
    return webp_extended(lossy, WIDTH, HEIGHT, (b"EXIF", exif), flags=8)


def _canvas(width: int, height: int) -> bytes:
    sides = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"VP8X\x0a\x00\x00\x00" + bytes(4) + sides


def _riff(body: bytes) -> bytes:
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
