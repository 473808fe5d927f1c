"""Estimates attributes of a person where a network for them is installed; attributes never influence a decision."""

import math
from collections.abc import Callable
from typing import Literal

from contract.errors import PictureRefused
from contract.findings import Attributes
from engine.vision.ports import Face, Image, ModelSet
from engine.vision.quality.levels import MASK
from engine.vision.quality.mouth import measure_mouth
from models.errors import DamagedModel

AgeClass = Literal["child", "youth", "adult", "senior"]

AGE_CLASSES: tuple[tuple[float, AgeClass], ...] = ((60, "senior"), (25, "adult"), (13, "youth"), (0, "child"))
"""The least age in years of each class. The division is PictureMatch's own, since the wire defines none."""

MALE_FROM = 0.7
"""The least output of the network for which a person is reported as male. The network's outputs are biased upwards; at
this value it errs about as often with men as with women (docs/models.md)."""


_ESTIMATE_FAILURES = (PictureRefused, ValueError, ArithmeticError, IndexError, DamagedModel)
"""The errors that an unsuitable face or network raises; any other error is a fault of this program."""


def measure_attributes(image: Image, face: Face, models: ModelSet) -> Attributes:
    """Return the estimated attributes of a face; None for each that no installed network can estimate."""
    age = _estimate(models.age, image, face)
    male = _estimate(models.sex, image, face)
    mouth = _estimate(_mouth, image, face)
    return Attributes(
        age_years=None if age is None else round(age, 1),
        age_class=None if age is None else age_class(age),
        sex=None if male is None else "male" if male >= MALE_FROM else "female",
        mask=None if mouth is None else mouth < MASK,
    )


def age_class(age_years: float) -> AgeClass:
    """Return the class of an age in years."""
    return next((name for least, name in AGE_CLASSES if age_years >= least), "child")


def _mouth(image: Image, face: Face) -> float:
    return measure_mouth(image, face).value


def _estimate(network: Callable[[Image, Face], float] | None, image: Image, face: Face) -> float | None:
    """Return the number that a network estimates; None where the network is absent, fails, or returns no finite one."""
    try:
        number = math.nan if network is None else network(image, face)
    except _ESTIMATE_FAILURES:
        return None
    return number if math.isfinite(number) else None
