"""One look at a picture: from its bytes to findings and an embedding, without a gallery and without a request.

The stages are decode, detect, quality, liveness and embed; each stage can end the look with a refusal. Attributes,
where they are wanted, are estimated last.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

from contract.calls.match import MOST_FACES
from contract.errors import Code, PictureRefused, Refusal, Refused
from contract.findings import Attributes
from contract.terms import Cover, FaceRule, LivenessMode, QualityLevel
from contract.vectors import Vector
from engine.context import Context
from engine.timing import StageTimer
from engine.vision.attributes import measure_attributes
from engine.vision.choosing import choose_face
from engine.vision.covered_templates import covered_templates
from engine.vision.decode.versions import Versions
from engine.vision.finding import find_in_versions
from engine.vision.liveness import InfraredImage, InfraredPicture, Liveness, check_liveness
from engine.vision.liveness.infrared_picture import FIELD
from engine.vision.ports import Box, Check, Embedding, Face, Image
from engine.vision.quality import Measured, limits_of, measure_all, measure_quality, quality_score
from engine.vision.turned import turn


@dataclass(frozen=True, slots=True)
class Findings:
    """The findings about one face of a picture; the findings of stages that the look did not reach are None or empty.

    `faces`: the number of faces in the picture. `quality`: the items that have a limit. `measured`: the other items,
    where `Wanted.all_items` is set. `size`: the width and height of the picture as sent, in pixels.
    """

    faces: int | None = None
    face: Face | None = None
    quality: tuple[Check, ...] = ()
    measured: tuple[Measured, ...] = ()
    quality_score: float | None = None
    liveness: Liveness | None = None
    attributes: Attributes | None = None
    size: tuple[int, int] | None = None


NOTHING_FOUND = Findings()

Beside = Literal["nobody", "rival", "all"]
"""Whose faces are looked at beside the one that counts: nobody's, that of its rival (engine.vision.choosing), if it has
one, or those of all."""

MOST_LOOKED_AT = MOST_FACES
"""The most faces of a picture that are looked at in the same way, the one that counts included."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """The parameters of a look. Liveness is checked, and low quality refused, for the faces that are looked at: the
    one that counts, and those `beside` it.

    `field`: the name of the picture's request field, which is put before the message of every refusal.
    `min_face_size`: smaller faces (shorter side in pixels of the picture as sent) are not looked at.
    `face`: which of the other faces counts. `beside`: the other faces that are looked at, at most `MOST_LOOKED_AT`.
    `quality_levels`: the levels whose limits must all be met. `infrared`: the picture of the second lens. `all_items`:
    items of quality without a limit are measured too. `most_faces`: the most faces that are measured, the largest
    first. `as_jpeg`: the picture is returned as a JPEG too. `covered`: templates of the face with covers are computed.
    """

    field: str | None = None
    min_face_size: int = 0
    face: FaceRule = "largest"
    beside: Beside = "nobody"
    quality_levels: tuple[QualityLevel, ...] = ()
    refuse_low_quality: bool = True
    all_items: bool = False
    most_faces: int = 1
    liveness: LivenessMode = "liveness_off"
    infrared: bytes | None = None
    attributes: bool = False
    as_jpeg: bool = False
    covered: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class LookBeside:
    """The findings about another face than the one that counts, and its embedding or the refusal that it would end in.

    `rival`: the face is about as near as the one that counts (engine.vision.choosing).
    """

    findings: Findings
    embedding: Embedding | Refusal
    rival: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The result of a look: the findings about the face that counts, and its embedding or the refusal that ended the
    look.

    `beside`: the other faces that were looked at, the rival first, and then the largest. `further`: the findings about
    the other measured faces. `jpeg`: the picture as a JPEG, where that was wanted. `timings_ms`: milliseconds per
    stage. `covered`: by cover, the template of the face that counts with that cover, where that was wanted and the
    embedder has a curve for the cover.
    """

    findings: Findings
    embedding: Embedding | Refusal
    beside: tuple[LookBeside, ...] = ()
    further: tuple[Findings, ...] = ()
    jpeg: bytes | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    covered: Mapping[Cover, Vector] = field(default_factory=dict)


