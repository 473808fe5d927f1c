"""Exact search: every face of the scope is compared with the probe.

The index grows in place. An `ExactGallery` is an immutable view of the index: the index copies the arrays before it
changes a row that belongs to a view.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from itertools import compress, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from contract.evidence import EvidenceCandidate
from contract.people.keys import MEAN_FACE
from contract.people.records import PersonRecord
from contract.vectors import Vector, Vectors
from engine.gallery.confirming import Places, confirm
from engine.gallery.port import Candidate, FaceId, Scope

_ROUNDING = 1e-5
"""More than single precision can move a cosine."""

Mask = NDArray[np.bool_]

A = TypeVar("A", bound=np.generic)

_FIRST_CAPACITY = 256
_DEAD_ROWS_KEPT = 1024
"""The most rows of removed faces that are kept; moving the other rows for so few is not worth the time."""

_BLOCK = 256
"""The number of rows of a block. The highest cosine of each block is computed first: the best rows of a gallery lie in
the blocks with the highest maxima."""

_EXACT_AT_ONCE = 96
"""The number of cosines in double precision that are computed at once: their vectors stay in the processor's cache."""

_ROWS_AT_ONCE = 4096
"""The number of rows that are compared with many probes at once: 8 MB of 512 numbers each."""

_NO_PLACES = (np.empty(0, np.intp), np.empty(0, np.intp))

