"""Tries the bound of the sketch on the chance of a miss: mates exactly on the threshold, under many rotations."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from contract.vectors import Vectors
from engine.gallery.signs import most_differing
from engine.gallery.sketch import SketchMaker, miss_bound

_ROWS = 5_000
"""Mates of one probe: they are the rows of one index, which is scanned once."""

TRIED = (3.0, 4.0, 5.0)
"""The numbers of standard deviations that are tried: with the lower ones there are enough misses to compare rates."""


@dataclass(frozen=True, slots=True)
class Tried:
    """How many mates were tried, and by the number of standard deviations how many the estimates and the signs missed.

    `sigmas`: the least and the highest sigma that was measured.
    """

    mates: int
    missed: Mapping[float, int]
    missed_by_signs: Mapping[float, int]
    sigmas: tuple[float, float]


def try_mates(
    sample: Vectors, threshold: float, mates: int, rotations: int, step: Callable[[], None] = lambda: None
) -> Tried:
    """Return how many of that many simulated mates exactly on the threshold a sketch misses.

    Sigma is measured for each rotation on the sample, as a gallery does it. `step`: called after each rotation.
    """
    missed, by_signs, tried, measured = dict.fromkeys(TRIED, 0), dict.fromkeys(TRIED, 0), 0, list[float]()
    rng, dimension = np.random.default_rng(11), sample.shape[1]
    each = max(1, mates // rotations // _ROWS)
    for rotation in range(rotations):
        maker = SketchMaker(dimension, seed=1000 + rotation)
        found = maker.measure(sample)
        sigma = found.sigma
        measured.append(sigma)
        for number in range(each):
            probe = sample[(rotation * each + number) % len(sample)]
            rows = _mates_of(probe, threshold, rng)
            estimates, differing = maker.estimates(rows, probe), maker.differing(rows, probe)
            for sigmas in TRIED:
                cut = threshold - sigmas * sigma * math.sqrt(1.0 - threshold**2)
                missed[sigmas] += int(np.count_nonzero(estimates < cut))
                most = most_differing(threshold, dimension, miss_bound(sigmas), found.signs_sigma)
                by_signs[sigmas] += int(np.count_nonzero(differing > most))
            tried += len(estimates)
        step()
    return Tried(tried, missed, by_signs, (min(measured), max(measured)))


def _mates_of(probe: Vectors, cosine: float, rng: np.random.Generator) -> Vectors:
    drawn = rng.standard_normal((_ROWS, len(probe)), np.float32)
    drawn -= np.outer(drawn @ probe, probe)
    drawn *= math.sqrt(1.0 - cosine**2) / np.linalg.norm(drawn, axis=1, keepdims=True)
    return drawn + np.float32(cosine) * probe


def interval(count: int, of: int) -> tuple[float, float]:
    """Return the exact 95 % interval of the rate of a rare event that was counted so often (Garwood)."""
    low = 0.0 if count == 0 else _solve(lambda mean: 1.0 - _at_most(count - 1, mean), 0.025)
    high = _solve(lambda mean: -_at_most(count, mean), -0.025)
    return low / of, high / of


def _at_most(count: int, mean: float) -> float:
    """Return the chance of at most `count` events where `mean` are expected."""
    if mean <= 0.0:
        return 1.0
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))


def _solve(rising: Callable[[float], float], wanted: float) -> float:
    low, high = 0.0, 1e7
    for _ in range(200):
        middle = (low + high) / 2.0
        low, high = (middle, high) if rising(middle) < wanted else (low, middle)
    return high
