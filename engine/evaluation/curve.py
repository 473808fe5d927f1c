"""Computes an embedder's curve of false match rates from scores, only for rates that so many scores can measure."""

from collections.abc import Sequence

from engine.evaluation.scores import Scores
from engine.threshold import threshold_at
from models.manifest import FmrPoint

RATES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)

LEAST_FALSE_MATCHES = 10
"""A rate is measured only where it allows at least so many false matches: the rate is then known to within about 60 %
(with 95 % confidence, as if pairs were independent), which moves the threshold by about .02. Doddington's rule of 30
false matches would need more photos."""

LEAST_PAIRS = 10_000
"""The fewest pairs of different people for a curve: fewer measure no rate below 1e-2, and the threshold of a search
cannot be computed from that rate."""

_UNEVEN = 1e-5
"""A difference of thresholds that rounding alone may cause a decade behind the end of a curve."""


def is_measurable(impostor_count: int, fmr: float) -> bool:
    """Return whether so many impostor scores are enough to measure that false match rate."""
    # The tolerance makes 1e-5 of a million count as ten in spite of rounding.
    return fmr * impostor_count >= LEAST_FALSE_MATCHES * (1 - 1e-9)


def measured_curve(scores: Scores, rates: Sequence[float] = RATES) -> tuple[FmrPoint, ...]:
    """Return the thresholds at the measurable rates among `rates`, the highest rate first.

    Thresholds rise strictly. The curve ends before a rate whose threshold is not higher than the last one (scores that
    tie), or that needs the threshold 1 (the same photo under two names).
    """
    points: list[FmrPoint] = []
    for rate in sorted(rates, reverse=True):
        if not is_measurable(scores.impostor_count, rate):
            break
        threshold = _rounded_up(scores.threshold_at_fmr(rate))
        if not -1 < threshold < 1 or (points and threshold <= points[-1].threshold):
            break
        points.append(FmrPoint(fmr=rate, threshold=threshold))
    return tuple(points)


def extended_curve(
    measured: Sequence[FmrPoint], reference: Sequence[FmrPoint], rates: Sequence[float] = RATES
) -> tuple[FmrPoint, ...]:
    """Return the measured curve, continued on both sides to `rates` and to the rates of the reference.

    Behind the last measured point the reference curve continues it, shifted by the difference of both curves at that
    point; before the first measured point likewise. The shift is one number for a whole side, so the continued curve is
    nowhere steeper than the reference, rises strictly, and moves with the measured points: where these are below the
    reference, so is the continued curve. Where there is no reference, the curve's own last segment is extended.

    Raises:
        ValueError: fewer than two points were measured.
    """
    if len(measured) < 2:
        raise ValueError("a curve needs at least two measured rates to be used")
    known = reference if len(reference) > 1 else measured
    first, last = measured[0], measured[-1]
    wanted = {*rates, *(point.fmr for point in reference)}
    before = [_shifted(known, first, rate) for rate in wanted if rate > first.fmr * (1 + 1e-9)]
    behind = [_shifted(known, last, rate) for rate in wanted if rate < last.fmr * (1 - 1e-9)]
    rising = sorted((*before, *measured, *behind), key=lambda point: -point.fmr)
    points = [point for point in rising if -1 < point.threshold < 1]
    ends = points[-1].fmr / 10
    beyond = _shifted(known, last, ends)
    if threshold_at(points, ends) > beyond.threshold + _UNEVEN and beyond.threshold > points[-1].threshold:
        # Behind its end a curve takes the flatter of its last two segments, which the reference may have flatter.
        points.append(beyond)
    return tuple(point for i, point in enumerate(points) if not i or point.threshold > points[i - 1].threshold)


def _shifted(known: Sequence[FmrPoint], anchor: FmrPoint, rate: float) -> FmrPoint:
    shift = anchor.threshold - threshold_at(known, anchor.fmr)
    return FmrPoint(fmr=rate, threshold=_rounded_up(threshold_at(known, rate) + shift))


def identification_fpir(fmr: float, faces: int) -> float:
    """Return the share of strangers who match one of `faces` enrolled faces at that false match rate.

    Comparisons count as independent: 1 - (1 - FMR)^N, about N x FMR.
    """
    return float(1.0 - (1.0 - fmr) ** faces)


def _rounded_up(threshold: float) -> float:
    """Return the threshold rounded up to six decimal places: rounding down could let a score just below it match."""
    nearest = round(threshold, 6)
    return nearest if nearest >= threshold else round(nearest + 1e-6, 6)
