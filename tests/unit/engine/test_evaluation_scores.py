import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.evaluation.folds import best_threshold, folded_accuracy
from engine.evaluation.pairs import score_all_pairs
from engine.evaluation.scores import Scores, equal_error, roc, scores_of, wilson

cosines = st.integers(-100, 100).map(lambda n: n / 100)
samples = st.lists(cosines, min_size=1, max_size=60)


def unit(*rows: list[float]) -> np.ndarray:
    vectors = np.array(rows, np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_score_equal_to_the_threshold_matches():
    scores = scores_of([0.25, 0.5, 0.75], [0.0, 0.25, 0.5, 0.75])
    assert scores.fnmr(0.5) == pytest.approx(1 / 3)
    assert scores.fmr(0.5) == pytest.approx(2 / 4)


def test_a_threshold_between_two_float32_numbers_is_not_rounded_onto_one():
    third = np.float32(1 / 3)
    scores = scores_of([third], [third])
    assert float(third) > 1 / 3
    assert (scores.fnmr(1 / 3), scores.fmr(1 / 3)) == (0.0, 1.0)
    assert scores.fmr(float(third) + 1e-9) == 0.0


def test_the_threshold_at_a_rate_lets_exactly_so_many_impostors_through():
    scores = scores_of([0.9], [i / 1000 for i in range(1000)])
    threshold = scores.threshold_at_fmr(0.01)
    assert scores.false_matches(threshold) == 10
    assert 0.989 < threshold < 0.9891


def test_tied_impostors_are_all_refused_when_one_too_many_would_come_in():
    scores = scores_of([0.9], [0.1] * 7 + [0.5] * 3)
    assert scores.fmr(scores.threshold_at_fmr(0.2)) == 0.0
    assert scores.fmr(scores.threshold_at_fmr(0.3)) == 0.3


def test_missing_kinds_of_scores_and_nonsense_are_refused():
    with pytest.raises(ValueError, match="no impostor"):
        scores_of([0.5], []).fmr(0.1)
    with pytest.raises(ValueError, match="no impostor"):
        scores_of([0.5], []).threshold_at_fmr(0.1)
    with pytest.raises(ValueError, match="no genuine"):
        scores_of([], [0.5]).fnmr(0.1)
    with pytest.raises(ValueError, match="finite"):
        scores_of([float("nan")], [0.5])


@given(samples, st.floats(0, 1))
def test_the_threshold_at_a_rate_keeps_it_and_any_lower_one_does_not(impostor: list[float], fmr: float):
    scores = scores_of([0.0], impostor)
    threshold = scores.threshold_at_fmr(fmr)
    assert scores.fmr(threshold) <= fmr + 1e-12
    if threshold > -1:
        assert scores.fmr(float(np.nextafter(np.float32(threshold), np.float32(-2)))) > fmr


def test_errors_are_equal_where_as_many_of_each_kind_are_wrong():
    found = equal_error(scores_of([0.25, 0.5, 0.75, 0.875], [0.125, 0.25, 0.375, 0.625]))
    assert found.rate == 0.25
    assert 0.375 < found.threshold <= 0.5


def test_kinds_that_do_not_overlap_have_no_equal_error():
    assert equal_error(scores_of([0.6, 0.7], [0.1, 0.2])).rate == 0.0


@given(samples, samples)
def test_no_threshold_brings_the_two_errors_nearer_than_the_equal_error_rates(genuine: list[float], imp: list[float]):
    scores = scores_of(genuine, imp)
    found = equal_error(scores)

    def apart(threshold: float) -> float:
        return abs(scores.fnmr(threshold) - scores.fmr(threshold))

    assert apart(found.threshold) <= min(apart(i / 200) for i in range(-201, 203)) + 1e-12
    assert found.rate == (scores.fnmr(found.threshold) + scores.fmr(found.threshold)) / 2


@given(samples, samples)
def test_a_roc_never_falls_as_more_false_accepts_are_allowed(genuine: list[float], impostor: list[float]):
    points = roc(scores_of(genuine, impostor), [0.02, 0.05, 0.1, 0.2, 0.5, 1.0])
    assert points[-1].tar == 1.0
    assert [p.tar for p in points] == sorted(p.tar for p in points)
    assert [p.threshold for p in points] == sorted((p.threshold for p in points), reverse=True)


def test_a_roc_leaves_out_the_rates_that_the_impostors_cannot_tell():
    assert [point.fmr for point in roc(scores_of([0.5], [0.1] * 99), [1e-1, 1e-2])] == [1e-1]


def test_the_interval_of_a_rate_is_wilsons():
    assert wilson(0, 10) == (0.0, pytest.approx(0.2775, abs=1e-4))
    assert wilson(5, 10) == (pytest.approx(0.2366, abs=1e-4), pytest.approx(0.7634, abs=1e-4))
    assert wilson(0, 0) == (0.0, 1.0)


def test_all_pairs_are_scored_once_and_told_apart_by_person():
    vectors = unit([1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1])
    found = score_all_pairs(vectors, np.array([7, 7, 3, 5]))
    half = np.float32(np.sqrt(0.5))
    assert found.genuine_pairs.tolist() == [[0, 1]]
    assert found.genuine_scores.tolist() == pytest.approx([half])
    assert found.scores.impostor.tolist() == pytest.approx([0, 0, 0, 0, half])
    assert found.impostor_histogram.sum() == found.scores.impostor_count == 5
    assert (found.suspects[0].first, found.suspects[0].second) == (1, 2)


def many_pairs(kept: int) -> Scores:
    vectors = unit(*np.random.default_rng(1).normal(size=(300, 8)).tolist())
    return score_all_pairs(vectors, np.arange(300) // 2, kept=kept, suspects=5).scores


def test_blocks_do_not_change_the_scores(monkeypatch: pytest.MonkeyPatch):
    whole = many_pairs(1_000_000)
    monkeypatch.setattr("engine.evaluation.pairs._BLOCK_SCORES", 1000)
    in_blocks = many_pairs(1_000_000)
    assert len(whole.impostor) == whole.impostor_count == 300 * 299 // 2 - 150
    np.testing.assert_allclose(in_blocks.impostor, whole.impostor, atol=1e-6)
    np.testing.assert_allclose(in_blocks.genuine, whole.genuine, atol=1e-6)


@pytest.mark.parametrize("block_scores", [300, 1_000, 20_000])
@pytest.mark.parametrize("kept", [1, 100, 22_350, 44_699, 44_700])
def test_the_highest_are_kept_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch, kept: int, block_scores: int):
    whole = many_pairs(1_000_000).impostor
    monkeypatch.setattr("engine.evaluation.pairs._BLOCK_SCORES", block_scores)
    found = many_pairs(kept)
    assert found.impostor_count == len(whole) == 44_700
    np.testing.assert_allclose(found.impostor, whole[-kept:], atol=1e-6)


def test_where_only_the_highest_are_kept_the_rare_rates_stay_exact(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("engine.evaluation.pairs._BLOCK_SCORES", 1000)
    whole, highest = many_pairs(1_000_000), many_pairs(5_000)
    assert len(highest.impostor) == 5_000
    assert highest.impostor_count == whole.impostor_count
    for fmr in (1e-1, 1e-2, 1e-3):
        threshold = whole.threshold_at_fmr(fmr)
        assert highest.threshold_at_fmr(fmr) == threshold
        assert highest.fmr(threshold) == whole.fmr(threshold)
    with pytest.raises(ValueError, match="not kept"):
        highest.threshold_at_fmr(0.5)
    with pytest.raises(ValueError, match="not kept"):
        highest.fmr(-0.5)


def test_an_equal_error_below_what_was_kept_is_not_guessed():
    held = np.sort(np.array([0.5, 0.6], np.float32))
    with pytest.raises(ValueError, match="not kept"):
        equal_error(Scores(np.array([0.1, 0.2, 0.3], np.float32), held, 100))
    told = equal_error(Scores(np.array([0.1, 0.2, 0.55], np.float32), np.linspace(0.05, 0.6, 50, dtype=np.float32), 51))
    assert 0.3 < told.rate < 0.7


def test_the_best_threshold_lies_half_way_between_the_kinds():
    threshold, accuracy = best_threshold(np.array([0.1, 0.2, 0.6, 0.8], np.float32), np.array([0, 0, 1, 1], bool))
    assert (threshold, accuracy) == (pytest.approx(0.4), 1.0)


def test_a_fold_takes_the_threshold_of_the_others():
    # the first fold alone would take .25 and be right everywhere; the second's .75 costs it a genuine pair
    scores = np.array([0.1, 0.2, 0.3, 0.9, 0.5, 0.7, 0.8, 0.9], np.float32)
    same = np.array([0, 0, 1, 1, 0, 0, 1, 1], bool)
    found = folded_accuracy(scores, same, np.array([1, 1, 1, 1, 2, 2, 2, 2]))
    first, second = found.folds
    assert (first.threshold, first.accuracy) == (pytest.approx(0.75), 0.75)
    assert (second.threshold, second.accuracy) == (pytest.approx(0.25), 0.5)
    assert found.accuracy == pytest.approx(0.625)
    assert found.standard_error == pytest.approx(0.125 / np.sqrt(2))


def test_one_fold_has_no_others_to_choose_from():
    with pytest.raises(ValueError, match="two folds"):
        folded_accuracy(np.zeros(3, np.float32), np.ones(3, bool), np.zeros(3, np.int64))
