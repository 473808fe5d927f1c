"""What follows from a look where values are so near to their limits that another machine decides otherwise. Pure.

Two machines compute slightly other numbers from the same picture (differing.BETWEEN_MACHINES). Where such a number lies
at its limit, the recorded number decides here too: an item of quality or liveness then passes as recorded, and people
are ranked and recognised by the recorded cosines. Everything that follows is decided anew, by the functions of a
processor, so that a recorded outcome which does not follow from the recorded numbers still differs.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from capture.explaining.deciding import Decider, Inputs, resolved_in
from capture.explaining.differing import BETWEEN_MACHINES, are_on_both_sides, is_close
from capture.explaining.items import failing_bounds, passing_bounds
from capture.explaining.looks import limit_of_liveness, with_quality_bounds
from capture.explaining.near_cosines import with_recorded_cosines
from capture.explaining.proposals import with_setting
from contract.captures.values import CapturedDecision
from contract.errors import Refusal
from contract.findings import CheckResult
from engine.calls.demands import wanted_of
from engine.calls.matching import MatchDecision
from engine.calls.reporting import check_results
from engine.look import Findings
from engine.vision.ports import Check

Stage = Literal["quality", "liveness"]


@dataclass(frozen=True, slots=True, eq=False)
class AsThen:
    """A look that was decided again with the recorded values where these are at their limits.

    `looked`: with the recorded verdicts about quality and liveness, about the face and by the templates that decided.
    `decision`: also with the recorded cosines.
    `remarks`: for each value that decided, a sentence; empty where the look itself is both.
    """

    looked: MatchDecision
    decision: MatchDecision
    remarks: tuple[str, ...] = ()


def decided_as_then(decider: Decider, looked: MatchDecision) -> AsThen:
    """Return a look with what follows from the recorded values that are at their limits."""
    with_verdicts, remarks = _with_recorded_verdicts(decider, looked)
    found = with_recorded_cosines(decider, with_verdicts)
    return AsThen(found.measured, found.decision, (*remarks, *([] if found.remark is None else [found.remark])))


def _with_recorded_verdicts(decider: Decider, looked: MatchDecision) -> tuple[MatchDecision, list[str]]:
    """Return the look with limits moved so far that each item at its limit passes, or fails, as recorded."""
    inputs, decision, remarks = decider.inputs, looked, list[str]()
    limits: dict[str, float] = {}
    while (found := _next_item(decider.then.decision, decision.findings, limits)) is not None:
        stage, then, now = found
        limits[now.name] = now.limit
        for changed in _moved(inputs, stage, now, passes=then.passed):
            again = decider.again(changed)
            if again is not None and _verdict(again.findings, now.name) == then.passed:
                inputs, decision = changed, again
                words = f"{now.name} is {then.value:g} by the record and {now.value:g} here"
                remarks.append(f"{words}, both as near to the limit {now.limit:g} as two machines differ.")
                break
    return replace(decision, findings=_with_limits(decision.findings, limits)), remarks


def _next_item(
    recorded: CapturedDecision, found: Findings, known: dict[str, float]
) -> tuple[Stage, CheckResult, CheckResult] | None:
    """Return the first item that passed then and fails here, or the reverse, only because it is at its limit."""
    checks = () if recorded.liveness is None else recorded.liveness.checks
    stages: Sequence[tuple[Stage, Sequence[CheckResult], Sequence[Check]]] = (
        ("quality", recorded.quality, found.quality),
        ("liveness", checks, () if found.liveness is None else found.liveness.checks),
    )
    for stage, before, after in stages:
        now = {check.name: check for check in check_results(after)}
        for then in before:
            other = now.get(then.name)
            if other is not None and then.name not in known and then.passed != other.passed and _at_limit(then, other):
                return stage, then, other
    return None


def _at_limit(then: CheckResult, now: CheckResult) -> bool:
    """Return whether both values are at the limit, on both sides of it: else the record contradicts itself."""
    near = is_close(then.value, then.limit, BETWEEN_MACHINES) or is_close(now.value, now.limit, BETWEEN_MACHINES)
    close = then.limit == now.limit and is_close(then.value, now.value, BETWEEN_MACHINES)
    return near and close and are_on_both_sides(then.value, now.value, now.limit)


def _moved(inputs: Inputs, stage: Stage, check: CheckResult, *, passes: bool) -> Iterator[Inputs]:
    """Yield inputs whose limit of an item is just beside its value; with one of them the item may pass or fail."""
    if stage == "liveness":
        for limit in (check.value, math.nextafter(check.value, -math.inf), math.nextafter(check.value, math.inf)):
            changed = with_setting(inputs, limit_of_liveness(check), limit)
            if changed is not None:
                yield changed
        return
    resolved = resolved_in(inputs)
    if isinstance(resolved, Refusal):
        return
    levels = wanted_of(inputs.request, inputs.policy, resolved.device).quality_levels
    bounds = (passing_bounds if passes else failing_bounds)(levels, inputs.policy, check)
    changed = with_quality_bounds(inputs, bounds, resolved.device)
    if changed is not None:
        yield changed


def _verdict(found: Findings, name: str) -> bool | None:
    checks = (*found.quality, *(() if found.liveness is None else found.liveness.checks))
    return next((check.passed for check in checks if check.name == name), None)


def _with_limits(found: Findings, limits: dict[str, float]) -> Findings:
    """Return findings with the limits that are in force, in place of moved ones."""

    def restored(checks: Sequence[Check]) -> tuple[Check, ...]:
        return tuple(replace(check, limit=limits.get(check.name, check.limit)) for check in checks)

    liveness = None if found.liveness is None else replace(found.liveness, checks=restored(found.liveness.checks))
    return replace(found, quality=restored(found.quality), liveness=liveness)
