"""The answer to a match request, and its event."""

from dataclasses import dataclass
from typing import Any, Literal

from contract.events import Event, Scope
from contract.findings import LivenessResult
from contract.messages import DebugInfo, MatchAnswer, MatchRequest, RefusedAnswer
from contract.people.records import PersonRecord
from contract.terms import DEFAULT_GROUP, STRANGER
from engine.gallery.index import Candidate
from engine.matching import MatchDecision, person_type
from engine.policy import Policy
from engine.report.common import (
    Circumstances,
    check_results,
    error_info,
    face_box,
    refused_answer,
    text_or_empty,
    threshold_told,
)
from engine.score import to_wire
from engine.vision.liveness import Liveness


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
        threshold=threshold_told(decision.threshold, policy),
        error=error_info(decision.refusal),
        scope=Scope(group_name=request.group_name or DEFAULT_GROUP, permission_name=request.permission_name),
        faces=seen.faces,
        face=face_box(seen.face),
        quality=check_results(seen.quality),
        quality_score=seen.quality_score,
        liveness=_liveness(seen.liveness),
        attributes=seen.attributes,
        grab_fiqa_info=request.grab_fiqa_info,
        timings_ms=decision.timings_ms,
        retry_of=at.retry_of,
    )


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
    return text_or_empty(person.info.get("name"))


def _liveness(liveness: Liveness | None) -> LivenessResult | None:
    if liveness is None:
        return None
    return LivenessResult(mode=liveness.mode, passed=liveness.passed, checks=check_results(liveness.checks))


def _debug(decision: MatchDecision) -> DebugInfo:
    seen = decision.findings
    return DebugInfo(
        faces=seen.faces or 0,
        face=face_box(seen.face),
        quality=check_results(seen.quality),
        liveness=_liveness(seen.liveness),
        timings_ms=decision.timings_ms,
        quality_score=seen.quality_score,
    )
