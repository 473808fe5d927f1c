"""Attributes of a person, each where something that can tell it is at hand: guesses, never part of a decision."""

from typing import Literal

from engine.evidence import Attributes
from engine.vision.ports import Face, Image, ModelSet
from engine.vision.quality.levels import MASK
from engine.vision.quality.mouth import mouth_shows

AgeClass = Literal["child", "youth", "adult", "senior"]

AGE_CLASSES: tuple[tuple[float, AgeClass], ...] = ((60, "senior"), (25, "adult"), (13, "youth"), (0, "child"))
"""The least age in years of each class; our own division, since the wire gives none."""

MALE_FROM = 0.7
"""What the network must say for a person to be told male: it leans that way, and here it errs about as often with men
as with women (docs/models.md)."""


def measure_attributes(image: Image, face: Face, models: ModelSet) -> Attributes:
    """What can be guessed about that face; what no installed network tells is None.

    Raises:
        PictureUnreadable: the face cannot be aligned.
    """
    age = None if models.age is None else models.age(image, face)
    male = None if models.sex is None else models.sex(image, face)
    return Attributes(
        age_years=None if age is None else round(age, 1),
        age_class=None if age is None else age_class(age),
        sex=None if male is None else "male" if male >= MALE_FROM else "female",
        mask=mouth_shows(image, face).value < MASK,
    )


def age_class(age_years: float) -> AgeClass:
    """The class of that age."""
    return next((name for least, name in AGE_CLASSES if age_years >= least), "child")
