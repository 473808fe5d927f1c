"""Which enrolled faces an embedder has a record of, and whom a search with that embedder cannot find. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from contract.people.directory import Directory
from contract.people.records import PhotoReference


@dataclass(frozen=True, slots=True)
class EnrolledFace:
    """The face `number` of a person. `photo`: the reference to its photo; None: it was enrolled by a feature alone."""

    identity_id: str
    number: int
    photo: PhotoReference | None


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
