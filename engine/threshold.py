"""The threshold of a search, from what the operator wants and how many it searches.

Among N enrolled faces each comparison can go wrong, so the false positive identification rate (FPIR) of a search is
about N times the false match rate (FMR) of one comparison (ISO/IEC 19795-1; Jain, Ross, Nandakumar, Introduction to
Biometrics, 1.3). The embedder's curve tells at which threshold an FMR is kept.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from contract.terms import CompareLevel, ThresholdRule
from engine.policy import Policy
from engine.vision.ports import Embedder
from models.manifest import FmrPoint

FLOOR_FMR = 1e-5
"""However few people are enrolled, a search never takes a threshold below the one of this rate."""

LEVEL_FMR: dict[CompareLevel, float] = {"high": 1e-4, "middle": 1e-3, "low": 1e-2}
"""What the levels of a 1:1 comparison mean: false match rates, so that they hold for any embedder. The vendor's figures
(.275, .225, .175) are cosines of its own network."""

HIGHEST_THRESHOLD = 0.95
"""Two photos of one person seldom come nearer to each other; a curve is not followed further."""


@dataclass(frozen=True, slots=True)
class AppliedThreshold:
    """A cosine threshold and why it is that: see contract.events.Threshold, whose fields these are."""

    cosine: float
    rule: ThresholdRule
    target_fpir: float | None = None
    fmr: float | None = None
    faces: int | None = None


def search_threshold(policy: Policy, embedder: Embedder, faces: int) -> AppliedThreshold:
    """The threshold of a search among `faces` enrolled faces."""
    if policy.threshold is not None:
        return AppliedThreshold(policy.threshold, "setting")
    if not embedder.fmr_curve:
        return AppliedThreshold(embedder.threshold, "model")
    wanted_fmr = policy.target_fpir / max(faces, 1)
    rule: ThresholdRule = "target_fpir" if wanted_fmr < FLOOR_FMR else "floor"
    fmr = min(wanted_fmr, FLOOR_FMR)
    return AppliedThreshold(threshold_at(embedder.fmr_curve, fmr), rule, policy.target_fpir, fmr, faces)


def comparison_threshold(level: CompareLevel, embedder: Embedder) -> AppliedThreshold:
    """The threshold of a 1:1 comparison at that level. Without a curve every level takes the embedder's own."""
    if not embedder.fmr_curve:
        return AppliedThreshold(embedder.threshold, "model")
    fmr = LEVEL_FMR[level]
    return AppliedThreshold(threshold_at(embedder.fmr_curve, fmr), "level", fmr=fmr)


def threshold_at(curve: Sequence[FmrPoint], fmr: float) -> float:
    """The cosine threshold at which the curve has that false match rate, at most `HIGHEST_THRESHOLD`.

    Between points it is linear in the logarithm of the rate. Before the first point the first stretch goes on; beyond
    the last the flatter of the last two: the tail of scores narrows from decade to decade, and where a curve widens at
    its end, a few wrong labels among its pairs have done it.

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


def _rise(left: FmrPoint, right: FmrPoint) -> float:
    """How much the threshold rises while the rate falls to an e-th."""
    return (right.threshold - left.threshold) / (math.log(left.fmr) - math.log(right.fmr))
