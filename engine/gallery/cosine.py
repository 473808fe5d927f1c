"""The cosine that decides: the one function with which every index compares a probe with stored vectors in the end.

An index may find its candidates by any faster means. Whatever it found, orders and thresholds are applied to the
cosines of this function, so the same vectors give the same bits in every index, batch, thread and scope.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 96
"""The number of cosines that are computed at once: their vectors stay in the processor's cache."""


def deciding_cosines(vectors: NDArray[Any], probes: NDArray[Any]) -> NDArray[np.float64]:
    """Return the cosine of each row of unit vectors to a probe, or to a probe of its own, clipped to -1..1.

    Each row is multiplied and summed by itself in double precision, in an order that depends on the dimension only. A
    product of matrices rounds equal rows differently, by their places and by the number of threads, and then equally
    near people would not be ordered by their identity_id.

    Args:
        vectors: rows x dimension, in any precision; the numbers as they are stored.
        probes: one vector, or rows x dimension.
    """
    cosines = np.empty(len(vectors), np.float64)
    for first in range(0, len(vectors), _AT_ONCE):
        some = slice(first, first + _AT_ONCE)
        products = np.array(vectors[some], np.float64, order="C")
        products *= probes if probes.ndim == 1 else probes[some]
        products.sum(axis=1, out=cosines[some])
    np.clip(cosines, -1.0, 1.0, out=cosines)
    return cosines
