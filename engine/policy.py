"""The policy: the operator's settings of matching and enrolling, as a value that is passed to the decisions."""

from collections.abc import Mapping
from datetime import tzinfo
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from msgspec import structs

from contract.people.site import Site
from contract.site_settings import MATCHING, SITE_SETTINGS, laid_over
from contract.terms import LEAST_RATE, FaceRule, LivenessMode, QualityLevel

Lookalikes = Literal["off", "warn", "refuse"]
ScoreScale = Literal["raw", "percent"]
Score = Annotated[float, msgspec.Meta(ge=0.0, le=100.0)]
ScoreRange = tuple[Score, Score, Score]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Rate = Annotated[float, msgspec.Meta(gt=0.0, le=0.5)]
_RATES = ("target_fpir", "highest_fmr")
_SCORES = ("score_range", "accepted_score")
GreyValue = Annotated[float, msgspec.Meta(ge=0.0, le=255.0)]


class QualityLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of the level `custom`; an item without a limit (None) is not measured."""

    face_size_px: Annotated[float, msgspec.Meta(ge=0)] | None = 60.0
    """The shorter side of the face box must be greater than this number of pixels."""
    headpose_degrees: Annotated[float, msgspec.Meta(ge=0)] | None = 120.0
    """The sum of the absolute head angles must be at most this number of degrees."""
    partial: Share | None = None
    """The share of the face outside the picture, 0..1, must be at most this value."""
    brightness: tuple[GreyValue, GreyValue] | None = None
    """The mean grey value (0..255) of the face must lie between these two values."""
    clarity: Share | None = None
    """The sharpness of the face, 0..1, must be at least this value."""
    mask: Annotated[float, msgspec.Meta(ge=0)] | None = None
    """The visibility of the mouth must be at least this value; below 1 a face mask covers the mouth."""

    def __post_init__(self) -> None:
        """Refuse limits that no face can meet.

        Raises:
            ValueError: the message names the limit.
        """
        if self.brightness is not None and not self.brightness[0] < self.brightness[1]:
            raise ValueError("brightness must be two grey values, the low one below the high one")


class LivenessLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits of the liveness checks other than `rgb_live`, each named as its check; docs/liveness.md gives their
    sources."""

    rgb_moire: Annotated[float, msgspec.Meta(ge=0)] = 15.0
    """The strongest periodic pattern on the face must exceed its surroundings in the spectrum by fewer decibels."""
    rgb_frame: Share = 0.8
    """The weakest side of a frame around the head must be present to less than this share."""
    ir_monochrome: Annotated[float, msgspec.Meta(ge=0, le=255)] = 12.0
    """The colour channels of the infrared picture must differ by at most this number of grey values."""
    ir_face: Share = 0.2
    """The face boxes of both pictures, relative to their pictures, must have at least this intersection over union.
    With two lenses side by side, a near face is shifted by up to half its width (0.33) and differs somewhat in size."""
    ir_size: Share = 0.6
    """The smaller face must have at least this share of the larger one's height, both relative to their pictures."""
    ir_same_person: Annotated[float, msgspec.Meta(ge=-1, le=1)] | None = None
    """The cosine of both faces must be at least this value; None computes the value from the embedder's curve
    (engine.vision.liveness.infrared)."""
    ir_copy: Share = 0.97
    """The infrared face must be predictable from the colour face to less than this correlation
    (engine.vision.liveness.grey_copy)."""
    ir_contrast: Share = 0.05
    """A vote: the contrast of the face to its background, and within the face, is at least this value."""
    ir_live: Share = 0.5
    """The live probability of the infrared picture is at least this value: a vote, unless a network made for infrared
    pictures computes it; then it must pass."""


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of the engine, which are the same for every request."""

    threshold: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] | None = None
    """The cosine threshold for 1:N; None computes the threshold from `target_fpir`."""
    target_fpir: Rate = 0.01
    """The share of strangers for whom a search may report an enrolled person, at the present size of the scope."""
    highest_fmr: Rate = 1e-3
    """The highest false match rate of one comparison in a search, however few faces the search compares."""
    mean_templates: bool = True
    """Whether a search also compares the mean of the faces of each person with several faces."""
    covered_templates: bool = True
    """Whether enrolment also makes templates of covered faces from a photo, and whether a search in which nobody is
    recognised compares them (engine.covered_search). An embedder without curves for covered faces has none."""
    score_scale: ScoreScale = "raw"
    """raw: cosine; percent: the vendor's 0..100, on which the threshold is 82."""
    score_range: ScoreRange = (0.0, 82.0, 100.0)
    """The scores on the percent scale that the cosines 0, the threshold and 1 get; three rising numbers."""
    accepted_score: Score | None = None
    """The score on the percent scale from which a search recognises a person; None: the middle one of `score_range`,
    which is the threshold. A lower score recognises people, and strangers, more often."""
    liveness_floor: LivenessMode = "liveness_off"
    """The least liveness mode; a request can ask for a stricter mode, but not for a weaker one."""
    liveness_threshold: Share = 0.5
    """The live probability that the RGB network must return at least."""
    liveness_limits: LivenessLimits = LivenessLimits()
    match_quality: QualityLevel = "no"
    """The quality level of a PictureMatch."""
    face: FaceRule = "chosen"
    """Which of several faces counts in a match, a comparison and an enrolment. chosen: of the faces that are about as
    large as the largest, the one with the best size, pose, sharpness and place, and a PictureMatch searches for the
    second of them too (engine.vision.choosing). largest: the largest."""
    min_face_size: Annotated[int, msgspec.Meta(ge=0)] = 0
    """A PictureMatch ignores faces whose shorter side has fewer pixels; a request can ask for a larger size."""
    enrolment_quality: QualityLevel = "low"
    """The quality level of an enrolment that names none."""
    enrolment_lookalikes: Lookalikes = "warn"
    """What an enrolment does where somebody else has a face, or with `mean_templates` a mean of faces, at or above the
    threshold of the smallest scope in which a search can confuse both (engine.calls.lookalikes): name these people in
    the answer (warn), refuse the face (refuse), or not search for them (off)."""
    custom_quality: QualityLimits = QualityLimits()
    enrol_strangers: bool = False
    """True: a match whose request has `support_stranger` enrols a face that is good enough and unknown, as a person of
    type 4 (engine.strangers)."""
    max_strangers: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 30_000
    """The most people whom matches have enrolled as strangers; for a further one the oldest is deleted."""
    stranger_quality: QualityLevel = "custom"
    """The quality level that a stranger's face must have to be enrolled."""
    stranger_liveness: LivenessMode = "liveness_off"
    """The least liveness mode that a stranger's face must have passed to be enrolled."""
    stranger_margin: Share = 0.07
    """How far below the threshold the cosine of the nearest person must be for a stranger to be enrolled, so that a
    poor picture of an enrolled person is not taken for a stranger."""
    blacklist_opens: bool = False
    """True: a recognised person of type 3 gets retcode "1"."""
    allow_keep_info: bool = False
    """True: need_keep_info is honoured."""
    repeat_window_s: Annotated[int, msgspec.Meta(ge=0, le=86_400)] = 0
    """Seconds after a match in which a further match of the person at the same device, with the same outcome, is a
    repeat: it is answered as always, and leaves a small event with `repeat_of` (contract.repeats). 0: none is."""
    event_identity_info: bool = False
    """True: events carry the person's identity_info."""
    unknown_device: Literal["accept", "reject"] = "accept"
    """Whether requests of an unregistered device_ip search the default group, or are refused as DEVICE_ID_NOT_FOUND. A
    request without device_ip counts as one of an unregistered device."""
    device_names_scope: bool = True
    """Whether a request may name the group and the permission that it searches, instead of those of its device."""
    max_devices: Annotated[int, msgspec.Meta(ge=1, le=20_000)] = 2000
    """The most devices; a further one is refused with DEVICE_MAX_NUM_ERROR."""
    max_people: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 100_000
    """The most people of a group; further people are refused with GROUP_LEN_ERROR."""
    max_faces_per_person: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    """Faces that one person may have; a further one is refused with PARAM_ERROR."""
    max_groups: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    """The most groups; the creation of a further group is refused with GROUP_LEN_ERROR."""
    max_permissions: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    """The most permissions; likewise."""
    max_recursive_delete: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    """The most people whom the deletion of a group or permission deletes with it: the decision is made on the event
    loop of the processor, and all its records are one transaction. A deletion of more people is refused."""
    max_info_bytes: Annotated[int, msgspec.Meta(ge=256, le=65_536)] = 4096
    """The most bytes of a person's info as JSON; a change that makes it larger is refused with PARAM_ERROR."""
    trust_unnamed_features: bool = False
    """True: an imported feature without feature_model counts as one of the installed embedder."""
    time_zone: str = "UTC"
    """The time zone of pass times, as an IANA name such as Europe/Berlin."""

    def __post_init__(self) -> None:
        """Refuse rates that are too low, scores that contradict each other, and an unknown time zone.

        Raises:
            ValueError: the message names the setting.
        """
        for name in _RATES:
            if getattr(self, name) < LEAST_RATE:
                raise ValueError(
                    f"{name} must be at least {LEAST_RATE:g}, because no lower rate was measured; for stricter matches"
                    " set threshold"
                )
        low, middle, high = self.score_range
        if not low < middle < high:
            raise ValueError("score_range must be three rising numbers")
        if self.accepted_score is not None and not low < self.accepted_score < high:
            raise ValueError("accepted_score must be above the first and below the last number of score_range")
        self.zone  # noqa: B018 - computed for the error

    @property
    def bars_strangers(self) -> bool:
        """Whether a person of type 4 (stranger) never passes; false only in policies that older releases recorded."""
        return self.max_strangers != _STRANGERS_PASSED

    @property
    def zone(self) -> tzinfo:
        """The time zone of pass times."""
        try:
            return ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"time_zone must be an IANA name of a time zone, such as Europe/Berlin: {self.time_zone!r} is not"
            ) from None


