"""Are these two one person? From a CompareRequest to a decision, by the injected networks; pure and deterministic.

Of each picture the largest face counts. The quality level holds for the face picture, which a camera took; the card's
items are measured and told, and refuse nothing: a card's photo is what it is.
"""

from dataclasses import dataclass, field, replace

from engine.errors import Code, PictureRefused, Refusal
from engine.matching import NOTHING_SEEN, Findings, detect_faces, outcome_of, require_quality
from engine.messages import CompareRequest
from engine.policy import Policy
from engine.terms import Outcome
from engine.threshold import AppliedThreshold, comparison_threshold
from engine.timing import Clock, StageTimer
from engine.vision.ports import Embedding, Face, Image, ModelSet
from engine.vision.quality import measure_quality, quality_score


@dataclass(frozen=True, slots=True)
class CompareDecision:
    """What was decided about two pictures, and all that it was decided from.

    `cosine` is None and `refusal` is set where the answer is an error.
    """

    outcome: Outcome
    threshold: AppliedThreshold
    cosine: float | None = None
    refusal: Refusal | None = None
    face: Findings = NOTHING_SEEN
    card: Findings = NOTHING_SEEN
    timings_ms: dict[str, float] = field(default_factory=dict)


def decide_compare(
    request: CompareRequest, models: ModelSet, policy: Policy, max_pixels: int, clock: Clock
) -> CompareDecision:
    """Compare two pictures; whatever a caller can send ends in a decision.

    `max_pixels` bounds what is decoded of each, `clock` (seconds) times the steps.
    """
    timer = StageTimer(clock)
    face, card = (_Look(request, models, policy, timer) for _ in range(2))
    try:
        face.find("face_image_base64", request.face_image, max_pixels)
        _require_quality("face_image_base64", face.seen)
        card.find("card_image_base64", request.card_image, max_pixels)
        cosine = float(face.embed().vector @ card.embed().vector)
    except Refusal as refusal:
        refused = refuse_compare(refusal.afresh(), request, models)
        return replace(refused, face=face.seen, card=card.seen, timings_ms=timer.timings_ms)
    threshold = comparison_threshold(request.level, models.embedder)
    outcome: Outcome = "same" if cosine >= threshold.cosine else "different"
    return CompareDecision(outcome, threshold, cosine, face=face.seen, card=card.seen, timings_ms=timer.timings_ms)


def refuse_compare(refusal: Refusal, request: CompareRequest, models: ModelSet) -> CompareDecision:
    """The decision about a request whose answer is an error."""
    return CompareDecision(outcome_of(refusal), comparison_threshold(request.level, models.embedder), refusal=refusal)


class _Look:
    """One look at one of the two pictures, and what was seen so far."""

    def __init__(self, request: CompareRequest, models: ModelSet, policy: Policy, timer: StageTimer) -> None:
        self._level = request.quality_level or policy.match_quality
        self._models, self._policy, self._timer = models, policy, timer
        self._found: tuple[Image, Face] | None = None
        self.seen = NOTHING_SEEN

    def find(self, name: str, picture: bytes, max_pixels: int) -> None:
        """Find the largest face and measure its quality; `name` is the picture's field.

        Raises:
            Refusal: it cannot be read, or holds no face.
        """
        try:
            image, faces = detect_faces(picture, self._models, max_pixels, self._timer)
        except PictureRefused as refusal:
            raise refusal.about(name) from None
        self.seen = Findings(faces=len(faces))
        if not faces:
            raise Refusal(Code.NO_FACE, "no face found in the picture").about(name)
        with self._timer.stage("quality"):
            checks = measure_quality(image, faces[0], self._level, self._policy.custom_quality, self._models.pose)
        self.seen = replace(self.seen, face=faces[0], quality=tuple(checks))
        self._found = image, faces[0]

    def embed(self) -> Embedding:
        """The embedding of the face that was found."""
        if self._found is None:
            raise RuntimeError("find the face first")
        image, face = self._found
        with self._timer.stage("embed"):
            embedding = self._models.embedder(image, face)
        self.seen = replace(self.seen, quality_score=quality_score(image, face, embedding))
        return embedding


def _require_quality(name: str, seen: Findings) -> None:
    try:
        require_quality(seen.quality)
    except PictureRefused as refusal:
        raise refusal.about(name) from None
