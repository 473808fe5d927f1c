"""Who is this? From a MatchRequest and a gallery to a decision, by the injected networks; pure and deterministic.

The steps, each of which can end the matter: decode, detect, choose the largest face, quality, liveness, embed, search,
decide against the threshold. Attributes, where they are asked for, are guessed when the search is done.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from contract.errors import Code, PictureRefused, Refusal, Refused
from contract.findings import Attributes
from contract.messages import MatchRequest
from contract.people.records import PersonRecord
from contract.terms import DEFAULT_GROUP, LIVENESS_ORDER, PERSON_BLACKLIST, PERSON_EMPLOYEE, LivenessMode, Outcome
from engine.gallery.index import Candidate, Gallery
from engine.policy import Policy
from engine.threshold import AppliedThreshold, search_threshold
from engine.timing import Clock, StageTimer
from engine.vision.attributes import measure_attributes
from engine.vision.decode.versions import Versions
from engine.vision.finding import find_in_versions, version_for
from engine.vision.liveness import Liveness, check_liveness
from engine.vision.ports import Box, Check, Embedding, Face, Image, ModelSet
from engine.vision.quality import measure_quality, quality_score
from engine.vision.turned import turn


@dataclass(frozen=True, slots=True)
class Findings:
    """What was seen in the picture before the matter ended; what was not reached is None or empty."""

    faces: int | None = None
    face: Face | None = None
    quality: tuple[Check, ...] = ()
    quality_score: float | None = None
    liveness: Liveness | None = None
    attributes: Attributes | None = None


NOTHING_SEEN = Findings()


@dataclass(frozen=True, slots=True)
class MatchDecision:
    """What was decided about one request, and all that it was decided from.

    `candidate` is the best face of the gallery, whether or not it reached `threshold`. `refusal` is set where the
    answer is an error.
    """

    outcome: Outcome
    threshold: AppliedThreshold
    gallery_version: int
    candidate: Candidate | None = None
    refusal: Refusal | None = None
    findings: Findings = NOTHING_SEEN
    timings_ms: dict[str, float] = field(default_factory=dict)


_OUTCOMES: dict[Code, Outcome] = {
    Code.IMAGE_ERROR: "image_error",
    Code.IMAGE_SIZE_TOO_LARGE_ERROR: "image_error",
    Code.NO_FACE: "no_face",
    Code.LOW_QUALITY_ERROR: "low_quality",
    Code.LIVENESS_DETECT_FAIL: "spoof",
    Code.EMPTY_GROUP_ERROR: "empty_group",
    Code.TIMEOUT: "expired",
}


def decide_match(
    request: MatchRequest, gallery: Gallery, models: ModelSet, policy: Policy, max_pixels: int, clock: Clock
) -> MatchDecision:
    """Match one request; whatever a device can send ends in a decision.

    `max_pixels` bounds what is decoded, `clock` (seconds) times the steps.
    """
    timer = StageTimer(clock)
    look = _Look(request, models, policy, timer)
    try:
        _check_scope(request, policy)
        candidate = look.find(gallery, max_pixels)
    except Refused as error:
        return replace(
            refuse_match(error.refusal, gallery, models, policy), findings=look.seen, timings_ms=timer.timings_ms
        )
    threshold = search_threshold(policy, models.embedder, gallery.size)
    outcome = _outcome(candidate, threshold.cosine, policy)
    return MatchDecision(
        outcome, threshold, gallery.version, candidate, findings=look.seen, timings_ms=timer.timings_ms
    )


def outcome_of(refusal: Refusal) -> Outcome:
    """What an event calls a request whose answer is that error."""
    return _OUTCOMES.get(refusal.code, "error")


def refuse_match(refusal: Refusal, gallery: Gallery, models: ModelSet, policy: Policy) -> MatchDecision:
    """The decision about a request whose answer is an error."""
    threshold = search_threshold(policy, models.embedder, gallery.size)
    return MatchDecision(outcome_of(refusal), threshold, gallery.version, refusal=refusal)


def applied_liveness(request: MatchRequest, policy: Policy) -> LivenessMode:
    """The strictest of what the request asks for, the site's floor, and what an infrared picture implies."""
    wanted = [request.liveness_mode, policy.liveness_floor]
    if request.ir_image is not None:
        wanted.append("liveness_rgb_ir")
    return max(wanted, key=LIVENESS_ORDER.index)


def require_quality(checks: Sequence[Check]) -> None:
    """Raise LOW_QUALITY_ERROR, naming the failed items."""
    failed = [check.name for check in checks if not check.passed]
    if failed:
        raise PictureRefused(Code.LOW_QUALITY_ERROR, f"the face's quality is too low: {', '.join(failed)}")


