"""Exact search: every face of the scope is compared with the probe.

This index is the reference for the others, and the fastest one where few faces are enrolled.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from contract.evidence import EvidenceCandidate
from contract.vectors import Vector, Vectors
from engine.gallery.confirming import KnownPlaces, confirm
from engine.gallery.port import Candidate, FaceId, IndexUsed, Scope
from engine.gallery.row_store import RowStore
from engine.gallery.rows import Part, Places, Rows

ROUNDING = 1e-5
"""More than single precision can move a cosine."""

_BLOCK = 256
"""The number of rows of a block. The highest cosine of each block is computed first: the best rows of a gallery lie in
the blocks with the highest maxima."""

_ROWS_AT_ONCE = 4096
"""The number of rows that are compared with many probes at once: 8 MB of 512 numbers each."""

_NO_PLACES = (np.empty(0, np.intp), np.empty(0, np.intp))

_COSINES_AT_ONCE = 1 << 18
"""The most cosines of several probes that are in memory at once: 1 MB, which stays in the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class ExactGallery:
    """The gallery at `version` (engine.gallery.port.Gallery).

    `places`: empty, or one value that is computed from the rows when it is needed first.
    """

    version: int
    rows: Rows
    places: list[KnownPlaces] = field(default_factory=list)

    def count(self, scope: Scope) -> int:
        """Return the number of templates that a search in that scope compares: faces, and means if it has them."""
        return len(self.rows.bitmap(scope))

    def search(self, probe: Vector, scope: Scope, floor: float = -1.0) -> "ExactSearch":
        """Compare a unit vector with every face of the scope once, for a caller that has several questions."""
        part = self.rows.part(scope)
        return ExactSearch(self.rows, probe, part, self.rows.cosines(probe, part))

    def best(self, probe: Vector, scope: Scope, most: int = 1, floor: float = -1.0) -> Sequence[Candidate]:
        """Return the `most` people nearest to a unit vector, each once; fewer where the scope has fewer people."""
        return self.search(probe, scope, floor).best(most)

    def best_of_each(
        self, probes: Vectors, scope: Scope, most: int = 1, down_to: Sequence[float] | None = None
    ) -> Sequence[Sequence[Candidate]]:
        """Return, for each probe, what `best` returns, and with `down_to` everybody whom `above` returns as well."""
        if not self.count(scope):
            return [()] * len(probes)
        floors = np.full(len(probes), np.inf) if down_to is None else np.asarray(down_to, np.float64)
        each = max(1, _COSINES_AT_ONCE // self.rows.count)
        found: list[Sequence[Candidate]] = []
        for first in range(0, len(probes), each):
            block = slice(first, first + each)
            found += self._best_of_block(probes[block], scope, most, floors[block])
        return found

    def confirm_each(
        self,
        probes: Vectors,
        scope: Scope,
        rankings: Sequence[Sequence[EvidenceCandidate]],
        most: int,
        within: float,
    ) -> Sequence[Candidate | None]:
        """Return for each probe its first recorded candidate, if `best` gives the recorded ranking; else None."""
        if not self.count(scope):
            return [None] * len(probes)
        mask, each = self.rows.mask(scope), max(1, _COSINES_AT_ONCE // self.rows.count)
        found: list[Candidate | None] = []
        for first in range(0, len(probes), each):
            block = slice(first, first + each)
            cosines = self.rows.products(probes[block])
            places = self._places()
            found += confirm(cosines, mask, self.rows.owner, places, rankings[block], most, within - ROUNDING)
        return found

    def above(self, probe: Vector, scope: Scope, cosine: float) -> Sequence[Candidate]:
        """Return every person who has a face with at least that cosine to a unit vector, each once."""
        return self.search(probe, scope, cosine).above(cosine)

    def above_each(
        self, probes: Vectors, scope: Scope, cosine: float, most: int
    ) -> Sequence[Sequence[Candidate] | None]:
        """Return, for each probe, what `above` returns, or None where more than `most` faces are so near.

        The faces are read from memory once for all probes.
        """
        if not self.count(scope):
            return [()] * len(probes)
        mask = self.rows.mask(scope)
        places: list[tuple[Places, Places]] = []
        counts = np.zeros(len(probes), np.intp)
        for first in range(0, len(mask), _ROWS_AT_ONCE):
            end = min(len(mask), first + _ROWS_AT_ONCE)
            reached = (self.rows.products(probes, first, end) >= cosine - ROUNDING) & mask[first:end]
            counts += np.count_nonzero(reached, axis=1)
            reached[counts > most] = False
            whose, within = np.nonzero(reached)
            places.append((whose, within + first))
        whose, near = (np.concatenate(parts) for parts in zip(*places, strict=True)) if places else _NO_PLACES
        exact = self.rows.exact(near, probes, whose)
        found: list[Sequence[Candidate] | None] = []
        for number, count in enumerate(counts.tolist()):
            its = whose == number
            people = self.rows.people(near[its], exact[its]) if count <= most else None
            found.append(None if people is None else [one for one in people if one.cosine >= cosine])
        return found

    def vector(self, face: FaceId) -> Vector | None:
        """Return the embedding of a face, or the mean of a person's faces; None where the gallery does not have it."""
        row = self._places().rows.get(face)
        return None if row is None else self.rows.take(np.array([row]))[0]

    def _places(self) -> KnownPlaces:
        if not self.places:
            self.places.append(KnownPlaces.of(self.rows.all_owners(), self.rows.all_numbers()))
        return self.places[0]

    def _best_of_block(
        self, probes: Vectors, scope: Scope, most: int, floors: NDArray[np.float64]
    ) -> Iterator[Sequence[Candidate]]:
        cosines = np.where(self.rows.mask(scope), self.rows.products(probes), np.float32(-np.inf))
        lowest = np.partition(cosines, -most, axis=1)[:, -most] if cosines.shape[1] > most else np.float32(-np.inf)
        # -2 is below every cosine and above the mark of a row outside the scope.
        cut = np.maximum(np.minimum(lowest, floors) - ROUNDING, -2.0).astype(np.float32)
        whose, rows = np.nonzero(cosines >= cut[:, np.newaxis])
        exact = self.rows.exact(rows, probes, whose)
        ends = np.searchsorted(whose, np.arange(len(probes) + 1))
        for number, (begin, end) in enumerate(pairwise(ends)):
            people = self.rows.people(rows[begin:end], exact[begin:end])
            if len(people) < most:
                yield self.best(probes[number], scope, most)
            else:
                yield [*people[:most], *(c for c in people[most:] if c.cosine >= floors[number])]


@dataclass(frozen=True, slots=True, eq=False)
class ExactSearch:
    """One probe and its cosine to every row of a part of a gallery (engine.gallery.port.Search).

    `cosines`: as `Rows.cosines` returns them, in single precision; -inf for a row outside the scope.
    """

    rows: Rows
    probe: Vector
    part: Part
    cosines: NDArray[np.float32]

    @property
    def used(self) -> IndexUsed | None:
        """None: every face of the scope was compared."""
        return None

    def best(self, most: int = 1) -> Sequence[Candidate]:
        """Return the `most` people nearest to the probe, each once; fewer where the scope has fewer people."""
        faces = most
        while True:
            places = _highest(self.cosines, faces)
            candidates = self._people(places)
            if len(candidates) >= most or len(places) < faces or faces >= len(self.cosines):
                return candidates[:most]
            faces *= 4  # several of the nearest faces belong to the same person

    def above(self, cosine: float) -> Sequence[Candidate]:
        """Return every person who has a face with at least that cosine to the probe, each once."""
        people = self._people(np.flatnonzero(self.cosines >= cosine - ROUNDING))
        return [candidate for candidate in people if candidate.cosine >= cosine]

    def _people(self, places: Places) -> list[Candidate]:
        rows = self.part.row_of(places)
        return self.rows.people(rows, self.rows.exact(rows, self.probe))


class ExactIndex(RowStore):
    """The index that compares every face of the scope (engine.gallery.port.FaceIndex)."""

    def snapshot(self, version: int) -> ExactGallery:
        """Return the gallery as it is now; later changes of the index do not affect it."""
        return ExactGallery(version, self.view())

    def renewed(self) -> bool:
        """Return False: an exact search is made in one way only."""
        return False


def _highest(cosines: NDArray[np.float32], most: int) -> NDArray[np.intp]:
    """Return the rows of the `most` highest cosines, and those within `ROUNDING` of the lowest; none of -inf."""
    rows: NDArray[np.intp] = np.arange(len(cosines))
    if len(cosines) > most * _BLOCK:
        starts = np.arange(0, len(cosines), _BLOCK)
        maxima = np.maximum.reduceat(cosines, starts)
        blocks = starts[maxima >= np.partition(maxima, -most)[-most] - ROUNDING]
        rows = (blocks[:, np.newaxis] + np.arange(_BLOCK)).ravel()
        rows = rows[rows < len(cosines)]
    values = cosines[rows]
    if len(values) > most:
        rows = rows[values >= np.partition(values, -most)[-most] - ROUNDING]
    return rows[np.isfinite(cosines[rows])]
