"""Decodes one record of the people topic, or names the reason why the record cannot be read. Pure.

What an unreadable record contains about a person is unknown. The fold (contract.people.directory) therefore remembers
the record until a later record of the same key replaces it.
"""

import math
from dataclasses import dataclass

import msgspec
import numpy as np
import orjson

from contract.codec import decode_with
from contract.people.keys import FaceKey, NotReadable, PersonKey, parse_key, person_of, printable_key
from contract.people.records import WHOLE_FACE, FaceRecord, PersonRecord
from contract.vectors import Vector

_UNIT_LENGTH_OFF = 1e-2
"""An embedding has unit length, apart from rounding. A vector with a larger error is damaged: the product of a long
vector with the probe would be higher than that of every true match."""

_person_decoder = msgspec.msgpack.Decoder(PersonRecord)
_face_decoder = msgspec.msgpack.Decoder(FaceRecord)


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A record of the people topic (partition 0) that cannot be read.

    `key` is None for a record without a key, which no later record can replace.
    """

    offset: int
    key: bytes | None
    reason: str

    @property
    def identity_id(self) -> str | None:
        """The id of the person whom the record is about; None where the record's key names no person."""
        try:
            return person_of(parse_key(self.key or b""))
        except NotReadable:
            return None

    def __str__(self) -> str:
        key = "no key" if self.key is None else f"key {printable_key(self.key)}"
        return f"partition 0, offset {self.offset}, {key}: {self.reason}"


def read_person(key: PersonKey, value: bytes) -> PersonRecord:
    """Return the person whose record has this key and value.

    Raises:
        NotReadable: the value is not a person's record, is another person's record, or has an info that cannot be
            written as JSON.
    """
    try:
        person = decode_with(_person_decoder, value)
    except msgspec.DecodeError:
        raise NotReadable("the value is not a person's record") from None
    if person.identity_id != key.identity_id:
        raise NotReadable("the value is the record of another person than the key names")
    try:
        orjson.dumps(person.info)
    except TypeError:
        raise NotReadable("the info of the person contains values that JSON cannot represent") from None
    return person


def read_face(key: FaceKey, value: bytes, embedder: str | None, dimension: int) -> tuple[FaceRecord, Vector]:
    """Return the face whose record has this key and value, and the embedding of the whole face, of unit length.

    `embedder` is the identity of the embedder in use, and `dimension` the length of its vectors; the lengths of other
    embedders' vectors are unknown and not checked.

    Raises:
        NotReadable: the value is not a face's record, is another face's record, or has a damaged vector.
    """
    try:
        face = decode_with(_face_decoder, value)
    except msgspec.DecodeError:
        raise NotReadable("the value is not a face's record") from None
    if (face.identity_id, face.number, face.embedder) != (key.identity_id, key.number, key.embedder):
        raise NotReadable("the value is the record of another face than the key names")
    if WHOLE_FACE not in face.templates:
        raise NotReadable("the face has no template of the whole face")
    length = dimension if face.embedder == embedder else None
    vectors = {kind: _vector(data, length) for kind, data in face.templates.items()}
    return face, vectors[WHOLE_FACE]


def _vector(data: bytes, dimension: int | None) -> Vector:
    if not data or len(data) % 4:
        raise NotReadable("the embedding has a wrong number of values")
    vector: Vector = np.frombuffer(data, dtype="<f4")
    if dimension is not None and vector.shape != (dimension,):
        raise NotReadable("the embedding has a wrong number of values")
    wide = vector.astype(np.float64)  # whose squares cannot overflow; every process does this for every face
    if not abs(math.sqrt(float(np.dot(wide, wide))) - 1.0) <= _UNIT_LENGTH_OFF:
        raise NotReadable("the embedding is not of unit length")
    return vector
