"""The sketch of a gallery: one bit for each number of a rotated vector, all scanned, and an estimate of each cosine.

The sketch is RaBitQ (Gao and Long, SIGMOD 2024) as faiss has it: the signs of a vector in a random rotation, and two
numbers that make the estimate of its cosine to a probe unbiased. Under a random rotation the error of an estimate
depends on the cosine c alone, whatever the vectors are: its standard deviation is sigma * sqrt(1 - c^2). So every
template whose cosine is the floor T has an estimate of at least T - k * sigma * sqrt(1 - T^2), but for a chance of
about the one-sided normal tail at k, and a template nearer than that has a smaller chance to be missed. `sigma` is
measured on the vectors of the gallery, with the rotation and the rounding of the scan in use.

Where the floor is so high that few templates have so few signs that differ from those of the probe, counting these
differences (engine.gallery.signs) names the candidates in about half of the time, with the same bound, whose sigma is
measured too.
"""

import logging
import math
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Vector, Vectors
from engine.gallery.port import IndexUnavailable
from engine.gallery.rows import Places, Rows
from engine.gallery.signs import cosine_at, deviation, most_differing, sign_bits
from engine.gallery.two_stage import Generation, Near, computing

SIGMAS = 5.0
"""How many standard deviations below the floor the cut is, where no other number is set."""

_QUERY_BITS = 8
_AT_ONCE = 4096
"""The number of vectors that are rotated at once: 8 MB of 512 numbers each."""

_SEED = 20
_SAMPLED, _PROBES = 2048, 96
"""The numbers of vectors and of probes with which sigma is measured: two hundred thousand pairs."""

_SPARE = 4
"""How many times as many candidates are asked for as were expected: some probes are near to many people."""

_MOST_SHARE = 32
"""More candidates than one row in so many cost more than comparing all rows in their order."""

_BY_SIGNS = 1_000
"""The most candidates that are expected where signs are compared; with more, estimates are quicker."""

_NEAR_1 = math.sqrt(0.999)
"""Errors to nearer vectors are measured as at this cosine, because there are none at 1 but those of rounding."""

_HIGHEST_FLOOR = 0.995
"""A higher floor is searched as this one: next to 1, the rounding of a scan moves estimates more than sigma says."""

_AGAIN = 8
"""By how much more candidates are asked for where more than asked for reach the cut."""


def faiss_library() -> ModuleType:
    """Return the module of faiss.

    Raises:
        IndexUnavailable: it is not installed, or it is too old.
    """
    logging.getLogger("faiss.loader").setLevel(logging.WARNING)  # each way of loading that it tries is a line
    try:
        import faiss
    except ImportError:
        raise IndexUnavailable(_MISSING) from None
    if not hasattr(faiss, "IndexRaBitQFastScan"):
        raise IndexUnavailable(_MISSING)
    module: ModuleType = faiss
    return module


_MISSING = "the index `sketch` needs faiss-cpu 1.15 or newer: pip install 'picturematch[sketch]'"


def miss_bound(sigmas: float) -> float:
    """Return the chance that a normal variable is more than so many standard deviations below its mean."""
    return 0.5 * math.erfc(sigmas / math.sqrt(2.0))


@cache
def random_rotation(dimension: int, seed: int = _SEED) -> NDArray[np.float32]:
    """Return a rotation (or reflection) drawn evenly from all, dimension x dimension; the same for the same seed."""
    drawn = np.random.default_rng(seed).normal(size=(dimension, dimension))
    orthogonal, upper = np.linalg.qr(drawn)
    rotation: NDArray[np.float32] = (orthogonal * np.sign(np.diag(upper))).astype(np.float32)
    return rotation


