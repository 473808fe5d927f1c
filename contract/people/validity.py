"""The time in which a person is valid: `valid_from` and `valid_until` in the person's info, in epoch seconds. Pure."""

import math
from collections.abc import Mapping
from typing import Any

VALID_FROM, VALID_UNTIL = "valid_from", "valid_until"


def is_ordered(info: Mapping[str, Any]) -> bool:
    """Return whether the validity in `info` does not end before it begins."""
    begin, end = _bounds(info)
    return begin <= end


def is_valid_at(info: Mapping[str, Any], time_s: float) -> bool:
    """Return whether a time, in epoch seconds, lies in the validity in `info`; both ends belong to the validity."""
    begin, end = _bounds(info)
    return begin <= time_s <= end


def _bounds(info: Mapping[str, Any]) -> tuple[float, float]:
    """Return both ends; an absent end is infinite, and one that is not a number leaves no valid time."""
    begin, end = info.get(VALID_FROM), info.get(VALID_UNTIL)
    return (
        -math.inf if begin is None else _number(begin, math.inf),
        math.inf if end is None else _number(end, -math.inf),
    )


def _number(value: object, otherwise: float) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else otherwise
