"""The ways of searching that bench.search compares: each returns the people with at least a cosine to a probe."""

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from contract.vectors import Vector
from engine.gallery.port import EVERYBODY
from engine.gallery.rows import CHUNK, Places, Rows
from engine.gallery.sketch import SIGMAS, faiss_library, random_rotation
from engine.gallery.two_stage import TwoStageGallery


class Answer(NamedTuple):
    """What one search came to: the number of candidates, and the people found."""

    candidates: int
    people: Sequence[tuple[str, float]]


Way = Callable[[Vector, float], Answer]
"""Searches for a probe and a floor."""


def two_stages(gallery: TwoStageGallery) -> Way:
    """Return the search of a gallery with a generation, as a match makes it."""

    def way(probe: Vector, floor: float) -> Answer:
        search = gallery.search(probe, EVERYBODY, floor)
        found = [c for c in search.best(5) if c.cosine >= floor]
        candidates = search.used.candidates if search.used else gallery.rows.count
        return Answer(candidates, [(c.person.identity_id, c.cosine) for c in found])

    return way


def all_compared(gallery: TwoStageGallery) -> Way:
    """Return the exact search of the same gallery, as a match makes it."""

    def way(probe: Vector, floor: float) -> Answer:
        found = [c for c in gallery.exact.search(probe, EVERYBODY).best(5) if c.cosine >= floor]
        return Answer(gallery.rows.count, [(c.person.identity_id, c.cosine) for c in found])

    return way


def others(rows: Rows) -> Mapping[str, Callable[[], Way]]:
    """Return further ways by name, for whose libraries are installed; each is prepared only when it is called."""
    found: dict[str, Callable[[], Way]] = {}
    if importlib.util.find_spec("faiss") is not None:
        faiss = faiss_library()
        found["faiss IndexBinaryFlat, range"] = lambda: _binary_flat(rows, faiss)
        if hasattr(faiss, "IndexFlatIPPanorama"):
            found["faiss IndexFlatIPPanorama"] = lambda: _panorama(rows, faiss)
    if importlib.util.find_spec("numkong") is not None:
        found["numkong Hamming"] = lambda: _numkong(rows)
    return found


def hamming_radius(floor: float, dimension: int, sigmas: float = SIGMAS) -> int:
    """Return the number of sign bits that may differ between a probe and a template whose cosine is the floor."""
    share = math.acos(floor) / math.pi
    return math.ceil(dimension * share + sigmas * math.sqrt(dimension * share * (1.0 - share)))


def _ranked(rows: Rows, candidates: Places, probe: Vector, floor: float) -> Answer:
    candidates = np.sort(candidates)
    near = candidates[rows.listed_cosines(probe, candidates) >= floor - 1e-5]
    people = rows.people(near, rows.exact(near, probe))
    return Answer(len(candidates), [(c.person.identity_id, c.cosine) for c in people if c.cosine >= floor][:5])


def _signs(rows: Rows) -> tuple[Any, Any]:
    rotation = random_rotation(rows.dimension)
    blocks = [
        np.packbits(rows.take(np.arange(first, min(first + CHUNK, rows.count))) @ rotation.T > 0, axis=1)
        for first in range(0, rows.count, CHUNK)
    ]
    return rotation, np.concatenate(blocks)


def _binary_flat(rows: Rows, faiss: Any) -> Way:
    rotation, signs = _signs(rows)
    index = faiss.IndexBinaryFlat(rows.dimension)
    index.add(signs)

    def way(probe: Vector, floor: float) -> Answer:
        faiss.omp_set_num_threads(1)
        asked = np.packbits(rotation @ probe > 0)[np.newaxis]
        _, _, places = index.range_search(asked, hamming_radius(floor, rows.dimension) + 1)
        return _ranked(rows, places.astype(np.intp), probe, floor)

    return way


def _numkong(rows: Rows) -> Way:
    import numkong

    rotation, signs = _signs(rows)

    def way(probe: Vector, floor: float) -> Answer:
        asked = np.packbits(rotation @ probe > 0)[np.newaxis]
        distances = np.asarray(numkong.cdist(asked, signs, "hamming", dtype="uint1")).ravel()
        places = np.flatnonzero(distances <= hamming_radius(floor, rows.dimension))
        return _ranked(rows, places, probe, floor)

    return way


def _panorama(rows: Rows, faiss: Any) -> Way:
    index = faiss.IndexFlatIPPanorama(rows.dimension, 8)
    for first in range(0, rows.count, CHUNK):
        index.add(rows.take(np.arange(first, min(first + CHUNK, rows.count))))

    def way(probe: Vector, floor: float) -> Answer:
        faiss.omp_set_num_threads(1)
        _, places = index.search(probe[np.newaxis], 5)
        return _ranked(rows, places[0], probe, floor)._replace(candidates=rows.count)

    return way
