"""Computes the threshold of a search from the operator's policy and the number of faces that the search compares.

Among N enrolled faces each comparison can be a false match, so the false positive identification rate (FPIR) of a
search is about N times the false match rate (FMR) of one comparison (ISO/IEC 19795-1; Jain, Ross, Nandakumar,
Introduction to Biometrics, 1.3). The embedder's curve gives the threshold for each FMR.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

from contract.terms import CompareLevel, Cover, ThresholdRule
from engine.policy import Policy
from engine.score import from_percent, to_wire
from models.manifest import FmrPoint

LEVEL_FMR: dict[CompareLevel, float] = {"high": 1e-4, "middle": 1e-3, "low": 1e-2}
"""The levels of a 1:1 comparison, defined as false match rates so that they apply to any embedder. The vendor's figures
(.275, .225, .175) are cosines of the vendor's own network."""

HIGHEST_THRESHOLD = 0.95
"""The highest threshold that is computed from a curve: two photos of one person seldom have a higher cosine."""


COVERED_SHARE = 0.5
"""The share of the false match rate of a search that the templates of each cover get, since a stranger with a covered
face may reach the threshold of the templates of whole faces as well (docs/accuracy.md has the figures)."""


@dataclass(frozen=True, slots=True)
class AppliedThreshold:
    """A cosine threshold and the rule from which it was computed; contract.events.Threshold explains the fields.

    `middle`: the cosine that gets the middle score of the percent scale; None: the threshold itself. `extrapolated`:
    the rate is not between two points of the curve, so that the curve was extended to it. `cover`: the threshold is one
    for templates of faces with that cover; None: for templates of whole faces.
    """

    cosine: float
    rule: ThresholdRule
    target_fpir: float | None = None
    fmr: float | None = None
    faces: int | None = None
    middle: float | None = None
    extrapolated: bool = False
    cover: Cover | None = None

    def score(self, cosine: float, policy: Policy) -> float:
        """Return a cosine on the wire's scale."""
        return to_wire(cosine, self.middle or self.cosine, policy.score_scale, policy.score_range)

    def percent(self, cosine: float, policy: Policy) -> float:
        """Return a cosine on the percent scale, whichever the wire's scale is."""
        return to_wire(cosine, self.middle or self.cosine, "percent", policy.score_range)


class Calibrated(Protocol):
    """The attributes of an embedder from which thresholds are computed; engine.vision.ports.Embedder explains them."""

    @property
    def threshold(self) -> float:
        """The default cosine threshold for 1:N, which is used where `fmr_curve` is empty."""
        ...

    @property
    def fmr_curve(self) -> tuple[FmrPoint, ...]:
        """The thresholds by false match rate, the highest rate first."""
        ...


class CoverCalibrated(Calibrated, Protocol):
    """The attributes of an embedder from which the thresholds of covered faces are computed, too."""

    @property
    def covered_curves(self) -> Mapping[Cover, tuple[FmrPoint, ...]]:
        """By cover, the thresholds by false match rate of templates of faces with that cover."""
        ...


def search_threshold(policy: Policy, embedder: Calibrated, faces: int) -> AppliedThreshold:
    """Return the threshold of a search among `faces` enrolled faces.

    `Policy.accepted_score` moves it on the percent scale, on which the threshold without it has the middle score.
    """
    return _accepting(policy, _computed_threshold(policy, embedder, faces))


def covered_threshold(policy: Policy, embedder: CoverCalibrated, cover: Cover, faces: int) -> AppliedThreshold | None:
    """Return the threshold of templates of faces with that cover, in a search among `faces` enrolled faces.

    None: covered faces are not searched, because the setting is off, the threshold is fixed, or the embedder has no
    curves. The threshold is never below that of the templates of whole faces: where the curve of whole faces was
    measured anew, that of covered faces may be too low.
    """
    if not policy.covered_templates or policy.threshold is not None or not embedder.fmr_curve:
        return None
    curve = embedder.covered_curves.get(cover)
    if curve is None:
        return None
    whole = _computed_threshold(policy, embedder, faces)
    fmr = COVERED_SHARE * (whole.fmr or policy.highest_fmr)
    own = threshold_at(curve, fmr)
    cosine = max(own, whole.cosine)
    extrapolated = whole.extrapolated if cosine > own else is_extrapolated(curve, fmr)
    return _accepting(policy, replace(whole, cosine=cosine, fmr=fmr, extrapolated=extrapolated, cover=cover))


