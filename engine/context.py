"""What every decision needs besides its request: the networks, the operator's policy, and a clock."""

from dataclasses import dataclass

from engine.policy import Policy
from engine.timing import Clock
from engine.vision.ports import ModelSet


@dataclass(frozen=True, slots=True)
class Context:
    """`max_pixels` bounds what is decoded of a picture; `clock` (seconds) times the stages."""

    models: ModelSet
    policy: Policy
    max_pixels: int
    clock: Clock
