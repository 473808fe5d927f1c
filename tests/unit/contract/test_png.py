"""What a PNG has to be before libpng sees it, and that libpng then has nothing to say."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from contract.errors import PictureUnreadable
from engine.vision.decode.versions import decode
from tests.support.pictures import PNG_SIGNATURE, png_chunk

LIMIT = 1_000_000
SIDE = 8
ROWS = b"".join(b"\x00" + bytes(range(row, row + 3 * SIDE)) for row in range(SIDE))
EXPECTED = np.frombuffer(ROWS, np.uint8).reshape(SIDE, -1)[:, 1:].reshape(SIDE, SIDE, 3)[:, :, ::-1]
END = (b"IEND", b"")


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    return PNG_SIGNATURE + b"".join(png_chunk(kind, payload) for kind, payload in chunks)


def idat(rows: bytes = ROWS) -> tuple[bytes, bytes]:
    return b"IDAT", zlib.compress(rows)


def ihdr(**changes: int) -> tuple[bytes, bytes]:
    fields = {"width": SIDE, "height": SIDE, "depth": 8, "colour": 2, "compression": 0, "filter": 0, "interlace": 0}
    return b"IHDR", struct.pack(">IIBBBBB", *(fields | changes).values())


def interlaced() -> bytes:
    """The same picture in Adam7's seven passes."""
    pixels = EXPECTED[:, :, ::-1]
    passes = (pixels[0::8, 0::8], pixels[0::8, 4::8], pixels[4::8, 0::4], pixels[0::4, 2::4])
    passes += (pixels[2::4, 0::2], pixels[0::2, 1::2], pixels[1::2, :])
    return b"".join(b"\x00" + row.tobytes() for part in passes for row in part)


STREAM = zlib.compress(ROWS)
SHORT_PALETTE = (b"PLTE", bytes([1, 2, 3]))

ODD = {
    "plain": png(ihdr(), idat(), END),
    "interlaced": png(ihdr(interlace=1), idat(interlaced()), END),
    "many pieces": png(ihdr(), *((b"IDAT", STREAM[n : n + 1]) for n in range(len(STREAM))), END),
    "bytes behind the data": png(ihdr(), (b"IDAT", STREAM + b"behind"), END),
    "data behind a comment": png(ihdr(), idat(), (b"tEXt", b"a\0b"), idat(), END),
    "a broken profile": png(ihdr(), (b"iCCP", b"x"), (b"gAMA", b""), (b"tIME", bytes(99)), idat(), END),
    "a needless palette": png(ihdr(), (b"PLTE", bytes(7)), idat(), END),
    "an end with contents": png(ihdr(), idat(), (b"IEND", b"more")),
}
BROKEN = {
    "too few rows": png(ihdr(), idat(ROWS[:-1]), END),
    "too many rows": png(ihdr(), idat(ROWS + b"\x00"), END),
    "no data": png(ihdr(), (b"IDAT", b""), END),
    "no data chunk": png(ihdr(), END),
    "not compressed": png(ihdr(), (b"IDAT", ROWS), END),
    "a wrong sum of the data": png(ihdr(), (b"IDAT", STREAM[:-1] + bytes([STREAM[-1] ^ 1])), END),
    "data cut off": png(ihdr(), (b"IDAT", STREAM[:-2]), END),
    "an unknown filter": png(ihdr(), idat(b"\x05" + ROWS[1:]), END),
    "an interlaced one that is not": png(ihdr(interlace=1), idat(), END),
    "a depth that does not exist": png(ihdr(depth=7), idat(), END),
    "a colour type that does not exist": png(ihdr(colour=5), idat(), END),
    "a depth that this colour type does not have": png(ihdr(depth=4), idat(), END),
    "an unknown compression": png(ihdr(compression=1), idat(), END),
    "an unknown filter method": png(ihdr(filter=1), idat(), END),
    "an unknown interlacing": png(ihdr(interlace=2), idat(), END),
    "two headers": png(ihdr(), ihdr(), idat(), END),
    "two palettes": png(ihdr(colour=3), SHORT_PALETTE, SHORT_PALETTE, idat((b"\x00" * 9) * 8), END),
    "no palette": png(ihdr(colour=3), idat((b"\x00" * 9) * 8), END),
    "an empty palette": png(ihdr(colour=3), (b"PLTE", b""), idat((b"\x00" * 9) * 8), END),
    "half a colour": png(ihdr(colour=3), (b"PLTE", bytes(4)), idat((b"\x00" * 9) * 8), END),
    "an unknown chunk that matters": png(ihdr(), (b"ABCD", b""), idat(), END),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_but_whole_is_decoded(name: str):
    assert np.array_equal(decode(ODD[name], LIMIT), EXPECTED)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_unreadable(name: str):
    with pytest.raises(PictureUnreadable):
        decode(BROKEN[name], 10_000_000)


def test_pixels_beyond_a_short_palette_are_black():
    data = png(ihdr(colour=3), SHORT_PALETTE, idat((b"\x00" + b"\x00\x01" * 4) * 8), END)
    image = decode(data, LIMIT)
    assert image[0, 0].tolist() == [3, 2, 1]
    assert image[0, 1].tolist() == [0, 0, 0]


def test_a_picture_of_several_blocks_is_checked_to_its_end():
    pixels = np.random.default_rng(3).integers(0, 256, (700, 900, 3), dtype=np.uint8)
    rows = b"".join(b"\x00" + row.tobytes() for row in pixels)
    large = {"width": 900, "height": 700}
    assert np.array_equal(decode(png(ihdr(**large), idat(rows), END), LIMIT), pixels[:, :, ::-1])
    for broken in (rows[:-1], rows[: -(1 + 2700)] + b"\x05" + rows[-2700:]):
        with pytest.raises(PictureUnreadable):
            decode(png(ihdr(**large), idat(broken), END), LIMIT)


def test_nothing_is_printed_about_any_of_them(tmp_path: Path):
    script = (
        "import pathlib, sys\nfrom engine.vision.decode.versions import decode\n"
        "from contract.errors import PictureRefused\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    try:\n        decode(path.read_bytes(), 10**7)\n    except PictureRefused:\n        print('refused')\n"
    )
    for name, data in {**ODD, **BROKEN}.items():
        (tmp_path / name).write_bytes(data)
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, check=True)
    assert done.stdout.split() == [b"refused"] * len(BROKEN)
    assert done.stderr == b""
