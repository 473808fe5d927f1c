"""The values of a capture: its manifest and its lines."""

from typing import Annotated, Any, Literal

import msgspec

from contract.events import EventScope, RequestPlace, Threshold
from contract.evidence import EvidenceCandidate
from contract.findings import CheckResult, FaceBox, LivenessResult, MatchedFace, PassagePicture
from contract.operator_error import OperatorError
from contract.terms import LivenessMode, Message

FORMAT: Literal["picturematch-capture"] = "picturematch-capture"
VERSION = 2
OLDEST_VERSION = 1
"""The oldest format version that can be read. Version 1 has no checksums, people, configs and embeddings, so that its
requests can only be posted to a server."""

STRANGER_MARK = "-"
"""What lists of expected identities, and badge logs, have in place of the identity of a stranger."""

PhotoChoice = Literal["none", "candidates", "all"]
"""Whose photos a capture has: nobody's, those of the best candidate and of the recognised person of each decision, or
everybody's."""

# The pattern ends in \Z, because $ would allow a newline at the end of a file name.
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


EARLIEST_S, LATEST_S = -62_135_510_400, 253_402_214_400
"""The second day of the year 1, and the last of the year 9999: calendars of all time zones can show what is between."""

Time = Annotated[float, msgspec.Meta(ge=EARLIEST_S, le=LATEST_S)]
"""Seconds since the epoch by a clock of the system. The times of devices are not bounded: they may send any."""


class CaptureError(OperatorError):
    """A capture that cannot be read or written; the message is a sentence for the user."""


class FileSeal(Message, frozen=True, kw_only=True):
    """The number of lines of a file, and the checksum of its last line, which depends on all lines (8 hex digits)."""

    lines: int
    sum: str


class Selection(Message, frozen=True, kw_only=True, omit_defaults=True):
    """Which requests of a log a capture has: those written from `since` (epoch seconds) on, of `device` (a device_ip),
    and with one of `outcomes`; absent or empty: all.

    `pseudonyms`: where the capture is redacted, the name of the key from which its pseudonyms were computed; `device`
    is then as in the lines of requests.
    """

    since: Time | None = None
    device: str | None = None
    outcomes: tuple[str, ...] = ()
    pseudonyms: str | None = None


class Manifest(Message, frozen=True, kw_only=True, omit_defaults=True):
    """The contents of capture.json.

    `complete`: the program that wrote the capture has ended; then `files` contains the seal of each .jsonl file by its
    name. `people_from`: the first gallery version at which the people can be folded; decisions of older versions cannot
    be decided again. None: the capture has no people. `redacted`: ids and names of people, groups, permissions and
    devices are pseudonyms. `photos`: whose photos are among the pictures. `pictures`: whether the pictures of the
    requests are, without which nothing can be looked at again or posted. `selection`: None where the capture was not
    recorded from a log. `durable`: while not complete, of how many requests, from the first on, the pictures are known
    to survive a crash of the machine.
    """

    format: str
    version: int
    complete: bool = False
    files: dict[str, FileSeal] = msgspec.field(default_factory=dict)
    people_from: int | None = None
    redacted: bool = False
    photos: PhotoChoice = "none"
    pictures: bool = True
    selection: Selection | None = None
    durable: int = 0


class CapturedRequest(Message, frozen=True, kw_only=True, omit_defaults=True):
    """One PictureMatch call: the fields of the device's body, with the sha256 (hex) in place of each picture.

    `further_pictures`: the other pictures of the passage. `compare_time` is in seconds since the epoch; None means the
    time at which the request is posted. `by_permission`: the request was a search of version 6
    (contract.requests.MatchRequest).
    """

    picture: Sha256
    further_pictures: tuple[Sha256, ...] = ()
    ir_picture: Sha256 | None = None
    device_ip: str | None = None
    compare_time: float | None = None
    compare_time_raw: str | None = None
    need_register_photo: bool = False
    min_face_size: int = 0
    liveness_mode: LivenessMode = "liveness_off"
    need_keep_info: bool = False
    group_name: str | None = None
    permission_name: str | None = None
    support_stranger: bool = False
    with_attribute: bool = False
    with_debug_info: bool = False
    grab_fiqa_info: dict[str, Any] | None = None
    by_permission: bool = False
    match_all_faces: bool = False

    @property
    def all_pictures(self) -> tuple[Sha256, ...]:
        """The pictures of both lenses, that of the infrared lens last."""
        infrared = () if self.ir_picture is None else (self.ir_picture,)
        return (self.picture, *self.further_pictures, *infrared)


class CapturedDecision(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A decision, of then or of a replay; contract.events and contract.evidence explain the fields.

    `score` and `threshold` are on the wire's scale; `applied` contains the threshold's cosine and rule. `candidates`
    are the nearest people of the scope, the nearest first, but a recognised person before nearer strangers (type 4).
    `embedding` is the probe as little-endian half-precision numbers, which the network `embedder` computed;
    None where no face was embedded or the evidence is gone. `policy` and `model_set` are ids of lines of configs.jsonl.
    `decided_time` is in seconds since the epoch. `searched`: the faces that were searched for, without names, where
    these were several.
    """

    outcome: str
    gallery_version: int
    models: dict[str, str]
    retcode: Literal["0", "1"] | None = None
    identity_id: str = ""
    score: float | None = None
    threshold: float | None = None
    error_code: int | None = None
    applied: Threshold | None = None
    scope: EventScope | None = None
    candidates: tuple[EvidenceCandidate, ...] = ()
    complete_to: float | None = None
    embedder: str | None = None
    embedding: bytes | None = None
    policy: str | None = None
    model_set: str | None = None
    decided_time: Time | None = None
    pictures: tuple[PassagePicture, ...] = ()
    faces: int | None = None
    face: FaceBox | None = None
    searched: tuple[MatchedFace, ...] = ()
    quality: tuple[CheckResult, ...] = ()
    quality_score: float | None = None
    liveness: LivenessResult | None = None
    timings_ms: dict[str, float] = msgspec.field(default_factory=dict)


class CaptureLine(Message, frozen=True, kw_only=True, omit_defaults=True):
    """One line of requests.jsonl.

    `place` and `received_time` (seconds since the epoch) come from the log; a hand-made capture has neither.
    `decision` is None when the log contained no decision for the request. `expected_identity_id` is the outcome that a
    hand-made capture expects: an identity, or "" for a stranger, or None for no expectation.
    """

    request_id: str
    request: CapturedRequest
    place: RequestPlace | None = None
    received_time: Time | None = None
    decision: CapturedDecision | None = None
    expected_identity_id: str | None = None


class PeopleLine(Message, frozen=True, kw_only=True):
    """One line of people.jsonl: a record of the people topic with its offset, time (epoch seconds), key and value.

    `value` None deletes the key. Offsets rise from line to line.
    """

    offset: int
    time: Time
    key: bytes
    value: bytes | None


class ConfigLine(Message, frozen=True, kw_only=True):
    """One line of configs.jsonl: a record of the configs topic, with its key (contract.configs) and its JSON value."""

    key: str
    value: dict[str, Any]


class LookLine(Message, frozen=True, kw_only=True):
    """One line of a file of looks: the embedding that the model set of the file computed for a request.

    `embedding`: little-endian numbers of the `precision`; None where the look ended with a refusal.
    """

    request_id: str
    embedder: str
    precision: Literal["single"]
    embedding: bytes | None
