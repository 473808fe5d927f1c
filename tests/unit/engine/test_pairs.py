"""The pairs of people who are alike, compared with a search of every pair one by one."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gallery import pairs
from engine.gallery.pairs import AlikePair, PairSearch

DIMENSION = 4


def brute_force(
    vectors: np.ndarray, people: np.ndarray, down_to: float, means: np.ndarray
) -> dict[tuple[int, int], float]:
    found: dict[tuple[int, int], float] = {}
    for a, one in enumerate(people.tolist()):
        for b, other in enumerate(people.tolist()):
            cosine = float(np.dot(vectors[a].astype(np.float64), vectors[b].astype(np.float64)))
            if one < other and cosine >= down_to and not (means[a] and means[b]):
                found[one, other] = max(found.get((one, other), -1.0), cosine)
    return found


def searched(
    vectors: np.ndarray, people: np.ndarray, down_to: float, most: int = 10_000, means: np.ndarray | None = None
) -> PairSearch:
    search = PairSearch(vectors, people, down_to, most, means)
    assert sum(1 for _ in search.run()) == search.steps
    return search


@given(
    faces=st.lists(st.integers(1, 4), max_size=12),
    seed=st.integers(0, 2**32 - 1),
    down_to=st.floats(-0.9, 0.95),
    rows=st.integers(1, 9),
    rows_at_once=st.integers(1, 9),
    most=st.integers(1, 20),
)
def test_the_pairs_are_those_of_brute_force_whatever_the_blocks(faces, seed, down_to, rows, rows_at_once, most):
    people = np.repeat(np.arange(len(faces)), faces)
    chance = np.random.default_rng(seed)
    means = chance.random(len(people)) < 0.3
    vectors = chance.normal(size=(len(people), DIMENSION)).astype(np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pairs, "_ROWS", rows)
        patched.setattr(pairs, "_ROWS_AT_ONCE", rows_at_once)
        patched.setattr(pairs, "_EXACT_AT_ONCE", 3)
        found = searched(vectors, people, down_to, most, means).found
    expected = brute_force(vectors, people, down_to, means)
    borderline = sum(abs(cosine - down_to) < 1e-9 for cosine in expected.values())
    assert abs(found.total - len(expected)) <= borderline
    nearest = sorted(expected.values(), reverse=True)[:most]
    assert [pair.cosine for pair in found.pairs] == pytest.approx(nearest, abs=1e-9)
    for pair in found.pairs:
        assert pair.cosine == pytest.approx(expected[pair.one, pair.other], abs=1e-9)
        assert (people[pair.one_row], people[pair.other_row]) == (pair.one, pair.other)
        assert not (means[pair.one_row] and means[pair.other_row])
        assert float(vectors[pair.one_row] @ vectors[pair.other_row]) == pytest.approx(pair.cosine, abs=1e-5)


def test_equally_near_pairs_are_ordered_by_person_and_faces_of_one_person_are_no_pair():
    vectors = np.tile(np.eye(1, DIMENSION, dtype=np.float32), (4, 1))
    search = searched(vectors, np.array([0, 0, 1, 2]), 0.9, most=2)
    assert search.found.pairs == (AlikePair(0, 1, 0, 2, 1.0), AlikePair(0, 2, 0, 3, 1.0))
    assert search.found.total == 3


def test_nobody_is_no_pair():
    search = searched(np.empty((0, DIMENSION), np.float32), np.empty(0, np.int64), 0.5)
    assert (search.found.pairs, search.found.total) == ((), 0)


def test_the_memory_does_not_grow_with_the_pairs_and_all_of_them_are_counted():
    """Everybody is alike: of 1,500 people that are more than a million pairs, each of which took over 100 bytes."""
    count, most = 1500, 10
    angles = np.linspace(0.0, 1.5, count)
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    tracemalloc.start()
    try:
        found = searched(vectors, np.arange(count), 0.0, most).found
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (len(found.pairs), found.total) == (most, count * (count - 1) // 2)
    assert peak < 64e6, f"{peak / 1e6:.0f} MB"


def test_at_most_twice_as_many_pairs_as_are_wanted_are_kept():
    """They are pruned while the blocks are compared, and the nearest of all are found nevertheless."""
    people = np.arange(600)
    chance = np.random.default_rng(3)
    vectors = chance.normal(size=(len(people), DIMENSION)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pairs, "_ROWS", 50)
        search = PairSearch(vectors, people, -1.0, 7)
        kept = []
        for _ in search.run():
            nearest = search._kept
            kept.append(len(nearest._kept) + sum(map(len, nearest._added)))
    assert max(kept) <= 2 * 7
    assert search.found.total == 600 * 599 // 2
    alone = PairSearch(vectors, people, -1.0, 600 * 600)
    assert sum(1 for _ in alone.run()) == 1
    assert search.found.pairs == alone.found.pairs[:7]
