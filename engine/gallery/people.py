"""The fold of the people topic: who is enrolled, and the gallery that their faces make.

The topic is the only store; this is what it comes to. Records of one person (engine.messages: PersonRecord,
FaceRecord, PhotoRecord) stand under the keys person/ID, face/ID/N and photo/ID/N. A person's record decides: a face
counts only while the person's record names it, so half of an enrolment is never searched.
"""

from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Protocol

import msgspec
import numpy as np

from engine.gallery.index import FaceIndex, Gallery
from engine.messages import FaceRecord, PersonRecord
from engine.terms import DEFAULT_GROUP
from engine.vision.ports import Vector

_person_decoder = msgspec.msgpack.Decoder(PersonRecord)
_face_decoder = msgspec.msgpack.Decoder(FaceRecord)


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
        self._index = FaceIndex(dimension)
        self._order: list[str] = []
        self._ordered = True
        self._snapshot: Gallery | None = None

    def apply(self, entries: Iterable[Entry]) -> None:
        """Fold more of the topic, in offset order.

        Raises:
            msgspec.DecodeError: a record is none of the people topic's.
        """
        for entry in entries:
            self._fold((entry.key or b"").decode(), entry.value, entry.offset)
            self.version = entry.offset + 1
        self._snapshot = None

    def _fold(self, key: str, value: bytes | None, offset: int) -> None:
        kind, _, name = key.partition("/")
        if kind == "person":
            self._fold_person(name, None if value is None else _person_decoder.decode(value))
        elif kind == "face":
            self._fold_face(_numbered(name), None if value is None else _face_decoder.decode(value))
        elif kind == "photo" and value is None:
            self._photos.pop(_numbered(name), None)
        elif kind == "photo":
            self._photos[_numbered(name)] = offset

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

    def _fold_face(self, face: tuple[str, int], record: FaceRecord | None) -> None:
        if self._model is None:
            return
        self._index.remove(face)
        self._foreign.discard(face)
        if record is not None:
            vector = np.frombuffer(record.vector, dtype="<f4")
            if record.model == self._model and vector.shape == (self._index.dimension,):
                person = self._persons.get(face[0])
                self._index.add(face, vector, person if person and face[1] in person.faces else None)
            else:
                self._foreign.add(face)
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


def _numbered(name: str) -> tuple[str, int]:
    identity_id, _, number = name.rpartition("/")
    return identity_id, int(number)
