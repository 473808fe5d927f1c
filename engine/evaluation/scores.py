"""Rates of genuine and impostor scores at thresholds, and thresholds at rates.

Terms of ISO/IEC 19795-1: the false match rate (FMR, also FAR) is the share of impostor scores at or above the
threshold, the false non-match rate (FNMR) is the share of genuine scores below the threshold, the true accept rate
(TAR) is 1 - FNMR, and the equal error rate (EER) is the rate at which FMR and FNMR are equal. Rates change in steps, so
the threshold "at" a rate is the lowest threshold whose rate does not exceed that rate.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from contract.vectors import Vector

Z_95 = 1.959964
"""The number of standard deviations on both sides of the mean that contain 95 % of a normal distribution."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Genuine and impostor scores, each float32 and ascending.

    `impostor_count` may exceed the number of scores in `impostor`: these are then the highest of `impostor_count`
    scores, and rates at thresholds below the lowest of them cannot be computed.
    """

    genuine: Vector
    impostor: Vector
    impostor_count: int

    def fmr(self, threshold: float) -> float:
        """Return the false match rate at that threshold.

        Raises:
            ValueError: there is no impostor score, or the threshold lies below the lowest kept score.
        """
        return self.false_matches(threshold) / self.impostor_count

    def false_matches(self, threshold: float) -> int:
        """Return the number of impostor scores at or above the threshold.

        Raises:
            ValueError: there is no impostor score, or the threshold lies below the lowest kept score.
        """
        if not self.impostor_count:
            raise ValueError("there is no impostor score")
        below = _below(self.impostor, threshold)
        if not below and len(self.impostor) < self.impostor_count:
            raise ValueError("the rate at this threshold needs impostor scores that were not kept")
        return len(self.impostor) - below

    def fnmr(self, threshold: float) -> float:
        """Return the false non-match rate at that threshold.

        Raises:
            ValueError: there is no genuine score.
        """
        return self.false_non_matches(threshold) / len(self.genuine)

    def false_non_matches(self, threshold: float) -> int:
        """Return the number of genuine scores below the threshold.

        Raises:
            ValueError: there is no genuine score.
        """
        if not len(self.genuine):
            raise ValueError("there is no genuine score")
        return _below(self.genuine, threshold)

    def threshold_at_fmr(self, fmr: float) -> float:
        """Return the lowest threshold whose false match rate is at most `fmr`; -1 where that is true of every one.

        Raises:
            ValueError: there is no impostor score, or too few of them were kept.
        """
        if not self.impostor_count:
            raise ValueError("there is no impostor score")
        # The tolerance makes 0.01 of 700 seven, although 0.01 * 700 is less in floating point.
        allowed = math.floor(fmr * self.impostor_count * (1 + 1e-12))
        if allowed >= self.impostor_count:
            return -1.0
        if allowed >= len(self.impostor):
            raise ValueError("the threshold at this rate needs impostor scores that were not kept")
        first_refused = self.impostor[len(self.impostor) - 1 - allowed]
        return _just_above(first_refused)


def scores_of(genuine: Sequence[float] | Vector, impostor: Sequence[float] | Vector) -> Scores:
    """Return the scores, sorted.

    Raises:
        ValueError: a score is not finite.
    """
    kinds = [np.sort(np.asarray(values, np.float32)) for values in (genuine, impostor)]
    if not all(np.isfinite(values).all() for values in kinds):
        raise ValueError("scores must be finite")
    return Scores(kinds[0], kinds[1], len(kinds[1]))


@dataclass(frozen=True, slots=True)
class EqualError:
    """The threshold at which FMR and FNMR are nearest to each other; `rate` is the mean of both at that threshold."""

    rate: float
    threshold: float


def equal_error(scores: Scores) -> EqualError:
    """Return the equal error rate.

    Raises:
        ValueError: a kind of score is missing, or FMR and FNMR are equal only below the lowest kept impostor score.
    """
    lowest = -np.inf
    if len(scores.impostor) < scores.impostor_count:
        lowest = _just_above(scores.impostor[0])
        if scores.fnmr(lowest) >= scores.fmr(lowest):
            raise ValueError("the equal error rate needs impostor scores that were not kept")
    candidates = {
        threshold
        for values in (scores.genuine, scores.impostor)
        for threshold in _around_crossing(scores, values[_below(values, lowest) :])
    }
    best = min(sorted(candidates), key=lambda threshold: abs(scores.fnmr(threshold) - scores.fmr(threshold)))
    return EqualError((scores.fnmr(best) + scores.fmr(best)) / 2, best)


def _around_crossing(scores: Scores, values: Vector) -> list[float]:
    """Return the thresholds, at or just above values, between which FNMR becomes greater than FMR.

    The difference FNMR - FMR never falls with the threshold, so bisection finds these thresholds.
    """

    def difference(index: int) -> float:
        threshold = float(values[index])
        return scores.fnmr(threshold) - scores.fmr(threshold)

    crossing = bisect_left(range(len(values)), 0.0, key=difference)
    around = [float(values[i]) for i in (crossing - 1, crossing) if 0 <= i < len(values)]
    return [*around, *(_just_above(value) for value in values[-1:])]


@dataclass(frozen=True, slots=True)
class RocPoint:
    """One point of the receiver operating characteristic; `fmr` is the requested false match rate."""

    fmr: float
    threshold: float
    tar: float


def roc(scores: Scores, fmrs: Sequence[float]) -> tuple[RocPoint, ...]:
    """Return the true accept rates at those false match rates that allow at least one false match."""
    points = []
    for fmr in fmrs:
        if fmr * scores.impostor_count >= 1:
            threshold = scores.threshold_at_fmr(fmr)
            points.append(RocPoint(fmr, threshold, 1.0 - scores.fnmr(threshold)))
    return tuple(points)


def wilson(errors: int, count: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a rate of `errors` in `count` independent trials (Wilson 1927).

    Pairs that share a person are not independent, so for all pairs of a set the interval is too narrow.
    """
    if not count:
        return 0.0, 1.0
    rate, z2 = errors / count, Z_95**2
    middle = (rate + z2 / (2 * count)) / (1 + z2 / count)
    half = Z_95 / (1 + z2 / count) * math.sqrt(rate * (1 - rate) / count + z2 / (4 * count**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _below(ascending: Vector, threshold: float) -> int:
    """Return how many scores are below the threshold, compared as float64 and not as the nearest float32."""
    nearest = np.float32(threshold)
    return int(np.searchsorted(ascending, nearest, side="left" if float(nearest) >= threshold else "right"))


def _just_above(score: np.float32) -> float:
    return float(np.nextafter(score, np.float32(2.0)))
