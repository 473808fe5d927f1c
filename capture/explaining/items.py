"""Items and levels of quality as single changes: their words, the limit that a value passes, the order of levels."""

import math
from collections.abc import Collection, Sequence

from contract.errors import PictureRefused
from contract.findings import CheckResult
from contract.pictures.headers import picture_header
from contract.terms import QUALITY_ORDER, QualityLevel
from engine.policy import Policy, QualityLimits
from engine.vision.quality import limits_of
from engine.vision.quality.levels import Limits

_LIMIT_FIELDS = {"face_size": "face_size_px", "headpose": "headpose_degrees"}
"""The limits (engine.policy.QualityLimits) whose names are not those of their items."""
_LEAST = frozenset({"clarity", "mask"})
_MOST = frozenset({"headpose", "partial"})
_DIGITS = 1_000_000
_TIMES_THE_PIXELS = 4
"""A picture with more pixels than this many times the limit is not decoded, since it may not fit into memory."""


def better_words(check: CheckResult) -> str:
    """Return in words by how much the measured value of a failed item misses its limit."""
    missing = abs(check.limit - check.value)
    if check.name == "face_size":
        return f"another {math.floor(missing) + 1} px of face (more than {check.limit:g} px are needed)"
    return f"{check.name} {'higher' if check.value < check.limit else 'lower'} by {missing:.4g}"


def limit_setting(check: CheckResult) -> str:
    """Return the setting of matching that is the limit of an item at the level `custom`."""
    return f"custom_quality.{_LIMIT_FIELDS.get(check.name, check.name)}"


def passed_limit(check: CheckResult) -> float | None:
    """Return the strictest limit that the measured value of an item passes; None: the item has two limits."""
    if check.name == "face_size":
        return max(0.0, math.ceil(check.value) - 1.0)
    if check.name in _LEAST:
        return math.floor(check.value * _DIGITS) / _DIGITS
    return math.ceil(check.value * _DIGITS) / _DIGITS if check.name in _MOST else None


def passing_bounds(levels: Collection[QualityLevel], policy: Policy, check: CheckResult) -> dict[str, object]:
    """Return the limits of several levels together, as settings of the level `custom`, moved so that an item passes."""
    bounds = dict(limits_of(levels, policy.custom_quality))
    least, most = bounds[check.name]
    bounds[check.name] = min(least, check.value - (check.name == "face_size")), max(most, check.value)
    return _as_settings(bounds)


def failing_bounds(levels: Collection[QualityLevel], policy: Policy, check: CheckResult) -> dict[str, object]:
    """Return the limits of several levels together, as `passing_bounds`, moved so that an item fails by very little."""
    bounds = dict(limits_of(levels, policy.custom_quality))
    least, most = bounds[check.name]
    if abs(check.value - most) < abs(check.value - least):
        bounds[check.name] = least, math.nextafter(check.value, -math.inf)
    else:
        above = check.value if check.name == "face_size" else math.nextafter(check.value, math.inf)
        bounds[check.name] = above, most
    return _as_settings(bounds)


def _as_settings(bounds: Limits) -> dict[str, object]:
    settings: dict[str, object] = dict.fromkeys(QualityLimits.__struct_fields__)
    for name, (least, most) in bounds.items():
        sides = [side for side in (least, most) if math.isfinite(side)]
        settings[_LIMIT_FIELDS.get(name, name)] = sides if len(sides) == 2 else max(0.0, sides[0])
    return settings


def is_stricter(one: QualityLevel, other: QualityLevel) -> bool:
    """Return whether a level is stricter than another; `custom` counts as stricter than no level at all."""
    if "custom" in (one, other):
        return one == "custom" and other == "no"
    return QUALITY_ORDER.index(one) > QUALITY_ORDER.index(other)


def weaker_levels(asked: QualityLevel) -> Sequence[QualityLevel]:
    """Return the levels that are less strict than one, the strictest first."""
    return [level for level in reversed(QUALITY_ORDER) if is_stricter(asked, level)]


def stricter_levels(asked: QualityLevel) -> Sequence[QualityLevel]:
    """Return the levels that are stricter than one, the least strict first; none where one is `custom`."""
    return [level for level in QUALITY_ORDER if is_stricter(level, asked)]


def pixels_above(picture: bytes, max_pixels: int) -> int | None:
    """Return the pixels of a picture that has more than allowed, and not so many that it may not fit into memory."""
    try:
        header = picture_header(picture)
    except PictureRefused:
        return None
    pixels = header.width * header.height
    return pixels if max_pixels < pixels <= _TIMES_THE_PIXELS * max_pixels else None
