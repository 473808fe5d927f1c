"""Leaves out of two records what a search by candidates only estimated. Pure.

An index that compares only candidates names everybody down to a cosine, and below it somebody near. An explanation
compares every face, so below that cosine it may find somebody nearer, and that is no difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from capture.explaining.differing import BETWEEN_MACHINES
from capture.explaining.values import Then
from contract.evidence import Evidence, EvidenceCandidate
from contract.terms import STRANGER

_HOW_SEARCHED = frozenset({"index", "complete_to"})
"""The fields that say how the people were searched, which an explanation does in its own way."""
_OF_THE_NEAREST = frozenset({"score", "cosine", "identity_id", "name", "person_type", "identity_info"})


@dataclass(frozen=True, slots=True)
class Estimated:
    """What a search did not tell: `complete_to` as in contract.evidence.Evidence; None: the evidence is gone, or has
    the candidates of a cover, who are all known. `nearest`: the nearest person is an estimate."""

    complete_to: float | None
    nearest: bool


def estimated_in(then: Then) -> Estimated | None:
    """Return what the search of a match did not tell; None: it compared every face."""
    decision, use = then.decision, None if then.event is None else then.event.index
    if use is None and decision.complete_to is None:
        return None
    cover = None if decision.applied is None else decision.applied.cover
    complete_to = decision.complete_to if cover is None else None
    nearest = use.estimate if use is not None else _is_estimate(decision.candidates, complete_to)
    return Estimated(complete_to, nearest)


def estimate_of(evidence: Evidence) -> bool:
    """Return whether the nearest person of evidence is an estimate."""
    return _is_estimate(evidence.candidates, evidence.complete_to if evidence.cover is None else None)


def _is_estimate(candidates: Sequence[EvidenceCandidate], complete_to: float | None) -> bool:
    """Return whether the nearest candidate is below the cosine down to which everybody was found."""
    return complete_to is not None and bool(candidates) and candidates[0].cosine < complete_to


def without_estimates(estimated: Estimated | None, then: Any, now: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return two records as mappings, without what the search of then did not tell."""
    sides: tuple[dict[str, Any], dict[str, Any]] = (msgspec.to_builtins(then), msgspec.to_builtins(now))
    if estimated is None:
        return sides
    if estimated.complete_to is not None and all("candidates" in side for side in sides):
        surely = estimated.complete_to + BETWEEN_MACHINES
        known = {one["identity_id"] for side in sides for one in side["candidates"] if one["cosine"] >= surely}
        for side in sides:
            side["candidates"] = [one for one in side["candidates"] if one["identity_id"] in known]
    for side in sides:
        left_out = _HOW_SEARCHED | (_OF_THE_NEAREST if estimated.nearest else frozenset())
        for name in left_out & side.keys():
            del side[name]
        for face in side.get("searched", ()):
            if face["outcome"] == STRANGER and not face.get("kept_by_another"):
                face.update(score=None, identity_id="", name="")
    return sides
