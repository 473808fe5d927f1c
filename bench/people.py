"""People for benchmarks: made-up unit vectors, enrolled by feature, or as records of the people topic."""

import asyncio
from collections.abc import Iterator

import numpy as np

from clients.http import Client
from contract.captures.values import PeopleLine
from contract.codec import encode
from contract.http import USERS_PATH
from contract.people.keys import face_key, person_key
from contract.people.records import WHOLE_FACE, FaceRecord, PersonRecord
from contract.terms import DEFAULT_GROUP
from contract.vectors import Vectors

_AT_A_TIME = 32


def made_up_features(count: int, dimension: int) -> Vectors:
    """`count` unit vectors, count x dimension float32; the same every time."""
    vectors = np.random.default_rng(7).normal(size=(count, dimension)).astype(np.float32)
    unit: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def people_records(
    features: Vectors, embedder: str, time_s: float = 0.0, faces: int = 1, first: int = 0
) -> list[PeopleLine]:
    """Return the records of the people topic, from its beginning, that enrol people in `default_group`.

    `faces`: the number of rows of each person. `first`: the number of the first person, from which names are made.
    """
    records = [
        record
        for number in range(len(features) // faces)
        for record in _records(name_of(first + number), features[number * faces : (number + 1) * faces], embedder)
    ]
    return [PeopleLine(offset=at, time=time_s, key=key, value=value) for at, (key, value) in enumerate(records)]


def _records(name: str, vectors: Vectors, embedder: str) -> Iterator[tuple[bytes, bytes]]:
    for number, vector in enumerate(vectors):
        templates = {WHOLE_FACE: vector.tobytes()}
        face = FaceRecord(identity_id=name, number=number, embedder=embedder, templates=templates)
        yield face_key(name, number, embedder), encode(face)
    person = PersonRecord(
        identity_id=name,
        group_ids=(DEFAULT_GROUP,),
        info={"name": name},
        faces=tuple(range(len(vectors))),
        next_face=len(vectors),
    )
    yield person_key(name), encode(person)


def name_of(number: int) -> str:
    """Return the identity_id of the person in that row."""
    return f"bench-{number}"


async def enrol_features(url: str, features: Vectors) -> None:
    """Enrol a person per row at a running server.

    Raises:
        RuntimeError: one was refused.
    """
    async with Client(url, timeout_s=60) as client:

        async def enrol(number: int) -> None:
            body = {"identity_id": name_of(number), "import_mode": True, "feature": features[number].tolist()}
            answer = await client.post(USERS_PATH, {**body, "info": {"name": "bench"}})
            if answer.http_status != 200:
                raise RuntimeError(f"enrolment failed: {answer.error_text}")

        for first in range(0, len(features), _AT_A_TIME):
            await asyncio.gather(*(enrol(n) for n in range(first, min(first + _AT_A_TIME, len(features)))))
