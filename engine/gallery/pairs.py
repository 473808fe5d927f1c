"""Finds the pairs of different people who could be taken for each other, in blocks, so that memory stays bounded. Pure.

Among 100,000 faces there are 5e9 pairs: they are compared as products of blocks of at most `_ROWS` templates. All
templates of a person are in one block, so a pair of people is complete within one pair of blocks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Vectors
from engine.gallery.cosine import deciding_cosines

_ROWS = 2048
_ROWS_AT_ONCE = 128
"""The number of rows of a block whose pairs are in memory at once, which may be all of them."""
_ROUNDING = 1e-5
"""More than single precision can move a cosine."""
_EXACT_AT_ONCE = 4096


@dataclass(frozen=True, slots=True, order=True)
class AlikePair:
    """Two people, by their numbers, the rows of their nearest templates, and the cosine of these templates."""

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


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    """Pairs of rows, and their cosines in double precision; all arrays have one length."""

    ones: NDArray[np.intp]
    others: NDArray[np.intp]
    cosines: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.cosines)

    def __getitem__(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> "_Pairs":
        return _Pairs(self.ones[chosen], self.others[chosen], self.cosines[chosen])


class PairSearch:
    """A search for all pairs of people who have templates with at least the cosine `down_to`, made step by step.

    `vectors`: templates x dimension float32, each of unit length. `people`: by template, the number of its person; the
    templates of a person are neighbours, and the numbers rise. `means`: by template, whether it is the mean of faces;
    None: none is. Two means are not compared, because a match compares a face with templates. At most `most` pairs are
    kept, the nearest; of equally near pairs those of smaller numbers.
    """

    def __init__(
        self,
        vectors: Vectors,
        people: NDArray[np.int64],
        down_to: float,
        most: int,
        means: NDArray[np.bool_] | None = None,
    ) -> None:
        self._vectors, self._people, self._down_to = vectors, people, down_to
        self._means = np.zeros(len(people), np.bool_) if means is None else means
        self._blocks = list(_blocks(people, _ROWS))
        self._parts = {block.start: list(_blocks(people[block], _ROWS_AT_ONCE)) for block in self._blocks}
        self._kept = _Nearest(people, most)
        self._total = 0

    @property
    def steps(self) -> int:
        """The number of pairs of blocks, which is the number of steps."""
        return len(self._blocks) * (len(self._blocks) + 1) // 2

    def run(self) -> Iterator[None]:
        """Search; yield after each step, so that the caller can show progress and stop."""
        for number, first in enumerate(self._blocks):
            for second in self._blocks[number:]:
                for found in self._between(first, second):
                    self._total += len(found)
                    self._kept.add(found)
                yield

    @property
    def found(self) -> Found:
        """What the steps until now have found."""
        return Found(self._kept.pairs(), self._total)

    def _between(self, first: slice, second: slice) -> Iterator[_Pairs]:
        """Yield the pairs of people between two blocks, each pair of people once, with their nearest templates."""
        near = self._vectors[first] @ self._vectors[second].T >= self._down_to - _ROUNDING
        for rows in self._parts[first.start]:
            ones, others = np.nonzero(near[rows])
            ones, others = ones + (first.start + rows.start), others + second.start
            compared = (self._people[ones] < self._people[others]) & ~(self._means[ones] & self._means[others])
            if compared.any():
                yield self._each_once(ones[compared], others[compared])

    def _each_once(self, ones: NDArray[np.intp], others: NDArray[np.intp]) -> _Pairs:
        """Return the nearest rows of each pair of people that has reached the cosine; of equal ones the first."""
        found = _Pairs(ones, others, self._exact(ones, others))
        found = found[found.cosines >= self._down_to]
        people, other_people = self._people[found.ones], self._people[found.others]
        order = np.lexsort((-found.cosines, other_people, people))  # equal pairs stay in the order of their rows
        people, other_people = people[order], other_people[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = (people[1:] != people[:-1]) | (other_people[1:] != other_people[:-1])
        return found[order[first]]

    def _exact(self, ones: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the deciding cosines of pairs of rows."""
        cosines = np.empty(len(ones), np.float64)
        for begin in range(0, len(ones), _EXACT_AT_ONCE):
            some = slice(begin, begin + _EXACT_AT_ONCE)
            cosines[some] = deciding_cosines(self._vectors[ones[some]], self._vectors[others[some]])
        return cosines


class _Nearest:
    """The `most` nearest of the pairs that were added: at most twice as many are in memory."""

    def __init__(self, people: NDArray[np.int64], most: int) -> None:
        self._people, self._most = people, most
        self._kept = _joined([])
        self._added: list[_Pairs] = []
        self._waiting = 0  # the number of pairs in `_added`
        self._lowest = -np.inf
        """The cosine that a further pair needs at least."""

    def add(self, found: _Pairs) -> None:
        """Add pairs of people, each of which is added once."""
        found = found[found.cosines >= self._lowest]
        if len(found) > self._most:
            found = self._nearest(found)
        if len(found):
            self._added.append(found)
            self._waiting += len(found)
        if self._waiting >= self._most:
            self._prune()

    def pairs(self) -> tuple[AlikePair, ...]:
        """Return the nearest pairs, the nearest first."""
        self._prune()
        kept = self._kept
        rows = zip(kept.ones.tolist(), kept.others.tolist(), kept.cosines.tolist(), strict=True)
        return tuple(
            AlikePair(int(self._people[one]), int(self._people[other]), one, other, cosine)
            for one, other, cosine in rows
        )

    def _prune(self) -> None:
        self._kept = self._nearest(_joined([self._kept, *self._added]))
        self._added, self._waiting = [], 0
        if len(self._kept) == self._most:
            self._lowest = float(self._kept.cosines[-1])

    def _nearest(self, found: _Pairs) -> _Pairs:
        order = np.lexsort((self._people[found.others], self._people[found.ones], -found.cosines))
        return found[order[: self._most]]


def _joined(parts: Sequence[_Pairs]) -> _Pairs:
    return _Pairs(
        np.concatenate([np.empty(0, np.intp), *(part.ones for part in parts)]),
        np.concatenate([np.empty(0, np.intp), *(part.others for part in parts)]),
        np.concatenate([np.empty(0, np.float64), *(part.cosines for part in parts)]),
    )


def _blocks(people: NDArray[np.int64], most: int) -> Iterator[slice]:
    """Yield slices of at most `most` rows that divide no person; a person with more rows is a slice alone."""
    ends = [*(np.flatnonzero(np.diff(people)) + 1).tolist(), len(people)] if len(people) else []
    start = end = 0
    for following in ends:
        if following - start > most and end > start:
            yield slice(start, end)
            start = end
        end = following
    if end > start:
        yield slice(start, end)
