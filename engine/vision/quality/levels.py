"""The limits of each quality level (docs/interface.md), and the comparison of measured items with them."""

import math
from collections.abc import Collection, Mapping, Sequence

from contract.terms import QualityLevel
from engine.policy import QualityLimits
from engine.vision.ports import Check, Face, Image, PoseNet
from engine.vision.quality.items import Measured, measure_items

CUT_SHARE = 0.1
"""The share of a face outside the picture above which the face counts as cut: boxes have an error of a few percent."""

BRIGHTNESS = (30.0, 235.0)
"""The limits of a face's mean grey value: wide, so that only under- and overexposed faces are refused, and neither dark
nor pale skin."""

CLARITY = 0.22
"""The least clarity: only blurred faces have less (docs/models.md), and a blurred enrolled face spoils every later
search."""

MASK = 1.0
"""The least value of the item mask with which a mouth counts as visible (engine.vision.quality.mouth)."""

LEVELS: dict[QualityLevel, QualityLimits] = {
    "high": QualityLimits(
        face_size_px=112, headpose_degrees=60, partial=CUT_SHARE, brightness=BRIGHTNESS, clarity=CLARITY, mask=MASK
    ),
    "middle": QualityLimits(face_size_px=80, headpose_degrees=90, partial=CUT_SHARE, brightness=BRIGHTNESS),
    "low": QualityLimits(face_size_px=60, headpose_degrees=120),
    "no": QualityLimits(face_size_px=None, headpose_degrees=None),
}


Limits = Mapping[str, tuple[float, float]]
"""By item, the least and the greatest value that passes; infinite where that side has no limit."""


def limits_of(levels: Collection[QualityLevel], custom: QualityLimits) -> Limits:
    """Return the limits of several levels together: of each item the stricter ones, so that all levels are met.

    `custom` are the limits of the level `custom`. Limits that contradict each other are met by no face.
    """
    strictest: dict[str, tuple[float, float]] = {}
    for level in levels:
        for name, (least, most) in _limited(custom if level == "custom" else LEVELS[level]).items():
            other_least, other_most = strictest.get(name, (-math.inf, math.inf))
            strictest[name] = max(least, other_least), min(most, other_most)
    return strictest


def measure_quality(image: Image, face: Face, limits: Limits, pose: PoseNet) -> Sequence[Check]:
    """Return the items that have a limit, each with its limit; no other items are measured."""
    return _compare_all(measure_items(image, face, pose, limits), limits)


def measure_all(image: Image, face: Face, limits: Limits, pose: PoseNet) -> tuple[Sequence[Check], Sequence[Measured]]:
    """Return every item: those that have a limit, each with its limit, and the others."""
    measured = measure_items(image, face, pose)
    return _compare_all(measured, limits), [item for item in measured if item.name not in limits]


def _compare_all(measured: Sequence[Measured], limits: Limits) -> Sequence[Check]:
    """Return each measured item that has a limit, with that limit and whether the item passed."""
    return [_compared(item, *limits[item.name]) for item in measured if item.name in limits]


def _limited(limits: QualityLimits) -> Limits:
    least = {"face_size": limits.face_size_px, "clarity": limits.clarity, "mask": limits.mask}
    most = {"headpose": limits.headpose_degrees, "partial": limits.partial}
    bounds = {name: (bound, math.inf) for name, bound in least.items() if bound is not None}
    bounds |= {name: (-math.inf, bound) for name, bound in most.items() if bound is not None}
    return bounds if limits.brightness is None else {**bounds, "brightness": limits.brightness}


def _compared(item: Measured, least: float, most: float) -> Check:
    # Only one limit is reported: the one that the value violates or is nearer to.
    limit = least if item.value - least < most - item.value else most
    # The wire demands a face larger than its limit; a value equal to any other limit passes.
    passed = item.value > least if item.name == "face_size" else least <= item.value <= most
    return Check(item.name, item.value, limit, passed, detail=item.detail)
