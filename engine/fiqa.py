"""How good is this picture for recognition? From a FiqaRequest to a decision, by the injected networks; pure.

Face image quality assessment of the largest face: every item that can be measured, and whether those that the level
limits are within their limits. Low quality is an answer here, not an error.
"""

from dataclasses import dataclass, field, replace

from contract.errors import Code, PictureRefused, Refusal, Refused
from contract.findings import MeasuredItem
from contract.messages import FiqaRequest
from contract.terms import Outcome
from engine.matching import NOTHING_SEEN, Findings, outcome_of
from engine.policy import Policy
from engine.timing import Clock, StageTimer
from engine.vision.finding import find_faces
from engine.vision.ports import ModelSet
from engine.vision.quality import Measured, measure_all, quality_score

NOTHING_MEASURED: tuple[MeasuredItem, ...] = ()


@dataclass(frozen=True, slots=True)
class FiqaDecision:
    """What was measured. `findings.quality` are the items with a limit at the level, `measured` the others; `refusal`
    is set where the answer is an error."""

    outcome: Outcome
    findings: Findings = NOTHING_SEEN
    measured: tuple[MeasuredItem, ...] = NOTHING_MEASURED
    refusal: Refusal | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether every item is within its limit."""
        return all(check.passed for check in self.findings.quality)


def decide_fiqa(request: FiqaRequest, models: ModelSet, policy: Policy, max_pixels: int, clock: Clock) -> FiqaDecision:
    """Measure one picture; whatever a caller can send ends in a decision.

    `max_pixels` bounds what is decoded, `clock` (seconds) times the steps.
    """
    timer = StageTimer(clock)
    level, custom = request.quality_level, policy.custom_quality
    seen, measured = NOTHING_SEEN, NOTHING_MEASURED
    try:
        image, faces = find_faces(request.image, models.detector, max_pixels, timer)
        seen = Findings(faces=len(faces))
        if not faces:
            raise PictureRefused(Code.NO_FACE, "no face found in the picture")
        face = faces[0]
        seen = replace(seen, face=face)
        with timer.stage("quality"):
            checks, others = measure_all(image, face, level, custom, models.pose)
        seen, measured = replace(seen, quality=tuple(checks)), tuple(map(_told, others))
        with timer.stage("embed"):
            embedding = models.embedder(image, face)
    except Refused as error:
        refused = refuse_fiqa(error.refusal)
        return replace(refused, findings=seen, measured=measured, timings_ms=timer.timings_ms)
    seen = replace(seen, quality_score=quality_score(image, face, embedding))
    return FiqaDecision("measured", seen, measured, timings_ms=timer.timings_ms)


def refuse_fiqa(refusal: Refusal) -> FiqaDecision:
    """The decision about a request whose answer is an error."""
    return FiqaDecision(outcome_of(refusal), refusal=refusal)


def _told(item: Measured) -> MeasuredItem:
    return MeasuredItem(name=item.name, value=item.value, detail=dict(item.detail))
