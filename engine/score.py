"""The two scales on which scores and thresholds cross the wire (docs/settings.md, `matching.score_scale`)."""

from engine.policy import ScoreScale

_PERCENT_AT_THRESHOLD = 82.0


def to_wire(cosine: float, threshold: float, scale: ScoreScale) -> float:
    """Return a cosine on the wire's scale, rounded to the precision of a float32 cosine.

    `raw` is the cosine itself; `percent` is piecewise linear through (0, 0), (threshold, 82) and (1, 100).
    `threshold` is the cosine threshold, between 0 and 1 exclusive.
    """
    if scale == "raw":
        return round(cosine, 6)
    if cosine < threshold:
        return round(max(cosine, 0.0) / threshold * _PERCENT_AT_THRESHOLD, 4)
    above = (min(cosine, 1.0) - threshold) / (1.0 - threshold)
    return round(_PERCENT_AT_THRESHOLD + above * (100.0 - _PERCENT_AT_THRESHOLD), 4)
