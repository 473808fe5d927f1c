"""How good is this picture for recognition? From a FiqaRequest to a decision, by the injected networks; pure.

Face image quality assessment of the largest face: every item that can be measured, and whether those that the level
limits are within their limits. Low quality is an answer here, not an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine.errors import Code, PictureRefused, Refusal
from engine.evidence import MeasuredItem
from engine.matching import NOTHING_SEEN, Findings, detect_faces, outcome_of
from engine.messages import FiqaRequest
from engine.policy import Policy
from engine.terms import Outcome
from engine.timing import Clock, StageTimer
from engine.vision.ports import Check, Face, Image, ModelSet
from engine.vision.quality import measure_all, quality_score


@dataclass(frozen=True, slots=True)
class FiqaDecision:
    """What was measured. `findings.quality` are the items with a limit at the level, `measured` the others; `refusal`
    is set where the answer is an error."""

    outcome: Outcome
    findings: Findings = NOTHING_SEEN
    measured: tuple[MeasuredItem, ...] = ()
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
    seen = NOTHING_SEEN
    try:
        image, faces = detect_faces(request.image, models, max_pixels, timer)
        seen = Findings(faces=len(faces))
        if not faces:
            raise PictureRefused(Code.NO_FACE, "no face found in the picture")
    except Refusal as refusal:
        return replace(refuse_fiqa(refusal.afresh()), findings=seen, timings_ms=timer.timings_ms)
    face = faces[0]
    with timer.stage("quality"):
        checks, measured = _measure(image, face, request, policy, models)
    with timer.stage("embed"):
        embedding = models.embedder(image, face)
    seen = Findings(len(faces), face, tuple(checks), quality_score(image, face, embedding))
    return FiqaDecision("measured", seen, measured, timings_ms=timer.timings_ms)


def refuse_fiqa(refusal: Refusal) -> FiqaDecision:
    """The decision about a request whose answer is an error."""
    return FiqaDecision(outcome_of(refusal), refusal=refusal)


def _measure(
    image: Image, face: Face, request: FiqaRequest, policy: Policy, models: ModelSet
) -> tuple[Sequence[Check], tuple[MeasuredItem, ...]]:
    checks, others = measure_all(image, face, request.quality_level, policy.custom_quality, models.pose)
    return checks, tuple(MeasuredItem(name=item.name, value=item.value, detail=dict(item.detail)) for item in others)
