"""The corpus of whole, hostile and cut files, held to the same contract as the fuzz target, without atheris."""

import functools

import numpy as np
import pytest

from contract.errors import PictureRefused
from engine.vision.decode.versions import decode
from tests.fuzz.contract import answer_to, text_is_answered
from tests.fuzz.hostile import hostile_pictures
from tests.fuzz.mutator import mutated
from tests.fuzz.wholes import HEIGHT, WIDTH, whole_pictures

LIMIT = 1_000_000
WHOLE = whole_pictures()
HOSTILE = hostile_pictures()
CHUNKS = {b"IDAT", b"IEND", b"PLTE", b"VP8 ", b"VP8L", b"ANMF", b"EXIF"}
HEAD_BYTES, TAIL_BYTES = 70, 20


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_picture_comes_out_in_its_size(name: str):
    answer = answer_to(WHOLE[name], LIMIT)

    assert not isinstance(answer, PictureRefused)
    assert {answer.shape[0], answer.shape[1]} == {WIDTH, HEIGHT}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_gets_its_answer_and_nothing_is_printed(name: str, capfd: pytest.CaptureFixture[str]):
    hostile = HOSTILE[name]
    answer = answer_to(hostile.data, LIMIT)

    assert capfd.readouterr() == ("", "")
    if isinstance(answer, PictureRefused):
        assert hostile.answer in {answer.code, "refused", "either"}
    else:
        assert hostile.answer in {"picture", "either"}


@pytest.mark.parametrize("name", WHOLE)
def test_a_picture_cut_off_is_refused_unless_nothing_of_it_is_missing(name: str, capfd: pytest.CaptureFixture[str]):
    data = WHOLE[name]
    refused = 0
    for length in _interesting_lengths(data):
        answer = answer_to(data[:length], LIMIT)
        if isinstance(answer, PictureRefused):
            refused += 1
        else:
            assert np.array_equal(answer, decode(data, LIMIT)), f"cut to {length} of {len(data)} bytes"

    assert refused > HEAD_BYTES // 2
    assert capfd.readouterr() == ("", "")


def test_what_is_appended_to_a_picture_does_not_change_it():
    for name, data in WHOLE.items():
        if name == "jpeg without end":
            continue
        answer = answer_to(data + b"\x00appended\xff\xd9", LIMIT)
        assert np.array_equal(answer, decode(data, LIMIT)), name


def test_neighbours_of_every_picture_are_answered(capfd: pytest.CaptureFixture[str]):
    # What the fuzz target does for an hour, for a second and without guidance.
    chance = np.random.default_rng(7)
    for data in (*WHOLE.values(), *(hostile.data for hostile in HOSTILE.values() if len(hostile.data) < 8000)):
        for _ in range(12):
            answer_to(mutated(data, 16_384, int(chance.integers(1 << 32)), functools.partial(_flip, chance)), LIMIT)

    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "text", ["", "data:", "data:image/jpeg;base64,", "=", "====", "/9j/", "\u00ff" * 9, "A" * 5000]
)
def test_any_text_is_answered_where_base64_is_expected(text: str):
    text_is_answered(text, 2048)


def _interesting_lengths(data: bytes) -> list[int]:
    """Lengths within the head and the tail, and about every place where a marker or a chunk begins."""
    marks = [place for place in range(len(data)) if data[place] == 0xFF or data[place : place + 4] in CHUNKS]
    lengths = {*range(HEAD_BYTES), *range(len(data) - TAIL_BYTES, len(data))}
    lengths.update(mark + near for mark in marks[:60] for near in (-1, 0, 1, 4))
    return sorted(length for length in lengths if 0 <= length < len(data))


def _flip(chance: np.random.Generator, data: bytes, max_size: int) -> bytes:
    changed = bytearray(data[:max_size])
    for place in chance.integers(0, len(changed), 3) if changed else ():
        changed[place] = int(chance.integers(256))
    return bytes(changed)
