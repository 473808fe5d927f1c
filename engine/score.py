"""The two scales on which scores and thresholds cross the wire (docs/settings.md, `matching.score_scale`)."""

from engine.policy import ScoreRange, ScoreScale

VENDORS_RANGE: ScoreRange = (0.0, 82.0, 100.0)
"""The scores that the vendor's servers show for the cosines 0, the threshold and 1."""


def to_wire(cosine: float, threshold: float, scale: ScoreScale, shown: ScoreRange = VENDORS_RANGE) -> float:
    """Return a cosine on the wire's scale, rounded to the precision of a float32 cosine.

    `raw` is the cosine itself; `percent` is piecewise linear through (0, low), (threshold, middle) and (1, high), where
    `shown` are low, middle and high. `threshold` is the cosine threshold, between 0 and 1 exclusive.
    """
    if scale == "raw":
        return round(cosine, 6)
    low, middle, high = shown
    if cosine < threshold:
        return round(low + max(cosine, 0.0) / threshold * (middle - low), 4)
    return round(middle + (min(cosine, 1.0) - threshold) / (1.0 - threshold) * (high - middle), 4)


def from_percent(score: float, threshold: float, shown: ScoreRange = VENDORS_RANGE) -> float:
    """Return the cosine that has a score on the percent scale; `to_wire` explains `threshold` and `shown`."""
    low, middle, high = shown
    if score < middle:
        return (score - low) / (middle - low) * threshold
    return threshold + (score - middle) / (high - middle) * (1.0 - threshold)


def threshold_from(cosine: float, score: float, shown: ScoreRange = VENDORS_RANGE) -> float:
    """Return the threshold under which a cosine has a score on the percent scale: `from_percent` solved for it.

    `score` lies between low and high exclusive.
    """
    low, middle, high = shown
    if score < middle:
        return cosine * (middle - low) / (score - low)
    share = (score - middle) / (high - middle)
    return (cosine - share) / (1.0 - share)
