"""The fold of the people topic: who is enrolled, and the gallery that their faces make.

The topic is the only store; this is what it comes to. Records of one person (contract.messages: PersonRecord,
FaceRecord, PhotoRecord) stand under the keys person/ID, face/ID/N and photo/ID/N. A person's record decides: a face
counts only while the person's record names it, so half of an enrolment is never searched.

A record that cannot be read is remembered under its key until a later record of that key replaces it. As long as there
is one, the fold may miss somebody, and nobody should decide by it: see `People.unreadable`.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import chain, islice
from types import MappingProxyType
from typing import Protocol

from contract.messages import PersonRecord
from contract.people.unreadable import (
    NotReadable,
    PeopleKey,
    UnreadableRecord,
    key_of,
    parse_key,
    read_face,
    read_person,
)
from contract.terms import DEFAULT_GROUP
from contract.vectors import Vector
from engine.gallery.index import FaceIndex, Gallery


class Entry(Protocol):
    """A record of the people topic, as any log gives it."""

    @property
    def key(self) -> bytes | None:
        """person/ID, face/ID/N or photo/ID/N."""
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
        """Whether the log no longer holds what was written there; its key may be lost too."""
        ...


def person_key(identity_id: str) -> bytes:
    """Key of a person's record."""
    return f"person/{identity_id}".encode()


def face_key(identity_id: str, number: int) -> bytes:
    """Key of a person's Nth face."""
    return f"face/{identity_id}/{number}".encode()


def photo_key(identity_id: str, number: int) -> bytes:
    """Key of the photo that the Nth face was taken from."""
    return f"photo/{identity_id}/{number}".encode()


class People:
    """Everybody enrolled, as of `version`. One thread applies and asks; `gallery()` may be searched by any.

    `model` is the identity of the embedder in use: faces embedded by another one are kept and counted in
    `foreign_faces`, but not searched, since their vectors mean something else. None: whoever asks searches nobody, and
    no face is kept.
    """

    def __init__(self, dimension: int, model: str | None) -> None:
        self.version = 0
        self.foreign_faces = 0
        self._model = model
        self._persons: dict[str, PersonRecord] = {}
        self._photos: dict[tuple[str, int], int] = {}
        self._foreign: set[tuple[str, int]] = set()
        self._unreadable: dict[bytes, UnreadableRecord] = {}
        self._index = FaceIndex(dimension)
        self._order: list[str] = []
        self._ordered = True
        self._snapshot: Gallery | None = None

    def apply(self, entries: Iterable[Entry]) -> Sequence[UnreadableRecord]:
        """Fold more of the topic, in offset order; returns what of it could not be read.

        A tombstone deletes whatever stood under its key, also what could not be read.
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
        self._snapshot = None
        return found

    @property
    def unreadable(self) -> Mapping[bytes, UnreadableRecord]:
        """By key, the records that cannot be read and that no later record has replaced: the people they are about are
        missing here, or are as they were before."""
        return MappingProxyType(self._unreadable)

    def hides(self, identity_id: str) -> bool:
        """Whether a record about this person cannot be read."""
        return any(record.identity_id == identity_id for record in self._unreadable.values())

    def keys_of(self, identity_id: str) -> Sequence[bytes]:
        """Every key that stands in the topic for this person, readable or not; looks at everybody's."""
        faces = {*self._index.numbers(identity_id), *(n for i, n in self._foreign if i == identity_id)}
        photos = [n for i, n in self._photos if i == identity_id]
        known = [person_key(identity_id), *(face_key(identity_id, n) for n in faces)]
        known += [photo_key(identity_id, n) for n in photos]
        hidden = [key for key, record in self._unreadable.items() if record.identity_id == identity_id]
        return sorted({*known, *hidden})

    def _fold(self, entry: Entry) -> None:
        if entry.key is None:
            raise NotReadable("it has no key")
        if entry.value is None:
            with suppress(NotReadable):  # under another key there is nothing of ours
                self._remove(parse_key(entry.key))
            return
        key = parse_key(entry.key)
        if key.kind == "person":
            self._fold_person(key.identity_id, read_person(key, entry.value))
        elif key.kind == "face":
            self._fold_face(key, entry.value)
        else:
            self._photos[key.identity_id, key.number] = entry.offset

    def _remove(self, key: PeopleKey) -> None:
        if key.kind == "person":
            self._fold_person(key.identity_id, None)
        elif key.kind == "face":
            self._remove_face((key.identity_id, key.number))
        else:
            self._photos.pop((key.identity_id, key.number), None)

    def _fold_person(self, identity_id: str, person: PersonRecord | None) -> None:
        before = self._persons.get(identity_id)
        if person is None:
            self._persons.pop(identity_id, None)
            self._ordered = False
        else:
            self._persons[identity_id] = person
            self._ordered = self._ordered and before is not None
        numbers = {*(before.faces if before else ()), *(person.faces if person else ())}
        for number in numbers:
            self._index.assign((identity_id, number), person if person and number in person.faces else None)

    def _fold_face(self, key: PeopleKey, value: bytes) -> None:
        record, vector = read_face(key, value, self._model, self._index.dimension)
        if self._model is None:
            return
        face = (key.identity_id, key.number)
        self._remove_face(face)
        if record.model == self._model:
            person = self._persons.get(face[0])
            self._index.add(face, vector, person if person and face[1] in person.faces else None)
        else:
            self._foreign.add(face)
        self.foreign_faces = len(self._foreign)

    def _remove_face(self, face: tuple[str, int]) -> None:
        self._index.remove(face)
        self._foreign.discard(face)
        self.foreign_faces = len(self._foreign)

    def __len__(self) -> int:
        return len(self._persons)

    def gallery(self) -> Gallery:
        """What can be searched now: a value that later changes do not touch."""
        if self._snapshot is None:
            self._snapshot = self._index.snapshot(self.version)
        return self._snapshot

    def person(self, identity_id: str) -> PersonRecord | None:
        """The person of that id."""
        return self._persons.get(identity_id)

    def vectors(self, identity_id: str) -> dict[int, Vector]:
        """Face number -> embedding, of the faces that can be searched."""
        person = self._persons.get(identity_id)
        found = ((n, self._index.vector((identity_id, n))) for n in (person.faces if person else ()))
        return {number: vector for number, vector in found if vector is not None}

    def photo_offset(self, identity_id: str, number: int) -> int | None:
        """Where in the people topic (partition 0) the photo of that face stands."""
        return self._photos.get((identity_id, number))

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
