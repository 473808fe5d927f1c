"""Detect: where are the faces in a picture, and what is measured of each?"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec import structs

from contract.errors import Code, PictureRefused, Refusal, Refused
from contract.events import Event
from contract.findings import DetectedFace, HeadAngles
from contract.kinds import kind_of
from contract.messages import DetectAnswer, DetectRequest
from engine.calls.call import Query
from engine.calls.reporting import Circumstances, face_box, outcome_of
from engine.context import Context
from engine.gallery.people import Snapshot
from engine.timing import StageTimer
from engine.vision.attributes import measure_attributes
from engine.vision.finding import find_faces
from engine.vision.ports import Face, Image, ModelSet


@dataclass(frozen=True, slots=True, eq=False)
class DetectDecision:
    """The faces of a picture, the largest first; `count` is the number of all faces.

    `refusal` is set where the answer is an error.
    """

    outcome: str
    faces: tuple[DetectedFace, ...] = ()
    count: int | None = None
    refusal: Refusal | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)


class DetectCall(Query[DetectRequest, DetectDecision]):
    """The kind of call that finds the faces of a picture."""

    kind = kind_of(DetectRequest)
    event_type = "picturematch.detect.v1"
    outcomes = ("detected", "no_face", "image_error", "expired", "error")
    request_type = DetectRequest

    def decide(self, request: DetectRequest, snapshot: Snapshot, context: Context) -> DetectDecision:
        """Find the faces of one picture; no request that a client can send raises an error."""
        timer, count = StageTimer(context.clock), None
        try:
            image, found = find_faces(request.picture, context.models.detector, context.max_pixels, timer)
            count = len(found)
            if not found:
                raise PictureRefused(Code.NO_FACE, "no face found in the picture")
            faces = tuple(
                _measured(image, face, request, context.models, timer) for face in found[: request.most_faces]
            )
        except Refused as refused:
            return DetectDecision(outcome_of(refused.refusal), (), count, refused.refusal, timer.timings_ms)
        return DetectDecision("detected", faces, count, timings_ms=timer.timings_ms)

    def refuse(self, request: DetectRequest, refusal: Refusal, snapshot: Snapshot, context: Context) -> DetectDecision:
        """Return the decision that answers a request with that refusal."""
        return DetectDecision(outcome_of(refusal), refusal=refusal)

    def leaves_event(self, request: DetectRequest) -> bool:
        """Return False: a detection leaves no event, unless it becomes a dead letter."""
        return False

    def pictures(self, request: DetectRequest) -> Sequence[bytes]:
        """Return the picture."""
        return (request.picture,)

    def answer(
        self, request: DetectRequest, decision: DetectDecision, context: Context, photo: bytes | None
    ) -> DetectAnswer:
        """Return the answer to a request that succeeded."""
        return DetectAnswer(faces=decision.faces)

    def event(self, request: DetectRequest, decision: DetectDecision, context: Context, at: Circumstances) -> Event:
        """Return the event that records the decision, with box and attributes of the largest face."""
        largest = decision.faces[0] if decision.faces else None
        return structs.replace(
            at.event(self.kind, request, decision.outcome, decision.refusal),
            faces=decision.count,
            face=largest.face if largest else None,
            attributes=largest.attributes if largest else None,
            timings_ms=decision.timings_ms,
        )


def _measured(image: Image, face: Face, request: DetectRequest, models: ModelSet, timer: StageTimer) -> DetectedFace:
    """Return a face with what the request asks for.

    Raises:
        Refused: a network cannot use the face.
    """
    attributes, angles, feature = None, None, None
    if request.with_attribute:
        with timer.stage("attributes"):
            attributes = measure_attributes(image, face, models)
    if request.with_headpose:
        with timer.stage("quality"):
            pose = models.pose(image, face)
        angles = HeadAngles(yaw=pose.yaw, pitch=pose.pitch, roll=pose.roll)
    if request.with_feature:
        with timer.stage("embed"):
            feature = models.embedder(image, face).vector.astype("<f4").tobytes()
    return DetectedFace(
        face=face_box(face),
        attributes=attributes,
        angles=angles,
        landmarks=_landmarks(face) if request.with_landmark else None,
        feature=feature,
    )


def _landmarks(face: Face) -> tuple[tuple[float, float], ...]:
    """Return the landmarks in pixels of the picture as sent, rounded to tenths of a pixel."""
    points = (face.landmarks * face.reduction).tolist()
    return tuple((round(across, 1), round(down, 1)) for across, down in points)
