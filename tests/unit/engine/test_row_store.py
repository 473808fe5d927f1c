"""The store of rows: full chunks are packed beside readers who keep what they have, and each face has its row."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.people.held import HeldPerson
from contract.people.records import PersonRecord
from engine.gallery import row_store, rows
from engine.gallery.cosine import deciding_cosines
from engine.gallery.exact import ExactIndex
from engine.gallery.packed import Packed, rounded
from engine.gallery.places import PlacesOfFaces
from engine.gallery.port import EVERYBODY, Scope
from engine.gallery.row_store import RowStore
from engine.gallery.sketch import SketchMaker
from engine.gallery.two_stage import TwoStageIndex

DIMENSION = 64


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


def owner(who: str, *groups: str) -> HeldPerson:
    return HeldPerson.of(PersonRecord(identity_id=who, group_ids=groups, info={}, faces=(0,), next_face=1))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (rows, row_store):
        monkeypatch.setattr(module, "CHUNK", 4)


@pytest.mark.usefixtures("small_chunks")
def test_a_view_keeps_its_chunk_when_the_chunk_is_packed() -> None:
    store = RowStore(DIMENSION)
    for number in range(4):
        store.add((f"p{number}", 0), unit(number), owner(f"p{number}", "g"))
    before = store.view()
    bits = before.take(np.arange(4)).tobytes()
    for number in range(4, 10):
        store.add((f"p{number}", 0), unit(number), owner(f"p{number}", "g"))
    store.add(("p1", 0), unit(77), owner("p1", "g"))
    after = store.view()
    assert [isinstance(chunk, Packed) for chunk in before.vectors] == [False]
    assert [isinstance(chunk, Packed) for chunk in after.vectors] == [True, True, False]
    assert before.take(np.arange(4)).tobytes() == after.take(np.arange(4)).tobytes() == bits
    assert before.exact(np.arange(4), unit(9)).tobytes() == after.exact(np.arange(4), unit(9)).tobytes()
    assert len(before.bitmap(EVERYBODY)) == 4
    assert len(after.bitmap(EVERYBODY)) == 10


@pytest.mark.usefixtures("small_chunks")
def test_a_row_that_nobody_reads_is_changed_in_a_packed_chunk_too() -> None:
    store = RowStore(DIMENSION)
    for number in range(6):
        store.add((f"p{number}", 0), unit(number), owner(f"p{number}", "g"))
    store.add(("p2", 0), unit(50), owner("p2", "g"))
    found = store.vector(("p2", 0))
    assert found is not None
    assert found.tobytes() == rounded(unit(50)).tobytes()
    assert store.view().count == 6


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("sketched", [False, True])
def test_a_removed_face_that_comes_back_is_found_with_its_new_vector_and_the_former_gallery_is_a_value(
    sketched: bool,
) -> None:
    index = TwoStageIndex(DIMENSION, lambda: SketchMaker(DIMENSION), 1, 3) if sketched else ExactIndex(DIMENSION)
    for number in range(40):
        index.add((f"p{number:02}", 0), unit(number), owner(f"p{number:02}", "g"))
    before = index.snapshot(1)
    if isinstance(index, TwoStageIndex):
        index.wait()
        before = index.snapshot(1)
    index.remove(("p03", 0))
    gone = index.snapshot(2)
    index.add(("p03", 0), unit(900), owner("p03", "g"))
    after = index.snapshot(3)
    wanted = {seed: float(deciding_cosines(rounded(unit(seed))[np.newaxis], unit(5))[0]) for seed in (3, 900)}
    for gallery, seed in ((before, 3), (gone, None), (after, 900)):
        for scope in (EVERYBODY, Scope("g")):
            found = {c.person.identity_id: c.cosine for c in gallery.above(unit(5), scope, -1.0)}
            assert found.get("p03") == (None if seed is None else wanted[seed])
            assert len(found) == 40 - (seed is None)


@pytest.mark.usefixtures("small_chunks")
def test_the_bits_of_a_cosine_are_the_same_in_every_index_scope_and_copy() -> None:
    probe, expected = unit(1000), dict[str, float]()
    makers: list[Callable[[], Any]] = [
        lambda: ExactIndex(DIMENSION),
        lambda: TwoStageIndex(DIMENSION, lambda: SketchMaker(DIMENSION), 1, 3),
    ]
    indexes, copies = [make() for make in makers], [make() for make in makers]
    for number in range(50):
        who = f"p{number:02}"
        expected[who] = float(deciding_cosines(rounded(unit(number))[np.newaxis], probe)[0])
        for index in indexes:
            index.add((who, 0), unit(number), owner(who, "all", f"g{number % 25}"))
    for index, copy in zip(indexes, copies, strict=True):
        stored = index.stored()()
        copy.fill(stored, [owner(who, "all", f"g{int(who[1:]) % 25}") for who in stored.ids])
    for index in (*indexes, *copies):
        index.snapshot(1)
        if isinstance(index, TwoStageIndex):
            index.wait()
        gallery = index.snapshot(2)
        for scope, count in ((EVERYBODY, 50), (Scope("all"), 50), (Scope("g7"), 2)):
            found = {c.person.identity_id: c.cosine for c in gallery.above(probe, scope, -1.0)}
            assert len(found) == count
            assert all(cosine == expected[who] for who, cosine in found.items())
            floor = sorted(found.values())[-2]
            best = gallery.best(probe, scope, 2, floor)
            assert [c.cosine for c in best] == sorted(found.values(), reverse=True)[:2]


CHANGES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(-1, 2), st.booleans()), max_size=40)


@given(CHANGES)
def test_the_table_of_places_is_a_table(changes: list[tuple[str, int, bool]]) -> None:
    table, expected = PlacesOfFaces(), dict[tuple[str, int], int]()
    for row, (who, number, there) in enumerate(changes):
        table.remove((who, number))
        expected.pop((who, number), None)
        if there:
            table.put((who, number), row)
            expected[who, number] = row
    copy = table.copy()
    table.put(("new", 5), 99)
    ids, numbers, places = copy.in_order()
    assert dict(zip(zip(ids, numbers.tolist(), strict=True), places.tolist(), strict=True)) == expected
    assert places.tolist() == sorted(expected.values())
    assert (len(copy), len(table)) == (len(expected), len(expected) + 1)
    copy.move(np.arange(100)[::-1])
    assert all(copy.get(face) == 99 - row for face, row in expected.items())
    assert PlacesOfFaces.of(ids, numbers).in_order()[2].tolist() == list(range(len(ids)))
