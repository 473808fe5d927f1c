"""The limits of each quality level (docs/interface.md), and the comparison of measured items with them."""

import math
from collections.abc import Mapping, Sequence

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


def limits_of(level: QualityLevel, custom: QualityLimits) -> QualityLimits:
    """Return the limits of a level; `custom` are the limits of the level `custom`."""
    return custom if level == "custom" else LEVELS[level]


def measure_quality(
    image: Image, face: Face, level: QualityLevel, custom: QualityLimits, pose: PoseNet
) -> Sequence[Check]:
    """Return the items that have a limit at `level`, each with its limit; no other items are measured."""
    limits = limits_of(level, custom)
    return compare_with_limits(measure_items(image, face, pose, _limited(limits)), limits)


def measure_all(
    image: Image, face: Face, level: QualityLevel, custom: QualityLimits, pose: PoseNet
) -> tuple[Sequence[Check], Sequence[Measured]]:
    """Return every item: those that have a limit at `level`, each with its limit, and the others."""
    limits = limits_of(level, custom)
    measured = measure_items(image, face, pose)
    limited = _limited(limits)
    return compare_with_limits(measured, limits), [item for item in measured if item.name not in limited]


def compare_with_limits(measured: Sequence[Measured], limits: QualityLimits) -> Sequence[Check]:
    """Return each measured item with its limit and whether it passed; items without a limit are left out."""
    limited = _limited(limits)
    return [_compared(item, *limited[item.name]) for item in measured if item.name in limited]


def _limited(limits: QualityLimits) -> Mapping[str, tuple[float, float]]:
    """Return, by item, the least and the greatest value that passes; infinite where that side has no limit."""
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
