"""The rule that chooses the index of a gallery."""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Literal

from engine.gallery.exact import ExactIndex
from engine.gallery.forest import ForestMaker, annoy_library
from engine.gallery.port import FaceIndex
from engine.gallery.sketch import SketchMaker, faiss_library
from engine.gallery.two_stage import TwoStageIndex

IndexName = Literal["auto", "exact", "sketch", "annoy"]

CROSSING = 10_000
"""The number of templates from which on `auto` builds a sketch: `python -m bench.search` finds both equally quick at
about 3,000, and the sketch twice as quick here (docs/measurements.md)."""


def index_of(name: IndexName, sigmas: float) -> Callable[[int], FaceIndex]:
    """Return what makes the index of that name for a dimension. `sigmas`: k of the sketch.

    Raises:
        IndexUnavailable: the library of the index is not installed.
    """
    if name == "exact" or (name == "auto" and not sketch_is_installed()):
        return ExactIndex
    if name == "annoy":
        annoy_library()
        return _with_trees
    if name == "sketch":
        faiss_library()
    return partial(_sketched, sigmas, CROSSING if name == "auto" else 0)


def sketch_is_installed() -> bool:
    """Return whether the library of the sketch is installed."""
    return find_spec("faiss") is not None


def slow_search(name: IndexName, templates: int) -> str | None:
    """Return in a sentence that searches are slower than they could be; None: they are not."""
    if name != "auto" or templates < CROSSING or sketch_is_installed():
        return None
    return (
        f"{templates:,} templates are all compared in each search; install 'picturematch[sketch]' for searches that"
        " take a fraction of the time and decide the same"
    )


def _sketched(sigmas: float, starts_at: int, dimension: int) -> TwoStageIndex:
    if starts_at:
        return TwoStageIndex(dimension, lambda: SketchMaker(dimension, sigmas), starts_at)
    return TwoStageIndex(dimension, lambda: SketchMaker(dimension, sigmas))


def _with_trees(dimension: int) -> TwoStageIndex:
    return TwoStageIndex(dimension, lambda: ForestMaker(dimension), CROSSING)
