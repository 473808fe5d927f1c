"""FIQA, face image quality assessment: how good is a picture for recognition?

Every item of quality is measured on the largest faces, and items that have a limit at the requested level are compared
with that limit. Low quality is reported in the answer and is not an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import structs

from contract.answers import FiqaAnswer
from contract.errors import Refusal
from contract.events import Event
from contract.findings import FaceQuality, MeasuredItem
from contract.kinds import kind_of
from contract.requests import FiqaRequest
from engine.calls.call import Query
from engine.calls.reporting import Circumstances, check_results, face_box, outcome_of
from engine.context import Context
from engine.gallery.people import Snapshot
from engine.look import Findings, Wanted, look
from engine.vision.quality.levels import CUT_SHARE, MASK

MOST_FACES = 10
"""The most faces of one picture that are measured, so that the cost of a picture is bounded."""


@dataclass(frozen=True, slots=True, eq=False)
class FiqaDecision:
    """The findings about each measured face, the largest first; `refusal` is set where the answer is an error."""

    outcome: str
    faces: tuple[Findings, ...] = ()
    refusal: Refusal | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)


class FiqaCall(Query[FiqaRequest, FiqaDecision]):
    """The kind of call that measures the quality of a picture."""

    kind = kind_of(FiqaRequest)
    event_type = "picturematch.fiqa.v1"
    outcomes = ("measured", "no_face", "image_error", "expired", "error")
    request_type = FiqaRequest

    def decide(self, request: FiqaRequest, snapshot: Snapshot, context: Context) -> FiqaDecision:
        """Measure one picture; no request that a client can send raises an error."""
        wanted = Wanted(
            quality_levels=(request.quality_level,), refuse_low_quality=False, all_items=True, most_faces=MOST_FACES
        )
        found = look(request.picture, wanted, context)
        faces = (found.findings, *found.further)
        if isinstance(found.embedding, Refusal):
            return FiqaDecision(outcome_of(found.embedding), faces, found.embedding, found.timings_ms)
        return FiqaDecision("measured", faces, timings_ms=found.timings_ms)

    def refuse(self, request: FiqaRequest, refusal: Refusal, snapshot: Snapshot, context: Context) -> FiqaDecision:
        """Return the decision that answers a request with that refusal."""
        return FiqaDecision(outcome_of(refusal), refusal=refusal)

    def leaves_event(self, request: FiqaRequest) -> bool:
        """Return False: a measurement leaves no event, unless it becomes a dead letter."""
        return False

    def pictures(self, request: FiqaRequest) -> Sequence[bytes]:
        """Return the picture."""
        return (request.picture,)

    def answer(self, request: FiqaRequest, decision: FiqaDecision, context: Context, photo: bytes | None) -> FiqaAnswer:
        """Return the answer to a request that succeeded."""
        return FiqaAnswer(faces=tuple(map(_face_quality, decision.faces)))

    def event(self, request: FiqaRequest, decision: FiqaDecision, context: Context, at: Circumstances) -> Event:
        """Return the event that records the decision, with the findings about the largest face."""
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
    """Return the value of an item; `absent` where the item was not measured."""
    values = {item.name: item.value for item in found.measured}
    values |= {check.name: check.value for check in found.quality}
    return values.get(name, absent)
