"""Liveness: the checks of a mode, and the rule that makes one verdict of them.

The rule, for every mode: a face is live if and only if

    1. at least one check was made that must pass,
    2. every check that must pass has passed, and
    3. of the checks that are votes, if there are any, at least half have passed.

So it fails closed: what cannot be measured has not passed. Which checks there are, docs/liveness.md tells.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contract.terms import LivenessMode
from engine.policy import Policy
from engine.vision.liveness.frame import frame_closure
from engine.vision.liveness.infrared import infrared_checks
from engine.vision.liveness.moire import moire_peak
from engine.vision.ports import Box, Check, Embedding, Face, Image, ModelSet

UNMEASURED = (("measured", 0.0),)
"""The detail of a check whose value could not be measured; its value is then the limit, and it has not passed."""


@dataclass(frozen=True, slots=True)
class Liveness:
    """The checks that the applied mode made."""

    mode: LivenessMode
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """The rule (see the module)."""
        required = [check.passed for check in self.checks if not check.vote]
        return bool(required) and all(required) and self._votes_pass

    @property
    def failed(self) -> Sequence[str]:
        """Names of the checks that decided against it; empty where it passed."""
        return [check.name for check in self.checks if not check.passed and not (check.vote and self._votes_pass)]

    @property
    def _votes_pass(self) -> bool:
        votes = [check.passed for check in self.checks if check.vote]
        return 2 * sum(votes) >= len(votes)


def check_liveness(
    image: Image,
    face: Face,
    infrared: Image | None,
    embedding: Callable[[], Embedding],
    models: ModelSet,
    policy: Policy,
    original: tuple[Image, Box] | None = None,
) -> Liveness:
    """Make all checks: those on the colour picture, and with an `infrared` one those on both.

    `embedding` gives that of `face`; it is asked only where a check needs it. `original`: the colour picture with all
    its pixels, and the face's box there, where `image` was decoded smaller than it was sent.
    """
    probability = models.liveness(image, face)
    live = Check("rgb_live", probability, policy.liveness_threshold, probability >= policy.liveness_threshold)
    limits = policy.liveness_limits
    checks = [
        live,
        _moire(*(original or (image, face.box)), limits.rgb_moire),
        _frame(image, face.box, limits.rgb_frame),
    ]
    if infrared is None:
        return Liveness("liveness_rgb", tuple(checks))
    checks += infrared_checks(image, face, infrared, embedding, models, limits)
    return Liveness("liveness_rgb_ir", tuple(checks))


def _moire(image: Image, box: Box, limit: float) -> Check:
    peak = moire_peak(image, box)
    if peak is None:
        return Check("rgb_moire", limit, limit, passed=False, detail=UNMEASURED)
    return Check("rgb_moire", peak, limit, peak < limit)


def _frame(image: Image, box: Box, limit: float) -> Check:
    closure = frame_closure(image, box)
    return Check("rgb_frame", closure, limit, closure < limit)
