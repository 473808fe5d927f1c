"""The fold of the people topic without embeddings: who is enrolled, with which faces and photos.

The topic is the only store, and this is what it comes to. Records of one person (contract.people.records) have the keys
person/ID and face/ID/N/EMBEDDER. A person's record decides: a face counts only while the person's record names it, so
half of an enrolment is never used.

A record that cannot be read is remembered under its key until a later record of that key replaces it. As long as there
is one, the fold may lack a person, and no decision should be based on it: see `Directory.unreadable`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from types import MappingProxyType
from typing import Protocol

from contract.people.keys import FaceKey, NotReadable, PersonKey, face_key, key_of, parse_key, person_key
from contract.people.records import FaceRecord, PersonRecord, PhotoReference
from contract.people.unreadable import UnreadableRecord, read_face, read_person
from contract.terms import DEFAULT_GROUP
from contract.vectors import Vector


class Entry(Protocol):
    """A record of the people topic, as any log gives it."""

    @property
    def key(self) -> bytes | None:
        """person/ID or face/ID/N/EMBEDDER."""
        ...

    @property
    def value(self) -> bytes | None:
        """The MessagePack record; None deletes the key."""
        ...

    @property
    def offset(self) -> int:
        """Its offset in the topic's only partition."""
        ...

    @property
    def damaged(self) -> bool:
        """Whether the log no longer has what was written there; its key may be lost too."""
        ...


class Directory:
    """Everybody enrolled, as of `version`, the offset behind the last record that was applied.

    `embedder` is the identity of the embedder in use and `dimension` the length of its vectors, where there is one.
    """

    def __init__(self, embedder: str | None = None, dimension: int = 0) -> None:
        self.version = 0
        self._embedder, self._dimension = embedder, dimension
        self._persons: dict[str, PersonRecord] = {}
        self._faces: dict[FaceKey, PhotoReference | None] = {}
        self._faces_of: Counter[str] = Counter()  # embedder -> faces
        self._unreadable: dict[bytes, UnreadableRecord] = {}
        self._order: list[str] = []
        self._ordered = True

    def apply(self, entries: Iterable[Entry]) -> Sequence[UnreadableRecord]:
        """Fold more of the topic, in offset order; returns the records that could not be read.

        A tombstone deletes whatever was known under its key, also what could not be read.
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

    @property
    def unreadable(self) -> Mapping[bytes, UnreadableRecord]:
        """By key, the records that cannot be read and that no later record has replaced: the people they are about are
        missing here, or are as they were before."""
        return MappingProxyType(self._unreadable)

    @property
    def foreign_faces(self) -> int:
        """How many faces another embedder made than the one in use."""
        return self._faces_of.total() - self._faces_of[self._embedder or ""]

    @property
    def faces_count(self) -> int:
        """How many records of faces there are, whichever embedder made them."""
        return len(self._faces)

    def hides(self, identity_id: str) -> bool:
        """Whether a record about this person cannot be read."""
        return any(record.identity_id == identity_id for record in self._unreadable.values())

    def keys_of(self, identity_id: str) -> Sequence[bytes]:
        """Every key of the topic that is about this person, readable or not; reads through everybody's faces."""
        faces = [face_key(*_parts(face)) for face in self._faces if face.identity_id == identity_id]
        hidden = [key for key, record in self._unreadable.items() if record.identity_id == identity_id]
        return sorted({person_key(identity_id), *faces, *hidden})

    def __len__(self) -> int:
        return len(self._persons)

    def person(self, identity_id: str) -> PersonRecord | None:
        """The person of that id."""
        return self._persons.get(identity_id)

    def embedders(self, identity_id: str, number: int) -> tuple[str, ...]:
        """The identities of the embedders that have a record of that face."""
        return tuple(e for e in self._faces_of if FaceKey(identity_id, number, e) in self._faces)

    def photo(self, identity_id: str, number: int) -> PhotoReference | None:
        """The photo that the face was enrolled with."""
        references = (self._faces[FaceKey(identity_id, number, e)] for e in self.embedders(identity_id, number))
        return next((reference for reference in references if reference is not None), None)

    def has_group(self, name: str) -> bool:
        """Whether a group of that name exists."""
        return name == DEFAULT_GROUP

    def page(self, group_name: str | None, skip: int, limit: int) -> Sequence[PersonRecord]:
        """People of a group (None: of all), by identity_id, from number `skip` on."""
        if not self._ordered:
            # An almost sorted list sorts in about one pass, so the order is kept only as far as somebody asks for it.
            known = (i for i in self._order if i in self._persons)
            self._order = sorted(dict.fromkeys(chain(known, self._persons)))
            self._ordered = True
        people = (self._persons[i] for i in self._order)
        if group_name is not None:
            people = (p for p in people if group_name in p.group_names)
        return list(islice(people, skip, skip + limit))

    def _fold(self, entry: Entry) -> None:
        if entry.key is None:
            raise NotReadable("it has no key")
        if entry.value is None:
            with suppress(NotReadable):  # under another key there is nothing of ours
                self._remove(parse_key(entry.key))
            return
        key = parse_key(entry.key)
        if isinstance(key, PersonKey):
            self._put_person(key.identity_id, read_person(key, entry.value))
        else:
            self._put_face(key, *read_face(key, entry.value, self._embedder, self._dimension))

    def _remove(self, key: PersonKey | FaceKey) -> None:
        if isinstance(key, PersonKey):
            self._put_person(key.identity_id, None)
        else:
            self._remove_face(key)

    def _put_person(self, identity_id: str, person: PersonRecord | None) -> None:
        before = self._persons.get(identity_id)
        if person is None:
            self._persons.pop(identity_id, None)
            self._ordered = False
        else:
            self._persons[identity_id] = person
            self._ordered = self._ordered and before is not None

    def _put_face(self, key: FaceKey, record: FaceRecord, vector: Vector) -> None:
        if key not in self._faces:
            self._faces_of[key.embedder] += 1
        self._faces[key] = record.photo

    def _remove_face(self, key: FaceKey) -> None:
        if key in self._faces:
            del self._faces[key]
            self._faces_of[key.embedder] -= 1


def _parts(face: FaceKey) -> tuple[str, int, str]:
    return face.identity_id, face.number, face.embedder
