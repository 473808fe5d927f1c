"""The templates of covered faces in memory: with them, the nearest people of a search are compared once more.

They are no index of their own. A search compares them only with people who are near enough by the templates of whole
faces (engine.covered_search), so no scope is kept here, and a face without such templates costs nothing. The numbers
have half precision, which moves a cosine by less than .0005 and halves the memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from contract.people.records import COVERED_FACE
from contract.terms import COVERS, Cover
from contract.vectors import Vector
from engine.gallery.cosine import deciding_cosines
from engine.gallery.port import Candidate, FaceId

_FIRST_CAPACITY = 256
_DEAD_ROWS_KEPT = 1024
"""The most rows of removed faces that are kept; moving the other rows for so few is not worth the time."""

_NO_ROWS: NDArray[np.float16] = np.zeros((0, len(COVERS), 0), np.float16)


@dataclass(frozen=True, slots=True, eq=False)
class CoveredTemplates:
    """The templates of covered faces at one gallery version: a value that never changes.

    `vectors`: rows x covers (in the order of `COVERS`) x dimension, half precision; zeros where a face has no template
    of a cover. `rows`: the row of each face; a row beyond the vectors belongs to a later version.
    """

    vectors: NDArray[np.float16] = field(default_factory=lambda: _NO_ROWS)
    rows: Mapping[FaceId, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Return whether any face has a template."""
        return len(self.vectors) > 0

    def compacted(self) -> "CoveredTemplates":
        """Return the same without the rows of removed faces and of later versions."""
        kept = [(face, row) for face, row in list(self.rows.items()) if row < len(self.vectors)]
        vectors = self.vectors[[row for _, row in kept]]
        return CoveredTemplates(vectors, {face: number for number, (face, _) in enumerate(kept)})

    def nearest(
        self, cover: Cover, probe: Vector, people: Sequence[Candidate], least: float = -1.0
    ) -> Sequence[Candidate]:
        """Return the people who have templates of faces with that cover, with the cosine of the nearest of these.

        This takes time in proportion to the number of `people`, however many have templates. The order is that of the
        search port.

        Args:
            cover: the cover of the templates.
            probe: a unit vector.
            people: each person once.
            least: the cosine that the nearest template must reach, or nobody is returned; no list is then made.
        """
        if not self:
            return ()
        rows, end = self.rows, len(self.vectors)
        compared = [
            (candidate.person, number, row)
            for candidate in people
            for number in candidate.person.faces
            if (row := rows.get((candidate.person.identity_id, number), end)) < end
        ]
        chosen = self.vectors[[row for _, _, row in compared], COVERS.index(cover)]
        # A template has unit length: zeros are the mark of a face without one.
        there = np.asarray(chosen.view(np.uint16).any(axis=1))
        cosines = deciding_cosines(chosen, probe)
        if cosines.max(initial=-np.inf, where=there) < least:
            return ()
        found = sorted(
            (-cosine, person.identity_id, number, place)
            for place, ((person, number, _), cosine, has) in enumerate(
                zip(compared, cosines.tolist(), there.tolist(), strict=True)
            )
            if has
        )
        nearest: dict[str, Candidate] = {}
        for negative, identity_id, number, place in found:
            if identity_id not in nearest:
                nearest[identity_id] = Candidate(compared[place][0], number, -negative)
        return list(nearest.values())


class CoveredIndex:
    """The templates of covered faces of the fold of the people topic; only one thread may change it."""

    def __init__(self, dimension: int) -> None:
        self._vectors: NDArray[np.float16] = np.zeros((0, len(COVERS), dimension), np.float16)
        self._rows: dict[FaceId, int] = {}
        self._used = 0
        self._is_shared = False  # whether a snapshot may have the mapping of rows

    def fill(self, stored: CoveredTemplates) -> None:
        """Make an empty index the same as the one that had these templates; each row must belong to a face."""
        if not stored:
            return
        self._vectors, self._rows, self._used = stored.vectors, dict(stored.rows), len(stored.vectors)

    def put(self, face: FaceId, templates: Mapping[str, bytes]) -> None:
        """Set the templates of a face: kind of template -> embedding, as contract.people.records.FaceRecord has it."""
        self.remove(face)
        if not any(COVERED_FACE[cover] in templates for cover in COVERS):
            return
        if self._used == len(self._vectors):
            more = np.zeros((max(_FIRST_CAPACITY, self._used // 4), *self._vectors.shape[1:]), np.float16)
            self._vectors = np.concatenate([self._vectors, more])
        for place, cover in enumerate(COVERS):
            template = templates.get(COVERED_FACE[cover])
            if template is not None:
                self._vectors[self._used, place] = np.frombuffer(template, "<f4")
        self._rows[face] = self._used
        self._used += 1

    def remove(self, face: FaceId) -> None:
        """Remove the templates of a face; an unknown face is ignored."""
        if face not in self._rows:
            return
        if self._is_shared:
            self._rows, self._is_shared = self._rows.copy(), False
        del self._rows[face]
        dead = self._used - len(self._rows)
        if dead > _DEAD_ROWS_KEPT and dead > self._used // 4:
            self._compact()

    def __contains__(self, face: FaceId) -> bool:
        """Return whether a face has templates."""
        return face in self._rows

    def snapshot(self) -> CoveredTemplates:
        """Return the templates as they are now; later changes do not affect them."""
        self._is_shared = True
        return CoveredTemplates(self._vectors[: self._used], self._rows)

    def _compact(self) -> None:
        kept = list(self._rows.values())
        self._vectors = self._vectors[kept]
        self._rows, self._is_shared = {face: row for row, face in enumerate(self._rows)}, False
        self._used = len(kept)
