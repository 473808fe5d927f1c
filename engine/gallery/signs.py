"""The signs of rotated vectors, and how many of them may differ between a probe and a template at a cosine.

Under a random rotation each sign of two unit vectors differs with the probability p = arccos(c) / pi, c being their
cosine. The number of those that differ varies at most as much as that of independent tosses, so the binomial
distribution bounds the chance that more differ. Counting differences is several times as quick as estimating cosines,
and says less: it is worth it where the floor is so high that few strangers have so few differences.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray


def sign_bits(rotated: NDArray[Any]) -> NDArray[np.uint8]:
    """Return the signs of each row as bits, eight in a byte; the last byte is filled with zeros."""
    return np.packbits(rotated > 0, axis=1)


@lru_cache(maxsize=4096)
def most_differing(cosine: float, dimension: int, chance: float) -> int:
    """Return the least number of signs that more than differ with at most that chance at that cosine."""
    share = math.acos(min(1.0, max(-1.0, cosine))) / math.pi
    if share in (0.0, 1.0):
        return round(share * dimension)
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
