"""Rates at thresholds from counted scores, whose memory does not grow with the number of scores.

Scores are counted in steps of `STEP`, so thresholds are multiples of `STEP` and the rates at them are exact. Where all
scores fit into memory, engine.evaluation.scores computes the same rates at any threshold.
"""

import math
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.scores import EqualError

STEP = 1e-4
"""The distance between two thresholds."""

_STEPS = 10_000
_LOWEST, _HIGHEST = -1.0, 101.0
_ROUNDING = 1e-6
_PENDING = 8192


class ScoreCounts:
    """Counted scores: cosines, or scores of 0..100; what lies outside -1..101 is counted at the nearer end."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._pending: list[float] = []
        self.below_all = 0
        """The number of scores below every threshold: searches that did not find the person at all."""

    def add(self, score: float | None) -> None:
        """Count one score, which is a number; None: a score below every threshold."""
        if score is None:
            self.below_all += 1
            return
        self._pending.append(score)
        if len(self._pending) >= _PENDING:
            self._count()

    def merge(self, other: Self) -> None:
        """Add all scores of `other`."""
        self.below_all += other.below_all
        for step, count in other._counts.items():
            self._counts[step] = self._counts.get(step, 0) + count
        self._pending += other._pending
        if len(self._pending) >= _PENDING:
            self._count()

    def _count(self) -> None:
        """Count the pending scores; counting many at a time costs a tenth of counting each."""
        scores = np.clip(np.array(self._pending, np.float64), _LOWEST, _HIGHEST)
        self._pending.clear()
        # Without the tolerance, some multiples of STEP would be counted one step too low.
        steps, counts = np.unique(np.floor(scores * _STEPS + _ROUNDING).astype(np.int64), return_counts=True)
        for step, count in zip(steps.tolist(), counts.tolist(), strict=True):
            self._counts[step] = self._counts.get(step, 0) + count

    @property
    def total(self) -> int:
        """The number of all scores."""
        return sum(self._counts.values()) + len(self._pending) + self.below_all

    @property
    def highest(self) -> float:
        """The highest step at which a score was counted; -1 where none was."""
        self._count()
        return max(self._counts, default=-_STEPS) * STEP

    def steps(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the steps at which scores were counted, rising, and the number of scores at each; not `below_all`."""
        self._count()
        steps = sorted(self._counts)
        return np.array(steps, np.int64), np.array([self._counts[step] for step in steps], np.int64)

    def binned(self, low: float, high: float, bins: int) -> list[int]:
        """Return the number of scores in each of `bins` equal bins; scores outside are counted in the nearer bin."""
        steps, counts = self.steps()
        place = np.floor((steps * STEP - low) / (high - low) * bins + _ROUNDING).astype(np.int64)
        return [int(n) for n in np.bincount(np.clip(place, 0, bins - 1), weights=counts, minlength=bins)]


@dataclass(frozen=True, slots=True)
class ErrorsAt:
    """The numbers of false matches and of false non-matches at a threshold."""

    threshold: float
    false_matches: int
    false_non_matches: int


@dataclass(frozen=True, slots=True, eq=False)
class Tradeoff:
    """The errors at every threshold at which they change, thresholds rising (n float64, n int64, n int64)."""

    thresholds: NDArray[np.float64]
    false_matches: NDArray[np.int64]
    false_non_matches: NDArray[np.int64]
    genuine_count: int
    impostor_count: int

    def at_rate(self, rate: float) -> ErrorsAt | None:
        """Return the errors at the lowest threshold with at most that rate of false matches.

        None: a rate so low allows no false match among so few impostor scores, or a kind of score is missing.
        """
        # The tolerance makes 0.01 of 700 seven, although 0.01 * 700 is less in floating point.
        allowed = math.floor(rate * self.impostor_count * (1 + 1e-12))
        if not allowed or not self.genuine_count:
            return None
        return self._at(int(np.argmax(self.false_matches <= allowed)))

    def equal_error(self) -> EqualError | None:
        """Return the equal error rate; None where a kind of score is missing."""
        if not self.genuine_count or not self.impostor_count:
            return None
        fmr, fnmr = self.false_matches / self.impostor_count, self.false_non_matches / self.genuine_count
        best = int(np.argmin(np.abs(fmr - fnmr)))
        return EqualError(float((fmr[best] + fnmr[best]) / 2), float(self.thresholds[best]))

    def curve(self, most: int) -> list[ErrorsAt]:
        """Return at most `most` points of the trade-off, spread over the changes of the errors; both ends included."""
        places = np.unique(np.linspace(0, len(self.thresholds) - 1, min(most, len(self.thresholds))).astype(np.int64))
        return [self._at(int(place)) for place in places]

    def _at(self, place: int) -> ErrorsAt:
        return ErrorsAt(
            float(self.thresholds[place]), int(self.false_matches[place]), int(self.false_non_matches[place])
        )


def tradeoff(genuine: ScoreCounts, impostor: ScoreCounts) -> Tradeoff:
    """Return the errors by threshold of genuine and impostor scores."""
    genuine_steps, genuine_counts = genuine.steps()
    impostor_steps, impostor_counts = impostor.steps()
    # Errors change at a score and just above it.
    seen = np.concatenate([genuine_steps, impostor_steps])
    steps = np.unique(np.concatenate([seen, seen + 1]))
    below = np.concatenate([[0], np.cumsum(genuine_counts)])[np.searchsorted(genuine_steps, steps)]
    passed = np.concatenate([[0], np.cumsum(impostor_counts)])[np.searchsorted(impostor_steps, steps)]
    return Tradeoff(
        steps * STEP,
        impostor_counts.sum() - passed,
        below + genuine.below_all,
        genuine.total,
        impostor.total,
    )
