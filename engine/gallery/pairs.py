"""Finds the pairs of different people whose nearest faces are alike, in blocks, so that memory stays bounded. Pure.

Among 100,000 faces there are 5e9 pairs: they are compared as products of blocks of at most `_ROWS` faces. All faces of
a person are in one block, so a pair of people is complete within one pair of blocks.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Vectors

_ROWS = 2048
_ROUNDING = 1e-5
"""More than single precision can move a cosine."""
_EXACT_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, order=True)
class AlikePair:
    """Two people, by their numbers, the rows of their nearest faces, and the cosine of these faces."""

    one: int
    other: int
    one_row: int
    other_row: int
    cosine: float


@dataclass(frozen=True, slots=True)
class Found:
    """The nearest pairs that a search kept, the nearest first, and the number of all pairs, kept or not."""

    pairs: Sequence[AlikePair]
    total: int


class PairSearch:
    """A search for all pairs of people who have faces with at least the cosine `down_to`, made step by step.

    `vectors`: faces x dimension float32, each of unit length. `people`: by face, the number of its person; the faces of
    a person are neighbours. At most `most` pairs are kept, the nearest; of equally near pairs those of smaller numbers.
    """

    def __init__(self, vectors: Vectors, people: NDArray[np.int64], down_to: float, most: int) -> None:
        self._vectors, self._people, self._down_to, self._most = vectors, people, down_to, most
        self._blocks = list(_blocks(people))
        self._kept: list[AlikePair] = []
        self._total = 0

    @property
    def steps(self) -> int:
        """The number of pairs of blocks, which is the number of steps."""
        return len(self._blocks) * (len(self._blocks) + 1) // 2

    def run(self) -> Iterator[None]:
        """Search; yield after each step, so that the caller can show progress and stop."""
        for number, first in enumerate(self._blocks):
            for second in self._blocks[number:]:
                found = self._between(first, second)
                self._total += len(found)
                if found:
                    self._kept = heapq.nsmallest(self._most, [*self._kept, *found], key=_nearest_first)
                yield

    @property
    def found(self) -> Found:
        """What the steps until now have found."""
        return Found(tuple(self._kept), self._total)

    def _between(self, first: slice, second: slice) -> list[AlikePair]:
        cosines = self._vectors[first] @ self._vectors[second].T
        nearest: dict[tuple[int, int], AlikePair] = {}
        ones, others = np.nonzero(cosines >= self._down_to - _ROUNDING)
        for begin in range(0, len(ones), _EXACT_AT_ONCE):
            some = slice(begin, begin + _EXACT_AT_ONCE)
            self._add(ones[some] + first.start, others[some] + second.start, nearest)
        return list(nearest.values())

    def _add(self, ones: NDArray[np.intp], others: NDArray[np.intp], nearest: dict[tuple[int, int], AlikePair]) -> None:
        """Put the pairs of these rows into `nearest`, by the numbers of both people, the smaller first."""
        different = self._people[ones] < self._people[others]
        ones, others = ones[different], others[different]
        # In double precision, because a product of matrices rounds equal rows differently, by their places.
        exact = (self._vectors[ones].astype(np.float64) * self._vectors[others]).sum(axis=1).clip(-1.0, 1.0)
        for one, other, cosine in zip(ones.tolist(), others.tolist(), exact.tolist(), strict=True):
            key = int(self._people[one]), int(self._people[other])
            before = nearest.get(key)
            if cosine >= self._down_to and (before is None or cosine > before.cosine):
                nearest[key] = AlikePair(*key, one, other, cosine)


def _nearest_first(pair: AlikePair) -> tuple[float, int, int]:
    return -pair.cosine, pair.one, pair.other


def _blocks(people: NDArray[np.int64]) -> Iterator[slice]:
    """Yield slices of at most `_ROWS` faces that divide no person; a person with more faces is a slice alone."""
    ends = [*(np.flatnonzero(np.diff(people)) + 1).tolist(), len(people)] if len(people) else []
    start = end = 0
    for following in ends:
        if following - start > _ROWS and end > start:
            yield slice(start, end)
            start = end
        end = following
    if end > start:
        yield slice(start, end)
