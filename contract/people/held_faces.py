"""The form in which the fold of the people topic keeps what it knows of the records of a person's faces.

All records of one person are one bytes object, which is read when somebody asks for one of them. An embedder is a
number, its place among the embedders that the fold knows.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import msgspec

from contract.people.records import PhotoReference


class _Photo(msgspec.Struct, frozen=True, gc=False, array_like=True):
    sha256: bytes
    partition: int
    offset: int
    sent_sha256: bytes | None


class HeldFace(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """A record of a face: the face's `number`, the number of the `embedder`, and where the photo is."""

    number: int
    embedder: int
    place: _Photo | None

    @classmethod
    def of(cls, number: int, embedder: int, photo: PhotoReference | None) -> "HeldFace":
        """Return the face with the reference to its photo."""
        place = None if photo is None else _Photo(photo.sha256, photo.partition, photo.offset, photo.sent_sha256)
        return cls(number, embedder, place)

    @property
    def photo(self) -> PhotoReference | None:
        """The reference to the photo."""
        place = self.place
        if place is None:
            return None
        return PhotoReference(
            sha256=place.sha256, partition=place.partition, offset=place.offset, sent_sha256=place.sent_sha256
        )


class HeldFaces(msgspec.Struct, frozen=True, gc=False):
    """The records of faces of somebody who is not enrolled."""

    identity_id: str
    stored_faces: bytes


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[HeldFace])

_SHORT = 16


def faces_in(stored: bytes) -> Sequence[HeldFace]:
    """Return the faces of a person, by number, and those of one number in the order of the embedders."""
    return _decoder.decode(stored) if stored else ()


def stored_faces_of(faces: Iterable[HeldFace]) -> bytes:
    """Return the faces of a person in the form in which they are kept; empty where there is none."""
    ordered = sorted(faces, key=lambda face: (face.number, face.embedder))
    return shared(_encoder.encode(ordered)) if ordered else b""


def shared(stored: bytes) -> bytes:
    """Return the equal bytes that others have, too, where a few faces without photos are probably not alone."""
    return _shared(stored) if len(stored) <= _SHORT else stored


@lru_cache(maxsize=1024)
def _shared(stored: bytes) -> bytes:
    return stored
