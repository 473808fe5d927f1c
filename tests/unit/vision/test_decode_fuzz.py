import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.errors import PictureRefused
from engine.vision.decode.versions import decode
from tests.fuzz.contract import answer_to
from tests.support import pictures

LIMIT = 200_000
SMALL = pictures.busy(48, 40)
WHOLE = [
    pictures.jpeg(SMALL),
    pictures.progressive_jpeg(SMALL),
    pictures.with_exif(pictures.jpeg(SMALL), 6),
    pictures.encoded(SMALL, ".png"),
    pictures.encoded(SMALL, ".webp", 64, 80),
    pictures.encoded(SMALL, ".webp", 64, 101),
    pictures.encoded(SMALL, ".bmp"),
    pictures.bmp(32, 32, b"\x20\x05\x00\x00" * 32 + b"\x00\x01", bits=8, compression=1, palette=bytes(1024)),
]
MAGIC = [b"", b"\xff\xd8\xff", pictures.PNG_SIGNATURE, b"RIFF\x40\x00\x00\x00WEBP", b"BM"]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 6))):
        # Headers are short and decide most: half of the hits go there.
        place = draw(st.integers(0, 120) | st.integers(0, len(data) - 1)) % len(data)
        match draw(st.sampled_from(["set", "cut", "insert"])):
            case "set":
                data[place] = draw(st.integers(0, 255))
            case "cut":
                del data[place : place + draw(st.integers(1, 40))]
            case "insert":
                data[place:place] = draw(st.binary(min_size=1, max_size=12))
        if not data:
            break
    return bytes(data)


@settings(max_examples=300, deadline=None)
@given(damaged())
def test_a_damaged_picture_gets_a_picture_or_a_refusal(data: bytes):
    assert isinstance(answer_to(data, LIMIT), np.ndarray | PictureRefused)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(MAGIC), st.binary(max_size=200))
def test_random_bytes_get_a_refusal_or_a_picture(magic: bytes, rest: bytes):
    assert isinstance(answer_to(magic + rest, LIMIT), np.ndarray | PictureRefused)


@pytest.mark.parametrize("whole", WHOLE)
def test_the_undamaged_ones_are_pictures(whole: bytes):
    assert decode(whole, LIMIT).size
