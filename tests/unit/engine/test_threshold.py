import math
from types import MappingProxyType

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from contract.terms import LEAST_RATE
from engine.policy import Policy, recorded_policy
from engine.threshold import (
    HIGHEST_THRESHOLD,
    comparison_threshold,
    covered_threshold,
    search_threshold,
    threshold_at,
)
from engine.vision.networks.standin import StandInEmbedder
from models.manifest import FmrPoint, default_manifest
from picturematch.settings import SettingsError, load_settings

CURVE = (
    FmrPoint(fmr=1e-3, threshold=0.30),
    FmrPoint(fmr=1e-4, threshold=0.40),
    FmrPoint(fmr=1e-5, threshold=0.46),
    FmrPoint(fmr=1e-6, threshold=0.50),
)


class Curved(StandInEmbedder):
    fmr_curve = CURVE


def test_a_point_of_the_curve_is_its_own_threshold():
    for point in CURVE:
        assert threshold_at(CURVE, point.fmr) == pytest.approx(point.threshold)


def test_between_points_the_threshold_is_linear_in_the_logarithm_of_the_rate():
    assert threshold_at(CURVE, math.sqrt(1e-3 * 1e-4)) == pytest.approx(0.35)


def test_beyond_the_ends_the_outer_stretch_goes_on():
    assert threshold_at(CURVE, 1e-7) == pytest.approx(0.54)
    assert threshold_at(CURVE, 1e-2) == pytest.approx(0.20)


def test_a_curve_that_widens_at_its_end_goes_on_as_flat_as_before():
    widening = (*CURVE[:3], FmrPoint(fmr=1e-6, threshold=0.56))
    assert threshold_at(widening, 1e-6) == pytest.approx(0.56)
    assert threshold_at(widening, 1e-8) == pytest.approx(0.56 + 2 * 0.06)


def test_a_curve_is_not_followed_to_where_no_photo_reaches():
    assert threshold_at(CURVE, 1e-30) == HIGHEST_THRESHOLD


@pytest.mark.parametrize("points", [0, 1])
def test_a_curve_that_tells_nothing_between_two_rates_is_refused(points: int):
    with pytest.raises(ValueError, match="at least two points"):
        threshold_at(CURVE[:points], 1e-3)


@given(st.floats(1e-12, 0.5), st.floats(1e-12, 0.5))
def test_a_rarer_false_match_never_takes_a_lower_threshold(one, other):
    rarer, likelier = sorted((one, other))
    assert threshold_at(CURVE, rarer) >= threshold_at(CURVE, likelier)


def test_the_threshold_grows_with_the_faces_searched():
    policy = Policy(target_fpir=0.01)
    small, large = (search_threshold(policy, Curved(), faces) for faces in (2_000, 100_000))
    assert (small.rule, small.faces, small.fmr) == ("target_fpir", 2_000, pytest.approx(5e-6))
    assert 0.46 < small.cosine < 0.50 < large.cosine


@pytest.mark.parametrize("faces", [0, 1, 10, 999])
def test_among_few_faces_one_comparison_is_never_more_lenient_than_the_highest_rate(faces):
    applied = search_threshold(Policy(target_fpir=0.01, highest_fmr=1e-5), Curved(), faces)
    assert (applied.rule, applied.fmr) == ("floor", 1e-5)
    assert applied.cosine == pytest.approx(0.46)


@pytest.mark.parametrize("faces", [10, 100, 1000, 100_000])
def test_the_default_keeps_the_target_from_ten_faces_on(faces):
    applied = search_threshold(Policy(target_fpir=0.01), Curved(), faces)
    assert (applied.rule, applied.fmr) == ("target_fpir", pytest.approx(0.01 / faces))


@pytest.mark.parametrize(("faces", "extrapolated"), [(1, False), (10_000, False), (10_001, True), (1_000_000, True)])
def test_a_rate_below_the_last_point_of_the_curve_is_marked_as_extrapolated(faces, extrapolated):
    policy = Policy(target_fpir=0.01)
    assert search_threshold(policy, Curved(), faces).extrapolated is extrapolated
    assert search_threshold(Policy(target_fpir=0.01, accepted_score=70.0), Curved(), faces).extrapolated is extrapolated


@pytest.mark.parametrize(("rate", "extrapolated"), [(2e-3, True), (1e-3, False), (1e-4, False)])
def test_a_rate_above_the_first_point_of_the_curve_is_marked_as_extrapolated(rate, extrapolated):
    policy = Policy(target_fpir=rate, highest_fmr=0.5)
    assert search_threshold(policy, Curved(), 1).extrapolated is extrapolated
    found = covered_threshold(structs.replace(policy, target_fpir=2 * rate), Covered(), "mouth", 1)
    assert found is not None
    assert found.extrapolated is extrapolated


def test_a_level_of_a_comparison_above_the_first_point_of_the_curve_is_marked_as_extrapolated():
    class Short(Curved):
        fmr_curve = CURVE[1:]

    assert [comparison_threshold(level, Short()).extrapolated for level in ("low", "middle", "high")] == [
        True,
        True,
        False,
    ]


def test_a_cover_whose_curve_is_below_that_of_whole_faces_is_marked_as_that_one_is():
    class Lower(Curved):
        covered_curves = MappingProxyType(
            {"mouth": tuple(structs.replace(p, threshold=p.threshold / 2) for p in CURVE)}
        )

    whole, found = (search_threshold(Policy(), Lower(), 6_000), covered_threshold(Policy(), Lower(), "mouth", 6_000))
    assert found is not None
    assert (found.cosine, found.extrapolated, found.fmr < 1e-6) == (whole.cosine, False, True)


