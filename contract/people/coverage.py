"""Which enrolled faces an embedder has templates of, and whom a search with that embedder cannot find. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from contract.people.directory import Directory
from contract.people.keys import FaceKey
from contract.people.records import COVERED_FACE, FaceRecord, PhotoReference
from contract.vectors import Vector


@dataclass(frozen=True, slots=True)
class EnrolledFace:
    """The face `number` of a person. `photo`: the reference to its photo; None: it was enrolled by a feature alone."""

    identity_id: str
    number: int
    photo: PhotoReference | None


class CoverDirectory(Directory):
    """The fold of the people topic that also knows which faces have templates of covered faces, by any embedder."""

    def __init__(self) -> None:
        super().__init__()
        self._covered: set[FaceKey] = set()

    def has_covers(self, identity_id: str, number: int, embedder: str) -> bool:
        """Return whether a face has a template of a covered face by an embedder."""
        return FaceKey(identity_id, number, embedder) in self._covered

    def _put_face(self, key: FaceKey, record: FaceRecord, vector: Vector) -> None:
        super()._put_face(key, record, vector)
        if any(kind in record.templates for kind in COVERED_FACE.values()):
            self._covered.add(key)
        else:
            self._covered.discard(key)

    def _remove_face(self, key: FaceKey) -> None:
        super()._remove_face(key)
        self._covered.discard(key)


def faces_without_covers(people: CoverDirectory, embedder: str) -> Iterator[EnrolledFace]:
    """Yield the enrolled faces that have a photo and a record of an embedder without a template of a covered face.

    They come in no order.
    """
    for person in people.everybody():
        for number in person.faces:
            photo = people.photo(person.identity_id, number)
            has_record = embedder in people.embedders(person.identity_id, number)
            if photo is not None and has_record and not people.has_covers(person.identity_id, number, embedder):
                yield EnrolledFace(person.identity_id, number, photo)


def faces_without(people: Directory, embedder: str) -> Iterator[EnrolledFace]:
    """Yield the enrolled faces that have no record of an embedder, which `embedder` identifies, in no order."""
    for person in people.everybody():
        for number in person.faces:
            if embedder not in people.embedders(person.identity_id, number):
                yield EnrolledFace(person.identity_id, number, people.photo(person.identity_id, number))


def faces_with_others(people: Directory, embedder: str) -> Iterator[EnrolledFace]:
    """Yield the enrolled faces that have a record of an embedder and records of others beside it, in no order."""
    for person in people.everybody():
        for number in person.faces:
            present = people.embedders(person.identity_id, number)
            if embedder in present and len(present) > 1:
                yield EnrolledFace(person.identity_id, number, people.photo(person.identity_id, number))


def people_without(people: Directory, embedder: str) -> list[str]:
    """Return the ids, in order, of the people who have faces and none with a record of an embedder.

    A search with this embedder cannot find them.
    """
    return sorted(
        person.identity_id
        for person in people.everybody()
        if person.faces and not any(embedder in people.embedders(person.identity_id, n) for n in person.faces)
    )