def _accepting(policy: Policy, computed: AppliedThreshold) -> AppliedThreshold:
    """Return a computed threshold as `Policy.accepted_score` moves it."""
    if policy.accepted_score is None or policy.accepted_score == policy.score_range[1]:
        return computed
    return AppliedThreshold(
        from_percent(policy.accepted_score, computed.cosine, policy.score_range),
        "accepted_score",
        faces=computed.faces,
        middle=computed.cosine,
        extrapolated=computed.extrapolated,
        cover=computed.cover,
    )


def _computed_threshold(policy: Policy, embedder: Calibrated, faces: int) -> AppliedThreshold:
    if policy.threshold is not None:
        return AppliedThreshold(policy.threshold, "setting")
    if not embedder.fmr_curve:
        return AppliedThreshold(embedder.threshold, "model")
    curve, wanted_fmr = embedder.fmr_curve, policy.target_fpir / max(faces, 1)
    rule: ThresholdRule = "target_fpir" if wanted_fmr <= policy.highest_fmr else "floor"
    fmr = min(wanted_fmr, policy.highest_fmr)
    extrapolated = is_extrapolated(curve, fmr)
    return AppliedThreshold(threshold_at(curve, fmr), rule, policy.target_fpir, fmr, faces, extrapolated=extrapolated)


def comparison_threshold(level: CompareLevel, embedder: Calibrated) -> AppliedThreshold:
    """Return the threshold of a 1:1 comparison at that level; without a curve, the embedder's default threshold."""
    if not embedder.fmr_curve:
        return AppliedThreshold(embedder.threshold, "model")
    fmr = LEVEL_FMR[level]
    extrapolated = is_extrapolated(embedder.fmr_curve, fmr)
    return AppliedThreshold(threshold_at(embedder.fmr_curve, fmr), "level", fmr=fmr, extrapolated=extrapolated)


def is_extrapolated(curve: Sequence[FmrPoint], fmr: float) -> bool:
    """Return whether a false match rate is before the first or behind the last point of a curve."""
    return not curve[-1].fmr <= fmr <= curve[0].fmr


def threshold_at(curve: Sequence[FmrPoint], fmr: float) -> float:
    """Return the cosine threshold at which the curve has that false match rate, at most `HIGHEST_THRESHOLD`.

    Between points the threshold is linear in the logarithm of the rate. Before the first point the first segment is
    extended. Behind the last point the flatter of the last two segments is extended: thresholds rise less with each
    decade of the rate, and where a curve becomes steeper at its end, a few pairs with wrong labels are the cause.

    Raises:
        ValueError: the curve has less than two points.
    """
    if len(curve) < 2:
        raise ValueError("a curve of false match rates needs at least two points")
    stretches = list(pairwise(curve))
    last = curve[-1]
    if fmr < last.fmr:
        rise = min(_rise(*stretch) for stretch in stretches[-2:])
        return min(last.threshold + rise * (math.log(last.fmr) - math.log(fmr)), HIGHEST_THRESHOLD)
    left, right = next(stretch for stretch in stretches if stretch[1].fmr <= fmr)
    return left.threshold + _rise(left, right) * (math.log(left.fmr) - math.log(fmr))


def fmr_at(curve: Sequence[FmrPoint], cosine: float) -> float:
    """Return the false match rate at a cosine threshold, by the same lines as `threshold_at`; at most 1.

    Raises:
        ValueError: the curve has less than two points.
    """
    if len(curve) < 2:
        raise ValueError("a curve of false match rates needs at least two points")
    stretches = list(pairwise(curve))
    last = curve[-1]
    if cosine > last.threshold:
        left, rise = last, min(_rise(*stretch) for stretch in stretches[-2:])
    else:
        stretch = next(stretch for stretch in stretches if stretch[1].threshold >= cosine)
        left, rise = stretch[0], _rise(*stretch)
    return left.fmr if rise <= 0 else min(1.0, math.exp(math.log(left.fmr) - (cosine - left.threshold) / rise))


def _rise(left: FmrPoint, right: FmrPoint) -> float:
    """Return by how much the threshold rises while the rate falls by a factor of e."""
    return (right.threshold - left.threshold) / (math.log(left.fmr) - math.log(right.fmr))
