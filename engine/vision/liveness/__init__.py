"""Whether a live face is in front of the camera: the checks of a colour and an infrared picture, and their rule."""

from engine.vision.liveness.rule import UNMEASURED, Liveness, check_liveness

__all__ = ["UNMEASURED", "Liveness", "check_liveness"]
