"""The values of the people topic and of the photos topic.

Both topics are compacted. The people topic is read to its end by every process, so it holds no pictures; nobody follows
the photos topic, and a face's record names its photo. Unknown fields are ignored when reading.
"""

from hashlib import sha256
from typing import Any

import msgspec

from contract.codec import decode_with
from contract.terms import Message

WHOLE_FACE = "whole"
"""The kind of template that is made of a face which nothing covers."""


class PersonRecord(Message, frozen=True, kw_only=True):
    """people topic, key person/ID. `faces`: the numbers N of this person's face/ID/N/EMBEDDER records."""

    identity_id: str
    group_names: tuple[str, ...]
    info: dict[str, Any]
    faces: tuple[int, ...]
    next_face: int


class PhotoReference(Message, frozen=True, kw_only=True):
    """Which photo a face was enrolled with: the one under the key photo/ID/N whose JPEG has this `sha256`.

    `sent_sha256`: of the file that was sent, where that file was no JPEG. `partition` and `offset` are where the photo
    was written in the photos topic: only a hint, since a restored or mirrored topic has other offsets.
    """

    sha256: bytes
    partition: int
    offset: int
    sent_sha256: bytes | None = None

    @property
    def digest(self) -> bytes:
        """sha256 of the file that was sent."""
        return self.sent_sha256 or self.sha256


class FaceRecord(Message, frozen=True, kw_only=True):
    """people topic, key face/ID/N/EMBEDDER: what one embedder made of one face.

    `templates`: kind of template -> embedding, as little-endian float32 bytes of unit length. `embedder`: the identity
    of the embedder; embeddings of different embedders are never compared.
    """

    identity_id: str
    number: int
    embedder: str
    templates: dict[str, bytes]
    photo: PhotoReference | None = None


class PhotoRecord(Message, frozen=True, kw_only=True):
    """photos topic, key photo/ID/N: the photo that the person's Nth face was enrolled with, a JPEG."""

    identity_id: str
    number: int
    jpeg: bytes


_photo_decoder = msgspec.msgpack.Decoder(PhotoRecord)


def photo_of(value: bytes, reference: PhotoReference) -> bytes | None:
    """The JPEG of a record of the photos topic; None where the record holds another photo, or cannot be read."""
    try:
        jpeg = decode_with(_photo_decoder, value).jpeg
    except msgspec.DecodeError:
        return None
    return jpeg if sha256(jpeg).digest() == reference.sha256 else None
