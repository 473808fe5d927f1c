"""What all answers and events are made of.

Events are CloudEvents in Kafka's binary content mode (CloudEvents 1.0.2 and its Kafka protocol binding): attributes as
`ce_` headers, the JSON as the value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from contract.errors import Refusal
from contract.events import ErrorInfo, Event, RequestPlace, Threshold
from contract.findings import CheckResult, FaceBox
from contract.messages import RefusedAnswer
from engine.policy import Policy
from engine.score import to_wire
from engine.threshold import AppliedThreshold
from engine.vision.ports import Check, Face

_EVENT_TYPES: Mapping[str, str] = {
    "match": "picturematch.match.v1",
    "enrol": "picturematch.person.v1",
    "delete": "picturematch.person.v1",
    "compare": "picturematch.compare.v1",
    "fiqa": "picturematch.fiqa.v1",
    "unreadable": "picturematch.unreadable.v1",
}
_LAST_EXPRESSIBLE_S = 253_402_300_799.0  # the year 9999, the end of RFC 3339


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What an event tells beside the decision: where the request stands, when it was decided, with which networks, and
    which request it sends again."""

    topic: str
    partition: int
    offset: int
    processed_time_s: float
    models: dict[str, str]
    retry_of: str | None = None

    def place(self, picture: bytes | None) -> RequestPlace:
        """The request's place, with the sha256 of its picture."""
        digest = None if picture is None else picture_digest(picture)
        return RequestPlace(topic=self.topic, partition=self.partition, offset=self.offset, sha256=digest)


def refused_answer(refusal: Refusal) -> RefusedAnswer:
    """An error of the table as an answer."""
    return RefusedAnswer(code=int(refusal.code), message=refusal.message)


def unreadable_event(request_id: str, written_s: float, refusal: Refusal, at: Circumstances, version: int) -> Event:
    """What happened to a record that could not be read as a request, or whose processing failed unexpectedly."""
    return Event(
        id=request_id,
        kind="unreadable",
        outcome="error",
        compare_time=written_s,
        received_time=written_s,
        processed_time=at.processed_time_s,
        request=at.place(None),
        gallery_version=version,
        models=at.models,
        error=error_info(refusal),
        retry_of=at.retry_of,
    )


def cloud_event_headers(event: Event, source: str) -> tuple[tuple[str, bytes], ...]:
    """The record headers of an event. `source` is the URI-reference of this installation."""
    occurred = datetime.fromtimestamp(min(event.compare_time, _LAST_EXPRESSIBLE_S), UTC)
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": event.id,
        "ce_source": source,
        "ce_type": _EVENT_TYPES[event.kind],
        "ce_time": occurred.isoformat().replace("+00:00", "Z"),
        "content-type": "application/json",
    }
    return tuple((name, value.encode()) for name, value in attributes.items())


def picture_digest(picture: bytes) -> str:
    """The sha256 of a picture's bytes, in hex."""
    return sha256(picture).hexdigest()


def text_or_empty(value: object) -> str:
    """A string as it is, anything else as the empty string."""
    return value if isinstance(value, str) else ""


def error_info(refusal: Refusal | None) -> ErrorInfo | None:
    """A refusal as events tell it."""
    if refusal is None:
        return None
    return ErrorInfo(code=int(refusal.code), status=refusal.status, message=refusal.message)


def check_results(checks: Sequence[Check]) -> tuple[CheckResult, ...]:
    """Measured items as answers and events tell them."""
    return tuple(
        CheckResult(name=c.name, value=c.value, limit=c.limit, passed=c.passed, vote=c.vote, detail=dict(c.detail))
        for c in checks
    )


def threshold_told(applied: AppliedThreshold, policy: Policy) -> Threshold:
    """The applied threshold on the wire's scale."""
    return Threshold(
        value=to_wire(applied.cosine, applied.cosine, policy.score_scale),
        cosine=round(applied.cosine, 6),
        rule=applied.rule,
        target_fpir=applied.target_fpir,
        fmr=applied.fmr,
        faces=applied.faces,
    )


def face_box(face: Face | None) -> FaceBox | None:
    """Where a face is in the picture as sent, in tenths of a pixel."""
    if face is None:
        return None
    box = face.sent_box
    x, y, width, height = (round(side, 1) for side in (box.x, box.y, box.width, box.height))
    return FaceBox(
        x=x,
        y=y,
        width=width,
        height=height,
        confidence=round(face.confidence, 4),
        turned_degrees=90 * face.quarter_turns,
    )
