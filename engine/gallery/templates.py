"""The templates of people in one index: the embedding of each face, and the mean of the faces of each person.

The mean of several photos is nearer to a further photo of the person than most single photos are, because what differs
from photo to photo partly cancels out. docs/accuracy.md has the figures.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from contract.people.held import HeldPerson
from contract.people.keys import MEAN_FACE
from contract.vectors import Vector
from engine.gallery.packed import rounded
from engine.gallery.port import FaceId, FaceIndex, Gallery, StoredRows

_LEAST_LENGTH = 1e-5
"""A shorter mean of unit vectors in single precision has the direction of their rounding errors."""


def mean_of(vectors: Sequence[Vector]) -> Vector | None:
    """Return the normalised mean of unit vectors as it is stored; None where they cancel each other out.

    The mean is computed in double precision in the order of the vectors and rounded once (engine.gallery.packed), so
    the same vectors give the same mean.
    """
    total = vectors[0].astype(np.float64)
    for vector in vectors[1:]:
        total += vector
    length = math.sqrt(float(np.sum(total * total)))
    if length < _LEAST_LENGTH * len(vectors):
        return None
    return rounded((total / length).astype(np.float32))


def mean_of_faces(vectors: Mapping[int, Vector]) -> Vector | None:
    """Return the mean of a person's faces, which are given by number; None: fewer than two, or they cancel out."""
    return mean_of([vectors[number] for number in sorted(vectors)]) if len(vectors) > 1 else None


class Templates:
    """The faces of people in an index, and under the number MEAN_FACE the mean of each person's faces there.

    A person has a mean where at least two faces that the person's record names are in the index. Only one thread may
    use it; any thread may search a `gallery()` of it.
    """

    def __init__(self, index: FaceIndex) -> None:
        self._index = index
        self._with_mean: set[str] = set()

    def stored(self) -> Callable[[], StoredRows]:
        """Return what computes the rows of the index, with the means; later changes do not affect them."""
        return self._index.stored()

    def fill(self, stored: StoredRows, owners: Sequence[HeldPerson | None]) -> None:
        """Make empty templates the same as those whose rows are given; `owners`: the person of each searched row."""
        self._index.fill(stored, owners)
        self._with_mean = {stored.ids[row] for row in np.flatnonzero(stored.numbers == MEAN_FACE).tolist()}

    def put_person(self, identity_id: str, before: HeldPerson | None, after: HeldPerson | None) -> None:
        """Assign the faces of a person to another record of the person; None: the person is not enrolled."""
        named_before, named = (() if person is None else person.faces for person in (before, after))
        for number in {*named_before, *named}:
            self._index.assign((identity_id, number), after if number in named else None)
        if after is not None and set(named_before) == set(named):
            self._index.assign((identity_id, MEAN_FACE), after)
        else:
            self._update_mean(identity_id, after)

    def put_face(self, face: FaceId, vector: Vector, person: HeldPerson | None) -> None:
        """Add or replace a face; it is searched where the record of its person, `person`, names it."""
        named = person is not None and face[1] in person.faces
        self._index.add(face, vector, person if named else None)
        if named:
            self._update_mean(face[0], person)

    def remove_face(self, face: FaceId, person: HeldPerson | None) -> None:
        """Remove a face; an unknown face is ignored. `person`: the record of its person."""
        self._index.remove(face)
        if person is not None and face[1] in person.faces:
            self._update_mean(face[0], person)

    def vector(self, face: FaceId) -> Vector | None:
        """Return the embedding of a face, or the mean of a person's faces; None where there is none."""
        return self._index.vector(face)

    def gallery(self, version: int) -> Gallery:
        """Return the gallery as it is now; later changes do not affect it."""
        return self._index.snapshot(version)

    def renewed(self) -> bool:
        """Return whether a gallery would be searched in another way than the last one, though no face has changed."""
        return self._index.renewed()

    def _update_mean(self, identity_id: str, person: HeldPerson | None) -> None:
        """Compute the mean of a person's faces again."""
        mean = None if person is None else self._mean(person)
        if mean is not None:
            self._index.add((identity_id, MEAN_FACE), mean, person)
            self._with_mean.add(identity_id)
        elif identity_id in self._with_mean:
            self._index.remove((identity_id, MEAN_FACE))
            self._with_mean.discard(identity_id)

    def _mean(self, person: HeldPerson) -> Vector | None:
        """Return the mean of those faces of a person that are in the index; None: there are fewer than two."""
        numbers = frozenset(person.faces)
        if len(numbers) < 2:
            return None
        found = {number: self._index.vector((person.identity_id, number)) for number in numbers}
        return mean_of_faces({number: vector for number, vector in found.items() if vector is not None})
