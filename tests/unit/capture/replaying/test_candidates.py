"""Recorded candidates and those of a half-precision embedding give the recorded decision, however near they are."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from capture.replaying.candidates import (
    HALF_PRECISION,
    compared_then,
    contradiction,
    is_certain,
    join_candidates,
    rounding_of,
)
from contract.evidence import EvidenceCandidate
from contract.people.held import HeldPerson
from contract.people.records import PersonRecord
from contract.vectors import Vector
from engine.calls.matching import CANDIDATES
from engine.gallery.exact import ExactIndex
from engine.gallery.port import Candidate, Gallery, Scope

DIMENSION = 12
FACES = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "h"]),
        st.integers(0, 3),
        st.floats(0, 2e-3),
    ),
    min_size=1,
    max_size=24,
)


def unit(vector: np.ndarray) -> Vector:
    found: Vector = (vector / np.linalg.norm(vector)).astype(np.float32)
    return found


def near(seed: int, away: float) -> Vector:
    """A face, or one that is hardly another."""
    chance = np.random.default_rng(seed)
    return unit(chance.normal(size=DIMENSION) + away * np.eye(DIMENSION)[seed])


def gallery_of(faces: list[tuple[str, int, float]]) -> Gallery:
    index, numbers = ExactIndex(DIMENSION), dict[str, list[int]]()
    for place, (who, _, _) in enumerate(faces):
        numbers.setdefault(who, []).append(place)
    for place, (who, seed, away) in enumerate(faces):
        owner = PersonRecord(
            identity_id=who, group_ids=("default_group",), info={}, faces=tuple(numbers[who]), next_face=99
        )
        index.add((who, place), near(seed, away), HeldPerson.of(owner))
    return index.snapshot(1)


def recorded(found: list[Candidate]) -> tuple[EvidenceCandidate, ...]:
    return tuple(EvidenceCandidate(identity_id=c.person.identity_id, number=c.number, cosine=c.cosine) for c in found)


def again(gallery: Gallery, probe: Vector, then: tuple[EvidenceCandidate, ...]) -> list[Candidate]:
    """What a replay finds by the recorded embedding."""
    half = probe.astype("<f2").astype(np.float32)
    floor = min(candidate.cosine for candidate in then) - HALF_PRECISION
    (found,) = gallery.best_of_each(half[np.newaxis], Scope(), CANDIDATES, [floor])
    return list(found)


@given(FACES, st.integers(0, 3), st.floats(0, 2e-3))
@settings(max_examples=400)
@example([("a", 0, 0.0)] * 3 + [(who, 0, 0.0) for who in "bcdefgh"], 0, 0.0)
def test_nothing_changes_when_nothing_has_changed(faces: list[tuple[str, int, float]], seed: int, away: float) -> None:
    gallery, probe = gallery_of(faces), near(seed, away)
    then = recorded(list(gallery.best(probe, Scope(), CANDIDATES)))
    joined = join_candidates(then, again(gallery, probe, then), same_people=True)
    assert recorded(list(joined)) == then
    assert contradiction(then, joined) is None
    half = probe.astype("<f2").astype(np.float32)
    (first,) = gallery.confirm_each(half[np.newaxis], Scope(), [then], CANDIDATES, HALF_PRECISION)
    assert first is None or recorded([first]) == then[:1]


@given(FACES, st.integers(0, 3), st.integers(0, 3), st.floats(0, 2e-3))
def test_a_ranking_is_confirmed_only_where_ranking_again_gives_it(
    faces: list[tuple[str, int, float]], seed: int, other: int, away: float
) -> None:
    """The recorded candidates are those of another face, or of other people."""
    gallery, probe = gallery_of(faces), near(seed, away)
    for then in (
        recorded(list(gallery.best(near(other, 0.0), Scope(), CANDIDATES))),
        recorded(list(gallery_of(faces[1:]).best(probe, Scope(), CANDIDATES))) if faces[1:] else (),
    ):
        if not then:
            continue
        half = probe.astype("<f2").astype(np.float32)
        (first,) = gallery.confirm_each(half[np.newaxis], Scope(), [then], CANDIDATES, HALF_PRECISION)
        joined = join_candidates(then, again(gallery, probe, then), same_people=True)
        if first is not None:
            assert contradiction(then, joined) is None


def test_rankings_are_confirmed_as_a_rule() -> None:
    chance = np.random.default_rng(1)
    index = ExactIndex(DIMENSION)
    for number in range(200):
        who = f"p{number // 2:03}"
        pair = (number // 2 * 2, number // 2 * 2 + 1)
        owner = PersonRecord(identity_id=who, group_ids=("default_group",), info={}, faces=pair, next_face=999)
        index.add((who, number), unit(chance.normal(size=DIMENSION)), HeldPerson.of(owner))
    gallery = index.snapshot(1)
    probes = np.array([unit(chance.normal(size=DIMENSION)) for _ in range(100)], np.float32)
    rankings = [recorded(list(gallery.best(probe, Scope(), CANDIDATES))) for probe in probes]
    halves = probes.astype("<f2").astype(np.float32)
    found = gallery.confirm_each(halves, Scope(), rankings, CANDIDATES, HALF_PRECISION)
    assert [first and first.person.identity_id for first in found] == [ranking[0].identity_id for ranking in rankings]
    wrong = [(ranking[1], ranking[0], *ranking[2:]) for ranking in rankings]
    assert gallery.confirm_each(halves, Scope(), wrong, CANDIDATES, HALF_PRECISION) == [None] * 100


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=64).filter(lambda v: np.linalg.norm(v) > 1e-3),
    st.lists(st.floats(-1, 1, width=32), min_size=64, max_size=64).filter(lambda v: np.linalg.norm(v) > 1e-3),
)
def test_half_precision_moves_no_cosine_by_more_than_the_bound(probe: list[float], face: list[float]) -> None:
    single = unit(np.array(probe))
    half = single.astype("<f2").astype(np.float64)
    error = half - single
    faces = [unit(np.array(face[: len(probe)]) + 1e-9)]
    if np.linalg.norm(error):
        faces.append(unit(error))  # the face that the error moves farthest
    for other in faces:
        assert abs(float(other.astype(np.float64) @ error)) <= HALF_PRECISION


def candidate(who: str, cosine: float, *faces: int) -> Candidate:
    person = PersonRecord(identity_id=who, group_ids=(), info={}, faces=faces or (0,), next_face=9)
    return Candidate(person, 0, cosine)


def names(found: list[Candidate]) -> list[str]:
    return [c.person.identity_id for c in found]


def test_somebody_new_overtakes_only_by_more_than_the_bound() -> None:
    then = recorded([candidate("b", 0.5)])
    barely = [candidate("a", 0.5 + HALF_PRECISION * 0.9), candidate("b", 0.5001)]
    clearly = [candidate("a", 0.5 + HALF_PRECISION * 1.1), candidate("b", 0.5001)]
    assert names(list(join_candidates(then, barely, same_people=False))) == ["b", "a"]
    assert names(list(join_candidates(then, clearly, same_people=False))) == ["a", "b"]


def test_the_same_face_under_a_smaller_identity_comes_first_among_other_people() -> None:
    then = recorded([candidate("b", 0.5)])
    found = [candidate("a", 0.5001), candidate("b", 0.5001)]
    joined = join_candidates(then, found, same_people=False)
    assert [(c.person.identity_id, c.cosine) for c in joined] == [("a", 0.5), ("b", 0.5)]
    assert names(list(join_candidates(then, found, same_people=True))) == ["b", "a"]


def test_the_recorded_order_of_equal_cosines_counts_among_the_same_people() -> None:
    """The ids of a redacted capture do not sort as the ids of then."""
    then = recorded([candidate("z", 0.5), candidate("b", 0.5)])
    found = [candidate("b", 0.5), candidate("z", 0.5)]
    assert names(list(join_candidates(then, found, same_people=True))) == ["z", "b"]
    assert names(list(join_candidates(then, found, same_people=False))) == ["b", "z"]


def test_a_face_that_was_enrolled_anew_has_its_own_cosine() -> None:
    then = recorded([candidate("a", 0.5)])
    assert join_candidates(then, [candidate("a", 0.7)], same_people=False)[0].cosine == 0.7
    assert join_candidates(then, [candidate("a", 0.5001, 1)], same_people=False)[0].cosine == 0.5001


def test_what_the_people_of_then_cannot_have_given_is_named() -> None:
    then = recorded([candidate("a", 0.5), candidate("b", 0.4)])
    assert contradiction(then, [candidate("a", 0.5), candidate("b", 0.4)]) is None
    for joined, words in (
        ([candidate("a", 0.6), candidate("b", 0.4)], "the cosine of a was 0.5000"),
        ([candidate("a", 0.5)], "finds nobody"),
        ([candidate("b", 0.5), candidate("a", 0.4)], "candidate 1 was face 0 of a"),
        ([candidate("a", 0.5), candidate("b", 0.4), candidate("c", 0.3)], "c was no candidate"),
    ):
        assert words in (contradiction(then, joined) or "")


def test_two_cosines_that_are_both_cut_at_1_are_no_proof_of_the_same_face() -> None:
    then = recorded([*(candidate(who, 1.0) for who in "bcef"), candidate("a", 0.99999996)])
    found = [*(candidate(who, 1.0) for who in "bcdef"), candidate("a", 0.9999999)]
    assert names(list(join_candidates(then, found, same_people=True))) == ["b", "c", "e", "f", "a"]


def test_a_probe_that_is_not_finite_confirms_no_ranking() -> None:
    gallery, probe = gallery_of([("a", 0, 0.0)]), near(0, 0.0)
    then = recorded(list(gallery.best(probe, Scope(), CANDIDATES)))
    probes = np.array([probe, np.full(DIMENSION, np.nan, np.float32)])
    first, second = gallery.confirm_each(probes, Scope(), [then, then], CANDIDATES, HALF_PRECISION)
    assert (first is not None, second) == (True, None)


@given(FACES, FACES, st.integers(0, 3), st.floats(0, 2e-3), st.floats(-1e-3, 1e-3), st.booleans())
@settings(max_examples=400)
def test_what_is_certain_among_other_people_is_what_a_look_decides(
    faces: list[tuple[str, int, float]],
    others: list[tuple[str, int, float]],
    seed: int,
    away: float,
    off: float,
    named: bool,
) -> None:
    gallery, now, probe = gallery_of(faces), gallery_of(faces + others), near(seed, away)
    then = recorded(list(gallery.best(probe, Scope(), CANDIDATES)))
    (first, *_) = now.best(probe, Scope(), CANDIDATES)
    threshold, half = first.cosine + off, probe.astype("<f2")
    found = again(now, probe, then)
    within = rounding_of(half)
    if is_certain(then, found, threshold, within, names_strangers=named):
        joined = join_candidates(then, found, same_people=False, within=within)
        assert (joined[0].cosine >= threshold) == (first.cosine >= threshold)
        if named or first.cosine >= threshold:
            assert joined[0].person.identity_id == first.person.identity_id


@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=64).filter(lambda v: np.linalg.norm(v) > 1e-3))
def test_the_rounding_of_each_embedding_is_bounded(probe: list[float]) -> None:
    single = unit(np.array(probe))
    half = single.astype("<f2")
    assert np.linalg.norm(half.astype(np.float64) - single) <= rounding_of(half) <= HALF_PRECISION * 1.01


def test_people_whom_the_index_of_then_did_not_compare_do_not_count_in_an_unchanged_replay():
    gallery, probe = gallery_of([(who, seed, 0.0) for seed, who in enumerate("abcdef")]), near(3, 0.6)
    everybody = list(gallery.best(probe, Scope(), CANDIDATES))
    complete_to = (everybody[0].cosine + everybody[1].cosine) / 2
    then = recorded([everybody[0], everybody[3]])  # the second and the third were not among the candidates
    assert compared_then(everybody, then, None) == everybody
    kept = compared_then(everybody, then, complete_to)
    assert kept == [everybody[0], everybody[3]]
    joined = join_candidates(then, kept, same_people=True)
    assert contradiction(then, joined) is None
    assert contradiction(then, join_candidates(then, everybody, same_people=True)) is not None
    assert compared_then(everybody, then, -1.0) == everybody, "these were compared and are missing in the record"
