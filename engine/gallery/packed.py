"""How embeddings are stored: each number is a whole number of 16 bits times a step that is common to the embedding.

The step is the least power of two with which the largest number of the embedding fits. Embeddings of 512 numbers have
steps of about 2**-17, so each number is off by at most 2**-18, and a cosine by about 2e-6. Half precision takes as many
bytes, moves a cosine by about 1e-5, and takes several times as long to be widened. As every number is rounded before
anything is computed from it, the packed and the wide form have equal values, and rounding once more changes nothing.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Vector, Vectors

_BITS = 15
"""The bits of a number, without its sign."""
_MOST = (1 << _BITS) - 1

_ROUNDS_TO_STEP = 1.5 * 2.0**23
"""So many steps, added to a number of single precision and subtracted again, round it to a whole number of steps."""

_ROWS_AT_ONCE = 256
"""The number of rows that are widened at once: they stay in the processor's cache until they are compared."""


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """Embeddings as whole `numbers`, rows x dimension, and the `steps` by row (float32) that these are to be times."""

    numbers: NDArray[np.int16]
    steps: NDArray[np.float32]

    @classmethod
    def of(cls, vectors: Vectors) -> "Packed":
        """Return these embeddings as they are stored; those that are `rounded` keep their values."""
        steps = _steps(vectors)
        numbers = np.empty(vectors.shape, np.int16)
        for first in range(0, len(vectors), _ROWS_AT_ONCE):
            some = slice(first, first + _ROWS_AT_ONCE)
            numbers[some] = np.rint(vectors[some] / steps[some, np.newaxis])
        return cls(numbers, steps)

    def __len__(self) -> int:
        return len(self.steps)

    def put(self, row: int, vector: Vector) -> None:
        """Replace an embedding by one that is `rounded`, where no reader has it."""
        one = Packed.of(vector[np.newaxis])
        self.numbers[row], self.steps[row] = one.numbers[0], one.steps[0]

    def chosen(self, rows: Any) -> "Packed":
        """Return these embeddings of some rows, which are anything that selects rows of an array."""
        return Packed(self.numbers[rows], self.steps[rows])

    def take(self, rows: Any) -> Vectors:
        """Return the embeddings of some rows, which are anything that selects rows of an array, as float32."""
        found: Vectors = self.numbers[rows].astype(np.float32)
        found *= self.steps[rows][:, np.newaxis]
        return found

    def products(self, probes: Vector | Vectors, low: int, high: int) -> NDArray[np.float32]:
        """Return the products of the rows from `low` to `high` with a vector, or with each of many.

        The shape is rows, or vectors x rows; single precision.
        """
        found = np.empty((*probes.shape[:-1], high - low), np.float32)
        wide = np.empty((min(_ROWS_AT_ONCE, high - low), self.numbers.shape[1]), np.float32)
        for first in range(low, high, _ROWS_AT_ONCE):
            end = min(first + _ROWS_AT_ONCE, high)
            some = wide[: end - first]
            some[...] = self.numbers[first:end]
            found[..., first - low : end - low] = probes @ some.T if probes.ndim > 1 else some @ probes
        found *= self.steps[low:high]
        return found


def rounded(vector: Vector) -> Vector:
    """Return an embedding with the values with which it is stored, as float32."""
    shift = _ROUNDS_TO_STEP * _step(float(np.abs(vector).max()))
    found: Vector = vector + np.float32(shift)
    found -= np.float32(shift)
    return found


def finer(stored: Vector, sent: Vector) -> Vector:
    """Return the embedding that was sent once more, if it is the stored one before it was rounded; else the latter."""
    return sent if np.array_equal(rounded(sent), stored) else stored


def _step(largest: float) -> float:
    """Return the step of an embedding whose largest number is given."""
    step = math.ldexp(1.0, math.frexp(largest)[1] - _BITS)
    return step if largest < (_MOST + 0.5) * step else 2.0 * step


def _steps(vectors: Vectors) -> NDArray[np.float32]:
    """Return the step of each embedding."""
    largest = np.maximum(vectors.max(axis=1, initial=0.0), -vectors.min(axis=1, initial=0.0))
    steps = np.ldexp(np.float32(1.0), np.frexp(largest)[1] - _BITS)
    found: NDArray[np.float32] = np.where(largest < (_MOST + 0.5) * steps, steps, 2.0 * steps).astype(np.float32)
    return found
