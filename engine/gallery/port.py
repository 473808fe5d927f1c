"""The search port: what a decision asks of a gallery, whatever index is behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from contract.people.records import PersonRecord
from contract.terms import DEFAULT_GROUP
from contract.vectors import Vector

FaceId = tuple[str, int]
"""identity_id and face number."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose faces a search compares: the people of a group. Resolved once per request (engine.gallery.scope)."""

    group_name: str = DEFAULT_GROUP


@dataclass(frozen=True, slots=True)
class Candidate:
    """A person of the gallery, the number of that person's face nearest to the probe, and its cosine, -1..1."""

    person: PersonRecord
    number: int
    cosine: float


class Gallery(Protocol):
    """The faces enrolled at one version of the people topic. A value: later changes do not touch it, and any thread may
    search it. Candidates are ordered: the higher cosine first, then the smaller identity_id."""

    @property
    def version(self) -> int:
        """The offset of the people topic behind the last record that is in the gallery."""
        ...

    def count(self, scope: Scope) -> int:
        """How many faces a search in that scope compares."""
        ...

    def best(self, probe: Vector, scope: Scope, most: int = 1) -> Sequence[Candidate]:
        """The `most` people nearest to a unit vector, each once; fewer where there are not so many."""
        ...

    def above(self, probe: Vector, scope: Scope, cosine: float) -> Sequence[Candidate]:
        """Every person with a face at least that near to a unit vector, each once."""
        ...


class FaceIndex(Protocol):
    """What the fold of the people keeps the embeddings in; one thread changes it."""

    def add(self, face: FaceId, vector: Vector, owner: PersonRecord | None) -> None:
        """Add a face; without an owner it is kept but not searched."""
        ...

    def assign(self, face: FaceId, owner: PersonRecord | None) -> None:
        """Give the face to a person's present record, or (None) take it out of the search."""
        ...

    def remove(self, face: FaceId) -> None:
        """Forget the face, if it is there."""
        ...

    def vector(self, face: FaceId) -> Vector | None:
        """The face's embedding."""
        ...

    def snapshot(self, version: int) -> Gallery:
        """The gallery as it is now."""
        ...
