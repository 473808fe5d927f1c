"""The answer to a comparison, and its event."""

from contract.events import Event
from contract.findings import CardFindings
from contract.messages import CompareAnswer, CompareRequest, RefusedAnswer
from engine.comparing import CompareDecision
from engine.policy import Policy
from engine.report.common import (
    Circumstances,
    check_results,
    error_info,
    face_box,
    picture_digest,
    refused_answer,
    text_or_empty,
    threshold_told,
)
from engine.score import to_wire


def compare_answer(decision: CompareDecision, policy: Policy) -> CompareAnswer | RefusedAnswer:
    """What the caller is told."""
    if decision.refusal is not None:
        return refused_answer(decision.refusal)
    return CompareAnswer(
        retcode="1" if decision.outcome == "same" else "0",
        score=to_wire(decision.cosine or 0.0, decision.threshold.cosine, policy.score_scale),
    )


def compare_event(
    request: CompareRequest, decision: CompareDecision, policy: Policy, at: Circumstances, gallery_version: int
) -> Event:
    """What happened to a comparison."""
    answer = compare_answer(decision, policy)
    told = answer if isinstance(answer, CompareAnswer) else None
    seen, card = decision.face, decision.card
    info = request.identity_info
    return Event(
        id=request.request_id,
        kind="compare",
        outcome=decision.outcome,
        compare_time=request.compare_time_s,
        compare_time_raw=request.compare_time_raw,
        received_time=request.received_time_s,
        processed_time=at.processed_time_s,
        request=at.place(request.face_image),
        gallery_version=gallery_version,
        models=at.models,
        retcode=told.retcode if told else None,
        identity_id=text_or_empty((info or {}).get("identity_id")),
        name=text_or_empty((info or {}).get("name")),
        identity_info=info,
        score=told.score if told else None,
        threshold=threshold_told(decision.threshold, policy),
        error=error_info(decision.refusal),
        faces=seen.faces,
        face=face_box(seen.face),
        quality=check_results(seen.quality),
        quality_score=seen.quality_score,
        card=CardFindings(
            sha256=picture_digest(request.card_image),
            faces=card.faces,
            face=face_box(card.face),
            quality=check_results(card.quality),
            quality_score=card.quality_score,
        ),
        timings_ms=decision.timings_ms,
        retry_of=at.retry_of,
    )
