"""What was measured in a picture, as answers and events tell it."""

from typing import Literal

import msgspec

from contract.terms import LivenessMode, Message


class CheckResult(Message, frozen=True, kw_only=True):
    """One measured item of quality or liveness: what was measured, against what, and the verdict.

    `vote`: the item alone does not decide; docs/liveness.md has the rule. `detail`: the values it was made of.
    """

    name: str
    value: float
    limit: float
    passed: bool
    vote: bool = False
    detail: dict[str, float] = msgspec.field(default_factory=dict)


class MeasuredItem(Message, frozen=True, kw_only=True):
    """One measured item of quality that was held against no limit; `detail`: the values it was made of."""

    name: str
    value: float
    detail: dict[str, float] = msgspec.field(default_factory=dict)


class LivenessResult(Message, frozen=True, kw_only=True):
    """The liveness part of a decision. `mode` is the one that was applied, not the one asked for."""

    mode: LivenessMode
    passed: bool
    checks: tuple[CheckResult, ...]


class FaceBox(Message, frozen=True, kw_only=True):
    """Where the matched face is, in pixels of the upright picture.

    `turned_degrees`: how far the picture was turned against the clock because its faces lay so, and its file did not
    say it.
    """

    x: float
    y: float
    width: float
    height: float
    confidence: float
    turned_degrees: int = 0


class Attributes(Message, frozen=True, kw_only=True):
    """What is guessed about a person (with_attribute). null: nothing that is installed can tell. Never part of the
    decision. Classes: child below 13 years, youth below 25, adult below 60, senior."""

    age_years: float | None = None
    age_class: Literal["child", "youth", "adult", "senior"] | None = None
    sex: Literal["male", "female"] | None = None
    mask: bool | None = None
    glasses: bool | None = None


class CardFindings(Message, frozen=True, kw_only=True):
    """What was seen in the second picture of a comparison; `sha256` (hex) is that of its bytes."""

    sha256: str
    faces: int | None = None
    face: FaceBox | None = None
    quality: tuple[CheckResult, ...] = ()
    quality_score: float | None = None


class FaceQuality(Message, frozen=True, kw_only=True):
    """The quality of one face: whether it passes its level, and each item: `checks` those with a limit at that level,
    `measured` the others. `quality_score` 0..1. `cut`: the face reaches beyond the picture; `masked`: the mouth is
    covered; both False where the item was not measured."""

    passed: bool
    face: FaceBox
    checks: tuple[CheckResult, ...]
    measured: tuple[MeasuredItem, ...] = ()
    quality_score: float
    cut: bool = False
    masked: bool = False
