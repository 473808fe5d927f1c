"""Whether an enrolment asks for what is so already: the same call again, from a sender who never got the answer. Pure.

Whoever is told TIMEOUT cannot know whether the person was enrolled; so the same call again must not be an error. What
makes it the same is what it would enrol: the photo (by its sha256, as it was sent) or the feature (the very vector),
the groups as a set, and the info that a new person would get, value by value and type by type.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from contract.messages import EnrolRequest
from contract.terms import DEFAULT_GROUP, PERSON_EMPLOYEE
from contract.vectors import Vector
from engine.gallery.people import KnownPerson

NEW_PERSON_INFO: Mapping[str, Any] = {"type": PERSON_EMPLOYEE, "permission_ids": ["0"]}
"""What a new person's info has where the request says nothing else."""

_SAME_FACE_COSINE = 0.9999
"""A face as near as this to one the person has is that face, sent again."""

_in_order = msgspec.msgpack.Encoder(order="sorted")


def same_faces(vector: Vector, vectors: Mapping[int, Vector]) -> Iterator[int]:
    """The numbers of the faces that this vector is, but for rounding."""
    return (number for number, other in vectors.items() if float(other @ vector) >= _SAME_FACE_COSINE)


def repeated_face(
    request: EnrolRequest, vector: Vector | None, sent_sha256: bytes | None, known: KnownPerson
) -> int | None:
    """The number of the face that the request enrolled before; None where it is no repetition.

    `vector`: the embedding of the face it brings; `sent_sha256`: of the photo as it was sent. Only faces that can be
    searched can be recognised as the same.
    """
    person = known.record
    if person is None or vector is None or request.update or request.ignore_exist:
        return None
    if set(request.group_names or (DEFAULT_GROUP,)) != set(person.group_names):
        return None
    if _in_order.encode({**NEW_PERSON_INFO, **(request.info or {})}) != _in_order.encode(person.info):
        return None
    for number in same_faces(vector, known.vectors):
        photo = known.photos.get(number)
        same_photo = sent_sha256 is None or (photo is not None and photo.digest == sent_sha256)
        if same_photo and (request.feature is None or np.array_equal(known.vectors[number], vector)):
            return number
    return None
