"""Attributes of a person, each where something that can tell it is at hand: guesses, never part of a decision."""

import math
from collections.abc import Callable
from typing import Literal

from contract.errors import PictureRefused
from contract.findings import Attributes
from engine.vision.ports import Face, Image, ModelSet
from engine.vision.quality.levels import MASK
from engine.vision.quality.mouth import mouth_shows
from models.errors import DamagedModel

AgeClass = Literal["child", "youth", "adult", "senior"]

AGE_CLASSES: tuple[tuple[float, AgeClass], ...] = ((60, "senior"), (25, "adult"), (13, "youth"), (0, "child"))
"""The least age in years of each class; our own division, since the wire gives none."""

MALE_FROM = 0.7
"""What the network must say for a person to be told male: it leans that way, and here it errs about as often with men
as with women (docs/models.md)."""


_CANNOT_TELL = (PictureRefused, ValueError, ArithmeticError, DamagedModel)
"""What comes of a face or of a network that is not fit for the guess; anything else is a fault of this program."""


def measure_attributes(image: Image, face: Face, models: ModelSet) -> Attributes:
    """What can be guessed about that face; what no installed network tells, or can tell of it, is None."""
    age = _told(models.age, image, face)
    male = _told(models.sex, image, face)
    mouth = _told(_mouth, image, face)
    return Attributes(
        age_years=None if age is None else round(age, 1),
        age_class=None if age is None else age_class(age),
        sex=None if male is None else "male" if male >= MALE_FROM else "female",
        mask=None if mouth is None else mouth < MASK,
    )


def age_class(age_years: float) -> AgeClass:
    """The class of that age."""
    return next((name for least, name in AGE_CLASSES if age_years >= least), "child")


def _mouth(image: Image, face: Face) -> float:
    return mouth_shows(image, face).value


def _told(guess: Callable[[Image, Face], float] | None, image: Image, face: Face) -> float | None:
    """The number that a network gives; None where it is not there, or fails, or gives none that is finite."""
    try:
        number = math.nan if guess is None else guess(image, face)
    except _CANNOT_TELL:
        return None
    return number if math.isfinite(number) else None
