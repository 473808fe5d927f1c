"""FIQA, face image quality assessment: how good is this picture for recognition?

Of the largest faces every item that can be measured, and whether those that the level limits are within their limits.
Low quality is an answer here, not an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import structs

from contract.errors import Refusal
from contract.events import Event
from contract.findings import FaceQuality, MeasuredItem
from contract.kinds import kind_of
from contract.messages import FiqaAnswer, FiqaRequest
from engine.calls.call import Query
from engine.calls.reporting import PICTURE_OUTCOMES, Circumstances, check_results, face_box, outcome_of
from engine.context import Context
from engine.gallery.port import Gallery
from engine.look import Findings, Wanted, look
from engine.vision.quality.levels import CUT_SHARE, MASK

MOST_FACES = 10
"""Faces of one picture that are measured, so that the cost of a picture has a bound."""


@dataclass(frozen=True, slots=True, eq=False)
class FiqaDecision:
    """What was measured, of each face, the largest first; `refusal` is set where the answer is an error."""

    outcome: str
    faces: tuple[Findings, ...] = ()
    refusal: Refusal | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)


class FiqaCall(Query[FiqaRequest, FiqaDecision]):
    """FIQA."""

    kind = kind_of(FiqaRequest)
    event_type = "picturematch.fiqa.v1"
    outcomes = ("measured", *PICTURE_OUTCOMES)
    request_type = FiqaRequest

    def decide(self, request: FiqaRequest, gallery: Gallery, context: Context) -> FiqaDecision:
        """Measure one picture; whatever a caller can send ends in a decision."""
        wanted = Wanted(
            quality_level=request.quality_level, refuse_low_quality=False, all_items=True, most_faces=MOST_FACES
        )
        found = look(request.image, wanted, context)
        faces = (found.findings, *found.further)
        if isinstance(found.embedding, Refusal):
            return FiqaDecision(outcome_of(found.embedding), faces, found.embedding, found.timings_ms)
        return FiqaDecision("measured", faces, timings_ms=found.timings_ms)

    def refuse(self, request: FiqaRequest, refusal: Refusal, gallery: Gallery, context: Context) -> FiqaDecision:
        """The decision about a request whose answer is that error."""
        return FiqaDecision(outcome_of(refusal), refusal=refusal)

    def leaves_event(self, request: FiqaRequest) -> bool:
        """Never, as long as all goes well."""
        return False

    def pictures(self, request: FiqaRequest) -> Sequence[bytes]:
        """The picture."""
        return (request.image,)

    def answer(self, request: FiqaRequest, decision: FiqaDecision, context: Context, photo: bytes | None) -> FiqaAnswer:
        """What the caller gets."""
        return FiqaAnswer(faces=tuple(map(_face_quality, decision.faces)))

    def event(self, request: FiqaRequest, decision: FiqaDecision, context: Context, at: Circumstances) -> Event:
        """What happened, for everybody else: of the largest face."""
        found = decision.faces[0] if decision.faces else Findings()
        return structs.replace(
            at.event(self.kind, request, decision.outcome, decision.refusal),
            faces=found.faces,
            face=face_box(found.face),
            quality=check_results(found.quality),
            quality_score=found.quality_score,
            timings_ms=decision.timings_ms,
        )


def _face_quality(found: Findings) -> FaceQuality:
    box, score = face_box(found.face), found.quality_score
    if box is None or score is None:
        raise ValueError("a picture was measured without a face")
    return FaceQuality(
        passed=all(check.passed for check in found.quality),
        face=box,
        checks=check_results(found.quality),
        measured=tuple(
            MeasuredItem(name=item.name, value=item.value, detail=dict(item.detail)) for item in found.measured
        ),
        quality_score=score,
        cut=_value(found, "partial") > CUT_SHARE,
        masked=_value(found, "mask", MASK) < MASK,
    )


def _value(found: Findings, name: str, absent: float = 0.0) -> float:
    """The value of a measured item; `absent` where the item was not measured."""
    values = {item.name: item.value for item in found.measured}
    values |= {check.name: check.value for check in found.quality}
    return values.get(name, absent)
