import numpy as np
import pytest

from engine.evaluation.labels import body_curve, find_wrong_labels, without_wrong_labels
from engine.evaluation.scores import Scores, scores_of
from models.manifest import FmrPoint

REFERENCE = (FmrPoint(fmr=1e-2, threshold=0.25), FmrPoint(fmr=1e-3, threshold=0.35), FmrPoint(fmr=1e-4, threshold=0.42))


def strangers(count: int = 200_000, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, count)


def people(wrong: int, seed: int = 1) -> Scores:
    chance = np.random.default_rng(seed + 100)
    genuine = chance.normal(0.7, 0.08, 2_000)
    return scores_of(genuine, np.concatenate([strangers(seed=seed), chance.uniform(0.6, 0.8, wrong)]))


@pytest.mark.parametrize("seed", range(5))
def test_right_labels_are_not_suspected(seed: int):
    found = find_wrong_labels(people(0, seed))
    assert (found.different_from, found.surplus, found.low) == (None, 0, 0)


@pytest.mark.parametrize("wrong", [1, 5, 30])
def test_one_person_under_two_names_is_a_surplus_of_its_size(wrong: int):
    found = find_wrong_labels(people(wrong))
    assert found.different_from is not None
    # wrong labels spoil the part that chance is computed from a little, so fewer are found, not more
    assert 0.6 * wrong <= found.surplus <= wrong + 1


def test_without_the_surplus_the_tail_is_again_that_of_strangers():
    clean, spoilt = people(0), people(30)
    found = find_wrong_labels(spoilt)
    mended = without_wrong_labels(spoilt, found)
    assert mended.impostor_count == spoilt.impostor_count - found.surplus
    assert spoilt.threshold_at_fmr(1e-4) > clean.threshold_at_fmr(1e-4) + 0.01
    spoilt_by, left = (s.threshold_at_fmr(1e-4) - clean.threshold_at_fmr(1e-4) for s in (spoilt, mended))
    assert 0 <= left < spoilt_by / 3


def test_pairs_of_one_person_that_are_no_more_alike_than_strangers_are_suspected():
    right = people(0)
    scores = scores_of([*right.genuine, 0.0, 0.05, -0.1], right.impostor)
    found = find_wrong_labels(scores)
    assert found.low == 3
    assert found.same_below == pytest.approx(0.128, abs=0.005)
    assert len(without_wrong_labels(scores, found).genuine) == len(right.genuine)


def test_a_set_too_small_for_its_own_curve_is_judged_by_the_embedders():
    few = scores_of([], [0.0] * 209 + [0.99])
    assert body_curve(few) == ()
    assert find_wrong_labels(few).surplus == 0
    assert find_wrong_labels(few, REFERENCE).surplus == 1
    assert find_wrong_labels(scores_of([], [0.0] * 209 + [0.36]), REFERENCE).surplus == 0


def test_no_scores_at_all_suspect_nobody():
    found = find_wrong_labels(scores_of([], []), REFERENCE)
    assert (found.different_from, found.surplus, found.same_below, found.low) == (None, 0, None, 0)
