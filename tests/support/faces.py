"""Drawn faces as JPEGs, and a gallery of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from contract.messages import EnrolRequest
from engine.enrolment import EnrolmentDecision, decide_enrolment, prepare_face
from engine.gallery.people import People
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

    def enrol(self, identity_id: str, seed: int, **fields: Any) -> EnrolmentDecision:
        """Enrol the face of that seed."""
        asked = EnrolRequest(request_id="r", identity_id=identity_id, received_time_s=0.0, photo=photo(seed), **fields)
        face, _ = prepare_face(asked, MODELS, self.policy, MAX_PIXELS, lambda: 0.0)
        known = self.people.known(identity_id)
        decision = decide_enrolment(asked, face, known, len(self.people), MODELS.embedder_identity, self.policy)
        self.write(decision.people_records([(0, 0)] * len(decision.photos)))
        return decision

    def write(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Append records to the topic."""
        first = self.people.version
        self.people.apply([Entry(key, value, first + i) for i, (key, value) in enumerate(records)])
