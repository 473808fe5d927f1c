"""Scales a measurement to 0..1."""


def scale_to_unit(value: float, ends: tuple[float, float]) -> float:
    """Return `value` scaled linearly so that `ends` become 0 and 1; values beyond the ends become 0 or 1."""
    low, high = ends
    return min(max((value - low) / (high - low), 0.0), 1.0)
