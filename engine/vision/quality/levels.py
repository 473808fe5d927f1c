"""The limits of each quality level (docs/interface.md), and measured items held against them."""

import math
from collections.abc import Mapping, Sequence

from contract.terms import QualityLevel
from engine.policy import QualityLimits
from engine.vision.ports import Check, Face, Image, PoseNet
from engine.vision.quality.items import Measured, measure_items

CUT_SHARE = 0.1
"""Share of a face outside the picture from which it counts as cut: boxes are a few percent off in any case."""

BRIGHTNESS = (30.0, 235.0)
"""Mean grey value of a face: wide, so that it refuses the under- and overexposed, not dark or pale skin."""

CLARITY = 0.22
"""Below it lie blurred faces only (docs/models.md); what is enrolled blurred spoils every later search."""

MASK = 1.0
"""The scale of the item mask is made so that a mouth shows from here on (engine.vision.quality.mouth)."""

LEVELS: dict[QualityLevel, QualityLimits] = {
    "high": QualityLimits(
        face_size_px=112, headpose_degrees=60, partial=CUT_SHARE, brightness=BRIGHTNESS, clarity=CLARITY, mask=MASK
    ),
    "middle": QualityLimits(face_size_px=80, headpose_degrees=90, partial=CUT_SHARE, brightness=BRIGHTNESS),
    "low": QualityLimits(face_size_px=60, headpose_degrees=120),
    "no": QualityLimits(face_size_px=None, headpose_degrees=None),
}


def limits_of(level: QualityLevel, custom: QualityLimits) -> QualityLimits:
    """The limits of that level; `custom` are those of the level custom."""
    return custom if level == "custom" else LEVELS[level]


def measure_quality(
    image: Image, face: Face, level: QualityLevel, custom: QualityLimits, pose: PoseNet
) -> Sequence[Check]:
    """The items that `level` asks for, each held against its limit; only what has a limit is measured."""
    limits = limits_of(level, custom)
    return hold(measure_items(image, face, pose, _limited(limits)), limits)


def measure_all(
    image: Image, face: Face, level: QualityLevel, custom: QualityLimits, pose: PoseNet
) -> tuple[Sequence[Check], Sequence[Measured]]:
    """Every item that can be measured: those that `level` limits, held against their limits, and the others."""
    limits = limits_of(level, custom)
    measured = measure_items(image, face, pose)
    limited = _limited(limits)
    return hold(measured, limits), [item for item in measured if item.name not in limited]


def hold(measured: Sequence[Measured], limits: QualityLimits) -> Sequence[Check]:
    """Each measured item against its limit; items without a limit are left out."""
    limited = _limited(limits)
    return [_held(item, *limited[item.name]) for item in measured if item.name in limited]


def _limited(limits: QualityLimits) -> Mapping[str, tuple[float, float]]:
    """Item -> what its value must reach at least, and at most; infinite where there is no bound on that side."""
    least = {"face_size": limits.face_size_px, "clarity": limits.clarity, "mask": limits.mask}
    most = {"headpose": limits.headpose_degrees, "partial": limits.partial}
    bounds = {name: (bound, math.inf) for name, bound in least.items() if bound is not None}
    bounds |= {name: (-math.inf, bound) for name, bound in most.items() if bound is not None}
    return bounds if limits.brightness is None else {**bounds, "brightness": limits.brightness}


def _held(item: Measured, least: float, most: float) -> Check:
    # One limit is reported: the one the value is nearer to missing, or has missed.
    limit = least if item.value - least < most - item.value else most
    # The wire wants a face larger than its limit; other limits may be reached.
    passed = item.value > least if item.name == "face_size" else least <= item.value <= most
    return Check(item.name, item.value, limit, passed, detail=item.detail)
