"""The pairs of a labelled set whose labels are likely wrong, by the names of their photos; and genuine pairs counted
so that one person with many photos does not decide the figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.labels import WrongLabels, find_wrong_labels
from engine.evaluation.pairs import AllPairs
from models.manifest import FmrPoint

LISTED = 48
"""The most pairs of each kind that are listed, and looked for among different people."""

PAIRS_A_PERSON = 5
"""The most genuine pairs of one person that count."""


@dataclass(frozen=True, slots=True)
class DoubtfulPair:
    """Two photos, their score, and their names in the set."""

    score: float
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class LabelDoubts:
    """The rule's result, and at most `LISTED` pairs of each kind, the most doubtful first."""

    rule: WrongLabels
    different: tuple[DoubtfulPair, ...]
    same: tuple[DoubtfulPair, ...]


def doubt_labels(scored: AllPairs, photos: Sequence[Path], folder: Path, reference: Sequence[FmrPoint]) -> LabelDoubts:
    """Return the doubtful pairs of a set; `photos` are those of the rows, named relative to `folder`."""
    rule = find_wrong_labels(scored.scores, reference)

    def pair(score: float, first: int, second: int) -> DoubtfulPair:
        names = [
            str(photos[row].relative_to(folder)) if photos[row].is_relative_to(folder) else str(photos[row])
            for row in (first, second)
        ]
        return DoubtfulPair(float(score), *names)

    lowest = np.argsort(scored.genuine_scores, kind="stable")[: min(rule.low, LISTED)]
    return LabelDoubts(
        rule,
        tuple(pair(found.score, found.first, found.second) for found in scored.suspects[: rule.surplus]),
        tuple(pair(scored.genuine_scores[row], *scored.genuine_pairs[row].tolist()) for row in lowest),
    )


def few_a_person(
    pairs: NDArray[np.int64], people: NDArray[np.int64], most: int = PAIRS_A_PERSON, seed: int = 1
) -> NDArray[np.bool_]:
    """Return which genuine pairs count: at most so many of each person, drawn at random, the same every time.

    Args:
        pairs: both rows of each pair, n x 2 int64.
        people: the number of the person in each row, int64.
        most: how many count of each person.
        seed: of the draw.
    """
    counts = np.zeros(len(pairs), np.bool_)
    taken: dict[int, int] = {}
    for row in np.random.default_rng(seed).permutation(len(pairs)):
        person = int(people[pairs[row, 0]])
        if taken.get(person, 0) < most:
            taken[person] = taken.get(person, 0) + 1
            counts[row] = True
    return counts
