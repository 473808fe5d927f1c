"""The limits of each quality level (docs/interface.md), and measured items held against them."""

from collections.abc import Mapping, Sequence

from engine.policy import QualityLimits
from engine.terms import QualityLevel
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


def _limited(limits: QualityLimits) -> Mapping[str, tuple[float | None, float | None]]:
    """Item -> what its value must reach at least, and at most; None: no bound on that side."""
    dark, glaring = limits.brightness or (None, None)
    bounds = {
        "face_size": (limits.face_size_px, None),
        "headpose": (None, limits.headpose_degrees),
        "partial": (None, limits.partial),
        "brightness": (dark, glaring),
        "clarity": (limits.clarity, None),
        "mask": (limits.mask, None),
    }
    return {name: bound for name, bound in bounds.items() if bound != (None, None)}


def _held(item: Measured, least: float | None, most: float | None) -> Check:
    if least is not None and most is not None:
        # One limit is reported: the one the value is nearer to missing, or has missed.
        limit, passed = (least if item.value < (least + most) / 2 else most), least <= item.value <= most
    elif least is not None:
        # The wire wants a face larger than its limit; of the others a limit may be reached.
        limit, passed = least, item.value > least if item.name == "face_size" else item.value >= least
    else:
        limit = most if most is not None else float("inf")
        passed = item.value <= limit
    return Check(item.name, item.value, limit, passed, detail=item.detail)
