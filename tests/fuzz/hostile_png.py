"""Hostile and odd PNGs, beside those of tests/unit/vision/test_png.py."""

import struct
import zlib

from tests.fuzz.recipe import TOO_LARGE, Hostile
from tests.fuzz.wholes import HEIGHT, WIDTH, whole_pictures
from tests.support.pictures import PNG_SIGNATURE, png, png_chunk

_ROWS = (b"\x00" + bytes(range(3 * WIDTH))) * HEIGHT
_END = png_chunk(b"IEND", b"")


def hostile_pngs() -> dict[str, Hostile]:
    """Name -> file and answer."""
    return {f"png: {name}": file for name, file in {**_sizes(), **_chunks(), **_streams()}.items()}


def _png(*chunks: bytes) -> bytes:
    return PNG_SIGNATURE + b"".join(chunks)


def _header(width: int = WIDTH, height: int = HEIGHT, interlace: int = 0) -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlace))


def _sizes() -> dict[str, Hostile]:
    return {
        "gigapixels": Hostile(png(60_000, 60_000, b""), TOO_LARGE),
        "more pixels than a number holds": Hostile(png(0xFFFFFFFF, 0xFFFFFFFF, b""), TOO_LARGE),
        "a side that no JPEG could keep": Hostile(png(65_501, 1, b"\x00" + bytes(3 * 65_501)), TOO_LARGE),
        "one column": Hostile(png(1, 5000, b"\x00\x01\x02\x03" * 5000), "picture"),
        "one pixel": Hostile(png(1, 1, b"\x00\x01\x02\x03"), "picture"),
        "interlaced with passes of nothing": Hostile(
            _png(_header(1, 2, 1), png_chunk(b"IDAT", zlib.compress(b"\x00\x01\x02\x03" * 2)), _END), "picture"
        ),
    }


def _chunks() -> dict[str, Hostile]:
    stream = zlib.compress(_ROWS)
    header, data = _header(), png_chunk(b"IDAT", stream)
    bomb = zlib.compress(bytes(64 << 20), 9)
    frame = struct.pack(">IIIIIHHBB", 0, WIDTH, HEIGHT, 0, 0, 1, 10, 0, 0)
    return {
        "a wrong sum of the header": Hostile(_png(header[:-1], b"\x00", data, _END)),
        "a wrong sum of a comment": Hostile(_png(header, png_chunk(b"tEXt", b"a\0b")[:-1], b"!", data, _END)),
        "a wrong sum of the end": Hostile(_png(header, data, _END[:-1], b"!")),
        "a chunk of four gigabytes": Hostile(_png(header, b"\xff\xff\xff\xffIDAT", stream)),
        "a chunk of negative length": Hostile(_png(header, b"\x80\x00\x00\x00IDAT", stream)),
        "a hundred thousand empty chunks": Hostile(_png(header, png_chunk(b"tEXt", b"") * 100_000, data, _END)),
        "a hundred thousand empty pieces": Hostile(_png(header, png_chunk(b"IDAT", b"") * 100_000, data, _END)),
        "data before the header": Hostile(_png(data, header, _END)),
        "no end": Hostile(_png(header, data)),
        "an end at once": Hostile(_png(header, _END, data)),
        "Apple's own kind": Hostile(_png(png_chunk(b"CgBI", b"P\x00 \x02"), header, data, _END)),
        "a bomb in a profile": Hostile(_png(header, png_chunk(b"iCCP", b"p\0\0" + bomb), data, _END), "picture"),
        "a bomb in a comment": Hostile(_png(header, png_chunk(b"zTXt", b"t\0\0" + bomb), data, _END), "picture"),
        "an animation": Hostile(
            _png(
                header,
                png_chunk(b"acTL", struct.pack(">II", 2, 0)),
                png_chunk(b"fcTL", frame),
                data,
                png_chunk(b"fcTL", b"\x00\x00\x00\x01" + frame[4:]),
                png_chunk(b"fdAT", b"\x00\x00\x00\x02" + stream),
                _END,
            ),
            "picture",
        ),
        "a picture behind the end": Hostile(whole_pictures()["png"] * 2, "picture"),
        "line ends changed on the way": Hostile(whole_pictures()["png"].replace(b"\r\n", b"\n")),
        "the eighth bit lost on the way": Hostile(bytes(byte & 0x7F for byte in whole_pictures()["png"])),
    }


def _streams() -> dict[str, Hostile]:
    stream = zlib.compress(_ROWS)

    def of(packed: bytes) -> bytes:
        return _png(_header(), png_chunk(b"IDAT", packed), _END)

    raw = zlib.compressobj(wbits=-15)
    gzip = zlib.compressobj(wbits=31)
    return {
        "a bomb": Hostile(of(zlib.compress(bytes(256 << 20), 9))),
        "two streams": Hostile(of(stream + stream), "picture"),
        "two streams that end with the last row": Hostile(_two_interlaced(), "picture"),
        "a stream without a header": Hostile(of(raw.compress(_ROWS) + raw.flush())),
        "a gzip stream": Hostile(of(gzip.compress(_ROWS) + gzip.flush())),
        "a stream of stored blocks": Hostile(of(zlib.compress(_ROWS, 0)), "picture"),
        "a stream that wants a dictionary": Hostile(of(b"\x78\xbb\x00\x00\x00\x01" + stream[2:])),
        "a stream of random bytes": Hostile(of(b"\x78\x9c" + bytes(range(256)))),
        "a million empty blocks": Hostile(of(b"\x78\x01" + b"\x00\x00\x00\xff\xff" * 200_000 + stream[2:]), "either"),
    }


def _two_interlaced() -> bytes:
    """Found by the fuzz target: zlib told the bytes behind the stream twice, and libpng complained aloud of them."""
    whole = whole_pictures()["png interlaced"]
    start = whole.index(b"IDAT") + 4
    stream = whole[start : start + int.from_bytes(whole[start - 8 : start - 4], "big")]
    return _png(_header(interlace=1), png_chunk(b"IDAT", stream + stream), _END)