_STRANGERS_PASSED = 0
"""The value of `max_strangers` in policies that were recorded when a person of type 4 passed like anybody else; the
settings do not accept it."""

_FORMER: Mapping[str, Any] = {
    "highest_fmr": 1e-5,
    "face": "largest",
    "mean_templates": False,
    "covered_templates": False,
    "enrolment_lookalikes": "off",
    "max_strangers": _STRANGERS_PASSED,
}
"""What was in force in policies that were recorded before there was a setting for it."""


def recorded_policy(settings: Mapping[str, Any]) -> Policy:
    """Return a policy from its record (contract.configs), which an older release may have written.

    A setting that the record lacks has the value of the releases without that setting. A positive rate below
    `LEAST_RATE`, which older releases allowed, counts as `LEAST_RATE`.

    Raises:
        msgspec.ValidationError: the record has settings that this release does not know, or wrong ones.
    """
    raised = {name: LEAST_RATE for name in _RATES if _is_too_low(settings.get(name))}
    recorded = {**_FORMER, **settings, **raised}
    strangers_passed = recorded["max_strangers"] == _STRANGERS_PASSED
    if strangers_passed:
        del recorded["max_strangers"]
    policy = msgspec.convert(recorded, Policy)
    return structs.replace(policy, max_strangers=_STRANGERS_PASSED) if strangers_passed else policy


def _is_too_low(rate: object) -> bool:
    return isinstance(rate, float) and 0.0 < rate < LEAST_RATE


def policy_of(policy: Policy, site: Site, pinned: frozenset[str]) -> Policy:
    """Return the policy in force: the operator's, with the settings of the site laid over it where they are not pinned.

    `pinned`: the settings that the operator has pinned ("matching.threshold"). A score of the site that contradicts a
    pinned one has no effect.
    """
    laid = {SITE_SETTINGS[name].setting: value for name, value in laid_over(site, pinned).items()}
    fields = {path.removeprefix(MATCHING): value for path, value in laid.items() if path is not None}
    low, _, high = fields.get("score_range", policy.score_range)
    accepted = fields.get("accepted_score", policy.accepted_score)
    if accepted is not None and not low < accepted < high:
        fields = {name: value for name, value in fields.items() if name not in _SCORES}
    return structs.replace(policy, **fields)
