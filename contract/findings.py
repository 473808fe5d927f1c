"""The findings: what was measured in a picture, as answers, events and evidence contain it."""

from typing import Literal

import msgspec

from contract.terms import Cover, LivenessMode, Message


class CheckResult(Message, frozen=True, kw_only=True):
    """One measured item of quality or liveness: the measured value, the limit, and whether the value passed.

    `vote`: the item does not decide alone, but votes by the rule in docs/liveness.md. `detail`: the values from which
    `value` was computed.
    """

    name: str
    value: float
    limit: float
    passed: bool
    vote: bool = False
    detail: dict[str, float] = msgspec.field(default_factory=dict)


class MeasuredItem(Message, frozen=True, kw_only=True):
    """One measured item of quality that has no limit. `detail`: the values from which `value` was computed."""

    name: str
    value: float
    detail: dict[str, float] = msgspec.field(default_factory=dict)


class LivenessResult(Message, frozen=True, kw_only=True):
    """The liveness part of a decision. `mode` is the mode that was applied, which may differ from the requested one."""

    mode: LivenessMode
    passed: bool
    checks: tuple[CheckResult, ...]


class PictureSize(Message, frozen=True, kw_only=True):
    """The size of a picture as it was sent: the bytes of the file, and the pixels of the stored image.

    `width` and `height` are null where the picture's header was not read.
    """

    bytes: int
    width: int | None = None
    height: int | None = None

    @property
    def pixels(self) -> int | None:
        """Width x height; None where the header was not read."""
        return None if self.width is None or self.height is None else self.width * self.height


class FaceBox(Message, frozen=True, kw_only=True):
    """The position and size of the face, in pixels of the upright picture.

    `turned_degrees`: the angle by which the picture was turned counterclockwise, because its faces did not appear
    upright and the picture's file declared no orientation.
    """

    x: float
    y: float
    width: float
    height: float
    confidence: float
    turned_degrees: int = 0


class Lookalike(Message, frozen=True, kw_only=True):
    """An enrolled person whose face a search could take for a face that is enrolled under another id.

    `score` is on the wire's scale, `percent` on the percent scale, both at the threshold of the smallest scope in which
    a search can confuse both people. `shares_scope`: both have a group and a permission in common, so that a device can
    confuse them; where it is false, a search of one group compares one of them only, and the look-alike matters if both
    are the same person, or if they have a permission in common and searches of version 6 compare the people of all
    groups.
    """

    identity_id: str
    score: float
    percent: float
    shares_scope: bool


class Attributes(Message, frozen=True, kw_only=True):
    """The estimated attributes of a person (with_attribute), which never influence the decision.

    null: no installed network estimates that attribute. Age classes: child below 13 years, youth below 25, adult below
    60, senior from 60 on.
    """

    age_years: float | None = None
    age_class: Literal["child", "youth", "adult", "senior"] | None = None
    sex: Literal["male", "female"] | None = None
    mask: bool | None = None
    glasses: bool | None = None


LeftOut = Literal[
    "image_error", "no_face", "low_quality", "other_person", "repeated", "spoof", "refused", "not_looked_at"
]
"""Why one of several pictures is not part of the probe: the picture could not be used, its face is that of another
person than in the best picture, it has the bytes of an earlier picture, or its face was not accepted as live; or the
request was refused because of another picture (refused), or before this picture was looked at (not_looked_at)."""


class PassagePicture(Message, frozen=True, kw_only=True):
    """One of several pictures of a request, and what became of it.

    `number`: the place in the request, from 0 on. `sha256` (hex) and `bytes`: of the file. `width` and `height`: the
    pixels of the stored image; null where the header was not read. `best`: the findings of the event refer to this
    picture. `left_out`: why the picture is not part of the probe; null: it is. `quality_score`: of the face.
    """

    number: int
    sha256: str
    bytes: int
    width: int | None = None
    height: int | None = None
    best: bool = False
    left_out: LeftOut | None = None
    quality_score: float | None = None


class CardFindings(Message, frozen=True, kw_only=True):
    """What was measured in the second picture of a comparison. `sha256` (hex) is the hash of that picture's bytes."""

    sha256: str
    faces: int | None = None
    face: FaceBox | None = None
    quality: tuple[CheckResult, ...] = ()
    quality_score: float | None = None


class MatchedFace(Message, frozen=True, kw_only=True):
    """One of several faces of a picture that were searched for.

    `outcome`: that of the face by itself, one of the outcomes of a match; `retcode`, `identity_id`, `name` and `score`
    as an answer has them. `error_code`: the error that an answer about this face would be. `chosen`: the face was
    chosen by the rule of the setting matching.face. `rival`: the face is about as near to the camera as the chosen one.
    `answered`: the answer is about this face. `kept_by_another`: the nearest person, with this score, was recognised in
    another face of the picture, so that this one counts as a stranger's. `cover`: the templates of faces with that
    cover recognised somebody; None: those of whole faces decided.
    """

    face: FaceBox | None
    outcome: str
    retcode: Literal["0", "1"] | None = None
    identity_id: str = ""
    name: str = ""
    score: float | None = None
    error_code: int | None = None
    quality: tuple[CheckResult, ...] = ()
    quality_score: float | None = None
    liveness: LivenessResult | None = None
    chosen: bool = False
    rival: bool = False
    answered: bool = False
    kept_by_another: bool = False
    cover: Cover | None = None


class FaceQuality(Message, frozen=True, kw_only=True):
    """The quality of one face, and whether the face passes the quality level.

    `checks`: the items that have a limit at that level. `measured`: the items that have none. `quality_score`: 0..1.
    `cut`: the face extends beyond the picture's edge. `masked`: the mouth is covered. Both are false where the item was
    not measured.
    """

    passed: bool
    face: FaceBox
    checks: tuple[CheckResult, ...]
    measured: tuple[MeasuredItem, ...] = ()
    quality_score: float
    cut: bool = False
    masked: bool = False


class HeadAngles(Message, frozen=True, kw_only=True):
    """The angles of a head in degrees."""

    yaw: float
    pitch: float
    roll: float


class DetectedFace(Message, frozen=True, kw_only=True):
    """One face that was detected, and of it what the request asked for.

    `landmarks`: the points (x, y) of the eye on the picture's left, the other eye, the nose tip, the mouth corner on
    the picture's left and the other corner, in pixels of the upright picture. `feature`: the embedding, a unit vector
    as little-endian float32 bytes.
    """

    face: FaceBox
    attributes: Attributes | None = None
    angles: HeadAngles | None = None
    landmarks: tuple[tuple[float, float], ...] | None = None
    feature: bytes | None = None
