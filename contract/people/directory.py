"""The fold of the people topic without embeddings: the site, and who is enrolled, with which faces and photos.

The people topic is the only store of people; the fold is its contents in memory. The records of one person
(contract.people.records) have the keys person/ID and face/ID/N/EMBEDDER. A face counts only while the record of its
person names the face, so half of an enrolment is never used. The groups, permissions, devices, settings and API keys
are the `site` (contract.people.site).

The fold remembers an unreadable record under its key until a later record of that key replaces it. As long as the fold
remembers one, it may lack a person, and no decision should be based on the fold: see `Directory.unreadable`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Protocol

from msgspec import structs

from contract.people.held import HeldPerson
from contract.people.held_faces import HeldFace, HeldFaces, faces_in, stored_faces_of
from contract.people.keys import (
    FaceKey,
    NotReadable,
    PeopleKey,
    PersonKey,
    SiteKey,
    face_key,
    key_of,
    parse_key,
    person_key,
)
from contract.people.listing import ListedPage, ListedPerson, Listing, PeopleFilter
from contract.people.parts import DirectoryParts
from contract.people.records import FaceRecord, PersonRecord, PhotoReference
from contract.people.site import Site, read_site_record
from contract.people.unreadable import UnreadableRecord, read_face, read_person
from contract.vectors import Vector


class Entry(Protocol):
    """A record of the people topic, as either adapter of the log returns it."""

    @property
    def key(self) -> bytes | None:
        """The key: person/ID or face/ID/N/EMBEDDER."""
        ...

    @property
    def value(self) -> bytes | None:
        """The record as MessagePack; None deletes the key."""
        ...

    @property
    def offset(self) -> int:
        """The record's offset in the topic's only partition."""
        ...

    @property
    def damaged(self) -> bool:
        """Whether the log has lost the record's value, and perhaps also its key."""
        ...


