"""Liveness: the checks that a live face is in front of the camera, on colour and infrared pictures, and their rule."""

from engine.vision.liveness.infrared_picture import InfraredImage, InfraredPicture
from engine.vision.liveness.rule import UNMEASURED, Liveness, check_liveness

__all__ = ["UNMEASURED", "InfraredImage", "InfraredPicture", "Liveness", "check_liveness"]
