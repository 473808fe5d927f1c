"""The events topic: what happened to each accepted request, as JSON.

A reader ignores unknown fields, so that a newer writer does not break an older reader; a field never changes its
meaning.
"""

from typing import Any, Literal

import msgspec

from contract.codec import decode_with
from contract.findings import (
    Attributes,
    CardFindings,
    CheckResult,
    FaceBox,
    LivenessResult,
    Lookalike,
    MatchedFace,
    PassagePicture,
    PictureSize,
)
from contract.terms import Cover, Message, ThresholdRule


class ErrorInfo(Message, frozen=True, kw_only=True):
    """An error of the error table, as the answer to the request contained it."""

    code: int
    status: str
    message: str


class Threshold(Message, frozen=True, kw_only=True):
    """The threshold that was applied, on the wire's scale (`value`), and the rule from which it was computed.

    Rule `setting`: the operator fixed the threshold. `target_fpir`: a search among `faces` templates has the false
    positive identification rate `target_fpir`, according to the embedder's curve of false match rates at the rate
    `fmr`. Templates are the enrolled faces of the scope and, with matching.mean_templates, the mean of the faces of
    each person with several faces. `floor`: among so few templates the rule `target_fpir` would have allowed a higher
    false match rate of one comparison than the setting matching.highest_fmr, which is `fmr` then. `model`: the embedder
    has no curve, so its default threshold applies. `level`: the threshold of a level of 1:1 comparison.
    `accepted_score`: the operator or the site has set a score on the percent scale, on which the threshold of the other
    rules has the middle score. `cosine` is the threshold on the networks' own scale, -1..1. `fmr` is the false match
    rate that was wanted; the threshold computed from it is at most .95. `extrapolated`: that rate is not
    between two points of the curve, so the curve was extended. `cover`: nobody was recognised by the templates of whole
    faces, and somebody was by those of faces with that cover, so the threshold follows from the cover's own curve, and
    score, cosines and candidates are those of these templates; null: the templates of whole faces decided.
    """

    value: float
    cosine: float | None = None
    rule: ThresholdRule
    target_fpir: float | None = None
    fmr: float | None = None
    faces: int | None = None
    extrapolated: bool = False
    cover: Cover | None = None


class IndexUse(Message, frozen=True, kw_only=True):
    """How an index that compares only candidates searched; their cosines are exact.

    `make`: `sketch` or `annoy`. `cut`: each template of the scope whose estimated cosine was at least this one was
    compared; null: the index estimates none. `candidates`: how many templates were compared. `miss`: the bound on the
    chance that a template which reaches the threshold was not among them. `estimate`: the nearest person is below what
    the search was for, so that score and cosine are those of the nearest candidate, and somebody may be nearer.
    """

    make: str
    cut: float | None = None
    candidates: int
    miss: float
    estimate: bool = False


class EventScope(Message, frozen=True, kw_only=True):
    """The scope that was searched: the people of a group ("": of every group) who have a permission.

    Where a request was refused before its scope was known, the names are those that it sent, `permission_name` None: it
    sent none. In the event of a change of a person, `group_name` contains the person's groups, comma-separated.
    """

    group_name: str
    permission_name: str | None = None


class RequestPlace(Message, frozen=True, kw_only=True):
    """The place of the request in the log, and the sha256 (hex) of the request's picture."""

    topic: str
    partition: int
    offset: int
    sha256: str | None = None


class FailedImport(Message, frozen=True, kw_only=True):
    """A person whom an import did not enrol, and the reason. `place`: where the person is in the list of the call."""

    place: int
    identity_id: str
    error: ErrorInfo


class ImportResult(Message, frozen=True, kw_only=True):
    """What came of an import: how many people were `added`, and how many were enrolled exactly so already (`present`).

    `faces`: the faces that were added, of which `unsearched` have no embedding of the embedder in use.
    """

    added: int
    present: int
    faces: int
    unsearched: int
    failed: tuple[FailedImport, ...] = ()


class Event(Message, frozen=True, kw_only=True):
    """What happened to one accepted request.

    `id` is the id of the request. `retry_of` is the id of the earlier request that this request sends again, and
    `replay_of` the id of the request that this request replays; null where it does neither. `repeat_of` is the id
    of the event that the match repeats: the same person at the same device within moments. `kind` and `outcome` are
    open: a reader accepts words that it does not know. Times are seconds since the epoch: the device set
    `compare_time`, the ingress set `received_time`, and the processor set `processed_time` when it decided.
    `policy` and `model_set` are the ids of the policy and of the model set in the configs topic.
    `identity_ids` are the people whom a request about a group or a permission changed or deleted, whom an import added,
    or the strangers who were deleted to make room for another one; `imported` is what came of an import. `match_id` is
    the id of the event of the match whose stranger was to be enrolled. `identity_info` is present only where the
    operator switched it on; the event of a comparison has the identity_info that the request contained. `pictures` are
    all pictures of a match with several, else empty; `picture`, `faces`, `face` and the other findings are then those
    of the best one, and so is the sha256 in `request`. `quality_score`, 0..1, predicts how well the face can be
    recognised at all. `card` describes the second picture of a comparison. `face` and the other findings of a match are
    those of the face that the answer is about; `searched` has all faces that were searched for, the chosen one first,
    where these were several.
    `cosine`, -1..1, is the similarity of the probe to the nearest template, from which `score` was computed.
    `lookalikes` are the people whose faces are too similar to the face of an enrolment, at most five.
    `index` is how the search was made; null: every face of the scope was compared, or none.
    `want_action` is the vendor's word for what else the event did: "1001" where a stranger was enrolled, else "0".
    """

    id: str
    kind: str
    outcome: str
    compare_time: float
    received_time: float
    processed_time: float
    request: RequestPlace
    gallery_version: int
    models: dict[str, str]
    compare_time_raw: str | None = None
    device_ip: str | None = None
    retcode: Literal["0", "1"] | None = None
    identity_id: str = ""
    name: str = ""
    person_type: int | None = None
    identity_info: dict[str, Any] | None = None
    identity_ids: tuple[str, ...] = ()
    lookalikes: tuple[Lookalike, ...] = ()
    score: float | None = None
    cosine: float | None = None
    threshold: Threshold | None = None
    error: ErrorInfo | None = None
    scope: EventScope | None = None
    index: IndexUse | None = None
    picture: PictureSize | None = None
    pictures: tuple[PassagePicture, ...] = ()
    faces: int | None = None
    face: FaceBox | None = None
    searched: tuple[MatchedFace, ...] = ()
    quality: tuple[CheckResult, ...] = ()
    quality_score: float | None = None
    liveness: LivenessResult | None = None
    attributes: Attributes | None = None
    card: CardFindings | None = None
    grab_fiqa_info: dict[str, Any] | None = None
    timings_ms: dict[str, float] = msgspec.field(default_factory=dict)
    retry_of: str | None = None
    replay_of: str | None = None
    repeat_of: str | None = None
    match_id: str | None = None
    want_action: str = "0"
    imported: ImportResult | None = None
    policy: str = ""
    model_set: str = ""


_event_encoder = msgspec.json.Encoder()
_event_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """Return an event as JSON."""
    return _event_encoder.encode(event)


def decode_event(data: bytes) -> Event:
    """Return the event that a record of the events topic contains.

    Raises:
        msgspec.DecodeError: the bytes are not an event.
    """
    return decode_with(_event_decoder, data)
