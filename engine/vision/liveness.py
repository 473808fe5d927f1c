"""Liveness: the checks of a mode, and the rule that makes one verdict of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.policy import Policy
from engine.terms import LivenessMode
from engine.vision.infrared import infrared_face_check
from engine.vision.ports import Check, Embedding, Face, Image, ModelSet


@dataclass(frozen=True, slots=True)
class Liveness:
    """The checks that the applied mode made."""

    mode: LivenessMode
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """The rule: live only if every check says so."""
        return not self.failed

    @property
    def failed(self) -> Sequence[str]:
        """Names of the checks that speak against it."""
        return [check.name for check in self.checks if not check.passed]


def check_liveness(
    image: Image,
    face: Face,
    infrared: Image | None,
    embedding: Callable[[], Embedding],
    models: ModelSet,
    policy: Policy,
) -> Liveness:
    """Make all checks: those on the colour picture, and with an `infrared` one those on both.

    `embedding` gives that of `face`; it is asked only where a check needs it.
    """
    limit = policy.liveness_threshold
    probability = models.liveness(image, face)
    checks = [Check("rgb_live", probability, limit, probability >= limit)]
    if infrared is None:
        return Liveness("liveness_rgb", tuple(checks))
    checks.append(infrared_face_check(image, face, infrared, models.detector))
    return Liveness("liveness_rgb_ir", tuple(checks))
