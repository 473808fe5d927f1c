"""The answer to a quality assessment, and its event."""

from contract.events import Event
from contract.messages import FiqaAnswer, FiqaRequest, RefusedAnswer
from engine.fiqa import FiqaDecision
from engine.report.common import Circumstances, check_results, error_info, face_box, refused_answer
from engine.vision.quality.levels import CUT_SHARE, MASK


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
        cut=_value(decision, "partial") > CUT_SHARE,
        masked=_value(decision, "mask", MASK) < MASK,
    )


def _value(decision: FiqaDecision, name: str, absent: float = 0.0) -> float:
    """The value of a measured item; `absent` where the item was not measured."""
    values = {check.name: check.value for check in decision.findings.quality}
    values |= {item.name: item.value for item in decision.measured}
    return values.get(name, absent)


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
