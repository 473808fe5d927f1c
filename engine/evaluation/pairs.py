"""The scores of all pairs among many vectors, in blocks, so that millions of pairs need little memory."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Vector
from engine.evaluation.scores import Scores

KEPT_IMPOSTORS = 60_000_000
"""Impostor scores that are held, the highest first: 240 MB, and 480 MB until all pairs are scored. All of 7,701 photos'
29.6 million fit, in 118 MB."""

BINS = 400
"""Bins of the histograms over the cosines -1..1."""

HISTOGRAM_EDGES: NDArray[np.float64] = np.linspace(-1.0, 1.0, BINS + 1)

_BLOCK_SCORES = 2_000_000
"""Scores computed at a time: 8 MB as float32."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A pair of vectors of different people with a high score; numbers of rows."""

    first: int
    second: int
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class AllPairs:
    """What all pairs came to.

    Attributes:
        scores: of pairs of one person (genuine) and of different people (impostor).
        genuine_pairs: n x 2 int64 rows, and their scores in the same order, n float32.
        genuine_scores: see `genuine_pairs`.
        suspects: the highest impostor pairs, highest first.
        impostor_histogram: counts of all impostor scores per bin of `HISTOGRAM_EDGES`, int64.
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
        people: whose vector each row is, n int64.
        suspects: how many of the highest impostor pairs are named.
        kept: how many impostor scores are held at most, 1 or more; twice as many while pairs are scored.
        block_done: told after each block of rows how many it had.
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
    """The highest `kept` of many scores, `most` at most, gathered in one array: parts that are put together at the end
    would be held twice."""

    def __init__(self, kept: int, most: int) -> None:
        self._kept = kept
        self._room = np.empty(min(2 * kept, most), np.float32)
        self._held = 0
        self.count = 0

    def add(self, scores: Vector) -> None:
        self.count += len(scores)
        if self._held + len(scores) > len(self._room):
            self._cut()
            scores = np.partition(scores, -self._kept)[-self._kept :] if len(scores) > self._kept else scores
        self._room[self._held : self._held + len(scores)] = scores
        self._held += len(scores)

    def _cut(self) -> None:
        if self._held > self._kept:
            held = self._room[: self._held]
            held.partition(self._held - self._kept)
            self._room[: self._kept] = held[-self._kept :]
            self._held = self._kept

    def ascending(self) -> Vector:
        """The scores in order; nothing can be added any more."""
        self._cut()
        # No other array shares this memory: what lies beyond the scores is given back.
        self._room.resize(self._held, refcheck=False)
        self._room.sort()
        return self._room


class _Top:
    """The few highest impostor pairs, with their rows."""

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
