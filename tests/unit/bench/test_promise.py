from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from bench.label_doubts import few_a_person
from bench.promise import SIZES, TARGETS, keeps_promise
from engine.evaluation.curve import extended_curve
from engine.evaluation.labels import body_curve
from engine.evaluation.pairs import score_all_pairs
from models.manifest import FmrPoint


@dataclass(frozen=True)
class Curved:
    """What a threshold is computed from."""

    fmr_curve: tuple[FmrPoint, ...]
    threshold: float = 0.48


def crowd(people: int, photos: int = 2, dimension: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Made-up embeddings: a direction per person, and photos of a cosine of about .8 to each other."""
    chance = np.random.default_rng(3)
    whose = np.repeat(np.arange(people), photos)
    faces = chance.normal(size=(people, dimension))[whose] + 0.5 * chance.normal(size=(len(whose), dimension))
    return (faces / np.linalg.norm(faces, axis=1, keepdims=True)).astype(np.float32), whose


@pytest.fixture(scope="module")
def made() -> tuple[np.ndarray, np.ndarray]:
    return crowd(700)


def test_a_curve_of_the_same_people_keeps_its_promise_in_groups(made: tuple[np.ndarray, np.ndarray]):
    scores = score_all_pairs(*made).scores
    curve = extended_curve(body_curve(scores), ())
    found = keeps_promise(*made, scores, Curved(curve), draws=60)
    assert found.skipped == (1_000, 3_000)
    assert [(row.faces, row.target) for row in found.kept] == [(n, t) for n in SIZES[:3] for t in TARGETS]
    for row in found.kept:
        if row.applied.fmr is not None and row.applied.fmr > 0.9e-4:  # rarer ones were not measured
            assert row.fpir_interval[0] <= row.target <= row.fpir_interval[1]
        assert row.fnir is not None
        assert row.fnir_interval is not None
        assert row.fnir_interval[0] <= row.fnir <= row.fnir_interval[1]
    one_percent = [row for row in found.kept if row.target == 1e-2]
    assert all(0.7 < row.fpir / row.target < 1.3 for row in one_percent)
    assert all(small.applied.cosine < large.applied.cosine for small, large in pairwise(one_percent))


def test_a_curve_that_is_too_lenient_is_found_out(made: tuple[np.ndarray, np.ndarray]):
    scores = score_all_pairs(*made).scores
    lenient = tuple(FmrPoint(fmr=p.fmr, threshold=p.threshold - 0.05) for p in extended_curve(body_curve(scores), ()))
    for row in keeps_promise(*made, scores, Curved(lenient), sizes=(100,), draws=40).kept:
        assert row.fpir > 1.5 * row.target


def test_without_second_photos_there_is_no_fnir():
    vectors, whose = crowd(160, photos=1)
    scores = score_all_pairs(vectors, whose).scores
    found = keeps_promise(vectors, whose, scores, Curved(extended_curve(body_curve(scores), ())), sizes=(30,), draws=5)
    assert [row.fnir for row in found.kept] == [None] * len(TARGETS)


def test_at_most_five_pairs_of_a_person_count_and_always_the_same():
    whose = np.array([0] * 12 + [1] * 3 + [2])
    pairs = score_all_pairs(np.eye(16, dtype=np.float32), whose).genuine_pairs
    counts = few_a_person(pairs, whose)
    assert np.bincount(whose[pairs[counts][:, 0]]).tolist() == [5, 3]
    assert (counts == few_a_person(pairs, whose)).all()
