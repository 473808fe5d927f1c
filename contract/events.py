"""The events topic: what happened to each accepted request, as JSON.

Unknown fields are ignored when reading, so that a newer writer does not break an older reader; a field is never given
another meaning.
"""

from inspect import cleandoc
from typing import Any, Literal

import msgspec

from contract.codec import decode_with
from contract.findings import Attributes, CardFindings, CheckResult, FaceBox, LivenessResult
from contract.terms import Message, ThresholdRule


class ErrorInfo(Message, frozen=True, kw_only=True):
    """An error of the table, as it was answered."""

    code: int
    status: str
    message: str


class Threshold(Message, frozen=True, kw_only=True):
    """The threshold that was applied, on the wire's scale, and the rule it came from.

    `setting`: the operator fixed it. `target_fpir`: it holds the false positive identification rate of a search among
    `faces` enrolled faces at `target_fpir`, by the embedder's curve of false match rates at `fmr`. `floor`: the same
    would have given a lower one than the floor for a false match rate of 1e-5. `model`: the embedder has no curve.
    `level`: that of a 1:1 comparison. `cosine` is the threshold on the networks' own scale; `fmr` the rate that was
    wanted: no threshold above .95 is taken for it.
    """

    value: float
    cosine: float | None = None
    rule: ThresholdRule
    target_fpir: float | None = None
    fmr: float | None = None
    faces: int | None = None


class EventScope(Message, frozen=True, kw_only=True):
    """Whose people were searched."""

    group_name: str
    permission_name: str | None = None


class RequestPlace(Message, frozen=True, kw_only=True):
    """Where the request stands in the log, and the sha256 (hex) of its picture."""

    topic: str
    partition: int
    offset: int
    sha256: str | None = None


class Event(Message, frozen=True, kw_only=True):
    """What happened to one accepted request; docs/event.schema.json is made from this.

    `id` is the request's id; `retry_of` is that of the request it sends again, `replay_of` that of the request it
    replays, if it does. `kind` and `outcome` are open: a reader accepts words that it does not know. Times are
    seconds since the epoch: `compare_time` is the device's, `received_time` the ingress's, `processed_time` the
    decision's.
    `identity_info` is filled only where the operator asks for it (of a comparison: what its sender gave).
    `quality_score`, 0..1, predicts how far the face can be recognised at all. `card` is a comparison's second picture.
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
    score: float | None = None
    threshold: Threshold | None = None
    error: ErrorInfo | None = None
    scope: EventScope | None = None
    faces: int | None = None
    face: FaceBox | None = None
    quality: tuple[CheckResult, ...] = ()
    quality_score: float | None = None
    liveness: LivenessResult | None = None
    attributes: Attributes | None = None
    card: CardFindings | None = None
    grab_fiqa_info: dict[str, Any] | None = None
    timings_ms: dict[str, float] = msgspec.field(default_factory=dict)
    retry_of: str | None = None
    replay_of: str | None = None


_event_encoder = msgspec.json.Encoder()
_event_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def encode_event(event: Event) -> bytes:
    """An event as JSON."""
    return _event_encoder.encode(event)


def event_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of an event; docs/event.schema.json holds it."""
    schema = msgspec.json.schema(Event)
    for definition in schema["$defs"].values():
        definition["description"] = cleandoc(definition["description"])
        for field in definition["properties"].values():
            for alternatives in ("enum", "anyOf"):
                # The library gives these in the order of a set, which changes from run to run.
                if alternatives in field:
                    field[alternatives].sort(key=str)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "PictureMatch event", **schema}


def decode_event(data: bytes) -> Event:
    """A record of the events topic.

    Raises:
        msgspec.DecodeError: it is not one.
    """
    return decode_with(_event_decoder, data)
