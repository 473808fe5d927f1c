"""The search port: the interface between decisions and any index that searches the gallery."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contract.evidence import EvidenceCandidate
from contract.people.held import HeldPerson
from contract.people.records import PersonRecord
from contract.terms import DEFAULT_GROUP
from contract.vectors import Vector, Vectors
from engine.gallery.packed import Packed

FaceId = tuple[str, int]
"""The identity_id of a person and the number of one of the person's faces."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The people whose faces a search compares: those who are in a group and have a permission, both by id.

    `group_id` None: people who are in one of `any_group`; where that is None too, everybody. `permission_id` None:
    people with any permissions. `means`: the mean of each person's faces is compared beside the faces
    (engine.gallery.templates). A scope is resolved once per request (engine.gallery.scope).
    """

    group_id: str | None = DEFAULT_GROUP
    permission_id: str | None = None
    any_group: frozenset[str] | None = None
    means: bool = False

    def has_group(self, person: PersonRecord) -> bool:
        """Return whether the person is in the group, or in one of the groups, of this scope."""
        if self.group_id is not None:
            return self.group_id in person.group_ids
        return self.any_group is None or not self.any_group.isdisjoint(person.group_ids)

    def has_permission(self, person: PersonRecord) -> bool:
        """Return whether the person has the permission of this scope."""
        return self.permission_id is None or self.permission_id in person.permission_ids


EVERYBODY = Scope(group_id=None)
"""The scope of all enrolled people, without the means of their faces."""


def everybody(*, means: bool) -> Scope:
    """Return the scope of all enrolled people, with or without the means of their faces."""
    return replace(EVERYBODY, means=means)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person of the gallery, the number of the person's face nearest to the probe, and its cosine, -1..1.

    The number is MEAN_FACE where the mean of the person's faces is nearest, or as near as the nearest face.
    """

    person: PersonRecord
    number: int
    cosine: float


class IndexUnavailable(Exception):
    """An index cannot be used here; the message is one sentence for the operator."""


@dataclass(frozen=True, slots=True)
class IndexUsed:
    """How an index searched that compares only candidates exactly; its cosines are exact all the same.

    `complete_to`: everybody with at least this cosine was found, but for a chance of at most `miss` for each template.
    Further people below it may be missing, so that the nearest of those below it is an estimate. `cut`: every template
    whose estimated cosine was at least this one was compared exactly; None: the index estimates none. `candidates`: the
    number of templates of the scope that were compared exactly.
    """

    index: str
    complete_to: float
    cut: float | None
    candidates: int
    miss: float


class Search(Protocol):
    """One probe that was compared once with every face of a scope: its questions compare the whole gallery no more.

    Candidates have the order of the gallery's own. A search keeps one cosine per face of its gallery, so a caller drops
    it with the decision.
    """

    @property
    def used(self) -> IndexUsed | None:
        """How the questions until now were answered; None: every face of the scope was compared."""
        ...

    def best(self, most: int = 1) -> Sequence[Candidate]:
        """Return what `Gallery.best` returns."""
        ...

    def above(self, cosine: float) -> Sequence[Candidate]:
        """Return what `Gallery.above` returns; below the floor of the search, the gallery is searched once more."""
        ...


class Gallery(Protocol):
    """The faces enrolled at one version of the people topic: a value that never changes and that any thread may search.

    Candidates are ordered by falling cosine, then by rising identity_id. `floor`: the caller needs everybody with at
    least this cosine, and below it only somebody near; -1: everybody. Every index returns at least as many people as a
    comparison of all faces, and those at or above the floor are the same ones, with the same bits of their cosines
    (`IndexUsed` has the chance of the contrary).
    """

    @property
    def version(self) -> int:
        """The offset in the people topic behind the last record that the gallery contains."""
        ...

    def count(self, scope: Scope) -> int:
        """Return the number of templates that a search in that scope compares: faces, and means if it has them."""
        ...

    def search(self, probe: Vector, scope: Scope, floor: float = -1.0) -> Search:
        """Search for a unit vector in a scope once, for a caller that has several questions."""
        ...

    def best(self, probe: Vector, scope: Scope, most: int = 1, floor: float = -1.0) -> Sequence[Candidate]:
        """Return the `most` people nearest to a unit vector, each once; fewer where the scope has fewer people."""
        ...

    def best_of_each(
        self, probes: Vectors, scope: Scope, most: int = 1, down_to: Sequence[float] | None = None
    ) -> Sequence[Sequence[Candidate]]:
        """Return, for each probe, what `best` returns, and with `down_to` everybody whom `above` returns as well.

        `down_to`: one cosine for each probe. Many probes at once take much less time than one after the other.
        """
        ...

    def confirm_each(
        self,
        probes: Vectors,
        scope: Scope,
        rankings: Sequence[Sequence[EvidenceCandidate]],
        most: int,
        within: float,
    ) -> Sequence[Candidate | None]:
        """Return for each probe its first recorded candidate, if `best` gives the recorded ranking; else None.

        `rankings`: what `best` returned for each probe and `most`, at least one candidate. `within`: by how much the
        cosines may differ because the probes have lost precision since (engine.gallery.confirming). None does not
        mean that the ranking is wrong: the caller ranks everybody again.
        """
        ...

    def above(self, probe: Vector, scope: Scope, cosine: float) -> Sequence[Candidate]:
        """Return every person who has a face with at least that cosine to a unit vector, each once."""
        ...

    def above_each(
        self, probes: Vectors, scope: Scope, cosine: float, most: int
    ) -> Sequence[Sequence[Candidate] | None]:
        """Return, for each probe, what `above` returns; None: more than `most` faces have about that cosine or more.

        For many probes this takes much less time than one by one, and memory grows with `most`, not with the faces.
        """
        ...

    def vector(self, face: FaceId) -> Vector | None:
        """Return the embedding of a face, or the mean of a person's faces; None where the gallery does not have it."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class StoredRows:
    """The rows of an index: the id of each row's person, the number of its face, whether it is searched, its vector.

    `blocks`: the vectors, read once, by any thread. Each block but the last has as many rows as
    engine.gallery.rows.CHUNK.
    """

    ids: Sequence[str]
    numbers: NDArray[np.int32]
    searched: NDArray[np.bool_]
    blocks: Iterable[Packed]


class FaceIndex(Protocol):
    """The index in which the fold of the people topic stores embeddings; only one thread may change it.

    The owner of a face is its person in the form in which the fold keeps everybody, so that both have one object. A row
    with the face number MEAN_FACE is compared only in scopes with `means`.
    """

    def add(self, face: FaceId, vector: Vector, owner: HeldPerson | None) -> None:
        """Add or replace a face; a face without an owner is stored but not searched."""
        ...

    def assign(self, face: FaceId, owner: HeldPerson | None) -> None:
        """Assign a face to the present record of its person; None excludes the face from searches."""
        ...

    def remove(self, face: FaceId) -> None:
        """Remove a face from the index; an unknown face is ignored."""
        ...

    def vector(self, face: FaceId) -> Vector | None:
        """Return the embedding of a face, or None for an unknown face."""
        ...

    def snapshot(self, version: int) -> Gallery:
        """Return the gallery as it is now."""
        ...

    def stored(self) -> Callable[[], StoredRows]:
        """Return what computes the rows as they are now, for any thread; later changes do not affect them."""
        ...

    def fill(self, stored: StoredRows, owners: Sequence[HeldPerson | None]) -> None:
        """Make an empty index one with these rows; `owners`: the person of each row, None: it is not searched."""
        ...

    def renewed(self) -> bool:
        """Return whether a snapshot would search in another way than the last one, though no face has changed."""
        ...
