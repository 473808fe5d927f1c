"""The error-versus-reject curve, which measures how well a quality score predicts failures to match.

The curve gives the FNMR at a fixed threshold that remains when the genuine pairs of the lowest quality are rejected.
The quality of a pair is that of its worse photo. Grother, Tabassi: Performance of biometric quality measures (IEEE PAMI
29, 2007).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Vector


@dataclass(frozen=True, slots=True)
class RejectCurve:
    """The FNMR that remains after rejecting shares of the pairs, and how well quality ranks failures below successes.

    Attributes:
        rejected: the rejected shares of pairs, 0..1.
        fnmr: the remaining FNMR for each rejected share.
        best_fnmr: the remaining FNMR for each rejected share if a perfect score rejected failures first.
        auc: the probability that of a failed and a successful pair the failed one has the lower quality; .5 means that
            quality does not predict failures. None where no pair failed, or all did.
    """

    rejected: tuple[float, ...]
    fnmr: tuple[float, ...]
    best_fnmr: tuple[float, ...]
    auc: float | None


def pair_quality(quality: NDArray[np.float64], pairs: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the lower quality of each pair of rows (`pairs`: n x 2)."""
    lower: NDArray[np.float64] = quality[pairs].min(axis=1)
    return lower


def reject_curve(
    scores: Vector, quality: NDArray[np.float64], threshold: float, rejected: Sequence[float]
) -> RejectCurve:
    """Return the curve for genuine pairs with these scores and qualities (both n).

    Among pairs of equal quality, failures are rejected in proportion, so a constant quality leaves the FNMR unchanged.

    Raises:
        ValueError: there is no pair, or a share is not at least 0 and less than 1.
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
    """Return the probability that a failure has a lower quality than a success, ties counted half.

    None: there is no failure, or no success.
    """
    lower, higher = quality[failed], np.sort(quality[~failed])
    if not len(lower) or not len(higher):
        return None
    above = len(higher) - np.searchsorted(higher, lower, side="right")
    tied = np.searchsorted(higher, lower, side="right") - np.searchsorted(higher, lower, side="left")
    return float((above + tied / 2).sum() / (len(lower) * len(higher)))
