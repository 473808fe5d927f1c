"""Collects the scores of one system for histograms and for figures at other thresholds. Pure.

A search for an enrolled person is mated, a search by anybody else is non-mated (ISO/IEC 19795-1). For the rates of
searches (FNIR, FPIR), the score of a mated search counts where the person was ranked first, and the highest score of a
non-mated search. For the rates of comparisons (FMR, FNMR, EER), the score of the person counts at any rank among the
recorded candidates, and of every search the highest score of somebody else.
"""

import math
from collections.abc import Iterator
from typing import Literal, Self

from capture.reporting.tallies import rate_of
from capture.reporting.values import (
    ByThreshold,
    CurvePoint,
    EqualErrorRate,
    FnirAt,
    FnmrAt,
    Histogram,
    Scale,
    Thresholds,
)
from capture.reporting.views import View
from engine.evaluation.counted import ScoreCounts, Tradeoff, tradeoff

FPIRS = (0.003, 0.01, 0.03, 0.1)
"""The false positive identification rates at which the FNIR is reported, where the searches suffice."""

_CURVE_POINTS = 200
_BINS = 100
Side = Literal["then", "now"]


class ScaleScores:
    """The scores of one system on one scale."""

    def __init__(self) -> None:
        self.all = ScoreCounts()
        self.mated, self.non_mated = ScoreCounts(), ScoreCounts()
        self.mated_any_rank, self.somebody_else = ScoreCounts(), ScoreCounts()
        self.low, self.high = math.inf, -math.inf
        """The lowest and the highest threshold in force."""

    def add(self, score: float, threshold: float | None) -> None:
        """Add the highest score of a search, and the threshold in force."""
        self.all.add(score)
        if threshold is not None:
            if threshold < self.low:
                self.low = threshold
            if threshold > self.high:
                self.high = threshold

    def add_known(self, view: View, expected: str, enrolled: bool) -> None:
        """Add the score of a search whose truth is known."""
        candidates = view.decision.candidates
        if not enrolled:
            self.non_mated.add(view.score)
            self.somebody_else.add(view.score)
            return
        if not candidates:
            # A server that names nobody below its threshold leaves open whose score it answers.
            own = view.score if view.recognised == expected else None
            self.mated.add(own)
            self.mated_any_rank.add(own)
            if view.recognised not in (None, expected):
                self.somebody_else.add(view.score)
            return
        self.mated.add(candidates[0].cosine if candidates[0].identity_id == expected else None)
        own_cosines = (c.cosine for c in candidates if c.identity_id == expected)
        self.mated_any_rank.add(next(own_cosines, None))
        other = next((c.cosine for c in candidates if c.identity_id != expected), None)
        if other is not None:
            self.somebody_else.add(other)

    def merge(self, other: Self) -> None:
        """Add all scores of `other`."""
        self.all.merge(other.all)
        self.mated.merge(other.mated)
        self.non_mated.merge(other.non_mated)
        self.mated_any_rank.merge(other.mated_any_rank)
        self.somebody_else.merge(other.somebody_else)
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    def figures(self, scale: Scale) -> ByThreshold | None:
        """Return the figures by threshold; None where no search has a known truth."""
        searches = tradeoff(self.mated, self.non_mated)
        if not searches.genuine_count and not searches.impostor_count:
            return None
        comparisons = tradeoff(self.mated_any_rank, self.somebody_else)
        equal = comparisons.equal_error()
        return ByThreshold(
            scale=scale,
            fnir_at=tuple(_fnir_at(searches)),
            eer=None if equal is None else EqualErrorRate(rate=equal.rate, threshold=equal.threshold),
            fmr100=_fnmr_at(comparisons, 1 / 100),
            fmr1000=_fnmr_at(comparisons, 1 / 1000),
            det=_det(searches),
        )


class SideScores:
    """The scores and the thresholds of one system, then or now."""

    def __init__(self) -> None:
        self._scales: dict[Scale, ScaleScores] = {}

    def add(self, view: View, expected: str | None, enrolled: bool) -> None:
        """Add the scores of one decision, if a face was compared."""
        if view.score is None or not view.searched:
            return
        scores = self._on(view.scale)
        scores.add(view.score, view.threshold)
        if expected is not None:
            scores.add_known(view, expected, enrolled)

    def merge(self, other: Self) -> None:
        """Add all scores of `other`."""
        for scale, scores in other._scales.items():
            self._on(scale).merge(scores)

    def _on(self, scale: Scale) -> ScaleScores:
        scores = self._scales.get(scale)
        return self._scales.setdefault(scale, ScaleScores()) if scores is None else scores

    def figures(self) -> ByThreshold | None:
        """Return the figures by threshold on the scale that most scores are on; None where no truth is known."""
        most = max(self._scales.items(), key=lambda item: (item[1].all.total, item[0]), default=None)
        return None if most is None else most[1].figures(most[0])

    def histograms(self, side: Side) -> Iterator[Histogram]:
        """Yield the histograms that have any score."""
        for scale, scores in sorted(self._scales.items()):
            for of in ("all", "mated", "non_mated"):
                counted: ScoreCounts = getattr(scores, of)
                if counted.total > counted.below_all:
                    low, high = (-1.0, 1.0) if scale == "cosine" or counted.highest <= 1.0 else (0.0, 100.0)
                    bins = tuple(counted.binned(low, high, _BINS))
                    yield Histogram(side=side, of=of, scale=scale, low=low, high=high, counts=bins)

    def thresholds(self, side: Side) -> Iterator[Thresholds]:
        """Yield the lowest and the highest threshold in force on each scale."""
        for scale, scores in sorted(self._scales.items()):
            if scores.low <= scores.high:
                yield Thresholds(side=side, scale=scale, low=scores.low, high=scores.high)


def _fnir_at(searches: Tradeoff) -> Iterator[FnirAt]:
    for fpir in FPIRS:
        at = searches.at_rate(fpir)
        if at is not None:
            fnir = rate_of(at.false_non_matches, searches.genuine_count)
            yield FnirAt(fpir=fpir, threshold=at.threshold, fnir=fnir, false_positives=at.false_matches)


def _fnmr_at(comparisons: Tradeoff, fmr: float) -> FnmrAt | None:
    at = comparisons.at_rate(fmr)
    if at is None:
        return None
    return FnmrAt(fmr=fmr, threshold=at.threshold, fnmr=rate_of(at.false_non_matches, comparisons.genuine_count))


def _det(searches: Tradeoff) -> tuple[CurvePoint, ...]:
    if not searches.genuine_count or not searches.impostor_count:
        return ()
    return tuple(
        CurvePoint(
            threshold=at.threshold,
            fpir=rate_of(at.false_matches, searches.impostor_count),
            fnir=rate_of(at.false_non_matches, searches.genuine_count),
        )
        for at in searches.curve(_CURVE_POINTS)
    )
