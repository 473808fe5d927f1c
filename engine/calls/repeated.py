"""Decides whether an enrolment repeats an earlier one, whose sender may not have received the answer. Pure.

A client that receives TIMEOUT cannot know whether the person was enrolled, so sending the same call again must not be
an error. Two enrolments are the same if they would enrol the same: the photo (by the sha256 of the file that was sent)
or the feature (by the vector as it is stored), the groups as a set, and the info of a new person, by values and types.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import numpy as np

from contract.requests import EnrolRequest
from contract.terms import DEFAULT_GROUP, PERSON_EMPLOYEE
from contract.vectors import Vector
from engine.calls.people import merged_info
from engine.gallery.packed import rounded
from engine.gallery.people import KnownPerson

NEW_PERSON_INFO: Mapping[str, Any] = {"type": PERSON_EMPLOYEE, "permission_ids": ["0"]}
"""The default values in the info of a new person."""

_SAME_FACE_COSINE = 0.9999
"""Two embeddings with at least this cosine are of the same picture of a face, sent twice."""

_in_order = msgspec.msgpack.Encoder(order="sorted")


def same_faces(vector: Vector, vectors: Mapping[int, Vector]) -> Iterator[int]:
    """Return the numbers of the faces whose embedding equals this vector, apart from rounding."""
    return (number for number, other in vectors.items() if float(other @ vector) >= _SAME_FACE_COSINE)


def repeated_face(
    request: EnrolRequest,
    group_ids: tuple[str, ...] | None,
    vector: Vector | None,
    sent_sha256: bytes | None,
    known: KnownPerson,
) -> int | None:
    """Return the number of the face that an earlier, equal request enrolled; None where the request repeats none.

    `group_ids`: the groups that the request names. `vector`: the embedding of the request's face. `sent_sha256`: the
    hash of the photo as it was sent. Only a face with an embedding of the embedder in use can be found to be repeated,
    and nothing can where the person's info is lost.
    """
    person = known.record
    if person is None or known.info_lost or vector is None or request.update or request.ignore_exist:
        return None
    if set(group_ids or (DEFAULT_GROUP,)) != set(person.group_ids):
        return None
    if _in_order.encode(merged_info(NEW_PERSON_INFO, request.info)) != _in_order.encode(person.info):
        return None
    for number in same_faces(vector, known.vectors):
        photo = known.photos.get(number)
        same_photo = sent_sha256 is None or (photo is not None and photo.digest == sent_sha256)
        if same_photo and (request.feature is None or np.array_equal(known.vectors[number], rounded(vector))):
            return number
    return None
