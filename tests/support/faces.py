"""Drawn faces as JPEGs, and a gallery of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from contract.codec import encode
from contract.errors import Refusal
from contract.people.keys import face_key, person_key
from contract.people.records import WHOLE_FACE, FaceRecord, PersonRecord
from contract.pictures.digest import picture_digest
from contract.requests import EnrolRequest
from contract.terms import DEFAULT_GROUP
from contract.vectors import Vector
from engine.calls import Call, Query
from engine.calls.enrol import EnrolCall
from engine.calls.people import ChangeDecision
from engine.calls.reporting import Circumstances, refused_answer
from engine.context import Context
from engine.gallery.pending import PendingPeople
from engine.gallery.people import People, Snapshot
from engine.look import Wanted, look
from engine.policy import Policy
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene, stand_in_models
from engine.vision.ports import Image, ModelSet

MAX_PIXELS = 32_000_000
MODELS: ModelSet = stand_in_models()


def scene(*faces: Image, width: int = 640, height: int = 480) -> bytes:
    """A JPEG with the faces side by side."""
    left, placed = 20, []
    for face in faces:
        placed.append((face, left, 40))
        left += face.shape[1] + 20
    return encode_jpeg(draw_scene(width, height, placed), quality=95)


def photo(seed: int, size: int = 160, **drawn: Any) -> bytes:
    """A JPEG with the one face of that seed."""
    return scene(draw_face(seed, size, **drawn))


def context(policy: Policy | None = None, models: ModelSet = MODELS, max_pixels: int = MAX_PIXELS) -> Context:
    """What a decision needs, with a clock that stands still."""
    return Context(models, policy or Policy(), max_pixels, lambda: 0.0)


def circumstances(call: Call[Any, Any], request: Any, gallery_version: int = 12) -> Circumstances:
    """Those of the request at offset 7 of partition 3."""
    digests = tuple(map(picture_digest, call.pictures(request)))
    models = dict(MODELS.identities)
    return Circumstances("requests", 3, 7, 9.5, gallery_version, models, digests, policy="p1", model_set="m1")


def outcome_of(call: Query[Any, Any], request: Any, snapshot: Snapshot, given: Context) -> tuple[Any, Any]:
    """The answer to a query and its event."""
    decision = call.decide(request, snapshot, given)
    answer = refused_answer(decision.refusal) if decision.refusal else call.answer(request, decision, given, None)
    return answer, call.event(request, decision, given, circumstances(call, request))


@dataclass(frozen=True)
class Entry:
    """A record of the people topic."""

    key: bytes | None
    value: bytes | None
    offset: int
    damaged: bool = False


@dataclass
class Enrolled:
    """A fold of people that tests enrol into directly."""

    people: People = field(default_factory=lambda: People(MODELS.embedder.dimension, MODELS.embedder_identity))
    policy: Policy = field(default_factory=Policy)
    models: ModelSet = MODELS

    def enrol(self, identity_id: str, seed: int, **fields: Any) -> ChangeDecision:
        """Enrol the face of that seed."""
        asked = EnrolRequest(request_id="r", identity_id=identity_id, received_time_s=0.0, photo=photo(seed), **fields)
        call, given = EnrolCall(), context(self.policy, self.models)
        decision = call.decide(asked, call.prepare(asked, given), PendingPeople(self.people), given)
        self.write(decision.people_records([(0, 0)] * len(decision.photos)))
        return decision

    def write(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Append records to the topic."""
        first = self.people.version
        self.people.apply([Entry(key, value, first + i) for i, (key, value) in enumerate(records)])


def like_face(seed: int, cosine: float) -> Vector:
    """A unit vector that has that cosine to the embedding of the face of that seed."""
    embedding = look(photo(seed), Wanted(), context()).embedding
    assert not isinstance(embedding, Refusal)
    aside = np.roll(embedding.vector, 1)
    aside -= float(aside @ embedding.vector) * embedding.vector
    found = cosine * embedding.vector + (1 - cosine**2) ** 0.5 * aside / np.linalg.norm(aside)
    return np.asarray(found, np.float32)


def person_with(identity_id: str, vector: Vector, **info: Any) -> list[tuple[bytes, bytes]]:
    """The records of a person with one face that has this embedding."""
    embedder = MODELS.embedder_identity
    templates = {WHOLE_FACE: vector.astype("<f4").tobytes()}
    face = FaceRecord(identity_id=identity_id, number=0, embedder=embedder, templates=templates)
    person = PersonRecord(identity_id=identity_id, group_ids=(DEFAULT_GROUP,), info=info, faces=(0,), next_face=1)
    return [(face_key(identity_id, 0, embedder), encode(face)), (person_key(identity_id), encode(person))]


def several_faces(identity_id: str, seed: int, count: int, first: int = 0) -> list[tuple[bytes, bytes]]:
    """The records of a person with `count` faces, numbered from `first`, whose mean is the face of that seed.

    Each face is away from it to another side.
    """
    embedding = look(photo(seed), Wanted(), context()).embedding
    assert not isinstance(embedding, Refusal)
    sides = np.random.default_rng(seed).normal(size=(count, len(embedding.vector)))
    away = 0.5 * (sides - sides.mean(axis=0)) / np.sqrt(len(embedding.vector))
    embedder, numbers = MODELS.embedder_identity, range(first, first + count)
    records = []
    for number, vector in zip(numbers, embedding.vector + away, strict=True):
        unit = (vector / np.linalg.norm(vector)).astype("<f4").tobytes()
        face = FaceRecord(identity_id=identity_id, number=number, embedder=embedder, templates={WHOLE_FACE: unit})
        records.append((face_key(identity_id, number, embedder), encode(face)))
    person = PersonRecord(
        identity_id=identity_id,
        group_ids=(DEFAULT_GROUP,),
        info={"name": identity_id},
        faces=tuple(numbers),
        next_face=first + count,
    )
    return [*records, (person_key(identity_id), encode(person))]
