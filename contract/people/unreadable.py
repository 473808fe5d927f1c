"""Reading one record of the people topic, or saying why it cannot be read. Pure.

A record that cannot be read leaves a hole: what it says of a person is not known. The fold keeps the hole until a later
record of the same key fills it (engine.gallery.people).
"""

from dataclasses import dataclass
from typing import Literal

import msgspec
import numpy as np
import orjson

from contract.codec import decode_with
from contract.messages import FaceRecord, PersonRecord, PhotoRecord
from contract.vectors import Vector

Kind = Literal["person", "face", "photo"]

_SHOWN_CHARACTERS = 200
_UNIT_LENGTH_OFF = 1e-2
"""An embedding is of unit length, but for rounding; a vector further off is none, and would beat every true one."""

_person_decoder = msgspec.msgpack.Decoder(PersonRecord)
_face_decoder = msgspec.msgpack.Decoder(FaceRecord)
_photo_decoder = msgspec.msgpack.Decoder(PhotoRecord)


class NotReadable(Exception):
    """A record is none of the people topic's; the message says why, and nothing of what the record holds."""


@dataclass(frozen=True, slots=True)
class PeopleKey:
    """person/ID, face/ID/N or photo/ID/N; `number` is N, 0 of a person."""

    kind: Kind
    identity_id: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class UnreadableRecord:
    """A record of the people topic (partition 0) that cannot be read. Without a key no later record replaces it."""

    offset: int
    key: bytes | None
    reason: str

    @property
    def identity_id(self) -> str | None:
        """Whom the record is about, where its key tells."""
        try:
            return parse_key(self.key or b"").identity_id
        except NotReadable:
            return None

    def __str__(self) -> str:
        key = "no key" if self.key is None else f"key {printable_key(self.key)}"
        return f"partition 0, offset {self.offset}, {key}: {self.reason}"


def key_of(key: bytes | None, offset: int, *, damaged: bool) -> bytes | None:
    """The key under which a record is remembered: its own; of a damaged record that lost its key damaged/OFFSET, since
    it hides somebody, nobody knows whom, until a tombstone of that name says that its person was looked after."""
    return b"damaged/%d" % offset if key is None and damaged else key


def printable_key(key: bytes) -> str:
    """A key for logs and terminals: whatever is not printable is escaped, and a long one is cut."""
    text = key.decode("utf-8", "backslashreplace")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:_SHOWN_CHARACTERS])
    return shown + "..." if len(text) > _SHOWN_CHARACTERS else shown


def parse_key(key: bytes) -> PeopleKey:
    """What a key names.

    Raises:
        NotReadable: it is no key of the people topic.
    """
    try:
        kind, _, name = key.decode().partition("/")
    except UnicodeDecodeError:
        raise NotReadable("the key is not UTF-8") from None
    if kind == "person" and name:
        return PeopleKey("person", name)
    identity_id, _, number = name.rpartition("/")
    canonical = number.isascii() and number.isdigit() and len(number) < 19 and str(int(number)) == number
    if identity_id and canonical and kind in ("face", "photo"):
        return PeopleKey("face" if kind == "face" else "photo", identity_id, int(number))
    raise NotReadable("the key is none of the people topic's")


def read_person(key: PeopleKey, value: bytes) -> PersonRecord:
    """The person of a record under that key.

    Raises:
        NotReadable: it is none, another person's, or its info cannot be told in JSON.
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


def read_face(key: PeopleKey, value: bytes, model: str | None, dimension: int) -> tuple[FaceRecord, Vector]:
    """The face of a record under that key, and its vector, which is of unit length.

    The length of a vector is known of the embedder in use only: `model` and `dimension`.

    Raises:
        NotReadable: it is none, another's, or its vector is damaged.
    """
    try:
        face = decode_with(_face_decoder, value)
    except msgspec.DecodeError:
        raise NotReadable("the value is not a face's record") from None
    if (face.identity_id, face.number) != (key.identity_id, key.number):
        raise NotReadable("the value is the record of another face than the key names")
    if not face.vector or len(face.vector) % 4:
        raise NotReadable("the vector has a wrong length")
    vector = np.frombuffer(face.vector, dtype="<f4")
    if face.model == model and vector.shape != (dimension,):
        raise NotReadable("the vector has a wrong length")
    with np.errstate(over="ignore", invalid="ignore"):
        length = float(np.linalg.norm(vector.astype(np.float64)))
    if not abs(length - 1.0) <= _UNIT_LENGTH_OFF:
        raise NotReadable("the vector is not of unit length")
    return face, vector


def read_photo(value: bytes) -> PhotoRecord | None:
    """The photo of a record; None where it is none. A photo decides nothing, so a damaged one is only missing."""
    try:
        return decode_with(_photo_decoder, value)
    except msgspec.DecodeError:
        return None
