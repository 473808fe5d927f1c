"""Exact search: every face of the gallery is compared with the probe.

The index grows in place; a `Gallery` is a view of it that stays as it was, because rows it can see are copied before
they are changed. Ties are defined: the higher cosine, then the smaller identity_id.
"""

from dataclasses import dataclass
from itertools import compress

import numpy as np
from numpy.typing import NDArray

from contract.people.records import PersonRecord
from contract.vectors import Vector

FaceId = tuple[str, int]
"""identity_id and face number."""

_FIRST_CAPACITY = 256
_DEAD_ROWS_KEPT = 1024
"""Fewer dead rows than this are not worth moving the others for."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A face of the gallery and its cosine to the probe, -1..1."""

    person: PersonRecord
    number: int
    cosine: float


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """What was enrolled at `version`. `vectors`: rows x dimension float32, unit length; `alive`: rows, bool."""

    version: int
    vectors: NDArray[np.float32]
    alive: NDArray[np.bool_]
    owners: list[PersonRecord | None]
    numbers: list[int]
    size: int
    """How many faces are alive."""

    def best(self, probe: Vector) -> Candidate | None:
        """The face nearest to a unit vector, or None in an empty gallery."""
        if self.size == 0:
            return None
        cosines = np.where(self.alive, self.vectors @ probe, np.float32(-np.inf))
        top = cosines.max()
        candidates = [
            Candidate(owner, self.numbers[row], float(np.clip(top, -1.0, 1.0)))
            for row in np.flatnonzero(cosines == top)
            if (owner := self.owners[row]) is not None
        ]
        return min(candidates, key=lambda c: (c.person.identity_id, c.number))


class FaceIndex:
    """The rows behind the galleries; one thread changes it."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._vectors = np.zeros((_FIRST_CAPACITY, dimension), np.float32)
        self._alive = np.zeros(_FIRST_CAPACITY, np.bool_)
        self._owners: list[PersonRecord | None] = []
        self._numbers: list[int] = []
        self._rows: dict[FaceId, int] = {}
        self._seen = 0  # rows that a snapshot may be looking at

    def add(self, face: FaceId, vector: Vector, owner: PersonRecord | None) -> None:
        """A new face; without an owner it is kept but not searched."""
        row = len(self._owners)
        if row == len(self._alive):
            self._vectors = np.concatenate([self._vectors, np.zeros_like(self._vectors)])
            self._alive = np.concatenate([self._alive, np.zeros_like(self._alive)])
        self._vectors[row] = vector
        self._alive[row] = owner is not None
        self._owners.append(owner)
        self._numbers.append(face[1])
        self._rows[face] = row

    def assign(self, face: FaceId, owner: PersonRecord | None) -> None:
        """Give the face to a person's present record, or (None) take it out of the search."""
        row = self._rows.get(face)
        if row is not None:
            self._own_rows(row)
            self._owners[row] = owner
            self._alive[row] = owner is not None

    def remove(self, face: FaceId) -> None:
        """Forget the face, if it is there."""
        self.assign(face, None)
        self._rows.pop(face, None)
        dead = len(self._owners) - len(self._rows)
        if dead > _DEAD_ROWS_KEPT and dead > len(self._owners) // 4:
            self._compact()

    def numbers(self, identity_id: str) -> list[int]:
        """The numbers of the faces that are kept of this person, searched or not; looks at every face."""
        return [number for owner, number in self._rows if owner == identity_id]

    def vector(self, face: FaceId) -> Vector | None:
        """The face's embedding."""
        row = self._rows.get(face)
        return None if row is None else self._vectors[row].copy()

    def snapshot(self, version: int) -> Gallery:
        """The gallery as it is now."""
        rows = self._seen = len(self._owners)
        alive = self._alive[:rows]
        return Gallery(version, self._vectors[:rows], alive, self._owners, self._numbers, int(alive.sum()))

    def _own_rows(self, row: int) -> None:
        if row < self._seen:
            self._alive = self._alive.copy()
            self._owners = self._owners.copy()
            self._numbers = self._numbers.copy()
            self._seen = 0

    def _compact(self) -> None:
        kept = np.zeros(len(self._owners), np.bool_)
        kept[list(self._rows.values())] = True
        moved_to = np.cumsum(kept) - 1
        count = int(kept.sum())
        capacity = max(_FIRST_CAPACITY, 2 * count)
        vectors = np.zeros((capacity, self.dimension), np.float32)
        vectors[:count] = self._vectors[: len(kept)][kept]
        alive = np.zeros(capacity, np.bool_)
        alive[:count] = self._alive[: len(kept)][kept]
        self._vectors, self._alive = vectors, alive
        self._owners = list(compress(self._owners, kept))
        self._numbers = list(compress(self._numbers, kept))
        self._rows = {face: int(moved_to[row]) for face, row in self._rows.items()}
        self._seen = 0
