"""The values of the people topic and of the photos topic.

Both topics are compacted. Every process reads the people topic to its end, so that topic contains no pictures. No
process follows the photos topic; the record of a face names the face's photo. A reader ignores unknown fields.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec
from msgspec import structs

from contract.codec import decode_with
from contract.people.keys import MEAN_FACE, image_id
from contract.people.validity import VALID_FROM, VALID_UNTIL
from contract.terms import COVERS, DEFAULT_PERMISSION, PERSON_EMPLOYEE, PERSON_STRANGER, Cover, Message

HELD_INFO = ("name", "type", "permission_ids", VALID_FROM, VALID_UNTIL)
"""The members of a person's info that decisions need, which every process keeps in memory."""

WHOLE_FACE = "whole"
"""The kind of template that is computed from a face which nothing covers."""

COVERED_FACE: Mapping[Cover, str] = {cover: f"covered_{cover}" for cover in COVERS}
"""The kinds of templates with which covered faces are compared: each is the normalised mean of the embeddings of the
photo and of a copy of the photo in which a cover is drawn over the face."""


class PersonRecord(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A person: a record of the people topic with the key person/ID.

    `group_ids`: the groups of the person, by id; the field's name in the record is group_names. `faces`: the numbers N
    of this person's face/ID/N/EMBEDDER records. `next_face`: the number of the next face.

    In memory a record is kept in brief: `info` contains only `HELD_INFO`, and `stored_at` is the offset at which the
    topic has the whole record. A whole record, in memory or in the topic, has no `stored_at`.

    `enrolled_time`: when the match arrived that enrolled the person as a stranger (epoch seconds); None: a call did.
    """

    identity_id: str
    group_ids: tuple[str, ...] = msgspec.field(name="group_names")
    info: dict[str, Any]
    faces: tuple[int, ...]
    next_face: int
    stored_at: int | None = None
    enrolled_time: float | None = None

    def photographed(self, number: int) -> int:
        """Return the number of the face whose photo stands for a searched face: the newest face for the mean of all."""
        return self.faces[-1] if number == MEAN_FACE and self.faces else number

    def brief(self, offset: int) -> "PersonRecord":
        """Return the record at that offset in brief; a record whose info has no other members is returned as it is."""
        held = {name: self.info[name] for name in HELD_INFO if name in self.info}
        stored_at = None if len(held) == len(self.info) else offset
        return structs.replace(self, info=held, stored_at=stored_at)

    def whole(self, info: Mapping[str, Any]) -> "PersonRecord":
        """Return the record with the stored info; members that the record has already win."""
        return structs.replace(self, info={**info, **self.info}, stored_at=None)

    @property
    def permission_ids(self) -> tuple[str, ...]:
        """The permissions of the person, by id."""
        ids = self.info.get("permission_ids")
        if not isinstance(ids, list):
            return (DEFAULT_PERMISSION,)
        return tuple(name for name in ids if isinstance(name, str))

    @property
    def name(self) -> str:
        """The name (info.name); empty where the person has none."""
        name = self.info.get("name")
        return name if isinstance(name, str) else ""

    @property
    def person_type(self) -> int:
        """The type (info.type): 1 employee, 2 visitor, 3 blacklist, 4 stranger, 5 VIP."""
        kind = self.info.get("type", PERSON_EMPLOYEE)
        return kind if isinstance(kind, int) else PERSON_EMPLOYEE

    @property
    def was_passing_by(self) -> bool:
        """Whether a match enrolled the person, who is still of type 4 (stranger)."""
        return self.enrolled_time is not None and self.person_type == PERSON_STRANGER

    @property
    def image_id(self) -> str:
        """The name of the photo of the newest face; empty where the person has no face."""
        return image_id(self.identity_id, self.faces[-1]) if self.faces else ""


class PhotoReference(Message, frozen=True, kw_only=True):
    """A reference to the photo with which a face was enrolled: the photo under the key photo/ID/N with this `sha256`.

    `sha256` is the hash of the JPEG. `sent_sha256` is the hash of the file that was sent, where that file was not the
    JPEG. `partition` and `offset` are the place in the photos topic at which the photo was written; they are only a
    hint, since a restored or mirrored topic has other offsets.
    """

    sha256: bytes
    partition: int
    offset: int
    sent_sha256: bytes | None = None

    @property
    def digest(self) -> bytes:
        """The sha256 of the file that was sent."""
        return self.sent_sha256 or self.sha256


class FaceRecord(Message, frozen=True, kw_only=True):
    """A face, embedded by one embedder: a record of the people topic with the key face/ID/N/EMBEDDER.

    `templates`: kind of template -> embedding, a vector of unit length as little-endian float32 bytes. Every face has
    `WHOLE_FACE`; the kinds of `COVERED_FACE` are optional. `embedder`: the identity of the embedder; embeddings of
    different embedders are never compared.
    """

    identity_id: str
    number: int
    embedder: str
    templates: dict[str, bytes]
    photo: PhotoReference | None = None


class PhotoRecord(Message, frozen=True, kw_only=True):
    """A photo, as a JPEG: a record of the photos topic with the key photo/ID/N.

    The Nth face of the person was enrolled with this photo.
    """

    identity_id: str
    number: int
    jpeg: bytes


_person_decoder = msgspec.msgpack.Decoder(PersonRecord)
_photo_decoder = msgspec.msgpack.Decoder(PhotoRecord)


def photo_of(value: bytes, reference: PhotoReference) -> bytes | None:
    """Return the JPEG that a record of the photos topic contains.

    None: the record contains another photo than `reference` names, or cannot be read.
    """
    try:
        jpeg = decode_with(_photo_decoder, value).jpeg
    except msgspec.DecodeError:
        return None
    return jpeg if sha256(jpeg).digest() == reference.sha256 else None


def info_of(value: bytes) -> dict[str, Any] | None:
    """Return the info in a person's record of the people topic; None: the record cannot be read."""
    try:
        return decode_with(_person_decoder, value).info
    except msgspec.DecodeError:
        return None