_COSINES_AT_ONCE = 1 << 18
"""The most cosines of several probes that are in memory at once: 1 MB, which stays in the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class ExactGallery:
    """The gallery at `version` (engine.gallery.port.Gallery).

    `vectors`: rows x dimension float32, each row of unit length. `members`: by group or permission (`_set_names`), a
    mask of the rows that are faces of people in that group or with that permission; also one of the means of faces.
    `owners`: by row, the person, or None for a face that is not searched. `numbers`: by row, the face number. `places`:
    empty, or one value that is computed from the others when it is needed first.
    """

    version: int
    vectors: NDArray[np.float32]
    members: Mapping[str, Mask]
    owners: list[PersonRecord | None]
    numbers: list[int]
    places: list[Places] = field(default_factory=list)

    def count(self, scope: Scope) -> int:
        """Return the number of templates that a search in that scope compares: faces, and means if it has them."""
        mask = self._mask(scope)
        return 0 if mask is None else int(np.count_nonzero(mask))

    def search(self, probe: Vector, scope: Scope) -> "ExactSearch":
        """Compare a unit vector with every face of the scope once, for a caller that has several questions."""
        return ExactSearch(self, probe, self._cosines(probe, scope))

    def best(self, probe: Vector, scope: Scope, most: int = 1) -> Sequence[Candidate]:
        """Return the `most` people nearest to a unit vector, each once; fewer where the scope has fewer people."""
        return self.search(probe, scope).best(most)

    def best_of_each(
        self, probes: Vectors, scope: Scope, most: int = 1, down_to: Sequence[float] | None = None
    ) -> Sequence[Sequence[Candidate]]:
        """Return, for each probe, what `best` returns, and with `down_to` everybody whom `above` returns as well."""
        mask = self._mask(scope)
        if mask is None or not mask.any():
            return [()] * len(probes)
        floors = np.full(len(probes), np.inf) if down_to is None else np.asarray(down_to, np.float64)
        each = max(1, _COSINES_AT_ONCE // len(mask))
        found: list[Sequence[Candidate]] = []
        for first in range(0, len(probes), each):
            block = slice(first, first + each)
            found += self._best_of_block(probes[block], scope, mask, most, floors[block])
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
        mask = self._mask(scope)
        if mask is None or not len(mask):
            return [None] * len(probes)
        each = max(1, _COSINES_AT_ONCE // max(1, len(mask)))
        found: list[Candidate | None] = []
        for first in range(0, len(probes), each):
            block = slice(first, first + each)
            found += confirm(
                self.vectors,
                mask,
                self.owners,
                self._places(),
                probes[block],
                rankings[block],
                most,
                within - _ROUNDING,
            )
        return found

    def above(self, probe: Vector, scope: Scope, cosine: float) -> Sequence[Candidate]:
        """Return every person who has a face with at least that cosine to a unit vector, each once."""
        return self.search(probe, scope).above(cosine)

    def above_each(
        self, probes: Vectors, scope: Scope, cosine: float, most: int
    ) -> Sequence[Sequence[Candidate] | None]:
        """Return, for each probe, what `above` returns, or None where more than `most` faces are so near.

        The faces are read from memory once for all probes.
        """
        mask = self._mask(scope)
        if mask is None:
            return [()] * len(probes)
        places: list[tuple[NDArray[np.intp], NDArray[np.intp]]] = []
        counts = np.zeros(len(probes), np.intp)
        for first in range(0, len(mask), _ROWS_AT_ONCE):
            rows = slice(first, first + _ROWS_AT_ONCE)
            reached = (probes @ self.vectors[rows].T >= cosine - _ROUNDING) & mask[rows]
            counts += np.count_nonzero(reached, axis=1)
            reached[counts > most] = False
            whose, within = np.nonzero(reached)
            places.append((whose, within + first))
        whose, near = (np.concatenate(parts) for parts in zip(*places, strict=True)) if places else _NO_PLACES
        exact = self.exact(near, probes, whose)
        found: list[Sequence[Candidate] | None] = []
        for number, count in enumerate(counts.tolist()):
            people = self.people(near[whose == number], exact[whose == number]) if count <= most else None
            found.append(None if people is None else [one for one in people if one.cosine >= cosine])
        return found

    def vector(self, face: FaceId) -> Vector | None:
        """Return the embedding of a face, or the mean of a person's faces; None where the gallery does not have it."""
        row = self._places().rows.get(face)
        return None if row is None else self.vectors[row]

    def _places(self) -> Places:
        if not self.places:
            rows = len(self.vectors)
            self.places.append(Places.of(self.owners[:rows], self.numbers[:rows]))
        return self.places[0]

    def _best_of_block(
        self, probes: Vectors, scope: Scope, mask: Mask, most: int, floors: NDArray[np.float64]
    ) -> Iterator[Sequence[Candidate]]:
        cosines = np.where(mask, probes @ self.vectors.T, np.float32(-np.inf))
        lowest = np.partition(cosines, -most, axis=1)[:, -most] if cosines.shape[1] > most else np.float32(-np.inf)
        # -2 is below every cosine and above the mark of a row outside the scope.
        cut = np.maximum(np.minimum(lowest, floors) - _ROUNDING, -2.0).astype(np.float32)
        whose, rows = np.nonzero(cosines >= cut[:, np.newaxis])
        exact = self.exact(rows, probes, whose)
        ends = np.searchsorted(whose, np.arange(len(probes) + 1))
        for number, (begin, end) in enumerate(pairwise(ends)):
            people = self.people(rows[begin:end], exact[begin:end])
            if len(people) < most:
                yield self.best(probes[number], scope, most)
            else:
                yield [*people[:most], *(c for c in people[most:] if c.cosine >= floors[number])]

    def _cosines(self, probe: Vector, scope: Scope) -> NDArray[np.float32]:
        """Return the cosine of every row, -inf for a row outside the scope; equal rows may differ by `_ROUNDING`."""
        mask = self._mask(scope)
        if mask is None or not len(mask):
            return np.empty(0, np.float32)
        return np.where(mask, self.vectors @ probe, np.float32(-np.inf))

    def _mask(self, scope: Scope) -> Mask | None:
        """Return the rows of the scope; None where the scope has no rows."""
        people, means = self._people_mask(scope), self.members.get(_MEANS)
        return people if people is None or means is None or scope.means else people & ~means

    def _people_mask(self, scope: Scope) -> Mask | None:
        """Return the rows of the people of the scope, with their means."""
        group = self._group_mask(scope)
        if scope.permission_id is None or group is None:
            return group
        permission = self.members.get(_permission_set(scope.permission_id))
        return None if permission is None else group & permission

    def _group_mask(self, scope: Scope) -> Mask | None:
        if scope.group_id is not None:
            return self.members.get(_group_set(scope.group_id))
        if scope.any_group is None:
            return self.members.get(_EVERYBODY)
        masks = [mask for group_id in scope.any_group if (mask := self.members.get(_group_set(group_id))) is not None]
        return reduce(np.logical_or, masks) if masks else None

    def exact(
        self, rows: NDArray[np.intp], probe: Vector | Vectors, whose: NDArray[np.intp] | None = None
    ) -> NDArray[np.float64]:
        """Return the cosines of rows to a probe, or of each row to a probe of its own: `whose` has its place.

        Computed row by row in double precision: a product of matrices rounds equal rows differently, by their places,
        and then equally near people would not be ordered by their identity_id.
        """
        cosines = np.empty(len(rows), np.float64)
        for first in range(0, len(rows), _EXACT_AT_ONCE):
            some = slice(first, first + _EXACT_AT_ONCE)
            products = self.vectors[rows[some]].astype(np.float64)
            products *= probe if whose is None else probe[whose[some]]
            products.sum(axis=1, out=cosines[some])
        np.clip(cosines, -1.0, 1.0, out=cosines)
        return cosines

    def people(self, rows: NDArray[np.intp], cosines: NDArray[np.float64]) -> list[Candidate]:
        """Return the people of rows, whose exact cosines are given, in the order of the port."""
        found = sorted(
            (-cosine, owner.identity_id, self.numbers[row], row)
            for row, cosine in zip(rows.tolist(), cosines.tolist(), strict=True)
            if (owner := self.owners[row]) is not None
        )
        nearest: dict[str, Candidate] = {}
        for negative, identity_id, number, row in found:
            owner = self.owners[row]
            if owner is not None and identity_id not in nearest:
                nearest[identity_id] = Candidate(owner, number, -negative)
        return list(nearest.values())


