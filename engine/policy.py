"""What the operator decides about matching and enrolling: a value handed to the decisions."""

from typing import Annotated, Literal

import msgspec

from contract.terms import LivenessMode, QualityLevel

ScoreScale = Literal["raw", "percent"]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
GreyValue = Annotated[float, msgspec.Meta(ge=0.0, le=255.0)]


class QualityLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of the level `custom`; an item without a limit (None) is not measured."""

    face_size_px: Annotated[float, msgspec.Meta(ge=0)] | None = 60.0
    """The shorter side of the face box must be greater."""
    headpose_degrees: Annotated[float, msgspec.Meta(ge=0)] | None = 120.0
    """The sum of the absolute head angles may reach this."""
    partial: Share | None = None
    """The share of the face box outside the picture may reach this."""
    brightness: tuple[GreyValue, GreyValue] | None = None
    """The mean grey value (0..255) of the face must lie between these."""
    clarity: Share | None = None
    """The sharpness of the face, 0..1, must reach this."""
    mask: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """How much of a mouth shows must reach this; made so that 1 is where a face mask begins."""

    def __post_init__(self) -> None:
        """Refuse limits that no face can keep.

        Raises:
            ValueError: the message says which.
        """
        if self.brightness is not None and not self.brightness[0] < self.brightness[1]:
            raise ValueError("brightness must be two grey values, the low one below the high one")


class LivenessLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of the liveness checks other than `rgb_live`, each named as its check; docs/liveness.md says where
    they come from."""

    rgb_moire: Annotated[float, msgspec.Meta(ge=0)] = 15.0
    """The strongest periodic pattern on the face must stand out by fewer decibels."""
    rgb_frame: Share = 0.8
    """Less than this share of the weakest side of a frame around the head may be there."""
    ir_monochrome: Annotated[float, msgspec.Meta(ge=0, le=255)] = 12.0
    """The colours of the infrared picture may differ by this, in grey values."""
    ir_face: Share = 0.2
    """The faces of both pictures must overlap by this (intersection over union of places relative to the pictures). Two
    lenses side by side see a near face shifted by up to half its width (0.33) and at a somewhat different size."""
    ir_size: Share = 0.6
    """The smaller of the two faces must have this share of the other's height, both relative to their pictures."""
    ir_same_person: Annotated[float, msgspec.Meta(ge=-1, le=1)] | None = None
    """The cosine that both faces must reach; None takes it from the embedder (engine.vision.liveness.infrared)."""
    ir_copy: Share = 0.97
    """The infrared face must be told by the colour one less than this (engine.vision.liveness.grey_copy)."""
    ir_contrast: Share = 0.05
    """What the face's contrast, to its background and in itself, should reach."""
    ir_live: Share = 0.5
    """The live probability of the infrared picture that should be reached (must, by a network made for infrared)."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the engine; the same for every request."""

    threshold: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] | None = None
    """Cosine threshold for 1:N; None takes the one for `target_fpir`."""
    target_fpir: Annotated[float, msgspec.Meta(gt=0.0, le=0.5)] = 0.01
    """The share of strangers that a search may take for somebody, at the present size of what is searched."""
    score_scale: ScoreScale = "raw"
    """raw: cosine; percent: the vendor's 0..100, on which the threshold is 82."""
    liveness_floor: LivenessMode = "liveness_off"
    """A request can raise liveness above this, never lower it."""
    liveness_threshold: Share = 0.5
    """The live probability that the RGB network must reach."""
    liveness_limits: LivenessLimits = LivenessLimits()
    match_quality: QualityLevel = "no"
    """Quality level of a PictureMatch."""
    enrolment_quality: QualityLevel = "low"
    """Quality level of an enrolment that names none."""
    custom_quality: QualityLimits = QualityLimits()
    blacklist_opens: bool = False
    """True: a recognised person of type 3 gets retcode "1"."""
    allow_keep_info: bool = False
    """True: need_keep_info is honoured."""
    event_identity_info: bool = False
    """True: events carry the person's identity_info."""
    unknown_device: Literal["accept", "reject"] = "accept"
    """What an unregistered device_ip gets: the default group, or DEVICE_ID_NOT_FOUND."""
    max_people: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 100_000
    """People in the default group; more are refused with GROUP_LEN_ERROR."""
    max_faces_per_person: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    """Faces that one person may have; a further one is refused with PARAM_ERROR."""
