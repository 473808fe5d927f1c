"""A measure brought to 0..1."""


def place(value: float, ends: tuple[float, float]) -> float:
    """Where `value` lies between `ends`: 0 at the first and before, 1 at the second and beyond."""
    low, high = ends
    return min(max((value - low) / (high - low), 0.0), 1.0)
