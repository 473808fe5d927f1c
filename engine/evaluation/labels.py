"""Finds pairs of photos whose labels are probably wrong, from the scores of all pairs alone.

Two "different" people: the scores of strangers fall off evenly, so the part of their distribution that many pairs
measure says how many pairs chance puts above a higher score. Where at least twice as many are found, and chance would
produce so many in less than one of twenty sets, the surplus is probably one person under two names, or relatives.
Where a set is too small for that, the embedder's curve says from which score on chance produces a pair in only one of
ten such sets.

"One" person: a pair that is less alike than one in ten pairs of different people probably shows two people, or a face
beside the person who is meant.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from contract.vectors import Vector
from engine.evaluation.scores import Scores
from engine.threshold import threshold_at
from models.manifest import FmrPoint

BODY_FALSE_MATCHES = 30
"""A rate belongs to the part that is measured well when so many pairs stand behind it (Doddington's rule of 30)."""

SURPLUS = 2.0
"""How many times the number that chance explains are found where labels are probably wrong."""

CHANCE = 0.05
"""The most probable that a surplus by chance may be."""

REFERENCE_PAIRS = 0.1
"""The number of pairs that chance may explain above a score that the embedder's curve calls suspicious."""

STRANGERS_RATE = 0.1
"""A pair of one person is suspicious below the score that this share of different people reaches."""

_DECADES = tuple(10.0**-decade for decade in range(1, 10))


@dataclass(frozen=True, slots=True)
class WrongLabels:
    """The scores at which labels are probably wrong.

    Attributes:
        different_from: the score from which the surplus of pairs of different people is largest; None: no surplus.
        surplus: how many of the most alike pairs of different people are more than chance explains.
        same_below: pairs of one person below this score are suspicious; None where the score cannot be computed.
        low: the number of these pairs.
    """

    different_from: float | None
    surplus: int
    same_below: float | None
    low: int


def find_wrong_labels(scores: Scores, reference: Sequence[FmrPoint] = ()) -> WrongLabels:
    """Return where the labels of all pairs of a set are probably wrong; the module says by which rule.

    `reference`: the embedder's curve, which is used where the set is too small to measure its own.
    """
    start, surplus = _surplus(scores, reference)
    below = _strangers_score(scores)
    low = 0 if below is None or not len(scores.genuine) else scores.false_non_matches(below)
    return WrongLabels(start, surplus, below, low)


def without_wrong_labels(scores: Scores, found: WrongLabels) -> Scores:
    """Return the scores without the surplus of pairs of different people, the most alike first, and without the
    suspicious pairs of one person. As many pairs of different people as chance explains are kept."""
    genuine: Vector = scores.genuine[found.low :]
    impostor: Vector = scores.impostor[: len(scores.impostor) - found.surplus]
    return Scores(genuine, impostor, scores.impostor_count - found.surplus)


def body_curve(scores: Scores) -> tuple[FmrPoint, ...]:
    """Return the thresholds at 1e-1, 1e-2 and so on, as far as `BODY_FALSE_MATCHES` pairs stand behind each."""
    points: list[FmrPoint] = []
    for rate in _DECADES:
        allowed = rate * scores.impostor_count
        if allowed < BODY_FALSE_MATCHES:
            break
        if allowed + 1 >= len(scores.impostor):
            continue  # these scores were not kept
        threshold = scores.threshold_at_fmr(rate)
        if points and threshold <= points[-1].threshold:
            break
        points.append(FmrPoint(fmr=rate, threshold=threshold))
    return tuple(points)


def _surplus(scores: Scores, reference: Sequence[FmrPoint]) -> tuple[float | None, int]:
    body = body_curve(scores)
    curve = body if len(body) > 1 else reference
    if len(curve) < 2 or not scores.impostor_count:
        return None, 0
    lowest = body[-1].threshold if curve is body else threshold_at(curve, REFERENCE_PAIRS / scores.impostor_count)
    above = scores.impostor[np.searchsorted(scores.impostor, np.float32(lowest)) :][::-1].astype(np.float64)
    start = surplus = 0
    for number, score in enumerate(above, 1):
        expected = scores.impostor_count * _rate_at(curve, float(score))
        improbable = curve is not body or _at_least(number, expected) <= CHANCE
        if number >= SURPLUS * expected and improbable and number - round(expected) > surplus:
            start, surplus = number, number - round(expected)
    return (float(above[start - 1]), surplus) if start else (None, 0)


def _rate_at(curve: Sequence[FmrPoint], threshold: float) -> float:
    """Return the false match rate at a threshold at or behind the end of the curve, the inverse of `threshold_at`."""
    last = curve[-1]
    rises = [
        (right.threshold - left.threshold) / math.log10(left.fmr / right.fmr)
        for left, right in list(pairwise(curve))[-2:]
    ]
    if threshold >= last.threshold:
        return float(last.fmr * 10 ** (-(threshold - last.threshold) / min(rises)))
    rising = [point.threshold for point in curve]
    return float(10 ** np.interp(threshold, rising, [math.log10(point.fmr) for point in curve]))


def _at_least(number: int, mean: float) -> float:
    """Return the probability of `number` or more events where `mean` are expected (Poisson)."""
    below = sum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(number)) if mean else 1.0
    return max(0.0, 1.0 - below)


def _strangers_score(scores: Scores) -> float | None:
    allowed = STRANGERS_RATE * scores.impostor_count
    if allowed < BODY_FALSE_MATCHES or allowed + 1 >= len(scores.impostor):
        return None
    return scores.threshold_at_fmr(STRANGERS_RATE)
