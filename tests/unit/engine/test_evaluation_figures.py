from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.evaluation.curve import extended_curve, identification_fpir, is_measurable, measured_curve
from engine.evaluation.openset import NEVER, at_fpir, at_threshold, draw_split, rank_one_misses, search
from engine.evaluation.reject import failure_auc, pair_quality, reject_curve
from engine.evaluation.scores import scores_of
from engine.threshold import threshold_at
from models.manifest import FmrPoint

REFERENCE = (
    FmrPoint(fmr=1e-3, threshold=0.30),
    FmrPoint(fmr=1e-4, threshold=0.40),
    FmrPoint(fmr=1e-5, threshold=0.46),
    FmrPoint(fmr=1e-6, threshold=0.50),
)


def curve(*thresholds: float) -> list[FmrPoint]:
    return [FmrPoint(fmr=10.0 ** -(i + 2), threshold=t) for i, t in enumerate(thresholds)]


def test_a_rate_is_told_only_with_ten_false_matches():
    assert is_measurable(1_000_000, 1e-5)
    assert not is_measurable(999_000, 1e-5)
    impostor = np.random.default_rng(3).normal(0, 0.1, 20_000).astype(np.float32)
    told = measured_curve(scores_of([0.9], impostor))
    assert [point.fmr for point in told] == [1e-2, 1e-3]
    assert told[0].threshold == pytest.approx(0.2326, abs=0.01)
    assert told[1].threshold == pytest.approx(0.309, abs=0.02)


def test_scores_that_tie_end_the_curve_where_its_thresholds_no_longer_rise():
    impostor = [0.0] * 98_000 + [0.4] * 2_000
    assert [(p.fmr, p.threshold) for p in measured_curve(scores_of([0.9], impostor))] == [(1e-2, 0.400001)]


def test_one_photo_under_two_names_gives_no_threshold_of_one():
    impostor = [0.1] * 50_000 + [1.0] * 50_000
    assert measured_curve(scores_of([0.9], impostor)) == ()


@given(st.integers(0, 2**32 - 1), st.integers(1_000, 200_000))
def test_a_measured_and_extended_curve_serves_the_search_threshold(seed: int, count: int):
    impostor = np.random.default_rng(seed).normal(0, 0.1, count).astype(np.float32)
    measured = measured_curve(scores_of([0.9], impostor))
    if len(measured) < 2:
        assert count < 10_000
        with pytest.raises(ValueError, match="two measured"):
            extended_curve(measured, REFERENCE)
        return
    whole = extended_curve(measured, REFERENCE)
    assert [point.fmr for point in whole] == [1e-2, 1e-3, 1e-4, 1e-5, 1e-6]
    assert all(lower.threshold < higher.threshold for lower, higher in pairwise(whole))
    thresholds = [threshold_at(whole, fmr) for fmr in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)]
    assert thresholds == sorted(thresholds)
    shift = threshold_at(whole, 1e-6) - threshold_at(REFERENCE, 1e-6)
    assert shift == pytest.approx(measured[-1].threshold - threshold_at(REFERENCE, measured[-1].fmr), abs=3e-6)


@given(st.integers(0, 2**32 - 1))
def test_a_curves_threshold_lets_no_more_pairs_through_than_its_rate_allows(seed: int):
    scores = scores_of([0.9], np.random.default_rng(seed).normal(0, 0.1, 10_000).astype(np.float32))
    told = measured_curve(scores)
    assert len(told) == 2
    for point in told:
        assert scores.false_matches(point.threshold) <= point.fmr * 10_000
        assert point.threshold == pytest.approx(scores.threshold_at_fmr(point.fmr), abs=2e-6)


def test_beyond_what_was_measured_the_references_rises_go_on():
    whole = extended_curve(curve(0.25, 0.35), REFERENCE)
    assert [(p.fmr, p.threshold) for p in whole[2:]] == [
        (1e-4, pytest.approx(0.45, abs=2e-6)),
        (1e-5, pytest.approx(0.51, abs=2e-6)),
        (1e-6, pytest.approx(0.55, abs=2e-6)),
    ]


def test_below_the_reference_its_shape_goes_on_without_a_leap_to_it():
    whole = extended_curve(curve(0.15, 0.20), REFERENCE)
    assert [p.threshold for p in whole] == pytest.approx([0.15, 0.20, 0.30, 0.36, 0.40], abs=2e-6)


steps = st.integers(10, 150).map(lambda thousandths: thousandths / 1000)
SHIPPED_RATES = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


def rising(rises: list[float], rates: tuple[float, ...], start: float = 0.0) -> list[FmrPoint]:
    thresholds = start + np.cumsum(rises)
    return [FmrPoint(fmr=rate, threshold=float(t)) for rate, t in zip(rates, thresholds, strict=True)]


references = st.lists(steps, min_size=7, max_size=7).map(lambda rises: rising([r / 2 for r in rises], SHIPPED_RATES))


@given(references, st.integers(2, 5), st.lists(steps, min_size=5, max_size=5))
def test_measured_below_the_reference_means_no_threshold_above_it(
    reference: list[FmrPoint], count: int, falls: list[float]
):
    below = [
        FmrPoint(fmr=point.fmr, threshold=point.threshold - fall)
        for point, fall in zip(reference[1 : count + 1], falls, strict=False)
    ]
    measured = [point for i, point in enumerate(below) if all(p.threshold < point.threshold for p in below[:i])]
    if len(measured) < count:
        return  # a measured curve rises strictly
    whole = extended_curve(measured, reference)
    assert all(left.threshold < right.threshold for left, right in pairwise(whole))
    for rate in np.geomspace(0.5, 1e-11, 60):
        assert threshold_at(whole, rate) <= threshold_at(reference, rate) + 1e-5 * (1 + abs(np.log10(rate)))  # rounding


