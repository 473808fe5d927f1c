"""The events of requests about people; their answers are part of the decision."""

from contract.errors import Code, Refusal
from contract.events import Event, Scope
from contract.messages import EnrolRequest, PersonAnswer, PersonRequest
from contract.terms import DEFAULT_GROUP, Outcome
from engine.enrolment import EnrolmentDecision, PreparedFace
from engine.policy import Policy
from engine.report.common import Circumstances, check_results, error_info, text_or_empty


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
        outcome=_outcome(decision),
        compare_time=request.received_time_s,
        received_time=request.received_time_s,
        processed_time=at.processed_time_s,
        request=at.place(request.photo if isinstance(request, EnrolRequest) else None),
        gallery_version=gallery_version,
        models=at.models,
        identity_id=request.identity_id,
        name=text_or_empty(info.get("name")),
        identity_info=info if info and policy.event_identity_info else None,
        error=error_info(refusal),
        scope=Scope(group_name=DEFAULT_GROUP),
        quality=check_results(face.quality if face else ()),
        quality_score=face.quality_score if face else None,
        timings_ms=timings_ms,
        retry_of=at.retry_of,
    )


def _outcome(decision: EnrolmentDecision | Refusal) -> Outcome:
    if not isinstance(decision, Refusal):
        return decision.outcome
    return "expired" if decision.code is Code.TIMEOUT else "refused"