class Directory:
    """Everybody who is enrolled at `version`, which is the offset behind the last record that was applied.

    The records of people are kept in brief (`PersonRecord.stored_at`), and in few bytes (contract.people.held), so a
    record is made whenever somebody asks for it. `embedder` is the identity of the embedder in
    use (or None), `dimension` the length of its vectors (or 0).
    """

    def __init__(self, embedder: str | None = None, dimension: int = 0) -> None:
        self.version = 0
        self.site = Site()
        self._embedder, self._dimension = embedder, dimension
        self._persons: dict[str, HeldPerson] = {}
        self._others: dict[str, HeldFaces] = {}  # records of faces of people who are not enrolled
        self._faces_of: Counter[str] = Counter()  # embedder -> faces; never forgets one, so that each has a number
        self._numbers: dict[str, int] = {}  # embedder -> its number in `HeldFace`
        self._lengths: dict[str, int] = {}  # embedder with faces -> the length of its vectors
        self._foreign: set[tuple[str, int]] = set()  # faces with records of other embedders only; none without embedder
        self._unreadable: dict[bytes, UnreadableRecord] = {}
        self._listing = Listing(self.person)

    def apply(self, entries: Iterable[Entry]) -> Sequence[UnreadableRecord]:
        """Apply the next records of the topic, in offset order; return those that could not be read.

        A tombstone deletes the record of its key, also an unreadable one.
        """
        found: list[UnreadableRecord] = []
        for entry in entries:
            key = key_of(entry.key, entry.offset, damaged=entry.damaged)
            try:
                self._fold(entry)
            except NotReadable as error:
                found.append(UnreadableRecord(entry.offset, key, str(error)))
                if key is not None:
                    self._unreadable[key] = found[-1]
            else:
                self._unreadable.pop(entry.key or b"", None)
            self.version = entry.offset + 1
        return found

    def directory_parts(self) -> DirectoryParts:
        """Return what the directory consists of; later changes do not affect it.

        Raises:
            ValueError: the directory has unreadable records, which the parts cannot contain.
        """
        if self._unreadable:
            raise ValueError("a directory with unreadable records cannot be copied")
        return DirectoryParts(
            self.version,
            self.site,
            list(self._persons.values()),
            list(self._others.values()),
            dict(self._faces_of),
            dict(self._lengths),
        )

    def _fill(self, parts: DirectoryParts) -> None:
        """Make an empty directory the same as the one whose parts are given."""
        if self.version or self._unreadable:
            raise ValueError("only an empty directory can be filled")
        self._persons = {person.identity_id: person for person in parts.persons}
        self._others = {faces.identity_id: faces for faces in parts.others}
        self._listing.fill(parts.persons)
        self._faces_of = Counter(parts.embedders)
        self._numbers = {embedder: number for number, embedder in enumerate(parts.embedders)}
        self._lengths = dict(parts.lengths)
        if any(count for embedder, count in parts.embedders.items() if embedder != self._embedder):
            for identity_id in (*self._persons, *self._others):
                for number in {face.number for face in self._stored(identity_id)}:
                    self._note_foreign(identity_id, number)
        self.site, self.version = parts.site, parts.version

    @property
    def embedder(self) -> str | None:
        """The identity of the embedder in use; None: this process uses none."""
        return self._embedder

    @property
    def dimension(self) -> int:
        """The length of the vectors of the embedder in use; 0: this process uses none."""
        return self._dimension

    @property
    def unreadable(self) -> Mapping[bytes, UnreadableRecord]:
        """The unreadable records that no later record has replaced, by key.

        The people whom these records are about are missing from the directory or have outdated values.
        """
        return MappingProxyType(self._unreadable)

    @property
    def foreign_faces(self) -> int:
        """The number of faces that have records of other embedders and none of the embedder in use."""
        return len(self._foreign)

    @property
    def own_faces(self) -> int:
        """The number of faces that have a record of the embedder in use."""
        return self._faces_of[self._embedder or ""]

    @property
    def faces_count(self) -> int:
        """The number of face records of all embedders."""
        return self._faces_of.total()

    def hides(self, identity_id: str) -> bool:
        """Return whether a record about this person cannot be read."""
        return any(record.identity_id == identity_id for record in self._unreadable.values())

    def keys_of(self, identity_id: str) -> Sequence[bytes]:
        """Return every key of this person, also those of unreadable records."""
        embedders = list(self._numbers)
        faces = [face_key(identity_id, face.number, embedders[face.embedder]) for face in self._stored(identity_id)]
        hidden = [key for key, record in self._unreadable.items() if record.identity_id == identity_id]
        return sorted({person_key(identity_id), *faces, *hidden})

    def __len__(self) -> int:
        return len(self._persons)

    def person(self, identity_id: str) -> PersonRecord | None:
        """Return the record of the person with that id, or None."""
        held = self._persons.get(identity_id)
        return None if held is None else held.record()

    def everybody(self) -> Iterator[ListedPerson]:
        """Yield every person, in no particular order; no record is made, since that takes long for many people."""
        yield from self._persons.values()

    def embedders(self, identity_id: str, number: int) -> tuple[str, ...]:
        """Return the identities of the embedders by which that face has a record."""
        embedders = list(self._numbers)
        return tuple(embedders[face.embedder] for face in self._stored(identity_id) if face.number == number)

    def embedding_length(self, embedder: str) -> int | None:
        """Return the length of the vectors of an embedder, by its identity; None: no face has a record of it."""
        return self._lengths.get(embedder)

    def photo(self, identity_id: str, number: int) -> PhotoReference | None:
        """Return the reference to the photo with which the face was enrolled, or None."""
        photos = (face.photo for face in self._stored(identity_id) if face.number == number)
        return next((photo for photo in photos if photo is not None), None)

    def members(self, group_id: str) -> int:
        """Return the number of people in a group."""
        return self._listing.members(group_id)

    def page(self, wanted: PeopleFilter, skip: int, limit: int) -> ListedPage:
        """Return at most `limit` of the wanted people, sorted by identity_id, without the first `skip`."""
        return self._listing.page(wanted, skip, limit)

    def _fold(self, entry: Entry) -> None:
        if entry.key is None:
            raise NotReadable("it has no key")
        if entry.value is None:
            with suppress(NotReadable):  # a key that is of no known kind has nothing to remove
                self._remove(parse_key(entry.key))
            return
        key = parse_key(entry.key)
        if isinstance(key, PersonKey):
            self._put_person(key.identity_id, read_person(key, entry.value).brief(entry.offset))
        elif isinstance(key, SiteKey):
            self.site = self.site.put(read_site_record(key, entry.value))
        else:
            self._put_face(key, *read_face(key, entry.value, self._embedder, self._dimension))

    def _remove(self, key: PeopleKey) -> None:
        if isinstance(key, PersonKey):
            self._put_person(key.identity_id, None)
        elif isinstance(key, SiteKey):
            self.site = self.site.without(key)
        else:
            self._remove_face(key)

    def _put_person(self, identity_id: str, person: PersonRecord | None) -> None:
        before, other = self._persons.get(identity_id), self._others.pop(identity_id, None)
        known = before or other
        stored_faces = b"" if known is None else known.stored_faces
        if known is not None:
            identity_id = known.identity_id  # the object that the other tables have, so that there is only one
        if person is not None:
            after = HeldPerson.of(person, identity_id, stored_faces)
            self._persons[identity_id] = after
            self._listing.put(identity_id, before, after)
            return
        if stored_faces:
            self._others[identity_id] = HeldFaces(identity_id, stored_faces)
        if before is not None:
            del self._persons[identity_id]
            self._listing.put(identity_id, before, None)

    def _put_face(self, key: FaceKey, record: FaceRecord, vector: Vector) -> None:
        number = self._numbers.setdefault(key.embedder, len(self._numbers))
        before = self._stored(key.identity_id)
        others = [face for face in before if (face.number, face.embedder) != (key.number, number)]
        self._faces_of[key.embedder] += len(others) == len(before)
        self._lengths.setdefault(key.embedder, len(vector))
        self._store(key.identity_id, [*others, HeldFace.of(key.number, number, record.photo)])
        if key.embedder == self._embedder:
            self._foreign.discard((key.identity_id, key.number))
        else:
            self._note_foreign(key.identity_id, key.number)

    def _remove_face(self, key: FaceKey) -> None:
        before, number = self._stored(key.identity_id), self._numbers.get(key.embedder)
        others = [face for face in before if (face.number, face.embedder) != (key.number, number)]
        if len(others) < len(before):
            self._store(key.identity_id, others)
            self._faces_of[key.embedder] -= 1
            if not self._faces_of[key.embedder]:
                del self._lengths[key.embedder]
            self._note_foreign(key.identity_id, key.number)

    def _held(self, identity_id: str) -> HeldPerson | None:
        """Return the person with that id in the form in which everybody is kept, or None."""
        return self._persons.get(identity_id)

    def _one_id(self, identity_id: str) -> str:
        """Return the equal id that the tables have, so that a further table has no copy of it."""
        known = self._persons.get(identity_id) or self._others.get(identity_id)
        return identity_id if known is None else known.identity_id

    def _stored(self, identity_id: str) -> Sequence[HeldFace]:
        """Return the records of the faces of somebody, enrolled or not."""
        known = self._persons.get(identity_id) or self._others.get(identity_id)
        return () if known is None else faces_in(known.stored_faces)

    def _store(self, identity_id: str, faces: Sequence[HeldFace]) -> None:
        stored, person = stored_faces_of(faces), self._persons.get(identity_id)
        if person is not None:
            self._persons[person.identity_id] = structs.replace(person, stored_faces=stored)
        elif stored:
            self._others[identity_id] = HeldFaces(self._one_id(identity_id), stored)
        else:
            self._others.pop(identity_id, None)

    def _note_foreign(self, identity_id: str, number: int) -> None:
        """Note whether the embedder in use lacks a face, of which a record came or went."""
        if self._embedder is None:
            return
        embedders = self.embedders(identity_id, number)
        if embedders and self._embedder not in embedders:
            self._foreign.add((identity_id, number))
        else:
            self._foreign.discard((identity_id, number))
