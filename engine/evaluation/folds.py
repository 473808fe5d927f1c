"""The accuracy of 1:1 verification over folds: the threshold of a fold is chosen on the other folds (LFW protocol).

Huang, Ramesh, Berg, Learned-Miller: Labeled Faces in the Wild (2007).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Vector


@dataclass(frozen=True, slots=True)
class Fold:
    """One fold: its number of pairs, the threshold from the other folds, and the share of pairs decided correctly."""

    number: int
    pairs: int
    threshold: float
    accuracy: float


@dataclass(frozen=True, slots=True)
class FoldedAccuracy:
    """The mean accuracy over the folds, and its standard error as the protocol defines it: deviation / sqrt(folds)."""

    accuracy: float
    standard_error: float
    folds: tuple[Fold, ...]


def best_threshold(scores: Vector, same: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the threshold that decides the most pairs correctly, and the share of pairs that it decides correctly.

    Of several such thresholds the middle one is returned. Thresholds lie half-way between neighbouring scores, or just
    beyond the lowest and the highest score.

    Raises:
        ValueError: there is no pair.
    """
    if not len(scores):
        raise ValueError("there is no pair to choose a threshold from")
    values, group = np.unique(scores.astype(np.float64), return_inverse=True)
    impostors = np.bincount(group, weights=~same, minlength=len(values))
    genuine = np.bincount(group, weights=same, minlength=len(values))
    # At cut i the lowest i values do not match.
    right = np.concatenate([[0.0], np.cumsum(impostors)]) + genuine.sum() - np.concatenate([[0.0], np.cumsum(genuine)])
    cuts = np.concatenate([[values[0] - 1e-6], (values[1:] + values[:-1]) / 2, [values[-1] + 1e-6]])
    best = np.flatnonzero(right == right.max())
    chosen = best[len(best) // 2]
    return float(cuts[chosen]), float(right[chosen] / len(scores))


def folded_accuracy(scores: Vector, same: NDArray[np.bool_], folds: NDArray[np.int64]) -> FoldedAccuracy:
    """Return the accuracy over the folds.

    Args:
        scores: the score of each pair, n float32.
        same: whether each pair is of one person, n bool.
        folds: the number of each pair's fold, n int64.

    Raises:
        ValueError: there are fewer than two folds.
    """
    numbers = np.unique(folds)
    if len(numbers) < 2:
        raise ValueError("the threshold of a fold comes from the others: at least two folds are needed")
    measured = []
    for number in numbers:
        mine = folds == number
        threshold, _ = best_threshold(scores[~mine], same[~mine])
        right = (scores[mine] >= threshold) == same[mine]
        measured.append(Fold(int(number), int(mine.sum()), threshold, float(right.mean())))
    accuracies = np.array([fold.accuracy for fold in measured])
    return FoldedAccuracy(float(accuracies.mean()), float(accuracies.std() / np.sqrt(len(measured))), tuple(measured))
