"""The people of then, and the people of then with one record changed."""

from collections.abc import Iterable
from dataclasses import dataclass

from msgspec import structs

from contract.codec import encode
from contract.people.directory import Entry
from contract.people.keys import person_key, site_key
from contract.people.records import PersonRecord
from contract.people.site import SiteRecord, site_key_of
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

    def with_person(self, person: PersonRecord) -> Snapshot:
        """Return the gallery and the site in which a person has another record, with the same faces."""
        before = self._people.person(person.identity_id)
        return self._with(person_key(person.identity_id), _record(person), _record(before))

    def with_site(self, record: SiteRecord) -> Snapshot:
        """Return the gallery and the site with a group, permission, device or setting added or replaced."""
        key = site_key_of(record)
        site = self._people.site
        same_kind = {"group": site.groups, "permission": site.permissions, "device": site.devices}.get(key.kind, {})
        before = same_kind.get(key.id)
        return self._with(site_key(key), encode(record), None if before is None else encode(before))

    def _with(self, key: bytes, value: bytes | None, before: bytes | None) -> Snapshot:
        self._people.apply([_Changed(key, value, self._people.version)])
        changed = self._people.snapshot()
        self._people.apply([_Changed(key, before, self._people.version)])
        return changed


def _record(person: PersonRecord | None) -> bytes | None:
    return None if person is None else encode(structs.replace(person, stored_at=None))