@given(references, st.lists(steps, min_size=2, max_size=4), st.floats(0, 0.1))
def test_a_continued_curve_moves_with_its_measured_points(reference: list[FmrPoint], rises: list[float], shift: float):
    rates = SHIPPED_RATES[1 : len(rises) + 1]
    one = extended_curve(rising([r / 2 for r in rises], rates), reference)
    other = extended_curve(rising([r / 2 for r in rises], rates, shift), reference)
    for rate in (1e-2, 1e-3, 1e-5, 1e-6, 1e-7):
        assert threshold_at(other, rate) - threshold_at(one, rate) == pytest.approx(shift, abs=5e-6)


def test_without_a_reference_the_last_stretch_goes_on():
    thresholds = [p.threshold for p in extended_curve(curve(0.2, 0.3), ())]
    assert thresholds == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6], abs=2e-6)


def test_a_gallery_errs_about_as_many_times_more_often_as_it_has_faces():
    assert identification_fpir(1e-5, 1000) == pytest.approx(0.00995, abs=1e-5)
    assert identification_fpir(0.5, 2) == 0.75
    assert identification_fpir(1e-5, 0) == 0.0


PEOPLE = np.array([0, 0, 0, 1, 1, 2, 3, 4])


@given(st.integers(0, 1000))
def test_a_split_enrols_who_has_two_photos_and_takes_the_others_for_strangers(seed: int):
    split = draw_split(PEOPLE, seed)
    assert PEOPLE[split.gallery].tolist() == [0, 1]
    assert PEOPLE[split.probes].tolist() == [0, 1]
    assert sorted(PEOPLE[split.strangers].tolist()) == [2, 3, 4]
    assert not set(split.gallery.tolist()) & set(split.probes.tolist())


def test_the_same_seed_draws_the_same_split_and_others_draw_others():
    drawn = [tuple(draw_split(PEOPLE, seed).gallery.tolist()) for seed in (1, 1, 2, 3, 4, 5)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


def test_where_everybody_has_two_photos_some_are_drawn_to_be_strangers():
    people = np.arange(40) // 2
    split = draw_split(people, 1)
    assert len(split.strangers) == 5
    assert len(split.gallery) == len(split.probes) == 15
    assert not set(people[split.strangers].tolist()) & set(people[split.gallery].tolist())


@pytest.mark.parametrize("people", [[0, 1, 2], [0, 0]])
def test_people_that_make_no_open_set_are_refused(people: list[int]):
    with pytest.raises(ValueError, match="open set"):
        draw_split(np.array(people), 1)


def test_a_mate_that_is_not_first_is_missed_at_any_threshold():
    # two enrolled on the axes; the second's probe is nearer to the first; one stranger between
    vectors = np.array([[1, 0], [0, 1], [0.8, 0.6], [0.8, 0.6], [0.6, 0.8]], np.float32)
    people = np.array([0, 1, 0, 1, 2])
    split = draw_split(people, 0)
    split = type(split)(np.array([0, 1]), np.array([2, 3]), np.array([4]))
    scores = search(vectors, split)
    assert scores.genuine.tolist() == [NEVER, pytest.approx(0.8)]
    assert scores.impostor.tolist() == pytest.approx([0.8])
    assert rank_one_misses([scores]) == 0.5


def test_open_set_figures_are_means_over_the_draws():
    one = scores_of([0.3, 0.7], [0.1, 0.2, 0.4, 0.5])
    other = scores_of([0.6, 0.7], [0.1, 0.2, 0.3, 0.4])
    point = at_fpir([one, other], 0.25)
    assert (point.fnir, point.fnir_deviation, point.false_positives) == (0.25, 0.25, 1)
    assert point.threshold == pytest.approx((0.4 + 0.3) / 2)
    tied = scores_of([0.6, 0.7], [0.1, 0.2, 0.5, 0.5])  # nobody is let in, for the next lower threshold lets in two
    assert at_fpir([one, tied], 0.25).false_positives == 0.5
    at = at_threshold([one, other], 0.45)
    assert (at.fpir, at.fnir) == (0.125, 0.25)


SCORES = np.array([0.1, 0.2, 0.6, 0.7, 0.8], np.float32)


def test_rejecting_the_worst_removes_the_failures_that_quality_foresaw():
    found = reject_curve(SCORES, np.array([1.0, 2.0, 3.0, 4.0, 5.0]), 0.5, (0.0, 0.2, 0.4, 0.6))
    assert found.fnmr == pytest.approx((2 / 5, 1 / 4, 0.0, 0.0))
    assert found.fnmr == found.best_fnmr
    assert found.auc == 1.0


def test_a_constant_quality_changes_nothing():
    found = reject_curve(SCORES, np.ones(5), 0.5, (0.0, 0.2, 0.5))
    assert found.fnmr == pytest.approx((0.4, 0.4, 0.4))
    assert found.auc == 0.5


def test_a_quality_that_is_upside_down_makes_it_worse():
    found = reject_curve(SCORES, np.array([5.0, 4.0, 3.0, 2.0, 1.0]), 0.5, (0.6,))
    assert found.fnmr == pytest.approx((1.0,))
    assert found.auc == 0.0


def test_without_failures_nothing_can_be_foreseen():
    assert failure_auc(np.ones(3), np.zeros(3, bool)) is None


def test_a_pair_is_as_good_as_its_worse_photo():
    assert pair_quality(np.array([0.3, 0.9, 0.5]), np.array([[0, 1], [1, 2]])).tolist() == [0.3, 0.5]


def test_shares_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match="shares"):
        reject_curve(SCORES, np.ones(5), 0.5, (1.0,))
