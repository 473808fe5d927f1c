"""An embedder's curve of false match rates from scores, with the rates only that the scores can tell."""

from collections.abc import Sequence

from engine.evaluation.scores import Scores
from engine.threshold import threshold_at
from models.manifest import FmrPoint

RATES = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)

LEAST_FALSE_MATCHES = 10
"""A rate is told only where it allows so many false matches: then it is known to within about 60 % (95 %, as if pairs
were independent), which moves the threshold by about .02. Doddington's rule of 30 asks for more: give more photos."""

LEAST_PAIRS = 10_000
"""Fewer pairs of different people tell nothing rarer than 1e-2, which is no start for a search's threshold."""


def tells(impostor_count: int, fmr: float) -> bool:
    """Whether so many impostor scores can tell that rate."""
    # a hair less, so that 1e-5 of a million counts as ten
    return fmr * impostor_count >= LEAST_FALSE_MATCHES * (1 - 1e-9)


def measured_curve(scores: Scores, rates: Sequence[float] = RATES) -> tuple[FmrPoint, ...]:
    """The thresholds at those of the rates that the impostors can tell, the highest rate first.

    Thresholds rise strictly; a rate whose threshold does not (scores that tie) or that only 1 satisfies (the same photo
    under two names) ends the curve.
    """
    points: list[FmrPoint] = []
    for rate in sorted(rates, reverse=True):
        if not tells(scores.impostor_count, rate):
            break
        threshold = _rounded_up(scores.threshold_at_fmr(rate))
        if not -1 < threshold < 1 or (points and threshold <= points[-1].threshold):
            break
        points.append(FmrPoint(fmr=rate, threshold=threshold))
    return tuple(points)


def extended_curve(
    measured: Sequence[FmrPoint], reference: Sequence[FmrPoint], rates: Sequence[float] = RATES
) -> tuple[FmrPoint, ...]:
    """The measured curve, followed by what cannot be told of it but is needed for searches.

    Rarer rates go on with the reference's rises from where the measured curve ends, and never below the reference
    itself: what was not measured is no reason to be more lenient. Without a reference the last stretch goes on.

    Raises:
        ValueError: fewer than two points were measured.
    """
    if len(measured) < 2:
        raise ValueError("a curve needs at least two measured rates to be used")
    last = measured[-1]
    known = reference if len(reference) > 1 else measured
    points = list(measured)
    for rate in sorted(rates, reverse=True):
        if rate >= last.fmr * (1 - 1e-9):
            continue
        referred = threshold_at(known, rate)
        threshold = _rounded_up(max(last.threshold + referred - threshold_at(known, last.fmr), referred))
        if threshold > points[-1].threshold and threshold < 1:
            points.append(FmrPoint(fmr=rate, threshold=threshold))
    return tuple(points)


def identification_fpir(fmr: float, faces: int) -> float:
    """The share of strangers taken for one of `faces` people at that false match rate, as if comparisons were
    independent: 1 - (1 - FMR)^N, about N x FMR."""
    return float(1.0 - (1.0 - fmr) ** faces)


def _rounded_up(threshold: float) -> float:
    """To six places, never below: a threshold just above a score would let that score through."""
    nearest = round(threshold, 6)
    return nearest if nearest >= threshold else round(nearest + 1e-6, 6)
