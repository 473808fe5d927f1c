"""Are these two one person? From a CompareRequest to a decision, by the injected networks; pure and deterministic.

Of each picture the largest face counts. The quality level holds for the face picture, which a camera took; the card's
items are measured and told, and refuse nothing: a card's photo is what it is.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from contract.errors import Code, Refusal, Refused
from contract.messages import CompareRequest
from contract.terms import Outcome
from engine.matching import NOTHING_SEEN, Findings, outcome_of, require_quality
from engine.policy import Policy
from engine.threshold import AppliedThreshold, comparison_threshold
from engine.timing import Clock, StageTimer
from engine.vision.finding import find_faces
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
    face = _Look("face_image_base64", request, models, policy, timer)
    card = _Look("card_image_base64", request, models, policy, timer)
    try:
        face.find(request.face_image, max_pixels)
        face.require_quality()
        card.find(request.card_image, max_pixels)
        cosine = float(face.embed().vector @ card.embed().vector)
    except Refused as error:
        refused = refuse_compare(error.refusal, request, models)
        return replace(refused, face=face.seen, card=card.seen, timings_ms=timer.timings_ms)
    threshold = comparison_threshold(request.level, models.embedder)
    outcome: Outcome = "same" if cosine >= threshold.cosine else "different"
    return CompareDecision(outcome, threshold, cosine, face=face.seen, card=card.seen, timings_ms=timer.timings_ms)


def refuse_compare(refusal: Refusal, request: CompareRequest, models: ModelSet) -> CompareDecision:
    """The decision about a request whose answer is an error."""
    return CompareDecision(outcome_of(refusal), comparison_threshold(request.level, models.embedder), refusal=refusal)


class _Look:
    """One look at one of the two pictures, that of the field `name`, and what was seen so far.

    Every refusal says which of the two it is about.
    """

    def __init__(self, name: str, request: CompareRequest, models: ModelSet, policy: Policy, timer: StageTimer) -> None:
        self._name = name
        self._level = request.quality_level or policy.match_quality
        self._models, self._policy, self._timer = models, policy, timer
        self._found: tuple[Image, Face] | None = None
        self.seen = NOTHING_SEEN

    def find(self, picture: bytes, max_pixels: int) -> None:
        """Find the largest face and measure its quality.

        Raises:
            Refused: the picture cannot be read, or holds no face.
        """
        with self._naming_it():
            image, faces = find_faces(picture, self._models.detector, max_pixels, self._timer)
            self.seen = Findings(faces=len(faces))
            if not faces:
                raise Refused(Code.NO_FACE, "no face found in the picture")
        with self._timer.stage("quality"):
            checks = measure_quality(image, faces[0], self._level, self._policy.custom_quality, self._models.pose)
        self.seen = replace(self.seen, face=faces[0], quality=tuple(checks))
        self._found = image, faces[0]

    def require_quality(self) -> None:
        """Raise LOW_QUALITY_ERROR, naming the failed items."""
        with self._naming_it():
            require_quality(self.seen.quality)

    def embed(self) -> Embedding:
        """The embedding of the face that was found.

        Raises:
            Refused: it has none that can be used.
        """
        if self._found is None:
            raise RuntimeError("find the face first")
        image, face = self._found
        with self._naming_it(), self._timer.stage("embed"):
            embedding = self._models.embedder(image, face)
        self.seen = replace(self.seen, quality_score=quality_score(image, face, embedding))
        return embedding

    @contextmanager
    def _naming_it(self) -> Iterator[None]:
        try:
            yield
        except Refused as error:
            raise error.about(self._name) from None
