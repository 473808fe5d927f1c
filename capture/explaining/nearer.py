"""The single changes of a search: other cosines, other thresholds, other people in the scope. Pure."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from msgspec import structs

from capture.explaining.deciding import Decider, resolved_in
from capture.explaining.gallery import PeopleThen
from capture.explaining.proposals import Alternatives, Proposal, named, with_setting
from contract.errors import Refusal
from contract.people.records import PersonRecord
from contract.terms import LEAST_RATE
from contract.vectors import Vector
from engine.calls.matching import RECOGNISED, MatchDecision
from engine.gallery.port import Candidate, Scope
from engine.gallery.scope import ResolvedScope
from engine.policy import Policy
from engine.score import threshold_from
from engine.threshold import AppliedThreshold

_STEPS = 10_000
"""Cosines and thresholds are proposed in steps of 1e-4."""
_SCORE_STEPS = 100
_SETTING_STEPS = 1_000_000
_DIGITS = 6
_HALVINGS = 30
_MOST_RATE = 0.5
_OTHERS = 5


def cosine_changes(decider: Decider, decision: MatchDecision) -> Iterator[Alternatives]:
    """Yield the changes of the nearest people's cosines."""
    if decision.refusal is not None or not decision.candidates:
        return
    first, *others = decision.candidates
    missing = decision.threshold.cosine - first.cosine
    if missing > 0:
        more = math.ceil(missing * _STEPS) / _STEPS
        yield [_cosine(decider, f"a cosine of {named(first.person)} higher by {more:.4f}", first, more, others)]
        return
    less = math.floor(-missing * _STEPS + 1) / _STEPS
    what = "the cosines" if len(first.person.faces) > 1 else "a cosine"  # the next template may be as near
    yield [_cosine(decider, f"{what} of {named(first.person)} lower by {less:.4f}", first, -less, others)]
    if others:
        second, *rest = others
        more = math.floor((first.cosine - second.cosine) * _STEPS + 1) / _STEPS
        words = f"a cosine of {named(second.person)} higher by {more:.4f}"
        yield [_cosine(decider, words, second, more, [first, *rest])]


def threshold_changes(decider: Decider, decision: MatchDecision) -> Iterator[Alternatives]:
    """Yield the changes of the settings from which the threshold is computed."""
    first = decision.candidate
    if decision.refusal is not None or first is None:
        return
    applied, policy = decision.threshold, decider.inputs.policy
    recognised = decision.outcome in RECOGNISED
    wanted = _beyond(first.cosine, _STEPS, recognised)
    # Rounded up, so that a threshold that is moved by the number in the sentence leads to the other outcome.
    moved = math.ceil(round(abs(wanted - applied.cosine) * _STEPS, _DIGITS)) / _STEPS
    way = "higher" if recognised else "lower"
    setting = _threshold_setting(wanted, applied, policy, recognised)
    words = f"a threshold {way} by {moved:.4f} (the setting matching.threshold at {setting:g})"
    yield [_setting(decider, words, "threshold", setting)]
    if applied.rule == "accepted_score" and policy.accepted_score is not None:
        score = _beyond(applied.percent(first.cosine, policy), _SCORE_STEPS, recognised)
        words = f"the setting matching.accepted_score at {score:g} instead of {policy.accepted_score:g}"
        yield [_setting(decider, words, "accepted_score", score)]
    if applied.rule in ("target_fpir", "floor"):
        for name, present in (("target_fpir", policy.target_fpir), ("highest_fmr", policy.highest_fmr)):
            rate = _rate(decider, decision, name, present, recognised)
            words = f"the setting matching.{name} at {rate:g} instead of {present:g}"
            yield [_setting(decider, words, name, rate)]


