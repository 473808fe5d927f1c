"""The index of seen faces: exact in the order of time, the nearest by sketches, filters, and bounded memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.seen_faces import MOST_FOUND, SeenFilter, cosine_of
from contract.vectors import Vector
from sinks.seen_index import RERANKED, NewFace, SeenIndex

DIMENSION = 128
EVER = SeenFilter(0.0, 1e12)


def vectors(count: int, seed: int = 0) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal((count, DIMENSION)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def faces(found: np.ndarray, first: int = 0, device: str = "10.0.0.1") -> list[NewFace]:
    return [
        NewFace(f"e{first + n}", float(first + n), device, (n % 3, first + n), vector.astype("<f2").tobytes())
        for n, vector in enumerate(found)
    ]


def near(vector: Vector, cosine: float, seed: int = 9) -> Vector:
    other = vectors(1, seed)[0]
    other -= (other @ vector) * vector
    other /= np.linalg.norm(other)
    return (cosine * vector + np.sqrt(1 - cosine**2) * other).astype(np.float32)


def test_the_nearest_face_of_many_is_found_and_ranked_first() -> None:
    known = vectors(30_000)
    index = SeenIndex(DIMENSION, 100_000)
    index.add(faces(known))
    for number in (0, 4711, 29_999):
        found = index.nearest(near(known[number], 0.7), EVER, 5)
        assert (found.found[0].event_id, found.among) == (f"e{number}", 30_000)
        assert found.found[0].cosine == pytest.approx(0.7, abs=2e-3)
        assert found.found[0].place == (number % 3, number)
        cosines = [face.cosine for face in found.found]
        assert cosines == sorted(cosines, reverse=True)


@given(st.integers(1, 60), st.floats(-0.2, 0.4), st.booleans())
def test_a_search_in_the_order_of_time_is_exact(count: int, least: float, newest_first: bool) -> None:
    known, probe = vectors(count), vectors(1, 5)[0]
    index = SeenIndex(DIMENSION, 1000)
    index.add(faces(known))
    cosines = known.astype(np.float16).astype(np.float32) @ probe
    expected = [f"e{n}" for n in range(count) if cosines[n] >= least]
    found = index.in_time(probe, EVER, least, newest_first=newest_first)
    assert [face.event_id for face in found.found] == (expected[::-1] if newest_first else expected)
    assert (found.scanned, found.more) == (count, False)


def test_addresses_of_faces_that_are_left_out_are_forgotten() -> None:
    """A request can name any address, so their number has no limit."""
    index = SeenIndex(DIMENSION, 100)
    known = vectors(30)
    for batch in range(1000):
        index.add(faces(known, batch * 30, f"10.0.{batch // 256}.{batch % 256}"))
    assert len(index) == 100
    assert len(index._device_codes) <= 300
    last = SeenFilter(0.0, 1e12, frozenset({"10.0.3.231"}))
    assert [face.event_id for face in index.in_time(known[0], last, -1.0, newest_first=False).found] == [
        f"e{number}" for number in range(29_970, 30_000)
    ]
    assert index.nearest(known[0], SeenFilter(0.0, 1e12, frozenset({"10.0.0.0"})), 5).found == []


def test_times_and_devices_limit_both_searches() -> None:
    known = vectors(40)
    index = SeenIndex(DIMENSION, 1000)
    index.add(faces(known[:20], 0, "10.0.0.1"))
    index.add(faces(known[20:], 20, "10.0.0.2"))
    wanted = SeenFilter(10.0, 29.0, frozenset({"10.0.0.2"}))
    assert index.nearest(known[3], wanted, 100).among == 10
    assert [face.time for face in index.in_time(known[3], wanted, -1.0, newest_first=False).found] == [
        float(n) for n in range(20, 30)
    ]
    assert index.nearest(known[3], SeenFilter(0.0, 99.0, frozenset({"10.0.0.9"})), 5).among == 0


def test_more_faces_than_one_search_finds_are_continued_where_it_ended() -> None:
    index = SeenIndex(DIMENSION, 10_000)
    same = np.repeat(vectors(1), 2500, axis=0)
    index.add(faces(same))
    seen: list[str] = []
    since = 0.0
    for expected_more in (True, True, False):
        found = index.in_time(same[0], SeenFilter(since, 1e12), 0.9, newest_first=False)
        assert (len(found.found) <= MOST_FOUND, found.more) == (True, expected_more)
        seen += [face.event_id for face in found.found]
        assert found.end is not None
        since = float(np.nextafter(found.end, np.inf))
    assert seen == [f"e{n}" for n in range(2500)]


def test_the_oldest_faces_are_left_out_when_there_are_too_many_or_they_are_too_old() -> None:
    index = SeenIndex(DIMENSION, 5000)
    known = vectors(200)
    for first in range(0, 20_000, 200):
        index.add(faces(known, first))
        assert len(index) <= 5000
    assert index.in_time(known[0], EVER, -1.0, newest_first=False).found[0].time == 15_000.0
    assert len(index._times) <= 4 * 5000, "the arrays do not grow with all that was ever added"
    index.leave_out_before(19_900.0)
    assert (len(index), index.nearest(known[0], EVER, 3).among) == (100, 100)
    index.leave_out_before(1e9)
    assert (len(index), index.nearest(known[0], EVER, 3).found) == (0, [])


def test_a_dimension_that_is_no_multiple_of_a_word_works_too() -> None:
    index = SeenIndex(100, 10_000)
    found = np.random.default_rng(1).standard_normal((RERANKED + 900, 100)).astype(np.float32)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    index.add([NewFace(f"e{n}", 1.0, "", (0, n), vector.astype("<f2").tobytes()) for n, vector in enumerate(found)])
    assert index.nearest(found[77], EVER, 1).found[0].event_id == "e77"


@pytest.mark.parametrize(("percent", "cosine"), [(0.0, -1.0), (41.0, 0.25), (82.0, 0.5), (91.0, 0.75), (100.0, 1.0)])
def test_a_percent_has_its_cosine(percent: float, cosine: float) -> None:
    assert cosine_of(percent, 0.5) == pytest.approx(cosine)
