"""What leaves the engine about one request: the answer to who asked, and the event for everybody else.

Both are made from the same decision, so they cannot disagree. Events are CloudEvents in Kafka's binary content mode
(CloudEvents 1.0.2 and its Kafka protocol binding): attributes as `ce_` headers, the JSON as the value.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal

from engine.enrolment import EnrolmentDecision, PreparedFace
from engine.errors import Code, Refusal
from engine.event import ErrorInfo, Event, RequestPlace, Scope, Threshold
from engine.evidence import CheckResult, FaceBox, LivenessResult
from engine.gallery.index import Candidate
from engine.matching import MatchDecision, person_type
from engine.messages import (
    DebugInfo,
    EnrolRequest,
    MatchAnswer,
    MatchRequest,
    PersonAnswer,
    PersonRecord,
    PersonRequest,
    RefusedAnswer,
)
from engine.policy import Policy
from engine.score import to_wire
from engine.terms import DEFAULT_GROUP, STRANGER, Outcome
from engine.threshold import AppliedThreshold
from engine.vision.liveness import Liveness
from engine.vision.ports import Check, Face

_EVENT_TYPES: Mapping[str, str] = {
    "match": "picturematch.match.v1",
    "enrol": "picturematch.person.v1",
    "delete": "picturematch.person.v1",
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
        digest = None if picture is None else sha256(picture).hexdigest()
        return RequestPlace(topic=self.topic, partition=self.partition, offset=self.offset, sha256=digest)


@dataclass(frozen=True, slots=True)
class _Told:
    """The part of a decision that the answer and the event must say alike."""

    retcode: Literal["0", "1"]
    identity_id: str
    name: str
    info: dict[str, Any]
    score: float


def match_answer(
    request: MatchRequest, decision: MatchDecision, policy: Policy, reg_pic: bytes | None
) -> MatchAnswer | RefusedAnswer:
    """What the device is told. `reg_pic` is the enrolled JPEG, if the request wants it and there is one."""
    if decision.refusal is not None:
        return refused_answer(decision.refusal)
    told = _told(request, decision, policy)
    return MatchAnswer(
        retcode=told.retcode,
        identity_id=told.identity_id,
        name=told.name,
        score=told.score,
        identity_info=told.info,
        reg_pic=reg_pic,
        debug=_debug(decision) if request.with_debug_info else None,
        attributes=decision.findings.attributes,
    )


def shown_candidate(request: MatchRequest, decision: MatchDecision, policy: Policy) -> Candidate | None:
    """The candidate whose identity may be told: a recognised one, or the best one where need_keep_info is allowed."""
    if decision.outcome in ("matched", "blacklisted") or (request.need_keep_info and policy.allow_keep_info):
        return decision.candidate
    return None


def refused_answer(refusal: Refusal) -> RefusedAnswer:
    """An error of the table as an answer."""
    return RefusedAnswer(code=int(refusal.code), message=refusal.message)


def match_event(request: MatchRequest, decision: MatchDecision, policy: Policy, at: Circumstances) -> Event:
    """What happened to a match request."""
    told = None if decision.refusal is not None else _told(request, decision, policy)
    shown = shown_candidate(request, decision, policy)
    seen = decision.findings
    return Event(
        id=request.request_id,
        kind="match",
        outcome=decision.outcome,
        compare_time=request.compare_time_s,
        compare_time_raw=request.compare_time_raw,
        received_time=request.received_time_s,
        processed_time=at.processed_time_s,
        request=at.place(request.image),
        gallery_version=decision.gallery_version,
        models=at.models,
        device_ip=request.device_ip,
        retcode=told.retcode if told else None,
        identity_id=told.identity_id if told else "",
        name=told.name if told else "",
        person_type=person_type(shown.person) if shown else None,
        identity_info=told.info if told and policy.event_identity_info else None,
        score=told.score if told else None,
        threshold=_threshold(decision.threshold, policy),
        error=_error(decision.refusal),
        scope=Scope(group_name=request.group_name or DEFAULT_GROUP, permission_name=request.permission_name),
        faces=seen.faces,
        face=_face_box(seen.face),
        quality=_checks(seen.quality),
        quality_score=seen.quality_score,
        liveness=_liveness(seen.liveness),
        attributes=seen.attributes,
        grab_fiqa_info=request.grab_fiqa_info,
        timings_ms=decision.timings_ms,
        retry_of=at.retry_of,
    )


def person_event(
    request: PersonRequest,
    decision: EnrolmentDecision | Refusal,
    face: PreparedFace | None,
    policy: Policy,
    at: Circumstances,
    gallery_version: int,
    timings_ms: dict[str, float],
) -> Event:
    """What happened to a request about a person. `gallery_version` is the one that holds its records."""
    refusal = decision if isinstance(decision, Refusal) else None
    answer = None if isinstance(decision, Refusal) else decision.answer
    info = answer.info if isinstance(answer, PersonAnswer) else {}
    enrols = isinstance(request, EnrolRequest)
    return Event(
        id=request.request_id,
        kind="enrol" if enrols else "delete",
        outcome=_person_outcome(decision),
        compare_time=request.received_time_s,
        received_time=request.received_time_s,
        processed_time=at.processed_time_s,
        request=at.place(request.photo if isinstance(request, EnrolRequest) else None),
        gallery_version=gallery_version,
        models=at.models,
        identity_id=request.identity_id,
        name=_text(info.get("name")),
        identity_info=info if info and policy.event_identity_info else None,
        error=_error(refusal),
        scope=Scope(group_name=DEFAULT_GROUP),
        quality=_checks(face.quality if face else ()),
        timings_ms=timings_ms,
        retry_of=at.retry_of,
    )


def _person_outcome(decision: EnrolmentDecision | Refusal) -> Outcome:
    if not isinstance(decision, Refusal):
        return decision.outcome
    return "expired" if decision.code is Code.TIMEOUT else "refused"


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
        error=_error(refusal),
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


def _told(request: MatchRequest, decision: MatchDecision, policy: Policy) -> _Told:
    shown = shown_candidate(request, decision, policy)
    cosine = decision.candidate.cosine if decision.candidate else 0.0
    return _Told(
        retcode="1" if decision.outcome == "matched" else "0",
        identity_id=shown.person.identity_id if shown else "",
        name=_name(shown.person) if shown else STRANGER,
        info=shown.person.info if shown else {},
        score=to_wire(cosine, decision.threshold.cosine, policy.score_scale),
    )


def _name(person: PersonRecord) -> str:
    return _text(person.info.get("name"))


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _error(refusal: Refusal | None) -> ErrorInfo | None:
    if refusal is None:
        return None
    return ErrorInfo(code=int(refusal.code), status=refusal.status, message=refusal.message)


def _checks(checks: Sequence[Check]) -> tuple[CheckResult, ...]:
    return tuple(
        CheckResult(name=c.name, value=c.value, limit=c.limit, passed=c.passed, vote=c.vote, detail=dict(c.detail))
        for c in checks
    )


def _threshold(applied: AppliedThreshold, policy: Policy) -> Threshold:
    return Threshold(
        value=to_wire(applied.cosine, applied.cosine, policy.score_scale),
        rule=applied.rule,
        target_fpir=applied.target_fpir,
        fmr=applied.fmr,
        faces=applied.faces,
    )


def _liveness(liveness: Liveness | None) -> LivenessResult | None:
    if liveness is None:
        return None
    return LivenessResult(mode=liveness.mode, passed=liveness.passed, checks=_checks(liveness.checks))


def _face_box(face: Face | None) -> FaceBox | None:
    if face is None:
        return None
    x, y, width, height = (round(side, 1) for side in (face.box.x, face.box.y, face.box.width, face.box.height))
    return FaceBox(x=x, y=y, width=width, height=height, confidence=round(face.confidence, 4))


def _debug(decision: MatchDecision) -> DebugInfo:
    seen = decision.findings
    return DebugInfo(
        faces=seen.faces or 0,
        face=_face_box(seen.face),
        quality=_checks(seen.quality),
        liveness=_liveness(seen.liveness),
        timings_ms=decision.timings_ms,
        quality_score=seen.quality_score,
    )