def _threshold_setting(wanted: float, applied: AppliedThreshold, policy: Policy, above: bool) -> float:
    """Return the value of matching.threshold that leads to a wanted threshold.

    With an accepted score the setting gets the middle score, and the threshold is the cosine of the accepted one.
    """
    if applied.rule != "accepted_score" or policy.accepted_score is None:
        return wanted
    middle = threshold_from(wanted, policy.accepted_score, policy.score_range)
    return (math.ceil if above else math.floor)(middle * _SETTING_STEPS) / _SETTING_STEPS


def people_changes(decider: Decider, decision: MatchDecision, people: PeopleThen) -> Iterator[Alternatives]:
    """Yield the changes of groups and permissions that bring somebody into the scope who is more similar."""
    probe, resolved = _probe(decider, decision), resolved_in(decider.inputs)
    if probe is None or isinstance(resolved, Refusal) or decision.outcome not in ("stranger", "empty_group"):
        return
    everybody = Scope(None, None, None, means=resolved.scope.means)
    found = decider.inputs.snapshot.gallery.best(probe, everybody, _OTHERS)
    proposals = [proposal for each in found for proposal in _into_scope(decider, each.person, resolved, people)]
    if proposals:
        yield proposals


def _into_scope(
    decider: Decider, person: PersonRecord, resolved: ResolvedScope, people: PeopleThen
) -> Iterator[Proposal]:
    """Yield the change that brings a person into the scope, where a single one is enough."""
    scope = resolved.scope
    in_group, permitted = scope.has_group(person), scope.has_permission(person)
    if in_group and not permitted and scope.permission_id is not None:
        ids = [*person.permission_ids, scope.permission_id]
        changed = structs.replace(person, info={**person.info, "permission_ids": ids})
        words = f"the permission {resolved.permission_name} for {named(person)}"
    elif permitted and not in_group and scope.group_id is not None:
        changed = structs.replace(person, group_ids=(*person.group_ids, scope.group_id))
        words = f"{named(person)} in the group {resolved.group_name}"
    else:
        return
    yield person_change(decider, words, changed, people)


def person_change(decider: Decider, words: str, changed: PersonRecord, people: PeopleThen) -> Proposal:
    """Return the proposal of another record of a person."""
    return Proposal(words, lambda: decider.again(replace(decider.inputs, snapshot=people.with_person(changed))))


def _cosine(decider: Decider, words: str, changed: Candidate, by: float, others: list[Candidate]) -> Proposal:
    candidates = [replace(changed, cosine=changed.cosine + by), *others]
    return Proposal(words, lambda: decider.under(candidates) if abs(candidates[0].cosine) <= 1 else None)


def _setting(decider: Decider, words: str, name: str, value: float) -> Proposal:
    def decide() -> MatchDecision | None:
        changed = with_setting(decider.inputs, name, value)
        return None if changed is None else decider.again(changed)

    return Proposal(words, decide, f"matching.{name}", value)


def _beyond(value: float, steps: int, above: bool) -> float:
    """Return the nearest value in whole steps that is above, or not above, a value."""
    return (math.floor(value * steps) + (1 if above else 0)) / steps


def _rate(decider: Decider, decision: MatchDecision, name: str, present: float, recognised: bool) -> float:
    """Return the rate nearest to the present one of a setting at which the outcome is another, with two digits."""
    near, far = present, LEAST_RATE if recognised else _MOST_RATE
    for _ in range(_HALVINGS):
        middle = math.sqrt(near * far)
        changed = with_setting(decider.inputs, name, middle)
        again = None if changed is None else decider.again(changed)
        flipped = again is not None and again.outcome != decision.outcome
        near, far = (near, middle) if flipped else (middle, far)
    digit = 10.0 ** (math.floor(math.log10(far)) - 1)
    rounded = math.floor(far / digit) * digit if recognised else math.ceil(far / digit) * digit
    return max(float(f"{rounded:.2g}"), LEAST_RATE)


def _probe(decider: Decider, decision: MatchDecision) -> Vector | None:
    if decision.probe is not None:
        return decision.probe
    recorded = decider.then.decision.embedding
    return None if recorded is None else np.frombuffer(recorded, np.dtype("<f2")).astype(np.float32)
