"""Makes comparisons, measurements of quality and detections again, and tries single changes of them. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import get_args

from msgspec import structs

from capture.explaining.comparing import circumstances_of
from capture.explaining.demanded import Demand, pixel_trials, quality_trials
from capture.explaining.differing import BETWEEN_MACHINES, Compared, differing
from capture.explaining.gallery import PeopleThen
from capture.explaining.trials import Trial
from capture.explaining.values import Way
from contract.events import Event
from contract.pictures.digest import picture_digest
from contract.requests import CompareRequest, DetectRequest, FiqaRequest
from contract.terms import CompareLevel, QualityLevel
from engine.calls.call import Decision, Query
from engine.calls.compare import CompareCall, CompareDecision, conclude_comparison
from engine.calls.detect import DetectCall
from engine.calls.fiqa import FiqaCall, FiqaDecision
from engine.calls.reporting import check_results
from engine.context import Context
from engine.gallery.people import Snapshot
from engine.look import Findings
from engine.policy import Policy

_STEPS = 10_000
"""Cosines are proposed in steps of 1e-4."""


def compared_query(
    call: Query[object, Decision], event: Event, request: object, decision: Decision, context: Context
) -> Compared:
    """Compare an event with the one that a processor would write now."""
    digests = tuple(map(picture_digest, call.pictures(request)))
    now = call.event(request, decision, context, circumstances_of(event, digests))
    return differing(event, now, BETWEEN_MACHINES)


class Comparison:
    """A comparison that is made again, with the request and the context of then."""

    way: Way = "look"

    def __init__(self, request: CompareRequest, context: Context) -> None:
        self._request, self._context, self._call = request, context, CompareCall()
        self._nobody = _nobody(context)
        self.decision = self._call.decide(request, self._nobody, context)
        self.findings: Findings | None = self.decision.face

    def compared(self, event: Event) -> Compared:
        """Compare with what was recorded."""
        return compared_query(self._call, event, self._request, self.decision, self._context)  # type: ignore[arg-type]

    def trials(self) -> Iterator[Sequence[Trial]]:
        """Yield the changes that may lead to another outcome."""
        decision = self.decision
        if decision.cosine is not None:
            yield [self._cosine(decision, decision.cosine)]
            yield [
                self._level(level) for level in _other_levels(self._request.level, higher=decision.outcome == "same")
            ]
        demand = Demand(self._context.policy, self._request.quality_level, "match_quality", self._with_quality)
        if decision.refusal is None or decision.outcome == "low_quality":
            checks = check_results(decision.face.quality)
            yield from quality_trials(demand, checks, refused=decision.refusal is not None)
        pictures = self._call.pictures(self._request)
        yield from pixel_trials(decision.refusal, pictures, self._context.max_pixels, self._with_pixels)

    def _cosine(self, decision: CompareDecision, cosine: float) -> Trial:
        missing = decision.threshold.cosine - cosine
        if missing > 0:
            moved = math.ceil(missing * _STEPS) / _STEPS
            words = f"a cosine of the two faces higher by {moved:.4f}"
        else:
            moved = -(math.floor(-missing * _STEPS) + 1) / _STEPS
            words = f"a cosine of the two faces lower by {-moved:.4f}"
        changed = cosine + moved
        return Trial(words, lambda: self._concluded(self._request.level, changed) if abs(changed) <= 1 else None)

    def _level(self, level: CompareLevel) -> Trial:
        words = f"the level {level} instead of {self._request.level}"
        cosine = self.decision.cosine or 0.0
        return Trial(words, lambda: self._concluded(level, cosine), "threshold", level)

    def _concluded(self, level: CompareLevel, cosine: float) -> str:
        return conclude_comparison(level, cosine, self._context).outcome

    def _with_quality(self, policy: Policy, level: QualityLevel | None) -> str:
        request = structs.replace(self._request, quality_level=level)
        return self._call.decide(request, self._nobody, replace(self._context, policy=policy)).outcome

    def _with_pixels(self, max_pixels: int) -> str:
        return self._call.decide(self._request, self._nobody, replace(self._context, max_pixels=max_pixels)).outcome


class Measurement:
    """A measurement of quality or a detection that is made again; no level of quality changes its outcome."""

    way: Way = "look"

    def __init__(self, request: FiqaRequest | DetectRequest, context: Context) -> None:
        self._request, self._context = request, context
        self._call: FiqaCall | DetectCall = FiqaCall() if isinstance(request, FiqaRequest) else DetectCall()
        self.decision: Decision = self._decide(context)
        measured = isinstance(self.decision, FiqaDecision) and self.decision.faces
        self.findings: Findings | None = measured[0] if measured else None

    def compared(self, event: Event) -> Compared:
        """Compare with what was recorded."""
        return compared_query(self._call, event, self._request, self.decision, self._context)  # type: ignore[arg-type]

    def trials(self) -> Iterator[Sequence[Trial]]:
        """Yield the changes that may lead to another outcome."""
        yield from pixel_trials(
            self.decision.refusal,
            (self._request.picture,),
            self._context.max_pixels,
            lambda most: self._decide(replace(self._context, max_pixels=most)).outcome,
        )

    def _decide(self, context: Context) -> Decision:
        return self._call.decide(self._request, _nobody(context), context)  # type: ignore[arg-type]


def _other_levels(level: CompareLevel, *, higher: bool) -> Sequence[CompareLevel]:
    """Return the levels of comparison with higher, or lower, thresholds, the nearest first."""
    levels: tuple[CompareLevel, ...] = get_args(CompareLevel)  # the highest threshold first
    place = levels.index(level)
    return levels[:place][::-1] if higher else levels[place + 1 :]


def _nobody(context: Context) -> Snapshot:
    """Return a gallery without people: these calls search nobody."""
    return PeopleThen(context.models.embedder.dimension, context.models.embedder_identity).snapshot()