@pytest.mark.parametrize("name", ["target_fpir", "highest_fmr"])
@pytest.mark.parametrize("rate", [5e-324, 9e-8])
def test_a_rate_that_nobody_can_show_to_be_kept_is_refused_and_an_old_record_of_one_counts_as_the_lowest(name, rate):
    settings = {**msgspec.to_builtins(Policy()), name: rate}
    with pytest.raises(msgspec.ValidationError, match=name):
        msgspec.convert(settings, Policy)
    with pytest.raises(SettingsError, match=f"{name} must be at least 1e-07, because no lower rate was measured"):
        load_settings(None, {}, {f"matching.{name}": rate})
    policy = recorded_policy(settings)
    assert policy == structs.replace(Policy(), **{name: LEAST_RATE})
    assert 0 < search_threshold(policy, Curved(), 10_000_000).cosine <= HIGHEST_THRESHOLD
    with pytest.raises(msgspec.ValidationError):
        recorded_policy({**settings, name: 0.0})


FORMER = {
    "highest_fmr": 1e-5,
    "face": "largest",
    "mean_templates": False,
    "covered_templates": False,
    "enrolment_lookalikes": "off",
    "max_strangers": 0,
}


@pytest.mark.parametrize("name", FORMER)
def test_a_policy_that_was_recorded_without_a_setting_has_what_was_in_force_at_that_time(name: str):
    settings = msgspec.to_builtins(Policy())
    del settings[name]
    assert recorded_policy(settings) == msgspec.structs.replace(Policy(), **{name: FORMER[name]})
    assert recorded_policy({}) == Policy(**FORMER)
    assert recorded_policy(msgspec.to_builtins(Policy())) == Policy()


class Covered(Curved):
    covered_curves = MappingProxyType({"mouth": tuple(structs.replace(p, threshold=p.threshold + 0.05) for p in CURVE)})


@pytest.mark.parametrize("faces", [1, 100, 10_000])
def test_a_cover_has_a_threshold_by_its_own_curve_at_half_the_rate(faces):
    whole, found = search_threshold(Policy(), Covered(), faces), covered_threshold(Policy(), Covered(), "mouth", faces)
    assert found is not None
    assert found.fmr == pytest.approx(whole.fmr / 2)
    assert found.cosine == pytest.approx(threshold_at(Covered.covered_curves["mouth"], whole.fmr / 2))
    assert (found.rule, found.faces, found.target_fpir, found.cover) == (whole.rule, faces, 0.01, "mouth")
    assert found.extrapolated is (whole.fmr / 2 < 1e-6)


@pytest.mark.parametrize(
    ("policy", "embedder", "cover"),
    [
        (Policy(covered_templates=False), Covered(), "mouth"),
        (Policy(threshold=0.4), Covered(), "mouth"),
        (Policy(), Covered(), "eyes"),
        (Policy(), Curved(), "mouth"),
        (Policy(), StandInEmbedder(), "mouth"),
    ],
)
def test_covered_faces_are_not_searched_without_the_setting_or_a_curve_or_with_a_fixed_threshold(
    policy, embedder, cover
):
    assert covered_threshold(policy, embedder, cover, 10) is None


def test_an_accepted_score_moves_the_threshold_of_a_cover():
    plain = covered_threshold(Policy(), Covered(), "mouth", 10)
    moved = covered_threshold(Policy(accepted_score=70.0), Covered(), "mouth", 10)
    assert plain is not None
    assert moved is not None
    assert (moved.cosine < plain.cosine, moved.middle, moved.cover) == (True, plain.cosine, "mouth")


def test_the_threshold_of_a_cover_is_never_below_that_of_whole_faces():
    class Lenient(Curved):
        covered_curves = MappingProxyType(
            {"mouth": (FmrPoint(fmr=1e-3, threshold=0.1), FmrPoint(fmr=1e-6, threshold=0.2))}
        )

    found = covered_threshold(Policy(), Lenient(), "mouth", 100)
    assert found is not None
    assert found.cosine == search_threshold(Policy(), Lenient(), 100).cosine


def test_a_fixed_threshold_wins_over_the_target():
    applied = search_threshold(Policy(threshold=0.2, target_fpir=0.001), Curved(), 1_000_000)
    assert (applied.cosine, applied.rule, applied.faces) == (0.2, "setting", None)


def test_an_embedder_without_a_curve_keeps_its_own_threshold():
    embedder = StandInEmbedder()
    assert search_threshold(Policy(), embedder, 5).cosine == embedder.threshold
    assert search_threshold(Policy(), embedder, 5).rule == "model"
    assert comparison_threshold("high", embedder).rule == "model"


def test_a_stricter_level_of_comparison_takes_a_higher_threshold():
    high, middle, low = (comparison_threshold(level, Curved()) for level in ("high", "middle", "low"))
    assert high.cosine > middle.cosine > low.cosine
    assert (middle.rule, middle.fmr, middle.cosine) == ("level", 1e-3, pytest.approx(0.30))


def test_the_shipped_embedder_has_a_curve_down_to_one_in_ten_million():
    curve = default_manifest().network("embedder").fmr_curve
    assert curve[-1].fmr <= 1e-7
    assert threshold_at(curve, 1e-5) > 0.4
