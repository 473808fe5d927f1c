"""The answer to a quality assessment, and its event."""

from engine.event import Event
from engine.fiqa import FiqaDecision
from engine.messages import FiqaAnswer, FiqaRequest, RefusedAnswer
from engine.report.common import Circumstances, check_results, error_info, face_box, refused_answer


def fiqa_answer(decision: FiqaDecision) -> FiqaAnswer | RefusedAnswer:
    """What the caller is told."""
    if decision.refusal is not None:
        return refused_answer(decision.refusal)
    box, score = face_box(decision.findings.face), decision.findings.quality_score
    if box is None or score is None:
        raise ValueError("a picture was measured without a face")
    return FiqaAnswer(
        passed=decision.passed,
        face=box,
        checks=check_results(decision.findings.quality),
        measured=decision.measured,
        quality_score=score,
    )


def fiqa_event(request: FiqaRequest, decision: FiqaDecision, at: Circumstances, gallery_version: int) -> Event:
    """What happened to a quality assessment; of an ordinary one no event is written."""
    seen = decision.findings
    return Event(
        id=request.request_id,
        kind="fiqa",
        outcome=decision.outcome,
        compare_time=request.received_time_s,
        received_time=request.received_time_s,
        processed_time=at.processed_time_s,
        request=at.place(request.image),
        gallery_version=gallery_version,
        models=at.models,
        error=error_info(decision.refusal),
        faces=seen.faces,
        face=face_box(seen.face),
        quality=check_results(seen.quality),
        quality_score=seen.quality_score,
        timings_ms=decision.timings_ms,
        retry_of=at.retry_of,
    )
