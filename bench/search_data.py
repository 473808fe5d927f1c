"""Vectors and probes for bench.search: drawn evenly, or with the covariance of real embeddings."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Vectors
from engine.gallery.sketch import at_cosine, random_rotation

STATISTICS = Path(__file__).with_name("embedding_spectrum.json")
"""The spectrum of the covariance of the shipped embedder's embeddings of LFW, and the length of their mean. No
embedding can be computed from it."""

_AT_ONCE = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """How vectors are drawn. `spread`: by axis the standard deviation; `mean`: the length of the mean on the first
    axis; `real`: unit vectors that are among the drawn ones, the first of all."""

    name: str
    spread: NDArray[np.float64]
    mean: float = 0.0
    real: Vectors | None = None

    def draw(self, count: int, rng: np.random.Generator) -> Iterator[Vectors]:
        """Yield unit vectors, in blocks."""
        dimension = len(self.spread)
        axes = random_rotation(dimension, seed=1)
        left = count
        if self.real is not None:
            yield self.real[:count]
            left -= len(self.real[:count])
        while left > 0:
            drawn = rng.standard_normal((min(left, _AT_ONCE), dimension), np.float32) * self.spread.astype(np.float32)
            drawn[:, 0] += np.float32(self.mean)
            turned = drawn @ axes
            turned /= np.linalg.norm(turned, axis=1, keepdims=True)
            yield turned
            left -= len(turned)


def isotropic(dimension: int = 512) -> Kind:
    """Return vectors that are drawn evenly from all directions."""
    return Kind("isotropic", np.ones(dimension))


def like_embeddings(vectors: Vectors | None = None) -> Kind:
    """Return vectors with the covariance of these embeddings, which are then among them; None: of the stored one."""
    if vectors is None:
        stored = json.loads(STATISTICS.read_text())
        return Kind("stored spectrum", np.sqrt(np.array(stored["spectrum"])), stored["mean_length"])
    spectrum, mean = spectrum_of(vectors)
    return Kind("with real embeddings", np.sqrt(spectrum), mean, vectors)


def spectrum_of(vectors: Vectors) -> tuple[NDArray[np.float64], float]:
    """Return the eigenvalues of the covariance, falling, and the length of the mean.

    Of fewer vectors than dimensions, the smallest eigenvalues are 0.
    """
    wide = vectors.astype(np.float64)
    mean = wide.mean(axis=0)
    values = np.linalg.eigvalsh(np.cov(wide, rowvar=False))[::-1]
    return np.maximum(values, 0.0), float(np.linalg.norm(mean))


def probes_near(vectors: Vectors, low: float, high: float, rng: np.random.Generator) -> Vectors:
    """Return for each unit vector a probe with a cosine to it that is drawn evenly from that range."""
    return at_cosine(vectors, rng.uniform(low, high, len(vectors)), rng)
