"""Computes the scores of all pairs among many vectors, in blocks, so that millions of pairs need little memory."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Vector
from engine.evaluation.scores import Scores

KEPT_IMPOSTORS = 60_000_000
"""The most impostor scores that are kept, highest first. They take 240 MB, and 480 MB until all pairs are scored. All
29.6 million scores of 7,701 photos fit, in 118 MB."""

BINS = 400
"""The number of bins of the histograms over the cosines -1..1."""

HISTOGRAM_EDGES: NDArray[np.float64] = np.linspace(-1.0, 1.0, BINS + 1)

_BLOCK_SCORES = 2_000_000
"""The most scores computed at a time: 8 MB as float32."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A pair of vectors of different people with a high score. `first` and `second` are the numbers of their rows."""

    first: int
    second: int
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class AllPairs:
    """The scores of all pairs.

    Attributes:
        scores: the sorted scores of pairs of one person (genuine) and of different people (impostor).
        genuine_pairs: the numbers of both rows of each genuine pair, n x 2 int64.
        genuine_scores: the scores in the order of `genuine_pairs`, n float32.
        suspects: the impostor pairs with the highest scores, the highest first.
        impostor_histogram: the number of impostor scores in each bin of `HISTOGRAM_EDGES`, int64.
    """

    scores: Scores
    genuine_pairs: NDArray[np.int64]
    genuine_scores: Vector
    suspects: tuple[Suspect, ...]
    impostor_histogram: NDArray[np.int64]


def score_all_pairs(
    vectors: Vector,
    people: NDArray[np.int64],
    *,
    suspects: int = 20,
    kept: int = KEPT_IMPOSTORS,
    block_done: Callable[[int], None] = lambda _rows: None,
) -> AllPairs:
    """Score every pair of rows once.

    Args:
        vectors: n x dimension unit vectors, float32.
        people: the number of the person in each row, n int64.
        suspects: how many of the highest impostor pairs are returned.
        kept: the most impostor scores that are kept, at least 1; twice as many are in memory while pairs are scored.
        block_done: called after each block with the number of its rows.
    """
    tail, top = _Tail(kept, len(vectors) * (len(vectors) - 1) // 2), _Top(suspects)
    histogram = np.zeros(BINS, np.int64)
    genuine_pairs, genuine_scores = [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)]
    rows = max(1, _BLOCK_SCORES // max(len(vectors), 1))
    for start in range(0, len(vectors), rows):
        end = min(start + rows, len(vectors))
        block = vectors[start:end] @ vectors[start:].T
        later = np.arange(len(vectors) - start) > np.arange(end - start)[:, np.newaxis]
        same = people[start:end, np.newaxis] == people[np.newaxis, start:]
        found = np.argwhere(same & later)
        genuine_pairs.append(found + start)
        genuine_scores.append(block[found[:, 0], found[:, 1]])
        impostor = block[~same & later]
        histogram += np.histogram(np.clip(impostor, -1.0, 1.0), BINS, (-1.0, 1.0))[0]
        tail.add(impostor)
        top.add(block, ~same & later, start)
        block_done(end - start)
    scored = np.concatenate(genuine_scores)
    return AllPairs(
        Scores(np.sort(scored), tail.ascending(), tail.count),
        np.concatenate(genuine_pairs),
        scored,
        top.highest(),
        histogram,
    )


class _Tail:
    """Collects the highest `kept` of at most `most` scores in one array; concatenating separate parts at the end would
    take twice the memory."""

    def __init__(self, kept: int, most: int) -> None:
        self._kept = kept
        self._room = np.empty(min(2 * kept, most), np.float32)
        self._filled = 0
        self.count = 0

    def add(self, scores: Vector) -> None:
        self.count += len(scores)
        if self._filled + len(scores) > len(self._room):
            self._cut()
            scores = np.partition(scores, -self._kept)[-self._kept :] if len(scores) > self._kept else scores
        self._room[self._filled : self._filled + len(scores)] = scores
        self._filled += len(scores)

    def _cut(self) -> None:
        if self._filled > self._kept:
            filled = self._room[: self._filled]
            filled.partition(self._filled - self._kept)
            self._room[: self._kept] = filled[-self._kept :]
            self._filled = self._kept

    def ascending(self) -> Vector:
        """Return the kept scores in ascending order; no scores may be added afterwards."""
        self._cut()
        # No other array shares this memory, so the unused part behind the scores can be freed.
        self._room.resize(self._filled, refcheck=False)
        self._room.sort()
        return self._room


class _Top:
    """Collects the `size` impostor pairs with the highest scores."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._found: list[Suspect] = []

    def add(self, block: Vector, wanted: NDArray[np.bool_], start: int) -> None:
        if not self._size:
            return
        floor = self._found[-1].score if len(self._found) == self._size else -2.0
        places = np.argwhere(wanted & (block > floor))
        scores = block[places[:, 0], places[:, 1]]
        best = np.argsort(-scores, kind="stable")[: self._size]
        self._found += [Suspect(int(places[i, 0]) + start, int(places[i, 1]) + start, float(scores[i])) for i in best]
        self._found.sort(key=lambda suspect: (-suspect.score, suspect.first, suspect.second))
        del self._found[self._size :]

    def highest(self) -> tuple[Suspect, ...]:
        return tuple(self._found)