@dataclass(frozen=True, slots=True, eq=False)
class ExactSearch:
    """One probe and its cosine to every row of a gallery (engine.gallery.port.Search).

    `cosines`: by row, in single precision; -inf for a row outside the scope.
    """

    gallery: ExactGallery
    probe: Vector
    cosines: NDArray[np.float32]

    def best(self, most: int = 1) -> Sequence[Candidate]:
        """Return the `most` people nearest to the probe, each once; fewer where the scope has fewer people."""
        faces = most
        while True:
            rows = _highest(self.cosines, faces)
            candidates = self._people(rows)
            if len(candidates) >= most or len(rows) < faces or faces >= len(self.cosines):
                return candidates[:most]
            faces *= 4  # several of the nearest faces belong to the same person

    def above(self, cosine: float) -> Sequence[Candidate]:
        """Return every person who has a face with at least that cosine to the probe, each once."""
        people = self._people(np.flatnonzero(self.cosines >= cosine - _ROUNDING))
        return [candidate for candidate in people if candidate.cosine >= cosine]

    def _people(self, rows: NDArray[np.intp]) -> list[Candidate]:
        return self.gallery.people(rows, self.gallery.exact(rows, self.probe))


class ExactIndex:
    """The rows of all faces, of which the galleries are views (engine.gallery.port.FaceIndex)."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._vectors = np.zeros((_FIRST_CAPACITY, dimension), np.float32)
        self._members: dict[str, Mask] = {}
        self._owners: list[PersonRecord | None] = []
        self._numbers: list[int] = []
        self._rows: dict[FaceId, int] = {}
        self._shared_rows = 0  # the number of first rows that a snapshot may share with this index
        self._shared_vectors = 0  # likewise of vectors, which are not copied when something else of a row changes

    def add(self, face: FaceId, vector: Vector, owner: PersonRecord | None) -> None:
        """Add or replace a face; a face without an owner is stored but not searched."""
        known = self._rows.get(face)
        if known is not None and known >= self._shared_vectors:
            self._vectors[known] = vector
            self._own(known, owner)
            return
        if known is not None:
            self.remove(face)
        row = len(self._owners)
        if row == len(self._vectors):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
            self._members = {name: np.concatenate([m, np.zeros_like(m)]) for name, m in self._members.items()}
        self._vectors[row] = vector
        self._owners.append(None)
        self._numbers.append(face[1])
        self._rows[face] = row
        self._own(row, owner)

    def assign(self, face: FaceId, owner: PersonRecord | None) -> None:
        """Assign a face to the present record of its person; None excludes the face from searches."""
        row = self._rows.get(face)
        if row is not None:
            self._copy_if_shared(row)
            self._own(row, owner)

    def remove(self, face: FaceId) -> None:
        """Remove a face from the index; an unknown face is ignored."""
        self.assign(face, None)
        self._rows.pop(face, None)
        dead = len(self._owners) - len(self._rows)
        if dead > _DEAD_ROWS_KEPT and dead > len(self._owners) // 4:
            self._compact()

    def vector(self, face: FaceId) -> Vector | None:
        """Return the embedding of a face, or None for an unknown face."""
        row = self._rows.get(face)
        return None if row is None else self._vectors[row].copy()

    def snapshot(self, version: int) -> ExactGallery:
        """Return a view of the index as it is now; later changes of the index do not affect the view."""
        rows = self._shared_rows = self._shared_vectors = len(self._owners)
        members = {name: mask[:rows] for name, mask in self._members.items()}
        return ExactGallery(version, self._vectors[:rows], members, self._owners, self._numbers)

    def _own(self, row: int, owner: PersonRecord | None) -> None:
        self._owners[row] = owner
        names = _set_names(owner, self._numbers[row]) if owner is not None else frozenset()
        for name in names:
            if name not in self._members:
                self._members[name] = np.zeros(len(self._vectors), np.bool_)
        for name, mask in self._members.items():
            mask[row] = name in names

    def _copy_if_shared(self, row: int) -> None:
        if row < self._shared_rows:
            self._members = {name: mask.copy() for name, mask in self._members.items()}
            self._owners = self._owners.copy()
            self._numbers = self._numbers.copy()
            self._shared_rows = 0

    def _compact(self) -> None:
        kept = np.zeros(len(self._owners), np.bool_)
        kept[list(self._rows.values())] = True
        moved_to = np.cumsum(kept) - 1
        count = int(kept.sum())
        capacity = max(_FIRST_CAPACITY, 2 * count)
        self._vectors = _resized(self._vectors[: len(kept)][kept], capacity)
        self._members = {name: _resized(m[: len(kept)][kept], capacity) for name, m in self._members.items()}
        self._owners = list(compress(self._owners, kept))
        self._numbers = list(compress(self._numbers, kept))
        self._rows = {face: int(moved_to[row]) for face, row in self._rows.items()}
        self._shared_rows = self._shared_vectors = 0


_EVERYBODY, _MEANS = "everybody", "means"


def _group_set(group_id: str) -> str:
    return f"group/{group_id}"


def _permission_set(permission_id: str) -> str:
    return f"permission/{permission_id}"


def _set_names(person: PersonRecord, number: int) -> frozenset[str]:
    """Return the names of the sets of a row: everybody, each group and each permission of its person, and the means."""
    sets = [_EVERYBODY, *map(_group_set, person.group_ids), *map(_permission_set, person.permission_ids)]
    return frozenset([*sets, _MEANS] if number == MEAN_FACE else sets)


def _highest(cosines: NDArray[np.float32], most: int) -> NDArray[np.intp]:
    """Return the rows of the `most` highest cosines, and those within `_ROUNDING` of the lowest; none of -inf."""
    rows: NDArray[np.intp] = np.arange(len(cosines))
    if len(cosines) > most * _BLOCK:
        starts = np.arange(0, len(cosines), _BLOCK)
        maxima = np.maximum.reduceat(cosines, starts)
        blocks = starts[maxima >= np.partition(maxima, -most)[-most] - _ROUNDING]
        rows = (blocks[:, np.newaxis] + np.arange(_BLOCK)).ravel()
        rows = rows[rows < len(cosines)]
    values = cosines[rows]
    if len(values) > most:
        rows = rows[values >= np.partition(values, -most)[-most] - _ROUNDING]
    return rows[np.isfinite(cosines[rows])]


def _resized(array: NDArray[A], capacity: int) -> NDArray[A]:
    resized = np.zeros((capacity, *array.shape[1:]), array.dtype)
    resized[: len(array)] = array
    return resized
