"""Reading one record of the people topic, or naming the reason why it cannot be read. Pure.

A record that cannot be read leaves a hole: what it contains about a person is not known. The fold keeps the hole until
a later record of the same key fills it (contract.people.directory).
"""

from dataclasses import dataclass

import msgspec
import numpy as np
import orjson

from contract.codec import decode_with
from contract.people.keys import FaceKey, NotReadable, PersonKey, parse_key, printable_key
from contract.people.records import WHOLE_FACE, FaceRecord, PersonRecord
from contract.vectors import Vector

_UNIT_LENGTH_OFF = 1e-2
"""An embedding is of unit length, but for rounding; a vector further off is none, and would beat every true one."""

_person_decoder = msgspec.msgpack.Decoder(PersonRecord)
_face_decoder = msgspec.msgpack.Decoder(FaceRecord)


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A record of the people topic (partition 0) that cannot be read. Without a key no later record replaces it."""

    offset: int
    key: bytes | None
    reason: str

    @property
    def identity_id(self) -> str | None:
        """The person whom the record is about, where its key names one."""
        try:
            return parse_key(self.key or b"").identity_id
        except NotReadable:
            return None

    def __str__(self) -> str:
        key = "no key" if self.key is None else f"key {printable_key(self.key)}"
        return f"partition 0, offset {self.offset}, {key}: {self.reason}"


def read_person(key: PersonKey, value: bytes) -> PersonRecord:
    """The person of a record under that key.

    Raises:
        NotReadable: it is none, another person's, or its info cannot be written as JSON.
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
        raise NotReadable("the info of the person has values that JSON cannot tell") from None
    return person


def read_face(key: FaceKey, value: bytes, embedder: str | None, dimension: int) -> tuple[FaceRecord, Vector]:
    """The face of a record under that key, and the embedding of the whole face, which is of unit length.

    The length of a vector is known of the embedder in use only: `embedder` (its identity) and `dimension`.

    Raises:
        NotReadable: it is none, another's, or one of its vectors is damaged.
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
        raise NotReadable("the vector has a wrong length")
    vector: Vector = np.frombuffer(data, dtype="<f4")
    if dimension is not None and vector.shape != (dimension,):
        raise NotReadable("the vector has a wrong length")
    with np.errstate(over="ignore", invalid="ignore"):
        norm = float(np.linalg.norm(vector.astype(np.float64)))
    if not abs(norm - 1.0) <= _UNIT_LENGTH_OFF:
        raise NotReadable("the vector is not of unit length")
    return vector
