from fractions import Fraction
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.evaluation.counted import STEP, ScoreCounts, tradeoff
from engine.evaluation.paired import mcnemar
from engine.evaluation.scores import equal_error, scores_of

STEPS = st.lists(st.integers(-2000, 2000), min_size=1, max_size=60)


def counted(steps: list[int]) -> ScoreCounts:
    counts = ScoreCounts()
    for step in steps:
        counts.add(step * STEP)
    return counts


@given(STEPS, STEPS)
def test_counted_scores_give_the_errors_of_the_scores_themselves_at_every_threshold(genuine, impostor):
    found = tradeoff(counted(genuine), counted(impostor))
    steps = np.round(found.thresholds / STEP).astype(int)
    assert list(found.false_matches) == [sum(score >= step for score in impostor) for step in steps]
    assert list(found.false_non_matches) == [sum(score < step for score in genuine) for step in steps]


@given(STEPS, STEPS, st.floats(0.001, 1))
def test_the_threshold_at_a_rate_is_the_lowest_one_with_at_most_that_rate(genuine, impostor, rate):
    at = tradeoff(counted(genuine), counted(impostor)).at_rate(rate)
    if rate * len(impostor) < 1 - 1e-9:
        assert at is None, "so few impostor scores cannot show so low a rate"
        return
    if at is None:
        assert rate * len(impostor) < 1 + 1e-9, "the rate allows one false match but for the rounding"
        return
    exact = scores_of([s * STEP for s in genuine], [s * STEP for s in impostor])
    assert at.false_matches <= rate * len(impostor) + 1e-9
    step = round(at.threshold / STEP)
    lower = [sum(score >= step - back for score in impostor) for back in range(1, 3)]
    if step > min(impostor):
        assert lower[0] > at.false_matches or at.false_matches == len(impostor)
    assert at.false_non_matches == sum(score < step for score in genuine)
    assert at.threshold >= exact.threshold_at_fmr(rate) - STEP or at.false_matches == len(impostor)


@given(STEPS, STEPS)
def test_the_equal_error_rate_is_the_one_of_the_scores_themselves(genuine, impostor):
    found = tradeoff(counted(genuine), counted(impostor)).equal_error()
    exact = equal_error(scores_of([s * STEP for s in genuine], [s * STEP for s in impostor]))
    assert found is not None
    step = round(found.threshold / STEP)
    fmr = sum(s >= step for s in impostor) / len(impostor)
    fnmr = sum(s < step for s in genuine) / len(genuine)
    assert found.rate == pytest.approx((fmr + fnmr) / 2)
    assert abs(fmr - fnmr) == pytest.approx(
        abs(exact.rate * 2 - 2 * scores_of([s * STEP for s in genuine], [0.0]).fnmr(exact.threshold)), abs=1e-9
    )


def test_a_search_that_did_not_find_the_person_is_an_error_at_every_threshold():
    genuine, impostor = counted([5000, 6000]), counted([1000])
    genuine.add(None)
    assert list(tradeoff(genuine, impostor).false_non_matches) == [1, 1, 1, 2, 2, 3]
    assert genuine.total == 3


def test_without_scores_of_both_kinds_there_is_no_rate():
    assert tradeoff(counted([1]), ScoreCounts()).equal_error() is None
    assert tradeoff(ScoreCounts(), counted([1])).at_rate(0.5) is None
    assert tradeoff(ScoreCounts(), ScoreCounts()).curve(10) == []


def test_a_curve_has_both_ends_and_at_most_so_many_points():
    curve = tradeoff(counted(list(range(0, 3000, 2))), counted(list(range(-3000, 100, 3)))).curve(50)
    assert len(curve) == 50
    assert (curve[0].threshold, curve[0].false_non_matches) == (pytest.approx(-0.3), 0)
    assert (curve[-1].false_matches, curve[-1].false_non_matches) == (0, 1500)


def test_a_score_on_a_threshold_reaches_it_whatever_its_binary_form():
    for step in range(-10_000, 10_001, 7):
        counts = counted([step])
        assert counts.steps()[0].tolist() == [step]


def test_scores_out_of_range_are_counted_at_the_nearer_end_and_many_take_no_more_memory():
    counts = ScoreCounts()
    for score in (-3.0, 1e300, float("inf"), 82.5):
        counts.add(score)
    assert counts.steps()[0].tolist() == [-10_000, 825_000, 1_010_000]
    assert counts.steps()[1].tolist() == [1, 1, 2]
    for _ in range(20_000):
        counts.add(0.25)
    assert counts.total == 20_004
    assert counts.binned(0.0, 100.0, 10) == [20_001, 0, 0, 0, 0, 0, 0, 0, 1, 2]


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_exact_binomial_test(first, second):
    trials = first + second
    tail = sum(Fraction(comb(trials, i), 2**trials) for i in range(min(first, second) + 1))
    exact = 1 if first == second else min(Fraction(1), 2 * tail)
    assert mcnemar(first, second) == pytest.approx(float(exact), rel=1e-9)


def test_mcnemar_of_many_trials_is_the_normal_approximation():
    assert mcnemar(50_000, 50_620) == pytest.approx(0.0508, abs=5e-4)
    assert mcnemar(100_000, 0) == 0.0
