"""How embeddings are stored: with fewer bits, rounded once, and equal wherever they are compared."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gallery.cosine import deciding_cosines
from engine.gallery.packed import Packed, finer, rounded
from engine.gallery.rows import products_of, taken

NUMBERS = st.floats(-1.0, 1.0, width=32)
EDGES = st.sampled_from([1.0, 0.99999, 0.999985, 0.99998474, 0.5, 0.49999997, 0.24999999, 1e-9, 0.0])
VECTORS = st.lists(st.one_of(NUMBERS, EDGES, EDGES.map(lambda edge: -edge)), min_size=1, max_size=6)


def units(count: int, dimension: int = 512) -> np.ndarray:
    found = np.random.default_rng(count).normal(size=(count, dimension)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def kept(vectors: np.ndarray) -> np.ndarray:
    return np.array([rounded(vector) for vector in vectors])


@given(VECTORS)
def test_rounding_once_more_changes_nothing_and_both_forms_are_equal(numbers: list[float]) -> None:
    vector = np.array(numbers, np.float32)
    once = rounded(vector)
    assert once.dtype == np.float32
    assert rounded(once).tobytes() == once.tobytes()
    for packed in (Packed.of(vector[np.newaxis]), Packed.of(once[np.newaxis])):
        assert np.array_equal(packed.take([0])[0], once)
    largest = float(np.abs(vector).max())
    assert float(np.abs(once.astype(np.float64) - vector).max()) <= max(largest, 2.0**-126) * 2.0**-15


def test_packed_vectors_have_the_bits_of_rounded_ones_in_every_selection() -> None:
    vectors = units(700)
    once, packed = kept(vectors), Packed.of(vectors)
    assert len(packed) == 700
    assert packed.take(slice(None)).tobytes() == once.tobytes()
    assert taken(packed, [5, 699, 5]).tobytes() == taken(once, [5, 699, 5]).tobytes()
    assert packed.chosen(np.array([699, 3])).take([1])[0].tobytes() == once[3].tobytes()


def test_products_are_those_of_the_vectors_for_one_probe_and_for_many() -> None:
    once, probes = kept(units(700)), units(9)
    packed = Packed.of(once)
    for low, high in ((0, 700), (3, 259), (255, 257), (699, 700), (7, 7)):
        wanted = probes.astype(np.float64) @ once[low:high].T.astype(np.float64)
        for chunk in (packed, once):
            assert products_of(chunk, probes, low, high) == pytest.approx(wanted, abs=1e-6)
            assert products_of(chunk, probes[0], low, high) == pytest.approx(wanted[0], abs=1e-6)


def test_a_replaced_row_has_the_new_vector_and_the_others_theirs() -> None:
    once = kept(units(3, 8))
    packed, new = Packed.of(once), rounded(units(1, 8)[0] * np.float32(4.0))
    packed.put(1, new)
    assert packed.take(slice(None)).tobytes() == np.array([once[0], new, once[2]]).tobytes()


def test_a_cosine_is_moved_by_a_few_millionths() -> None:
    vectors, (probe,) = units(5000), units(1)
    moved = deciding_cosines(kept(vectors), probe) - deciding_cosines(vectors, probe)
    assert 1e-7 < float(np.std(moved)) < 4e-6
    assert float(np.abs(moved).max()) < 2e-5
    halves = deciding_cosines(vectors.astype(np.float16), probe) - deciding_cosines(vectors, probe)
    assert float(np.std(moved)) < float(np.std(halves)) / 2, "half precision takes as many bytes"


def test_the_vector_before_it_was_rounded_is_kept_where_it_is_sent_once_more() -> None:
    one, other = units(2)
    assert finer(rounded(one), one) is one
    stored = rounded(one)
    assert finer(stored, other) is stored
