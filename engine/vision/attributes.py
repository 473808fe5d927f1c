"""Attributes of a person, each where a network for it is installed."""

from engine.evidence import Attributes
from engine.vision.ports import Face, Image, ModelSet


def measure_attributes(image: Image, face: Face, models: ModelSet) -> Attributes:
    """What the installed networks guess about that face; nothing of it is ever part of a decision."""
    return Attributes()
