"""The values that every decision needs besides its request: the networks, the operator's policy, and a clock."""

from dataclasses import dataclass

from engine.policy import Policy
from engine.timing import Clock
from engine.vision.ports import ModelSet


@dataclass(frozen=True, slots=True)
class Context:
    """The networks, the policy, the most pixels of a picture that is decoded, and the clock that times the stages."""

    models: ModelSet
    policy: Policy
    max_pixels: int
    clock: Clock
