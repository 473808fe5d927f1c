"""Whether an enrolment asks for what is so already: the same call again, from a sender who never got the answer. Pure.

Whoever is told TIMEOUT cannot know whether the person was enrolled; so the same call again must not be an error. What
makes it the same is what it would enrol: the photo (by its sha256, as it was sent) or the feature (the very vector),
the groups as a set, and the info that a new person would get, value by value and type by type.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from contract.messages import EnrolRequest, PersonRecord, PhotoRecord
from contract.terms import DEFAULT_GROUP, PERSON_EMPLOYEE
from contract.vectors import Vector

NEW_PERSON_INFO: Mapping[str, Any] = {"type": PERSON_EMPLOYEE, "permission_ids": ["0"]}
"""What a new person's info has where the request says nothing else."""

_SAME_FACE_COSINE = 0.9999
"""A face as near as this to one the person has is that face, sent again."""

_in_order = msgspec.msgpack.Encoder(order="sorted")


def same_faces(vector: Vector, vectors: Mapping[int, Vector]) -> Iterator[int]:
    """The numbers of the faces that this vector is, but for rounding."""
    return (number for number, other in vectors.items() if float(other @ vector) >= _SAME_FACE_COSINE)


def photo_digest(photo: bytes | None) -> bytes:
    """sha256 of a photo as it was sent."""
    return hashlib.sha256(photo or b"").digest()


def stored_digest(photo: PhotoRecord) -> bytes:
    """sha256 of the photo that was sent for this record, which holds another file where that was no JPEG."""
    return photo.sent_sha256 or photo_digest(photo.jpeg)


def may_repeat(
    request: EnrolRequest, vector: Vector | None, person: PersonRecord | None, vectors: Mapping[int, Vector]
) -> list[int]:
    """The numbers of the person's faces that the request may be the repetition of; their photos remain to be compared.

    `vector`: the embedding of the face it brings. `vectors`: face number -> embedding, of the person's faces that can
    be searched; others cannot be told the same.
    """
    if person is None or vector is None or request.update or request.ignore_exist:
        return []
    if set(request.group_names or (DEFAULT_GROUP,)) != set(person.group_names):
        return []
    if _in_order.encode({**NEW_PERSON_INFO, **(request.info or {})}) != _in_order.encode(person.info):
        return []
    return [
        number
        for number in same_faces(vector, vectors)
        if request.feature is None or np.array_equal(vectors[number], vector)
    ]


def repeated_face(
    request: EnrolRequest,
    vector: Vector | None,
    person: PersonRecord,
    vectors: Mapping[int, Vector],
    digests: Mapping[int, bytes],
) -> int | None:
    """The number of the face that the request enrolled before; None where it is no repetition.

    `digests`: face number -> sha256 of the photo it was enrolled with.
    """
    candidates = may_repeat(request, vector, person, vectors)
    if candidates and request.photo is not None:
        sent = photo_digest(request.photo)
        candidates = [number for number in candidates if digests.get(number) == sent]
    return candidates[0] if candidates else None
