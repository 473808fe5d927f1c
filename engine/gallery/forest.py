"""A forest over a gallery: trees that divide the vectors at random planes (annoy), behind a gate of recall.

A probe's person stands alone among strangers that are all about as far from it, so trees have no slope to descend and
easily miss it (docs/architecture.md has figures). Therefore a forest is used only if it finds the mates of probes that
are simulated on the vectors of the gallery, with as much search as the gate needs; otherwise it is refused, and every
face is compared.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from contract.vectors import Vector
from engine.gallery.exact import ROUNDING
from engine.gallery.port import IndexUnavailable
from engine.gallery.rows import Rows
from engine.gallery.sketch import at_cosine
from engine.gallery.two_stage import Generation, IndexRefused, Near, computing

TREES = 32

_SEED = 20
_MATES = 1000
_AT_COSINE = 0.5
"""The cosine of simulated mates: thresholds of galleries that are large enough for a forest are higher. Below it nobody
knows what the trees miss, so every face is compared."""

MOST_MISSED = 1
"""The most of the simulated mates that a forest in use may miss."""

_MOST_SHARE, _AGAIN = 8, 8
"""More candidates than one row in so many cost more than comparing all rows; and by how much more are asked for where
all of those that were asked for reach the floor."""

_FIRST_NODES, _MORE_NODES = 4_000, 4
"""The number of vectors that a search looks at first, and by how much more it is tried with."""


def annoy_library() -> ModuleType:
    """Return the module of annoy.

    Raises:
        IndexUnavailable: it is not installed.
    """
    try:
        import annoy
    except ImportError:
        raise IndexUnavailable(
            "the index `annoy` needs the library annoy: pip install 'picturematch[annoy]', which needs a C++ compiler"
        ) from None
    module: ModuleType = annoy
    return module


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """The trees (engine.gallery.two_stage.Generation). `nodes`: the vectors that a search looks at.

    `miss`: with 95 % confidence no greater share of mates is missed, whose cosine is `least_floor` or more.
    """

    index: Any
    nodes: int
    miss: float
    least_floor: float
    name: str = "annoy"

    def __len__(self) -> int:
        """Return the number of places."""
        return int(self.index.get_n_items())

    def near(self, probe: Vector, floor: float, least: int) -> Near | None:
        """Return the nearest places that the trees find: all down to the floor, and at least `least`.

        None: comparing all rows is quicker, or the floor is below the cosine at which the trees were tried.
        """
        asked = least
        while floor >= self.least_floor and asked * _MOST_SHARE <= len(self):
            nodes = max(self.nodes * (asked // least), asked)
            places, distances = self.index.get_nns_by_vector(probe, asked, nodes, include_distances=True)
            # The distance of two unit vectors is sqrt(2 - 2 * cosine).
            if len(places) < asked or 1.0 - distances[-1] ** 2 / 2.0 < floor - ROUNDING:
                return Near(np.array(places, np.intp), None, self.miss)
            asked *= _AGAIN
        return None


class ForestMaker:
    """Builds forests (engine.gallery.two_stage.Maker)."""

    extends = False
    tail_share = 8

    def __init__(self, dimension: int, trees: int = TREES) -> None:
        """Raises:
        IndexUnavailable: annoy is not installed.
        """
        self._annoy = annoy_library()
        self._dimension, self._trees = dimension, trees

    def make(self, rows: Rows, first: int, before: Generation | None) -> Forest:  # trees cannot be extended
        """Return a forest of all rows.

        Raises:
            IndexRefused: it misses too many mates.
        """
        index = self._annoy.AnnoyIndex(self._dimension, "angular")
        index.set_seed(_SEED)
        for row in range(rows.count):
            index.add_item(row, rows.take(np.array([row]))[0])
        index.build(self._trees, n_jobs=1)
        rng = np.random.default_rng(_SEED)
        chosen = rng.choice(rows.count, min(_MATES, rows.count), replace=False)
        with computing:
            probes = at_cosine(rows.take(chosen), np.full(len(chosen), _AT_COSINE), rng)
        nodes = min(_FIRST_NODES, rows.count // _MOST_SHARE)
        missed = self._missed(index, probes, chosen.tolist(), nodes)
        while missed > MOST_MISSED and nodes * _MORE_NODES <= rows.count // _MOST_SHARE:
            nodes *= _MORE_NODES
            missed = self._missed(index, probes, chosen.tolist(), nodes)
        if missed > MOST_MISSED:
            raise IndexRefused(
                f"the index `annoy` is not used, and every face is compared: its trees miss {missed} of {len(chosen)} "
                f"simulated mates among {rows.count:,} templates; set gallery.index to auto"
            )
        # The exact 95 % bounds of none and of one are 3.7 and 5.6 events.
        return Forest(index, nodes, (3.7, 5.6)[missed] / len(chosen), _AT_COSINE)

    @staticmethod
    def _missed(index: Any, probes: Sequence[Vector] | Any, mates: Sequence[int], nodes: int) -> int:
        return sum(
            mate not in index.get_nns_by_vector(probe, 32, search_k=nodes)
            for probe, mate in zip(probes, mates, strict=True)
        )
