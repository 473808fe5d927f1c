"""The accuracy of 1:1 verification over folds: the threshold is chosen on the other folds, as in the LFW protocol.

Huang, Ramesh, Berg, Learned-Miller: Labeled Faces in the Wild (2007). With two folds each takes the other's threshold.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Vector


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold: its pairs, the threshold from the others, and the share of its pairs that were told right."""

    number: int
    pairs: int
    threshold: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class FoldedAccuracy:
    """The mean accuracy over the folds, with its standard error (the protocol's: deviation / sqrt(folds))."""

    accuracy: float
    standard_error: float
    folds: tuple[Fold, ...]


def best_threshold(scores: Vector, same: NDArray[np.bool_]) -> tuple[float, float]:
    """The threshold that tells most pairs right, and the share it does; of several the middle one.

    Thresholds lie half-way between neighbouring scores, or just beyond the ends.

    Raises:
        ValueError: there is no pair.
    """
    if not len(scores):
        raise ValueError("there is no pair to choose a threshold from")
    values, group = np.unique(scores.astype(np.float64), return_inverse=True)
    impostors = np.bincount(group, weights=~same, minlength=len(values))
    genuine = np.bincount(group, weights=same, minlength=len(values))
    # at cut i the lowest i values are refused
    right = np.concatenate([[0.0], np.cumsum(impostors)]) + genuine.sum() - np.concatenate([[0.0], np.cumsum(genuine)])
    cuts = np.concatenate([[values[0] - 1e-6], (values[1:] + values[:-1]) / 2, [values[-1] + 1e-6]])
    best = np.flatnonzero(right == right.max())
    chosen = best[len(best) // 2]
    return float(cuts[chosen]), float(right[chosen] / len(scores))


def folded_accuracy(scores: Vector, same: NDArray[np.bool_], folds: NDArray[np.int64]) -> FoldedAccuracy:
    """The accuracy over the folds.

    Args:
        scores: of the pairs, n float32.
        same: whether a pair is of one person, n bool.
        folds: the fold of each pair, n int64.

    Raises:
        ValueError: there are fewer than two folds.
    """
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise ValueError("the threshold of a fold comes from the others: at least two folds are needed")
    told = []
    for number in numbers:
        mine = folds == number
        threshold, _ = best_threshold(scores[~mine], same[~mine])
        right = (scores[mine] >= threshold) == same[mine]
        told.append(Fold(int(number), int(mine.sum()), threshold, float(right.mean())))
    accuracies = np.array([fold.accuracy for fold in told])
    return FoldedAccuracy(float(accuracies.mean()), float(accuracies.std() / np.sqrt(len(told))), tuple(told))
