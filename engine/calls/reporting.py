"""The common parts of the answers and events of all calls."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, overload

from contract.answers import DebugInfo, RefusedAnswer
from contract.errors import Code, Refusal
from contract.events import ErrorInfo, Event, RequestPlace, Threshold
from contract.findings import CheckResult, FaceBox, LivenessResult, PictureSize
from contract.terms import Cover
from engine.look import Findings
from engine.policy import Policy
from engine.threshold import AppliedThreshold
from engine.vision.liveness import Liveness
from engine.vision.ports import Check, Face

_OUTCOMES: dict[Code, str] = {
    Code.IMAGE_ERROR: "image_error",
    Code.IMAGE_SIZE_TOO_LARGE_ERROR: "image_error",
    Code.NO_FACE: "no_face",
    Code.LOW_QUALITY_ERROR: "low_quality",
    Code.LIVENESS_DETECT_FAIL: "spoof",
    Code.EMPTY_GROUP_ERROR: "empty_group",
    Code.TIMEOUT: "expired",
}
PICTURE_OUTCOMES = ("image_error", "no_face", "low_quality", "expired", "error")
"""The outcomes of refusals that every call with a picture has."""


class _Received(Protocol):
    @property
    def request_id(self) -> str: ...

    @property
    def received_time_s(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The circumstances of a decision that its event records.

    `topic`, `partition` and `offset`: the place of the request in the log. `processed_time_s`: the time of the decision
    in epoch seconds. `gallery_version`: the version that was searched, or that contains the records of a change.
    `models`: role of a network -> identity of the network. `digests`: the sha256 (hex) of the request's pictures.
    `retry_of` and `replay_of`: the id of the request that this request sends again, or that it replays. `policy` and
    `model_set`: the ids of both in the configs topic.
    """

    topic: str
    partition: int
    offset: int
    processed_time_s: float
    gallery_version: int
    models: dict[str, str] = field(default_factory=dict)
    digests: tuple[str, ...] = ()
    retry_of: str | None = None
    replay_of: str | None = None
    policy: str = ""
    model_set: str = ""

    def event(self, kind: str, request: _Received, outcome: str, refusal: Refusal | None) -> Event:
        """Return an event with the fields that all kinds have; its sha256 is that of the request's first picture."""
        return Event(
            id=request.request_id,
            kind=kind,
            outcome=outcome,
            compare_time=request.received_time_s,
            received_time=request.received_time_s,
            processed_time=self.processed_time_s,
            request=RequestPlace(
                topic=self.topic,
                partition=self.partition,
                offset=self.offset,
                sha256=self.digests[0] if self.digests else None,
            ),
            gallery_version=self.gallery_version,
            models=self.models,
            error=None if refusal is None else error_info(refusal),
            retry_of=self.retry_of,
            replay_of=self.replay_of,
            policy=self.policy,
            model_set=self.model_set,
        )


def outcome_of(refusal: Refusal) -> str:
    """Return the outcome in the event of a request that was answered with that refusal."""
    return _OUTCOMES.get(refusal.code, "error")


def refused_answer(refusal: Refusal) -> RefusedAnswer:
    """Return a refusal as an answer."""
    return RefusedAnswer(code=int(refusal.code), message=refusal.message, cause=refusal.cause)


def text_or_empty(value: object) -> str:
    """Return a string unchanged, and the empty string for any other value."""
    return value if isinstance(value, str) else ""


def error_info(refusal: Refusal) -> ErrorInfo:
    """Return a refusal as events contain it."""
    return ErrorInfo(code=int(refusal.code), status=refusal.status, message=refusal.message)


def check_results(checks: Sequence[Check]) -> tuple[CheckResult, ...]:
    """Return checks as answers and events contain them."""
    return tuple(
        CheckResult(name=c.name, value=c.value, limit=c.limit, passed=c.passed, vote=c.vote, detail=dict(c.detail))
        for c in checks
    )


def liveness_result(liveness: Liveness | None) -> LivenessResult | None:
    """Return the liveness of a face as answers and events contain it."""
    if liveness is None:
        return None
    return LivenessResult(mode=liveness.mode, passed=liveness.passed, checks=check_results(liveness.checks))


def wire_threshold(applied: AppliedThreshold, policy: Policy) -> Threshold:
    """Return the applied threshold on the wire's scale, as events contain it."""
    return Threshold(
        value=applied.score(applied.cosine, policy),
        cosine=round(applied.cosine, 6),
        rule=applied.rule,
        target_fpir=applied.target_fpir,
        fmr=applied.fmr,
        faces=applied.faces,
        extrapolated=applied.extrapolated,
        cover=applied.cover,
    )


def picture_size(picture: bytes, findings: Findings) -> PictureSize:
    """Return the size of a picture as events contain it; the width and height are those that the look has read."""
    width, height = findings.size or (None, None)
    return PictureSize(bytes=len(picture), width=width, height=height)


@overload
def face_box(face: Face) -> FaceBox: ...


@overload
def face_box(face: None) -> None: ...


def face_box(face: Face | None) -> FaceBox | None:
    """Return the box of a face in pixels of the picture as sent, rounded to tenths of a pixel."""
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


def debug_info(findings: Findings, timings_ms: dict[str, float], cover: Cover | None = None) -> DebugInfo:
    """Return the findings about one picture as with_debug_info adds them to an answer.

    `cover`: the cover by whose templates a match was decided.
    """
    return DebugInfo(
        faces=findings.faces or 0,
        face=face_box(findings.face),
        quality=check_results(findings.quality),
        liveness=liveness_result(findings.liveness),
        timings_ms=timings_ms,
        quality_score=findings.quality_score,
        cover=cover,
    )
