"""Makes the liveness checks of a mode, and decides from their results whether the face is live.

The rule is the same for every mode: a face is live if and only if

    1. at least one check was made that must pass,
    2. every check that must pass has passed, and
    3. of the checks that are votes, if there are any, at least half have passed.

So liveness fails closed: a check that cannot be measured has not passed. docs/liveness.md describes all checks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from contract.terms import LivenessMode
from engine.policy import Policy
from engine.vision.liveness.frame import frame_closure
from engine.vision.liveness.infrared import infrared_checks
from engine.vision.liveness.infrared_picture import InfraredImage
from engine.vision.liveness.moire import moire_peak
from engine.vision.ports import Box, Check, Embedding, Face, Image, ModelSet

UNMEASURED = (("measured", 0.0),)
"""The detail of a check whose value could not be measured; the value is then the limit, and the check fails."""


@dataclass(frozen=True, slots=True)
class Liveness:
    """The results of the checks that the applied mode made."""

    mode: LivenessMode
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether the face is live, by the rule in this module's docstring."""
        required = [check.passed for check in self.checks if not check.vote]
        return bool(required) and all(required) and self._votes_pass

    @property
    def failed(self) -> Sequence[str]:
        """The names of the checks because of which the face is not live; empty where it is live."""
        return [check.name for check in self.checks if not check.passed and not (check.vote and self._votes_pass)]

    @property
    def _votes_pass(self) -> bool:
        votes = [check.passed for check in self.checks if check.vote]
        return 2 * sum(votes) >= len(votes)


def check_liveness(
    image: Image,
    face: Face,
    infrared: InfraredImage | None,
    embedding: Callable[[], Embedding],
    models: ModelSet,
    policy: Policy,
    original: tuple[Image, Box] | None = None,
) -> Liveness:
    """Make all checks: those on the colour picture and, where `infrared` is given, those on the infrared picture.

    `embedding` returns the embedding of `face`; it is called only where a check needs it. `original`: the colour
    picture with all its pixels and the face's box in it, where `image` was decoded at a smaller size.
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
