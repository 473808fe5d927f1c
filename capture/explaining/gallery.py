"""The people of then, and the people of then with another record of one person."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from msgspec import structs

from contract.codec import encode
from contract.people.directory import Entry
from contract.people.keys import person_key
from contract.people.records import PersonRecord
from engine.gallery.pending import PendingPeople
from engine.gallery.people import People, Snapshot


@dataclass(frozen=True, slots=True)
class _Changed:
    """A record that is only supposed."""

    key: bytes
    value: bytes | None
    offset: int
    damaged: bool = False


class PeopleThen:
    """The people at one gallery version, as decisions of the embedder use them. Only one thread may use it."""

    def __init__(self, dimension: int, embedder: str) -> None:
        self._people = People(dimension, embedder)

    def take(self, records: Iterable[Entry]) -> None:
        """Apply further records of the people topic, in the order of their offsets."""
        self._people.apply(records)

    @property
    def unreadable(self) -> bool:
        """Whether a record could not be read then, so that nobody could be matched."""
        return bool(self._people.unreadable)

    def snapshot(self) -> Snapshot:
        """Return the gallery and the site."""
        return self._people.snapshot()

    def person(self, identity_id: str) -> PersonRecord | None:
        """Return the record of a person, in brief; None: nobody with that id was enrolled."""
        return self._people.person(identity_id)

    def faces_compared(self, identity_id: str) -> int:
        """Return the number of a person's faces that searches compare."""
        return len(self._people.known(identity_id).vectors)

    def pending(self, infos: Mapping[str, Mapping[str, Any] | None]) -> PendingPeople:
        """Return the people as a decision about them needs them. `infos`: the whole info of people, by identity_id."""
        return PendingPeople(self._people, infos)

    def with_person(self, person: PersonRecord) -> Snapshot:
        """Return the gallery and the site in which a person has another record, with the same faces."""
        key, before = person_key(person.identity_id), self._people.person(person.identity_id)
        self._people.apply([_Changed(key, _record(person), self._people.version)])
        changed = self._people.snapshot()
        self._people.apply([_Changed(key, _record(before), self._people.version)])
        return changed


def _record(person: PersonRecord | None) -> bytes | None:
    return None if person is None else encode(structs.replace(person, stored_at=None))
