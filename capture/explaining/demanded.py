"""Single changes of a look of a comparison, a measurement or an enrolment: quality and the size of pictures. Pure."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from capture.explaining.items import (
    better_words,
    limit_setting,
    passed_limit,
    passing_bounds,
    pixels_above,
    stricter_levels,
    weaker_levels,
)
from capture.explaining.proposals import policy_with
from capture.explaining.trials import Trial
from contract.errors import Code, Refusal
from contract.findings import CheckResult
from contract.terms import QualityLevel
from engine.policy import Policy

Decide = Callable[[Policy, QualityLevel | None], str | None]
"""Decides again under a policy, with a quality level of the request (None: the request names none); the outcome."""


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """The level of quality that a picture had to meet: that of the request, else that of the setting of matching."""

    policy: Policy
    of_request: QualityLevel | None
    setting: str
    decide: Decide

    @property
    def level(self) -> QualityLevel:
        """The level that counted."""
        of_setting: QualityLevel = getattr(self.policy, self.setting)
        return self.of_request or of_setting


def quality_trials(demand: Demand, checks: Sequence[CheckResult], *, refused: bool) -> Iterator[Sequence[Trial]]:
    """Yield the changes of items and levels: those that may let a refused picture pass, or may refuse another."""
    if refused:
        for check in checks:
            if not check.passed:
                yield list(_better_item(demand, check))
        for level in weaker_levels(demand.level):
            yield [_other_level(demand, level)]
    else:
        yield [_other_level(demand, level) for level in stricter_levels(demand.level)]


def pixel_trials(
    refusal: Refusal | None, pictures: Sequence[bytes], max_pixels: int, decide: Callable[[int], str | None]
) -> Iterator[Sequence[Trial]]:
    """Yield the limit of pixels under which a picture that is too large may be decoded."""
    if refusal is None or refusal.code != Code.IMAGE_SIZE_TOO_LARGE_ERROR:
        return
    above = [pixels for picture in pictures if (pixels := pixels_above(picture, max_pixels)) is not None]
    if above:
        words = f"the setting pictures.max_pixels at {max(above)} instead of {max_pixels}"
        yield [Trial(words, partial(decide, max(above)), "pictures.max_pixels", max(above))]


def _other_level(demand: Demand, level: QualityLevel) -> Trial:
    policy, words = demand.policy, f"the quality level {level} ({demand.level} was asked for by"
    if demand.of_request is not None:
        return Trial(f"{words} the request)", lambda: demand.decide(policy, level), "fiqa_level", level)
    setting = f"matching.{demand.setting}"
    changed = policy_with(policy, demand.setting, level)
    return Trial(f"{words} the setting {setting})", partial(_decide, demand, changed), setting, level)


def _better_item(demand: Demand, check: CheckResult) -> Iterator[Trial]:
    """Yield the trials that one item has just passed: by its own limit, where that is a setting; then by a picture that
    measures better, which is decided with a limit that the value passes."""
    words, setting, limit = better_words(check), limit_setting(check), passed_limit(check)
    if demand.level == "custom" and limit is not None:
        alone = policy_with(demand.policy, setting, limit)
        yield Trial(words, partial(_decide, demand, alone), f"matching.{setting}", limit)
    bounds = passing_bounds((demand.level,), demand.policy, check)
    custom = policy_with(demand.policy, "custom_quality", bounds)
    yield Trial(words, lambda: None if custom is None else demand.decide(custom, "custom"))


def _decide(demand: Demand, policy: Policy | None) -> str | None:
    return None if policy is None else demand.decide(policy, demand.of_request)