def infrared_of(wanted: Wanted, context: Context) -> InfraredPicture | None:
    """Return the infrared picture, which is not decoded yet; None where there is none."""
    if wanted.infrared is None:
        return None
    return InfraredPicture(wanted.infrared, context.max_pixels, context.models.detector)


def look(picture: bytes, wanted: Wanted, context: Context, infrared: InfraredPicture | None = None) -> Look:
    """Look at one picture; whatever its bytes are, the result has an embedding or a refusal, and no error is raised.

    `infrared`: the infrared picture as `infrared_of` returns it, where looks at other pictures share it.
    """
    looking = _Looking(picture, wanted, context, infrared or infrared_of(wanted, context))
    ended: Embedding | Refusal
    try:
        ended = looking.run()
    except Refused as refused:
        ended = refused.refusal if wanted.field is None else refused.about(wanted.field).refusal
    return looking.result(ended)


def total_ms(*looks: Look) -> dict[str, float]:
    """Return the milliseconds per stage of several looks together."""
    stages = dict.fromkeys(stage for one in looks for stage in one.timings_ms)
    return {stage: round(sum(one.timings_ms.get(stage, 0.0) for one in looks), 3) for stage in stages}


class _Looking:
    """Runs the stages in order and collects their findings."""

    def __init__(self, picture: bytes, wanted: Wanted, context: Context, infrared: InfraredPicture | None) -> None:
        self._wanted, self._models, self._policy = wanted, context.models, context.policy
        self._timer = StageTimer(context.clock)
        self._versions = Versions(picture, context.max_pixels)
        self._infrared = infrared
        self._largest_share = 0.0
        """The shorter side of the largest face, as a share of the longer side of its image."""
        self._wholes: list[Image] = []
        """The decoded picture at full size, once a check has needed it; the looks at all faces share it."""
        self._found, self._further = NOTHING_FOUND, list[Findings]()
        self._beside: tuple[LookBeside, ...] = ()
        self._embedding: Embedding | None = None
        self._jpeg: bytes | None = None
        self._covered: Mapping[Cover, Vector] = {}

    def run(self) -> Embedding:
        """Run all wanted stages and return the embedding of the face that counts.

        Raises:
            Refused: a stage ended the look.
        """
        wanted = self._wanted
        image, faces = find_in_versions(self._versions, self._models.detector, self._timer)
        self._found = Findings(faces=len(faces), size=self._versions.size)
        counted = self._counted(faces)
        self._largest_share = faces[0].box.shorter_side / max(image.shape[:2])
        face, rival = self._choose(image, counted)
        if wanted.beside != "nobody":
            others = [] if rival is None else [rival]
            if wanted.beside == "all":
                others += [other for other in counted if other is not face and other is not rival]
            self._beside = tuple(
                self._look_beside(image, other, rival=other is rival) for other in others[: MOST_LOOKED_AT - 1]
            )
        embedding = self._look_at(image, face)
        if wanted.covered:
            with self._timer.stage("embed"):
                self._covered = covered_templates(image, face, embedding.vector, self._models.embedder)
        for other in faces[1 : wanted.most_faces]:
            self._further.append(self._measure_further(image, other))
        if wanted.as_jpeg:
            self._jpeg = self._versions.as_jpeg()
        return embedding

    def result(self, ended: Embedding | Refusal) -> Look:
        """Return the findings of all stages that were run."""
        looked = (self._found, ended, self._beside, tuple(self._further))
        return Look(*looked, self._jpeg, self._timer.timings_ms, self._covered)

    def _choose(self, image: Image, counted: Sequence[Face]) -> tuple[Face, Face | None]:
        if len(counted) == 1:
            return counted[0], None
        with self._timer.stage("quality"):
            return choose_face(image, counted, self._wanted.face)

    def _look_at(self, image: Image, face: Face) -> Embedding:
        wanted = self._wanted
        self._found = self._measure(image, face)
        if wanted.refuse_low_quality:
            _require_quality(self._found.quality)
        if wanted.liveness != "liveness_off":
            self._check_liveness(image, face)
        embedding = self._embed(image, face)
        self._found = replace(self._found, quality_score=quality_score(image, face, embedding))
        if wanted.attributes:
            with self._timer.stage("attributes"):
                self._found = replace(self._found, attributes=measure_attributes(image, face, self._models))
        return embedding

    def _look_beside(self, image: Image, face: Face, *, rival: bool) -> LookBeside:
        looking = copy(self)  # it shares the decoded pictures and the timer
        try:
            ended: Embedding | Refusal = looking._look_at(image, face)  # noqa: SLF001 - its own kind
        except Refused as refused:
            ended = refused.refusal
        return LookBeside(looking._found, ended, rival)  # noqa: SLF001 - its own kind

    def _counted(self, faces: Sequence[Face]) -> Sequence[Face]:
        counted = [face for face in faces if face.sent_box.shorter_side >= self._wanted.min_face_size]
        if not counted:
            raise PictureRefused(
                Code.NO_FACE,
                "no face of min_face_size found in the picture" if faces else "no face found in the picture",
            )
        return counted

    def _measure(self, image: Image, face: Face) -> Findings:
        limits, pose = limits_of(self._wanted.quality_levels, self._policy.custom_quality), self._models.pose
        others: Sequence[Measured] = ()
        with self._timer.stage("quality"):
            if self._wanted.all_items:
                checks, others = measure_all(image, face, limits, pose)
            else:
                checks = measure_quality(image, face, limits, pose)
        return Findings(self._found.faces, face, tuple(checks), tuple(others), size=self._found.size)

    def _measure_further(self, image: Image, face: Face) -> Findings:
        found = self._measure(image, face)
        with self._timer.stage("embed"):
            embedding = self._models.embedder(image, face)
        return replace(found, quality_score=quality_score(image, face, embedding))

    def _check_liveness(self, image: Image, face: Face) -> None:
        infrared = self._infrared_image(face) if self._wanted.liveness == "liveness_rgb_ir" else None
        original = self._original(image, face)
        embedding = partial(self._embed, image, face)
        with self._timer.stage("liveness"):
            liveness = check_liveness(image, face, infrared, embedding, self._models, self._policy, original)
        self._found = replace(self._found, liveness=liveness)
        if not liveness.passed:
            failed = ", ".join(liveness.failed)
            raise Refused(Code.LIVENESS_DETECT_FAIL, f"the face was not accepted as live: {failed}")

    def _original(self, image: Image, face: Face) -> tuple[Image, Box]:
        """Return the image at full size, and the face's box in it: a screen's pixel grid is lost in a smaller image."""
        if face.reduction == 1:
            return image, face.box
        if not self._wholes:
            with self._timer.stage("decode"):
                self._wholes.append(turn(self._versions.version(), face.quarter_turns))
        (whole,) = self._wholes
        across, down = whole.shape[1] / image.shape[1], whole.shape[0] / image.shape[0]
        box = face.box
        return whole, Box(box.x * across, box.y * down, box.width * across, box.height * down)

    def _infrared_image(self, face: Face) -> InfraredImage:
        if self._infrared is None:
            raise Refused(Code.PARAM_ERROR, f"{FIELD} is needed: this site checks liveness with an IR picture")
        # Both lenses are in one device, so the infrared picture is turned by the same angle as the colour picture.
        return self._infrared.turned(face.quarter_turns, self._largest_share, self._timer)

    def _embed(self, image: Image, face: Face) -> Embedding:
        if self._embedding is None:
            with self._timer.stage("embed"):
                self._embedding = self._models.embedder(image, face)
        return self._embedding


def _require_quality(checks: Sequence[Check]) -> None:
    failed = [check.name for check in checks if not check.passed]
    if failed:
        raise PictureRefused(Code.LOW_QUALITY_ERROR, f"the face's quality is too low: {', '.join(failed)}")