class _Look:
    """One look at a picture: the steps in order, and what each has seen."""

    def __init__(self, request: MatchRequest, models: ModelSet, policy: Policy, timer: StageTimer) -> None:
        self._request, self._models, self._policy, self._timer = request, models, policy, timer
        self._probe: Embedding | None = None
        self.seen = NOTHING_SEEN

    def find(self, gallery: Gallery, max_pixels: int) -> Candidate:
        """The gallery's best candidate for the picture's largest face.

        Raises:
            Refused: a step ended the matter.
        """
        versions = Versions(self._request.image, max_pixels)
        image, faces = find_in_versions(versions, self._models.detector, self._timer)
        self.seen = Findings(faces=len(faces))
        face = next((face for face in faces if face.sent_box.shorter_side >= self._request.min_face_size), None)
        if face is None:
            raise PictureRefused(
                Code.NO_FACE,
                "no face of min_face_size found in the picture" if faces else "no face found in the picture",
            )
        self.seen = replace(self.seen, face=face)
        self._check_quality(image, face)
        self._check_liveness(image, face, versions, max_pixels)
        if gallery.size == 0:
            raise Refused(Code.EMPTY_GROUP_ERROR, "nobody is enrolled in the group that was to be searched")
        probe = self._embed(image, face)
        self.seen = replace(self.seen, quality_score=quality_score(image, face, probe))
        with self._timer.stage("search"):
            candidate = gallery.best(probe.vector)
        if candidate is None:
            raise Refused(Code.EMPTY_GROUP_ERROR, "nobody is enrolled in the group that was to be searched")
        if self._request.with_attribute:
            with self._timer.stage("attributes"):
                self.seen = replace(self.seen, attributes=measure_attributes(image, face, self._models))
        return candidate

    def _check_quality(self, image: Image, face: Face) -> None:
        level = self._policy.match_quality
        with self._timer.stage("quality"):
            checks = measure_quality(image, face, level, self._policy.custom_quality, self._models.pose)
        self.seen = replace(self.seen, quality=tuple(checks))
        require_quality(checks)

    def _check_liveness(self, image: Image, face: Face, versions: Versions, max_pixels: int) -> None:
        mode = applied_liveness(self._request, self._policy)
        if mode == "liveness_off":
            return
        # Both lenses are in one device, so its infrared picture lies as the colour one does.
        infrared: Image | None = None
        if mode == "liveness_rgb_ir":
            share = face.box.shorter_side / max(image.shape[:2])
            infrared = turn(self._infrared(max_pixels, share), face.quarter_turns)
        original = self._original(image, face, versions)
        embedding = partial(self._embed, image, face)
        with self._timer.stage("liveness"):
            liveness = check_liveness(image, face, infrared, embedding, self._models, self._policy, original)
        self.seen = replace(self.seen, liveness=liveness)
        if not liveness.passed:
            failed = ", ".join(liveness.failed)
            raise Refused(Code.LIVENESS_DETECT_FAIL, f"the face was not accepted as live: {failed}")

    def _original(self, image: Image, face: Face, versions: Versions) -> tuple[Image, Box]:
        """The picture with all its pixels, and the face's box there: a screen's pixel grid is lost in a smaller one."""
        if face.reduction == 1:
            return image, face.box
        with self._timer.stage("decode"):
            whole = turn(versions.version(), face.quarter_turns)
        across, down = whole.shape[1] / image.shape[1], whole.shape[0] / image.shape[0]
        box = face.box
        return whole, Box(box.x * across, box.y * down, box.width * across, box.height * down)

    def _infrared(self, max_pixels: int, face_share: float) -> Image:
        if self._request.ir_image is None:
            raise Refused(Code.PARAM_ERROR, "ir_image_base64 is needed: this site checks liveness with an IR picture")
        try:
            with self._timer.stage("decode"):
                return version_for(Versions(self._request.ir_image, max_pixels), face_share)
        except PictureRefused as error:
            raise error.about("ir_image_base64") from None

    def _embed(self, image: Image, face: Face) -> Embedding:
        if self._probe is None:
            with self._timer.stage("embed"):
                self._probe = self._models.embedder(image, face)
        return self._probe


def _check_scope(request: MatchRequest, policy: Policy) -> None:
    if request.group_name not in (None, DEFAULT_GROUP) or request.permission_name is not None:
        raise Refused(
            Code.GROUP_NAME_ERROR,
            f"no such group or permission: in this version there is only the group {DEFAULT_GROUP}, and no permission",
        )
    if request.group_name is None and policy.unknown_device == "reject":
        raise Refused(Code.DEVICE_ID_NOT_FOUND, "this device is not registered")


def _outcome(candidate: Candidate, threshold: float, policy: Policy) -> Outcome:
    if candidate.cosine < threshold:
        return "stranger"
    if person_type(candidate.person) == PERSON_BLACKLIST and not policy.blacklist_opens:
        return "blacklisted"
    return "matched"


def person_type(person: PersonRecord) -> int:
    """The wire's info.type: 1 employee, 2 visitor, 3 blacklist, 4 stranger, 5 VIP."""
    kind = person.info.get("type", PERSON_EMPLOYEE)
    return kind if isinstance(kind, int) else PERSON_EMPLOYEE
