"""Searches in two stages decide as a comparison of all faces does, whatever was added, changed and removed before."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.people.held import HeldPerson
from contract.people.keys import MEAN_FACE
from contract.people.records import PersonRecord
from engine.gallery import row_store, rows, two_stage
from engine.gallery import sketch as sketch_module
from engine.gallery.exact import ExactGallery, ExactIndex
from engine.gallery.packed import rounded
from engine.gallery.port import EVERYBODY, Candidate, FaceId, FaceIndex, Gallery, Scope
from engine.gallery.sketch import Sketch, SketchMaker, miss_bound
from engine.gallery.two_stage import Generation, Near, TwoStageGallery, TwoStageIndex

DIMENSION = 64
SCOPES = (EVERYBODY, Scope(), Scope("staff"), Scope(None, "night"), Scope(None, "0", frozenset({"staff", "none"})))


def unit(seed: int, dimension: int = DIMENSION) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=dimension)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def near_to(vector: np.ndarray, cosine: float, seed: int) -> np.ndarray:
    other = unit(seed, len(vector)).astype(np.float64)
    other -= (other @ vector) * vector
    found = cosine * vector + np.sqrt(1 - cosine**2) * other / np.linalg.norm(other)
    return (found / np.linalg.norm(found)).astype(np.float32)


def owner(identity_id: str, groups: tuple[str, ...] = ("default_group",), at_night: bool = False) -> HeldPerson:
    info = {"permission_ids": ["0", "night"] if at_night else ["0"]}
    record = PersonRecord(identity_id=identity_id, group_ids=groups, info=info, faces=(0,), next_face=1)
    return HeldPerson.of(record)


def sketched(dimension: int = DIMENSION, starts_at: int = 1, tail: int = 3) -> TwoStageIndex:
    return TwoStageIndex(dimension, lambda: SketchMaker(dimension), starts_at, tail)


def crowd(count: int, dimension: int = DIMENSION, **options: int) -> TwoStageIndex:
    index = sketched(dimension, **options)
    for number in range(count):
        index.add((f"p{number:05}", 0), unit(number, dimension), owner(f"p{number:05}"))
    index.snapshot(0)
    index.wait()
    return index


def shown(found: list[Candidate]) -> list[tuple[str, int, float]]:
    return [(c.person.identity_id, c.number, c.cosine) for c in found]


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "add", "remove", "assign", "hide", "snapshot", "build"]),
        st.sampled_from("abcdefghijkl"),
        st.sampled_from([0, 1, MEAN_FACE]),
        st.integers(0, 30),  # the vector: people share faces
        st.sets(st.sampled_from(["default_group", "staff"])),
        st.booleans(),
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=40)
@given(
    CHANGES,
    st.integers(0, 40),
    st.floats(-0.9, 0.95),
    st.integers(1, 5),
    st.integers(0, 4),
    st.integers(2, 9),
    st.booleans(),
)
def test_after_any_changes_the_decisions_are_those_of_the_exact_index(
    changes: list[tuple[str, str, int, int, set[str], bool]],
    asked: int,
    floor: float,
    most: int,
    dead_rows: int,
    chunk: int,
    means: bool,
) -> None:
    exact, index = ExactIndex(DIMENSION), sketched()
    taken: list[tuple[Gallery, Gallery]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_store, "_DEAD_ROWS_KEPT", dead_rows)
        patch.setattr(rows, "CHUNK", chunk)
        patch.setattr(row_store, "CHUNK", chunk)
        patch.setattr(two_stage, "_FEW", 1_000_000)
        patch.setattr(two_stage, "_LEAST_CANDIDATES", 1)
        for what, who, number, seed, groups, at_night in changes:
            record = owner(who, tuple(sorted(groups)), at_night)
            for one in (exact, index):
                change(one, what, (who, number), unit(seed), record)
            if what == "build":
                index.snapshot(0)
                index.wait()
            if what == "snapshot":
                taken.append((exact.snapshot(0), index.snapshot(0)))
        taken.append((exact.snapshot(0), index.snapshot(0)))
        for probe in (unit(asked), near_to(unit(asked), 0.7, 999)):
            for reference, gallery in taken:
                for scope in (Scope(s.group_id, s.permission_id, s.any_group, means=means) for s in SCOPES):
                    assert_same_decision(reference, gallery, probe, scope, floor, most)


def change(index: FaceIndex, what: str, face: FaceId, vector: np.ndarray, record: PersonRecord) -> None:
    if what == "add":
        index.add(face, vector, record)
    elif what == "remove":
        index.remove(face)
    elif what in ("assign", "hide"):
        index.assign(face, record if what == "assign" else None)


def assert_same_decision(
    reference: Gallery, gallery: Gallery, probe: np.ndarray, scope: Scope, floor: float, most: int
) -> None:
    assert gallery.count(scope) == reference.count(scope)
    everybody = shown(list(reference.best(probe, scope, 100)))
    search = gallery.search(probe, scope, floor)
    best = shown(list(search.best(most)))
    assert len(best) == min(most, len(everybody))
    reached = [one for one in everybody if one[2] >= floor]
    assert best[: len(reached)] == reached[:most]
    assert set(best) <= set(everybody), "also below the floor, cosines are exact"
    assert shown(list(search.above(floor))) == reached
    lower = floor - 0.3
    assert shown(list(search.above(lower))) == [one for one in everybody if one[2] >= lower]
    (each,) = gallery.above_each(probe[np.newaxis], scope, floor, 5)
    (expected,) = reference.above_each(probe[np.newaxis], scope, floor, 5)
    assert (each is None) == (expected is None)
    assert each is None or shown(list(each)) == shown(list(expected or ()))
    assert shown(list(gallery.best(probe, scope, 100))) == everybody


def test_a_person_who_was_enrolled_a_moment_ago_is_found_and_a_deleted_one_never_is():
    index, probe = crowd(3000, tail=100), unit(77)
    before = index.snapshot(1)
    assert isinstance(before, TwoStageGallery)
    index.remove(("p00077", 0))
    index.add(("new", 0), near_to(probe, 0.9, 5), owner("new"))
    after = index.snapshot(2)
    assert [c.person.identity_id for c in after.above(probe, EVERYBODY, 0.6)] == ["new"]
    assert [c.person.identity_id for c in before.above(probe, EVERYBODY, 0.6)] == ["p00077"], "a gallery is a value"
    for number in range(2000):
        index.remove((f"p{number:05}", 0))
    index.snapshot(3)
    index.wait()
    last = index.snapshot(4)
    assert isinstance(last, TwoStageGallery)
    assert last.rows.count < 2000, "the rows of removed faces were given up"
    assert len(last.first.generation) < 2000, "and so were their codes"
    for number in range(3000):
        found = last.above(unit(number), EVERYBODY, 0.99)
        assert [c.person.identity_id for c in found] == ([f"p{number:05}"] if number >= 2000 else [])


def test_after_everybody_was_deleted_the_next_person_is_found(monkeypatch):
    monkeypatch.setattr(row_store, "_DEAD_ROWS_KEPT", 0)
    index = crowd(50)
    for number in range(50):
        index.remove((f"p{number:05}", 0))
    index.snapshot(1)
    index.wait()
    assert index.snapshot(2).best(unit(5), EVERYBODY, 1, 0.5) == []
    index.add(("new", 0), unit(5), owner("new"))
    (found,) = index.snapshot(3).best(unit(5), EVERYBODY, 1, 0.5)
    assert found.person.identity_id == "new"


def test_a_changed_face_is_found_by_its_new_vector_only():
    index = crowd(500)
    index.snapshot(1)
    index.add(("p00003", 0), unit(9_000), owner("p00003"))
    gallery = index.snapshot(2)
    assert gallery.above(unit(3), EVERYBODY, 0.9) == []
    (found,) = gallery.above(unit(9_000), EVERYBODY, 0.9)
    assert found.person.identity_id == "p00003"


def test_a_face_that_is_changed_right_after_rows_were_given_up_is_found_by_its_new_vector_only(monkeypatch):
    monkeypatch.setattr(row_store, "_DEAD_ROWS_KEPT", 10)
    index = crowd(500, 512, tail=1000)
    index.snapshot(1)
    for number in range(126):  # more than a quarter, so the rows of the others move
        index.remove((f"p{number:05}", 0))
    index.add(("p00300", 0), unit(9_000, 512), owner("p00300"))
    gallery = index.snapshot(2)
    assert isinstance(gallery, TwoStageGallery)
    assert gallery.search(unit(9_000, 512), EVERYBODY, 0.9).used is not None
    (found,) = gallery.above(unit(9_000, 512), EVERYBODY, 0.9)
    assert found.person.identity_id == "p00300"
    assert gallery.above(unit(300, 512), EVERYBODY, 0.9) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_in_a_long_life_everybody_is_found_by_the_present_face_only(monkeypatch, seed):
    """People come, change and go while rows are given up and generations are built, extended and renewed."""
    monkeypatch.setattr(row_store, "_DEAD_ROWS_KEPT", 20)
    rng, vectors = np.random.default_rng(seed), np.array([unit(number, 256) for number in range(600)])
    index, present, searched = sketched(256, starts_at=50, tail=30), dict[int, int](), 0
    for _ in range(300):
        for who in rng.integers(150, size=rng.integers(1, 60)).tolist():
            if rng.random() < 0.3:
                index.remove((f"p{who}", 0))
                present.pop(who, None)
            else:
                present[who] = int(rng.integers(600))
                index.add((f"p{who}", 0), vectors[present[who]], owner(f"p{who}"))
        if rng.random() < 0.5:
            index.wait()
        gallery = index.snapshot(0)
        for vector in rng.integers(600, size=8).tolist():
            search = gallery.search(vectors[vector], EVERYBODY, 0.9)
            found = {candidate.person.identity_id for candidate in search.above(0.9)}
            assert found == {f"p{who}" for who, its in present.items() if its == vector}
            searched += search.used is not None
    assert searched > 100


def test_changes_while_a_generation_is_built_are_in_force_at_once(monkeypatch):
    begun, go_on, make = threading.Event(), threading.Event(), SketchMaker.make

    def slow(self: SketchMaker, view: rows.Rows, first: int, before: Generation | None) -> Sketch:
        begun.set()
        assert go_on.wait(30)
        return make(self, view, first, before)

    monkeypatch.setattr(SketchMaker, "make", slow)
    monkeypatch.setattr(row_store, "_DEAD_ROWS_KEPT", 0)
    index = sketched()
    for number in range(200):
        index.add((f"p{number:05}", 0), unit(number), owner(f"p{number:05}"))
    assert isinstance(index.snapshot(1), ExactGallery)
    assert begun.wait(30)
    for number in range(120):  # the rows of the others move
        index.remove((f"p{number:05}", 0))
    index.add(("new", 0), unit(500), owner("new"))
    go_on.set()
    index.wait()
    gallery = index.snapshot(2)
    assert isinstance(gallery, TwoStageGallery)
    for seed, names in ((5, []), (119, []), (120, ["p00120"]), (199, ["p00199"]), (500, ["new"])):
        found = gallery.search(unit(seed), EVERYBODY, 0.9)
        assert found.used is not None
        assert [c.person.identity_id for c in found.above(0.9)] == names


def test_below_the_floor_a_search_says_that_its_ranking_is_an_estimate():
    gallery = crowd(5000).snapshot(1)
    probe = near_to(unit(42), 0.3, 1)
    search = gallery.search(probe, EVERYBODY, 0.8)
    found, used = search.best(5), search.used
    assert len(found) == 5
    assert used is not None
    assert (used.index, used.complete_to) == ("sketch", 0.8)
    assert used.cut is not None
    assert used.cut < 0.8
    assert 32 <= used.candidates < 1000
    assert used.miss == miss_bound(5.0) == pytest.approx(2.87e-7, rel=1e-2)
    everybody = shown(list(search.above(-1.0)))
    assert search.used is None
    assert len(everybody) == 5000


def test_of_many_people_above_the_floor_nobody_is_left_out():
    """More candidates qualify than a search asks for first, and in the end so many that all faces are compared."""
    vector, index = unit(1), sketched(tail=50)
    for number in range(6000):
        cosine = 0.8 if number % 20 == 0 else 0.0
        index.add((f"p{number:05}", 0), near_to(vector, cosine, 10_000 + number), owner(f"p{number:05}"))
    index.snapshot(0)
    index.wait()
    gallery = index.snapshot(1)
    assert len(gallery.above(vector, EVERYBODY, 0.79)) == 300
    assert len(gallery.above(vector, EVERYBODY, -0.5)) == 6000


def test_people_of_a_part_of_the_gallery_are_found_as_surely_as_those_of_the_whole():
    index = sketched(512, tail=50)
    for number in range(4000):
        groups = tuple(g for g, every in (("all", 1), ("half", 2), ("tenth", 10), ("few", 400)) if number % every == 0)
        index.add((f"p{number:05}", 0), unit(number, 512), owner(f"p{number:05}", groups))
    index.snapshot(0)
    index.wait()
    gallery = index.snapshot(1)
    for group, every in (("all", 1), ("half", 2), ("tenth", 10), ("few", 400)):
        scope = Scope(group)
        assert gallery.count(scope) == 4000 // every
        for number in range(0, 4000, 400):
            search = gallery.search(near_to(unit(number, 512), 0.6, 99_999), scope, 0.55)
            assert search.best(1)[0].person.identity_id == f"p{number:05}"
            assert len(search.best(5)) == 5
            assert (search.used is None) == (group == "few"), "few people are compared one by one"
        (stranger, *_) = gallery.best(unit(1, 512), scope, 5, 0.9)
        assert (stranger.person.identity_id == "p00001") == (group == "all")


def test_below_the_number_where_it_starts_every_face_is_compared_and_no_library_is_needed():
    def never() -> SketchMaker:
        raise AssertionError("the library is needed only later")

    index = TwoStageIndex(DIMENSION, never, starts_at=100)
    for number in range(99):
        index.add((f"p{number}", 0), unit(number), owner(f"p{number}"))
    assert isinstance(index.snapshot(1), ExactGallery)


def test_a_generation_that_cannot_be_built_leaves_every_search_exact(caplog):
    class Broken:
        extends, tail_share, tried = True, 256, list[int]()

        def make(self, view: rows.Rows, first: int, before: Generation | None) -> Generation:
            self.tried.append(view.count)
            raise MemoryError("no room")

    index = TwoStageIndex(DIMENSION, Broken, starts_at=1)
    index.add(("p", 0), unit(1), owner("p"))
    index.snapshot(1)
    index.wait()
    gallery = index.snapshot(2)
    assert isinstance(gallery, ExactGallery)
    assert [c.person.identity_id for c in gallery.best(unit(1), EVERYBODY)] == ["p"]
    assert "could not be built" in caplog.text
    index.wait()
    assert Broken.tried == [1], "it is not tried again and again"


def test_a_sketch_that_is_built_in_steps_is_the_one_that_is_built_at_once():
    def view_of(count: int) -> rows.Rows:
        store = row_store.RowStore(DIMENSION)
        for number in range(count):
            store.add((str(number), 0), unit(number), owner(str(number)))
        return store.view()

    maker, whole = SketchMaker(DIMENSION), view_of(900)
    at_once = maker.make(whole, 0, None)
    first = maker.make(view_of(600), 0, None)
    then = maker.make(whole, 600, first)
    assert (len(first), len(then), len(at_once)) == (600, 900, 900)
    for seed in range(5):
        one, other = (sketch.index.search(unit(seed)[np.newaxis], 900) for sketch in (at_once, then))
        assert one[0].tobytes() == other[0].tobytes()
        assert one[1].tobytes() == other[1].tobytes()
        near: Near | None = then.near(unit(seed), 0.5, 10)
        assert near is not None
        assert len(near.places) >= 10


def test_sigma_is_that_of_the_estimator_and_mates_on_the_floor_are_named():
    """In 512 dimensions the error is sqrt(pi / 2 - 1) / sqrt(512) for strangers, a little more by rounding."""
    maker = SketchMaker(512)
    vectors = np.array([unit(n, 512) for n in range(2048)])
    measured = maker.measure(np.array([rounded(vector) for vector in vectors]))
    assert measured.sigma == pytest.approx(np.sqrt(np.pi / 2 - 1) / np.sqrt(512), rel=0.05)
    assert np.all(np.diff(measured.strangers) >= 0)
    assert measured.signs_sigma == pytest.approx(1.0, abs=0.05)
    assert np.all(np.diff(measured.differing) >= 0)
    store = row_store.RowStore(512)
    for number, vector in enumerate(vectors):
        store.add((str(number), 0), vector, owner(str(number)))
    sketch = maker.make(store.view(), 0, None)
    assert sketch.cut(0.5) == pytest.approx(0.5 - 5 * measured.sigma * np.sqrt(0.75))
    for number in range(0, 2048, 32):
        near = sketch.near(near_to(vectors[number], 0.5, 10_000 + number), 0.5, 1)
        assert near is not None
        assert number in near.places
        assert len(near.places) < 20
        rotated = (sketch.rotation @ near_to(vectors[number], 0.7, 10_000 + number))[np.newaxis]
        for named in (sketch._by_signs(rotated, 0.7, 32), sketch._by_estimates(rotated, 0.7, 1)):
            assert named is not None
            assert number in named.places
            assert named.cut is not None
            assert named.cut < 0.7
        assert sketch._by_signs(rotated, 0.2, 32) is None, "too many strangers have as few signs that differ"


def sketch_of(vectors: np.ndarray) -> Sketch:
    store = row_store.RowStore(vectors.shape[1])
    for number, vector in enumerate(vectors):
        store.add((str(number), 0), vector, owner(str(number)))
    return SketchMaker(vectors.shape[1]).make(store.view(), 0, None)


@pytest.mark.parametrize("floor", [0.9999, 1.0])
@pytest.mark.parametrize("faces", [20, 200])  # of the fewer, so many are equal that they are named by estimates
def test_at_a_floor_next_to_1_everybody_with_the_same_face_is_named(floor, faces):
    """The rounding of a scan moves the estimate of an equal vector too, and the sign of a number next to 0."""
    sketch = sketch_of(np.array([unit(number % faces, 512) for number in range(8000)]))
    for face in range(faces):
        named = sketch.near(unit(face, 512), floor, 8)
        assert named is not None
        assert set(range(face, 8000, faces)) <= set(named.places.tolist())


def test_where_more_candidates_are_wanted_than_are_quick_to_compare_all_rows_are():
    sketch = sketch_of(np.array([unit(number) for number in range(5000)]))
    assert sketch.near(unit(1), 0.9, 1024) is not None
    assert sketch.near(unit(1), 0.9, 2049) is None


def test_a_build_computes_only_while_it_holds_what_an_ending_process_takes(monkeypatch):
    """OpenBLAS may hang at the end of a process while a thread is in one of its functions."""
    held = []

    def noting(function):
        def noted(*args, **kwargs):
            held.append(two_stage.computing.locked())
            return function(*args, **kwargs)

        return noted

    monkeypatch.setattr(SketchMaker, "measure", noting(SketchMaker.measure))
    monkeypatch.setattr("engine.gallery.sketch.sign_bits", noting(sketch_module.sign_bits))
    monkeypatch.setattr("engine.gallery.sketch.random_rotation", noting(sketch_module.random_rotation))
    index = TwoStageIndex(DIMENSION, lambda: SketchMaker(DIMENSION), starts_at=20)
    for number in range(50):
        index.add((str(number), 0), unit(number), owner(str(number)))
    index.snapshot(1)
    index.wait()
    assert len(held) >= 4
    assert all(held)
    assert not two_stage.computing.locked()
