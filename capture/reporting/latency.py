"""Counts times in bins of 1 %, so that percentiles need little memory however many times there are. Pure."""

import math
from collections import Counter
from typing import Self

import numpy as np

from capture.reporting.values import Latency, TimesOf

_STEP = math.log(1.01)
_LEAST_MS, _MOST_MS = 0.001, 1e9
_PENDING = 8192


class Times:
    """Counted times in milliseconds."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._pending: list[float] = []
        self._longest = 0.0

    def add(self, ms: float) -> None:
        """Count a time. A time that is negative or no number, as two clocks that differ give it, is ignored."""
        if 0 <= ms < math.inf:
            self._pending.append(ms)
            if len(self._pending) >= _PENDING:
                self._count()

    def merge(self, other: Self) -> None:
        """Add all times of `other`."""
        self._counts.update(other._counts)
        self._longest = max(self._longest, other._longest)
        self._pending += other._pending
        if len(self._pending) >= _PENDING:
            self._count()

    def _count(self) -> None:
        """Count the pending times; counting many at a time costs a tenth of counting each."""
        times = np.array(self._pending, np.float64)
        self._pending.clear()
        self._longest = max(self._longest, float(times.max(initial=0.0)))
        steps = np.floor(np.log(np.clip(times, _LEAST_MS, _MOST_MS)) / _STEP).astype(np.int64)
        for step, count in zip(*np.unique(steps, return_counts=True), strict=True):
            self._counts[int(step)] += int(count)

    def figures(self, of: TimesOf) -> Latency | None:
        """Return the percentiles (nearest rank); None where no time was counted."""
        self._count()
        if not self._counts:
            return None
        count = self._counts.total()
        return Latency(
            of=of,
            count=count,
            p50=self._percentile(0.50, count),
            p95=self._percentile(0.95, count),
            p99=self._percentile(0.99, count),
            longest=self._longest,
            bins=self._tenths(),
        )

    def _percentile(self, share: float, count: int) -> float:
        wanted, passed = math.ceil(share * count), 0
        for step in sorted(self._counts):
            passed += self._counts[step]
            if passed >= wanted:
                # The middle of the bin, unless a longer time than the longest would be reported.
                return min(_from_step(step + 0.5), self._longest)
        return self._longest

    def _tenths(self) -> tuple[tuple[float, int], ...]:
        """Return the lower end and the count of each tenth of a decade, from the first that has a time to the last."""
        tenths: Counter[int] = Counter()
        for step, count in self._counts.items():
            tenths[math.floor(math.log10(_from_step(step + 0.5)) * 10)] += count
        return tuple((10 ** (tenth / 10), tenths[tenth]) for tenth in range(min(tenths), max(tenths) + 1))


def _from_step(step: float) -> float:
    return math.exp(step * _STEP)
