"""Does a quality score predict failures? The error-versus-reject curve.

Grother, Tabassi: Performance of biometric quality measures (IEEE PAMI 29, 2007): when the genuine pairs of the lowest
quality are rejected, how much of the FNMR at a fixed threshold remains? A pair's quality is that of its worse photo.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Vector


@dataclass(frozen=True, slots=True)
class RejectCurve:
    """FNMR after rejecting those shares of pairs, and how well quality ranks failures below successes.

    Attributes:
        rejected: shares of pairs, 0..1.
        fnmr: what remains at each.
        best_fnmr: what a score that knew the failures would leave.
        auc: the chance that a failed pair has the lower quality of a failed and a successful one; .5 tells nothing.
            None where there are no failures or nothing else.
    """

    rejected: tuple[float, ...]
    fnmr: tuple[float, ...]
    best_fnmr: tuple[float, ...]
    auc: float | None


def pair_quality(quality: NDArray[np.float64], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """The lower quality of each pair of rows (n x 2)."""
    lower: NDArray[np.float64] = quality[pairs].min(axis=1)
    return lower


def reject_curve(
    scores: Vector, quality: NDArray[np.float64], threshold: float, rejected: Sequence[float]
) -> RejectCurve:
    """The curve for genuine pairs of those scores and qualities (both n).

    Of pairs with one quality a share is rejected, whatever their order: a constant quality changes nothing.

    Raises:
        ValueError: there is no pair, or a share is not in 0..1 exclusive of 1.
    """
    if not len(scores) or not all(0 <= share < 1 for share in rejected):
        raise ValueError("an error-versus-reject curve needs genuine pairs, and shares from 0 to less than 1")
    failed = scores < threshold
    _, group = np.unique(quality, return_inverse=True)
    counts = np.concatenate([[0.0], np.cumsum(np.bincount(group))])
    failures = np.concatenate([[0.0], np.cumsum(np.bincount(group, weights=failed))])
    shares = np.asarray(rejected, np.float64)
    removed = shares * len(scores)
    remaining = (failures[-1] - np.interp(removed, counts, failures)) / (len(scores) - removed)
    best = np.maximum(failures[-1] - removed, 0.0) / (len(scores) - removed)
    return RejectCurve(
        tuple(map(float, shares)),
        tuple(map(float, remaining)),
        tuple(map(float, best)),
        failure_auc(quality, failed),
    )


def failure_auc(quality: NDArray[np.float64], failed: NDArray[np.bool_]) -> float | None:
    """The chance that a failure has lower quality than a success, ties counted half; None without one of the two."""
    lower, higher = quality[failed], np.sort(quality[~failed])
    if not len(lower) or not len(higher):
        return None
    above = len(higher) - np.searchsorted(higher, lower, side="right")
    tied = np.searchsorted(higher, lower, side="right") - np.searchsorted(higher, lower, side="left")
    return float((above + tied / 2).sum() / (len(lower) * len(higher)))
