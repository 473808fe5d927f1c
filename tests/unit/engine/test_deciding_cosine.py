"""One function computes the cosine that decides; nothing but the two vectors moves its bits."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from contract.people.held import HeldPerson
from contract.people.records import PersonRecord
from engine.gallery import row_store, rows
from engine.gallery.cosine import deciding_cosines
from engine.gallery.exact import ExactIndex
from engine.gallery.packed import rounded
from engine.gallery.port import EVERYBODY, Scope


def units(count: int, dimension: int, seed: int) -> np.ndarray:
    found = np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 300), st.sampled_from([1, 7, 8, 16, 129, 512]), st.integers(0, 99), st.sampled_from(["<f4", "<f2"])
)
def test_a_row_has_the_same_bits_in_every_batch_and_at_every_place(count, dimension, seed, dtype):
    vectors, (probe,) = units(count, dimension, seed).astype(dtype), units(1, dimension, 1000 + seed)
    whole = deciding_cosines(vectors, probe)
    alone = [deciding_cosines(vectors[row : row + 1], probe)[0] for row in range(count)]
    order = np.random.default_rng(seed).permutation(count)
    assert whole.tobytes() == np.array(alone).tobytes()
    assert deciding_cosines(vectors[order], probe).tobytes() == whole[order].tobytes()
    assert deciding_cosines(np.asfortranarray(vectors), probe).tobytes() == whole.tobytes()
    assert deciding_cosines(vectors, np.tile(probe, (count, 1))).tobytes() == whole.tobytes()


def test_the_cosine_is_that_of_the_numbers_in_double_precision():
    vectors, (probe,) = units(50, 512, 1), units(1, 512, 2)
    expected = vectors.astype(np.float64) @ probe.astype(np.float64)
    assert deciding_cosines(vectors, probe) == pytest.approx(expected, abs=1e-14)
    assert deciding_cosines(np.vstack([probe, -probe]) * np.float32(1.001), probe).tolist() == [1.0, -1.0]


def test_the_number_of_threads_does_not_move_a_bit():
    vectors, (probe,) = units(3000, 512, 3), units(1, 512, 4)
    with threadpool_limits(1):
        alone = deciding_cosines(vectors, probe)
    found: list[np.ndarray] = []
    threads = [threading.Thread(target=lambda: found.append(deciding_cosines(vectors, probe))) for _ in range(4)]
    with threadpool_limits(4):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 4
    assert all(one.tobytes() == alone.tobytes() for one in found)


def test_a_search_returns_the_same_bits_for_every_scope_and_order_of_enrolment(monkeypatch):
    monkeypatch.setattr(rows, "CHUNK", 64)
    monkeypatch.setattr(row_store, "CHUNK", 64)
    vectors, (probe,) = units(400, 512, 5), units(1, 512, 6)
    stored = np.array([rounded(vector) for vector in vectors])
    expected = {str(n): float(c) for n, c in enumerate(deciding_cosines(stored, probe))}
    for seed in range(3):
        index = ExactIndex(512)
        for number in np.random.default_rng(seed).permutation(400).tolist():
            groups = ("default_group", "few") if number % 25 == 0 else ("default_group",)
            owner = PersonRecord(identity_id=str(number), group_ids=groups, info={}, faces=(0,), next_face=1)
            index.add((str(number), 0), vectors[number], HeldPerson.of(owner))
        gallery = index.snapshot(1)
        for scope in (EVERYBODY, Scope(), Scope("few"), Scope(None, "0", frozenset({"few", "none"}))):
            found = gallery.above(probe, scope, -1.0)
            assert len(found) == gallery.count(scope)
            assert all(c.cosine == expected[c.person.identity_id] for c in found)
            (many,) = gallery.best_of_each(probe[np.newaxis], scope, 3)
            assert many == gallery.best(probe, scope, 3) == found[:3]
