"""The evidence topic: why a match was decided so. One record per match, under the id of its event.

It is biometric: it has the embedding of the face that was presented. It is kept as long as the requests, which have the
picture itself.
"""

import msgspec

from contract.codec import decode_with
from contract.findings import CheckResult, FaceBox, LivenessResult
from contract.terms import Message


class EvidenceCandidate(Message, frozen=True, kw_only=True):
    """A person whom the search found near, the number of the nearest face, and the cosine, -1..1."""

    identity_id: str
    number: int
    cosine: float


class Evidence(Message, tag="evidence", tag_field="kind", frozen=True, kw_only=True):
    """What one match was decided from. MessagePack; unknown fields are ignored when reading.

    `embedding`: the probe's unit vector as little-endian IEEE 754 half-precision numbers, made by the
    network `embedder`.
    `candidates`: the nearest people of the scope, the nearest first. `threshold`: the cosine that was applied. `policy`
    and `model_set` are ids of records in the configs topic.
    """

    event_id: str
    outcome: str
    decided_time: float
    gallery_version: int
    policy: str
    model_set: str
    embedder: str
    embedding: bytes
    threshold: float
    candidates: tuple[EvidenceCandidate, ...] = ()
    group_name: str | None = None
    permission_name: str | None = None
    faces: int | None = None
    face: FaceBox | None = None
    quality: tuple[CheckResult, ...] = ()
    quality_score: float | None = None
    liveness: LivenessResult | None = None


_decoder = msgspec.msgpack.Decoder(Evidence)


def decode_evidence(data: bytes) -> Evidence:
    """A record of the evidence topic.

    Raises:
        msgspec.DecodeError: it is not one.
    """
    return decode_with(_decoder, data)
