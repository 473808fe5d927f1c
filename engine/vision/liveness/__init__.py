"""Liveness: the checks that a live face is in front of the camera, on colour and infrared pictures, and their rule."""

from engine.vision.liveness.rule import UNMEASURED, Liveness, check_liveness

__all__ = ["UNMEASURED", "Liveness", "check_liveness"]
