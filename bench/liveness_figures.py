"""Counts and rates of liveness, as ISO/IEC 30107-3 names them.

APCER: the share of attack presentations of one kind that were taken as live (never averaged over kinds). BPCER: the
share of live presentations that were refused. Presentations without a face, or that were no picture, are counted apart
and are in neither rate.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bench.liveness_set import LIVE, Look
from engine.evaluation.scores import wilson
from engine.policy import Policy
from engine.vision.liveness import InfraredImage, Liveness, check_liveness
from engine.vision.ports import ModelSet


@dataclass(slots=True)
class Tally:
    """What became of the presentations of one label in one mode."""

    label: str
    mode: str
    judged: int = 0
    accepted: int = 0
    without_face: int = 0
    failed: Counter[str] = field(default_factory=Counter)

    @property
    def is_live(self) -> bool:
        """Whether these are live presentations."""
        return self.label == LIVE

    @property
    def wrong(self) -> int:
        """Attacks taken as live, or live ones refused."""
        return self.judged - self.accepted if self.is_live else self.accepted

    @property
    def rate(self) -> float | None:
        """APCER or BPCER, 0..1; None where nothing was judged."""
        return self.wrong / self.judged if self.judged else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """The rate's 95 % interval (Wilson)."""
        return wilson(self.wrong, self.judged) if self.judged else None

    def add(self, liveness: Liveness | None) -> None:
        """Count one presentation; None: it had no face."""
        if liveness is None:
            self.without_face += 1
            return
        self.judged += 1
        self.accepted += liveness.passed
        self.failed.update(check.name for check in liveness.checks if not check.passed)

    def as_dict(self) -> dict[str, Any]:
        """For the JSON."""
        return {
            "label": self.label,
            "mode": self.mode,
            "judged": self.judged,
            "without_face": self.without_face,
            "accepted": self.accepted,
            "rate_is": "BPCER" if self.is_live else "APCER",
            "rate": self.rate,
            "interval_95": self.interval,
            "checks_failed": dict(self.failed),
        }


def judge(look: Look, models: ModelSet, policy: Policy) -> Liveness | None:
    """The liveness of the largest face of the colour picture; None where there is none."""
    image = look.colour
    faces = models.detector(image)
    if not faces:
        return None
    infrared = None if look.infrared is None else InfraredImage(look.infrared, models.detector)
    return check_liveness(image, faces[0], infrared, lambda: models.embedder(image, faces[0]), models, policy)


def in_order(tallies: Iterable[Tally]) -> list[Tally]:
    """Colour before infrared, live before attacks."""
    return sorted(tallies, key=lambda tally: (tally.mode, not tally.is_live, tally.label))
