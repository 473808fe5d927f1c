"""The evidence topic: the values from which each match was decided. One record per match, keyed by the id of its event.

Evidence is biometric: a record contains the embedding of the face that was presented. The topic has the retention of
the requests topic, which contains the picture itself.
"""

import msgspec

from contract.codec import decode_with
from contract.findings import CheckResult, FaceBox, LivenessResult, PassagePicture
from contract.terms import Cover, Message


class EvidenceCandidate(Message, frozen=True, kw_only=True):
    """A candidate of the search: the person, the number of that person's nearest face, and its cosine, -1..1.

    The number -1 (contract.people.keys.MEAN_FACE): the mean of the person's faces was nearer than each of them.
    """

    identity_id: str
    number: int
    cosine: float


class Evidence(Message, tag="evidence", tag_field="kind", frozen=True, kw_only=True):
    """The values from which one match was decided, as MessagePack; a reader ignores unknown fields.

    `embedding`: the probe's unit vector, as little-endian IEEE 754 half-precision numbers, which the network `embedder`
    computed. `candidates`: the nearest people of the scope, the nearest first, but a recognised person before nearer
    strangers (type 4). `threshold`: the cosine that was applied. `complete_to`: nobody with at least this
    cosine is missing among the nearest people, and below it somebody may be; None: nobody is. `cover`: the
    candidates are those of the templates of faces with that cover; None: of whole faces. `device_ip` and
    `received_time` (epoch seconds): those of the request; None in records of version 0.1.0. `pictures`: as in
    the event; of several, the embedding is the weighted mean. `policy` and `model_set` are ids of records
    in the configs topic. `decided_time`: seconds since the epoch.
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
    cover: Cover | None = None
    device_ip: str | None = None
    received_time: float | None = None
    pictures: tuple[PassagePicture, ...] = ()
    complete_to: float | None = None


_decoder = msgspec.msgpack.Decoder(Evidence)


def decode_evidence(data: bytes) -> Evidence:
    """Return the evidence that a record of the evidence topic contains.

    Raises:
        msgspec.DecodeError: the bytes are not evidence.
    """
    return decode_with(_decoder, data)
