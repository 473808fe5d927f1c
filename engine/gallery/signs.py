"""The signs of rotated vectors, and how many of them may differ between a probe and a template at a cosine.

Under a random rotation each sign of two unit vectors differs with the probability p = arccos(c) / pi, c being their
cosine. The number of those that differ varies less than that of independent tosses, because the rotated vectors keep
their lengths and their cosine: its variance is d * (p * (1 - p) - (1 - c^2) / pi^2) in d dimensions, d being many.
How well that describes the vectors of a gallery is measured, as sigma is. Counting differences is several times as
quick as estimating cosines, and says less: it is worth it where the floor is so high that few strangers have so few
differences.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def sign_bits(rotated: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the signs of each row as bits, eight in a byte; the last byte is filled with zeros."""
    return np.packbits(rotated > 0, axis=1)


def deviation(cosines: NDArray[np.float64], dimension: int) -> NDArray[np.float64]:
    """Return the standard deviation of the number of signs that differ at each of these cosines."""
    share = np.arccos(cosines) / np.pi
    found: NDArray[np.float64] = np.sqrt(dimension * (share * (1.0 - share) - (1.0 - cosines**2) / np.pi**2))
    return found


@lru_cache(maxsize=4096)
def most_differing(cosine: float, dimension: int, chance: float, sigma: float) -> int:
    """Return a number of signs that more than differ with at most that chance at that cosine.

    It is as far from the expected number as independent tosses would need, times the ratio of the deviations. `sigma`:
    the measured deviation over that of `deviation`.
    """
    share = math.acos(min(1.0, max(-1.0, cosine))) / math.pi
    if share in (0.0, 1.0):
        return round(share * dimension)
    expected, tosses = share * dimension, math.sqrt(dimension * share * (1.0 - share))
    ratio = sigma * float(deviation(np.array(cosine), dimension)) / tosses
    return math.ceil(expected + ratio * (_most_tosses(share, dimension, chance) - expected))


def _most_tosses(share: float, dimension: int, chance: float) -> int:
    """Return the least number that more of so many tosses exceed with at most that chance."""
    whole, differ, equal = math.lgamma(dimension + 1), math.log(share), math.log1p(-share)
    more = 0.0
    for count in range(dimension, 0, -1):
        log = whole - math.lgamma(count + 1) - math.lgamma(dimension - count + 1)
        more += math.exp(log + count * differ + (dimension - count) * equal)
        if more > chance:
            return count
    return 0


def cosine_at(differing: int, dimension: int) -> float:
    """Return the cosine at which that many signs are expected to differ."""
    return math.cos(math.pi * differing / dimension)
