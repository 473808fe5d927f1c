"""Many searches at once return what the same searches return one after the other, with every index."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.people.held import HeldPerson
from contract.people.records import PersonRecord
from engine.gallery import exact
from engine.gallery.exact import ExactIndex
from engine.gallery.packed import rounded
from engine.gallery.port import Candidate, Gallery, Scope

DIMENSION = 8
SCOPES = (Scope(), Scope("staff"), Scope(None, "night"), Scope(None, None, frozenset({"staff", "none"})), Scope("none"))

PEOPLE = st.lists(
    st.tuples(
        st.integers(0, 6),  # the face: people share faces, so that cosines are equal
        st.sampled_from("abcdefgh"),
        st.sets(st.sampled_from(["default_group", "staff"])),
        st.booleans(),
    ),
    max_size=40,
)


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIMENSION)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def gallery_of(people: list[tuple[int, str, set[str], bool]]) -> Gallery:
    index = ExactIndex(DIMENSION)
    for number, (seed, who, groups, at_night) in enumerate(people):
        permissions = ["0", "night"] if at_night else ["0"]
        info = {"permission_ids": permissions}
        owner = PersonRecord(identity_id=who, group_ids=tuple(groups), info=info, faces=(number,), next_face=number + 1)
        index.add((who, number), unit(seed), HeldPerson.of(owner) if number % 7 else None)
    return index.snapshot(1)


def shown(found: list[Candidate]) -> list[tuple[str, int, float]]:
    return [(c.person.identity_id, c.number, c.cosine) for c in found]


@given(
    PEOPLE,
    st.lists(st.integers(0, 9), max_size=6),
    st.sampled_from(SCOPES),
    st.integers(1, 6),
    st.floats(-1.0, 1.0),
    st.integers(1, 64),
)
def test_many_searches_at_once_find_what_single_searches_find(
    people: list[tuple[int, str, set[str], bool]],
    asked: list[int],
    scope: Scope,
    most: int,
    down_to: float,
    at_once: int,
) -> None:
    gallery = gallery_of(people)
    probes = np.array([unit(seed) for seed in asked], np.float32).reshape(len(asked), DIMENSION)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_COSINES_AT_ONCE", at_once)
        plain = gallery.best_of_each(probes, scope, most)
        further = gallery.best_of_each(probes, scope, most, [down_to] * len(asked))
    for number, probe in enumerate(probes):
        best = shown(list(gallery.best(probe, scope, most)))
        above = shown(list(gallery.above(probe, scope, down_to)))
        assert shown(list(plain[number])) == best
        assert sorted(shown(list(further[number]))) == sorted({*best, *above})
        assert [c.cosine for c in further[number]] == sorted((c.cosine for c in further[number]), reverse=True)


@given(
    PEOPLE,
    st.lists(st.integers(0, 9), max_size=12),
    st.sampled_from(SCOPES),
    st.floats(-1.0, 1.0),
    st.integers(0, 40),
    st.integers(1, 9),
)
def test_everybody_above_a_cosine_is_found_for_many_probes_as_for_one(
    people: list[tuple[int, str, set[str], bool]],
    asked: list[int],
    scope: Scope,
    cosine: float,
    most: int,
    at_once: int,
) -> None:
    gallery = gallery_of(people)
    probes = np.array([unit(seed) for seed in asked], np.float32).reshape(len(asked), DIMENSION)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "_ROWS_AT_ONCE", at_once)
        found = gallery.above_each(probes, scope, cosine, most)
    assert len(found) == len(probes)
    for one, probe in zip(found, probes, strict=True):
        cosines = gallery.search(probe, scope).cosines  # type: ignore[attr-defined]
        if one is None:
            assert (cosines >= cosine - 2e-5).sum() > most
        else:
            assert shown(list(one)) == shown(list(gallery.above(probe, scope, cosine)))
            assert (cosines >= cosine).sum() <= most


@given(
    PEOPLE,
    st.integers(0, 9),
    st.sampled_from(SCOPES),
    st.lists(st.one_of(st.integers(1, 6), st.floats(-1.0, 1.0)), min_size=1, max_size=4),
)
def test_one_search_answers_each_question_as_a_comparison_of_all_faces_does(
    people: list[tuple[int, str, set[str], bool]], asked: int, scope: Scope, questions: list[int | float]
) -> None:
    gallery, probe = gallery_of(people), unit(asked)
    search, everybody = gallery.search(probe, scope), compared(people, probe, scope)
    for question in questions:
        if isinstance(question, int):
            assert shown(list(search.best(question))) == everybody[:question]
        else:
            assert shown(list(search.above(question))) == [one for one in everybody if one[2] >= question]


def compared(
    people: list[tuple[int, str, set[str], bool]], probe: np.ndarray, scope: Scope
) -> list[tuple[str, int, float]]:
    """Return everybody of a scope in the order of the port, compared one by one."""
    nearest: dict[str, tuple[float, int]] = {}
    for number, (seed, who, groups, at_night) in enumerate(people):
        in_group = scope.group_id in groups if scope.group_id is not None else True
        in_any = scope.any_group is None or not scope.any_group.isdisjoint(groups)
        permitted = scope.permission_id is None or at_night
        if number % 7 and in_group and in_any and permitted:
            cosine = float(np.clip((rounded(unit(seed)).astype(np.float64) * probe).sum(), -1.0, 1.0))
            nearest[who] = min(nearest.get(who, (2.0, 0)), (-cosine, number))
    return [(who, number, -cosine) for cosine, who, number in sorted((c, w, n) for w, (c, n) in nearest.items())]


def test_a_gallery_of_many_rows_is_searched_exactly_too() -> None:
    chance = np.random.default_rng(5)
    people = [(int(chance.integers(0, 900)), f"p{number:04}", {"default_group"}, False) for number in range(3000)]
    gallery = gallery_of(people)
    probes = np.array([unit(seed) for seed in range(50)], np.float32)
    found = gallery.best_of_each(probes, Scope(), 5)
    assert [shown(list(each)) for each in found] == [shown(list(gallery.best(p, Scope(), 5))) for p in probes]


def test_memory_does_not_grow_with_the_faces_that_are_near() -> None:
    gallery = gallery_of([(0, f"p{number}", {"default_group"}, False) for number in range(30_000)])
    probes = np.array([unit(0)] * 64, np.float32)
    tracemalloc.start()
    try:
        found = gallery.above_each(probes, Scope(), 0.5, 100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == [None] * 64
    assert peak < 8e6, "the places of all near faces would take 30 MB"