class Measured(NamedTuple):
    """What was measured on vectors of a gallery, with the rotation and the rounding of the scans in use.

    `sigma`: the standard deviation of the error of an estimate, over sqrt(1 - c^2). `signs_sigma`: that of the number
    of signs that differ, over the one that is expected (engine.gallery.signs). `strangers`: estimates between vectors
    of the gallery, rising. `differing`: how many signs differ between them, rising. From these two the number of
    candidates is expected. `rows`: the number of places when all were measured.
    """

    sigma: float
    signs_sigma: float
    strangers: NDArray[np.float32]
    differing: NDArray[np.int32]
    rows: int


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """The codes of the first rows (engine.gallery.two_stage.Generation).

    `index`: faiss.IndexRaBitQFastScan. `signs`: faiss.IndexBinaryFlat of the same places. `sigmas`: k.
    """

    index: Any
    signs: Any
    rotation: NDArray[np.float32]
    measured: Measured
    sigmas: float
    name: str = "sketch"

    def __len__(self) -> int:
        """Return the number of places."""
        return int(self.index.ntotal)

    @property
    def _most(self) -> float:
        """The most candidates to ask for; a small gallery has no such limit."""
        return math.inf if len(self) <= _SAMPLED else max(len(self) // _MOST_SHARE, _SAMPLED)

    def cut(self, floor: float) -> float:
        """Return the estimate from which on a template may have the cosine `floor`."""
        return floor - self.sigmas * self.measured.sigma * math.sqrt(max(0.0, 1.0 - floor * floor))

    def near(self, probe: Vector, floor: float, least: int) -> Near | None:
        """Return every place whose estimate, or number of signs, reaches the cut of the floor, and the `least` best."""
        if least > self._most:
            return None
        floor, rotated = min(floor, _HIGHEST_FLOOR), (self.rotation @ probe)[np.newaxis]
        return self._by_signs(rotated, floor, least) or self._by_estimates(rotated, floor, least)

    def _by_signs(self, rotated: Vectors, floor: float, least: int) -> Near | None:
        """Return what the signs name; None: too many have as few differences as a template at the floor may have."""
        count, dimension, miss = len(self), len(self.rotation), miss_bound(self.sigmas)
        cut = most_differing(round(floor, 9), dimension, miss, self.measured.signs_sigma)
        strangers = self.measured.differing
        # A number of another type would convert the whole array in every search.
        expected = int(np.searchsorted(strangers, np.int32(cut), side="right")) * count // len(strangers)
        asked = min(least + _SPARE * expected, count)
        if _SPARE * expected > _BY_SIGNS:
            return None
        differing, places = _scan(self.signs, sign_bits(rotated), asked)
        if asked < count and differing[0, -1] <= cut:
            return None
        reached = max(int(np.searchsorted(differing[0], cut, side="right")), least)
        return Near(places[0, :reached], cosine_at(cut, dimension), miss)

    def _by_estimates(self, rotated: Vectors, floor: float, least: int) -> Near | None:
        cut, count, strangers = self.cut(floor), len(self), self.measured.strangers
        above = len(strangers) - int(np.searchsorted(strangers, np.float32(cut)))
        asked = least + _SPARE * above * count // len(strangers)
        while asked <= self._most:
            asked = min(asked, count)
            estimates, places = _scan(self.index, rotated, asked)
            if asked == count or estimates[0, -1] < cut:
                reached = max(int(np.searchsorted(-estimates[0], -cut, side="right")), least)
                found = places[0, :reached]
                return Near(found[found >= 0], cut, miss_bound(self.sigmas))
            asked *= _AGAIN
        return None


class SketchMaker:
    """Builds sketches (engine.gallery.two_stage.Maker)."""

    extends = True
    tail_share = 256

    def __init__(self, dimension: int, sigmas: float = SIGMAS, seed: int = _SEED) -> None:
        """Raises:
        IndexUnavailable: faiss is not installed.
        """
        self._faiss = faiss_library()
        self._rotation = random_rotation(dimension, seed)
        self._sigmas = sigmas

    def make(self, rows: Rows, first: int, before: Generation | None) -> Sketch:
        """Return a sketch with the codes of `before` and behind them those of all rows from `first` on."""
        self._faiss.omp_set_num_threads(1)  # of the calling thread, so that matches keep the other cores
        known = before if isinstance(before, Sketch) else None
        index, signs = self._copied(known) if known else (self._empty(), self._no_signs())
        for start in range(first, rows.count, _AT_ONCE):
            some = np.arange(start, min(start + _AT_ONCE, rows.count))
            with computing:
                rotated = rows.take(some) @ self._rotation.T
                index.add(rotated)
                signs.add(sign_bits(rotated))
        if known is not None and rows.count < 2 * known.measured.rows:
            measured = known.measured
        else:
            sample = rows.take(np.unique(np.linspace(0, rows.count - 1, _SAMPLED).astype(np.intp)))
            with computing:
                measured = self.measure(sample)._replace(rows=int(index.ntotal))
        return Sketch(index, signs, self._rotation, measured, self._sigmas)

    def measure(self, vectors: Vectors) -> Measured:
        """Measure unit vectors.

        Probes are vectors of the sample, moved to a cosine between .3 and .8 to themselves. The errors to the vector
        itself and to all others are measured apart, and the larger deviation counts.
        """
        rng = np.random.default_rng(_SEED)
        probes, _ = mates(vectors[: min(_PROBES, len(vectors))], rng)
        rotated, rotated_probes = vectors @ self._rotation.T, probes @ self._rotation.T
        index = self._empty()
        index.add(rotated)
        estimates, places = _scan(index, rotated_probes, len(vectors))
        found = np.zeros((len(probes), len(vectors)), np.float32)
        np.put_along_axis(found, places, estimates, axis=1)
        exact = (probes @ vectors.T).astype(np.float64)
        within = np.clip(exact, -_NEAR_1, _NEAR_1)
        errors = (found - exact) / np.sqrt(1.0 - within**2)
        signs, dimension = sign_bits(rotated), len(self._rotation)
        differing = _differing(sign_bits(rotated_probes), signs)
        more = (differing - dimension * np.arccos(within) / np.pi) / deviation(within, dimension)
        others = ~np.eye(*found.shape, dtype=np.bool_)
        strangers = found[others] if others.any() else found.ravel()
        return Measured(_sigma(errors), _sigma(more), np.sort(strangers), _between_strangers(signs), len(vectors))

    def estimates(self, vectors: Vectors, probe: Vector) -> NDArray[np.float32]:
        """Return the estimate of the cosine of each of these unit vectors to a probe, falling; for benchmarks."""
        index = self._empty()
        index.add(vectors @ self._rotation.T)
        estimates, _ = _scan(index, (self._rotation @ probe)[np.newaxis], len(vectors))
        return estimates.ravel()

    def differing(self, vectors: Vectors, probe: Vector) -> NDArray[np.int64]:
        """Return how many signs of each of these unit vectors differ from those of a probe; for benchmarks."""
        signs = sign_bits(np.vstack([vectors, probe]) @ self._rotation.T)
        found: NDArray[np.int64] = _differing(signs[-1:], signs[:-1])[0]
        return found

    def _no_signs(self) -> Any:
        return self._faiss.IndexBinaryFlat(8 * -(-len(self._rotation) // 8))

    def _empty(self) -> Any:
        dimension = len(self._rotation)
        index = self._faiss.IndexRaBitQFastScan(dimension, self._faiss.METRIC_INNER_PRODUCT)
        # The centre of these is 0, so that the error of an estimate depends on the cosine only.
        unit = np.eye(dimension, dtype=np.float32)
        index.train(np.concatenate([unit, -unit]))
        index.qb = _QUERY_BITS
        return index

    def _copied(self, known: Sketch) -> tuple[Any, Any]:
        index = self._faiss.deserialize_index(self._faiss.serialize_index(known.index))
        index.qb = _QUERY_BITS
        signs = self._faiss.deserialize_index_binary(self._faiss.serialize_index_binary(known.signs))
        return index, signs


def _sigma(errors: NDArray[np.float64]) -> float:
    """Return the deviation of errors, probes x vectors: the larger one of those to mates, which are on the diagonal,
    and those to all others."""
    mates = np.diagonal(errors)
    to_mates = float(np.sqrt(np.mean(mates**2)))
    others = errors[~np.eye(*errors.shape, dtype=np.bool_)]
    if not len(others):
        return to_mates
    # So few mates give their own deviation within some percent only.
    spread = 1.0 / math.sqrt(2.0 * len(mates))
    return max(float(np.sqrt(np.mean(others**2))), to_mates * (1.0 - 2.0 * spread))


def _differing(some: NDArray[np.uint8], signs: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return how many signs differ between each of some vectors and each vector."""
    found: NDArray[np.int64] = np.bitwise_count(some[:, np.newaxis] ^ signs).sum(axis=2, dtype=np.int64)
    return found


def _between_strangers(signs: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return how many signs differ between vectors, rising; each `signs` of a vector."""
    some = np.arange(0, len(signs), max(1, len(signs) // _PROBES))
    differing = _differing(signs[some], signs).astype(np.int32)
    of_others = differing[some[:, np.newaxis] != np.arange(len(signs))]
    return np.sort(of_others if len(of_others) else differing.ravel())


def mates(vectors: Vectors, rng: np.random.Generator) -> tuple[Vectors, NDArray[np.float64]]:
    """Return for each unit vector a unit vector with a cosine to it that is drawn evenly from .3 to .8, and these."""
    cosines = rng.uniform(0.3, 0.8, len(vectors))
    return at_cosine(vectors, cosines, rng), cosines


def at_cosine(vectors: Vectors, cosines: NDArray[np.float64], rng: np.random.Generator) -> Vectors:
    """Return for each unit vector a unit vector in a drawn direction that has the given cosine to it."""
    wide = vectors.astype(np.float64)
    drawn = rng.normal(size=vectors.shape)
    drawn -= np.sum(drawn * wide, axis=1, keepdims=True) * wide
    drawn /= np.maximum(np.linalg.norm(drawn, axis=1, keepdims=True), 1e-12)
    moved = cosines[:, np.newaxis] * wide + np.sqrt(1.0 - cosines[:, np.newaxis] ** 2) * drawn
    found: Vectors = moved.astype(np.float32)
    return found


def _scan(index: Any, probes: NDArray[Any], most: int) -> tuple[NDArray[Any], Places]:
    """Return the best values and their places, the best first, in the calling thread alone."""
    faiss_library().omp_set_num_threads(1)
    values, places = index.search(np.ascontiguousarray(probes), most)
    return values, places
