"""Decides a match again: from its picture, or from the embedding of its evidence. Pure.

Both ways run the functions with which a processor decides (engine.calls.match). From the embedding, the recorded
cosines count where the same person is found again: the evidence contains the embedding in half precision, and the
cosines in full precision.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from capture.explaining.networks import networks_of
from capture.explaining.values import Then
from contract.captures.values import CapturedDecision
from contract.errors import Refused
from contract.requests import MatchRequest
from contract.vectors import Vector
from engine.calls.match import CANDIDATES, MatchCall, MatchDecision, conclude
from engine.context import Context
from engine.gallery.people import Snapshot
from engine.gallery.port import Candidate
from engine.gallery.scope import ResolvedScope, resolve_scope

HALF_PRECISION = 2.0**-11 + 2.0**-20
"""By how much half precision can move a cosine: each component of a unit vector is rounded by at most 2^-11 of itself,
so by the inequality of Cauchy and Schwarz the cosine to another unit vector by at most 2^-11; the rest is for
components below 2^-14, which are rounded by at most 2^-25, in up to a thousand dimensions."""

_MORE = 4
"""The recorded people are searched among so many times as many people, whom half precision can have moved up."""


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """The values from which one decision follows; a change replaces one of them."""

    request: MatchRequest
    snapshot: Snapshot
    context: Context


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """The embedding that was compared, and the cosines that were recorded with it: identity_id -> (face, cosine).

    `slack`: by how much a cosine computed from `vector` can differ from the recorded one.
    """

    vector: Vector
    recorded: dict[str, tuple[int, float]] = field(default_factory=dict)
    slack: float = 0.0


def inputs_of(then: Then) -> Inputs | None:
    """Return the inputs of the decision of then; None: the request, the people or the policy of then are gone."""
    if then.request is None or then.people is None or then.policy is None:
        return None
    models = networks_of(then.decision, then.models, then.policy)
    return Inputs(then.request, then.people.snapshot(), Context(models, then.policy, then.max_pixels, lambda: 0.0))


def can_look(then: Then, inputs: Inputs) -> bool:
    """Return whether the picture is there, and the networks that looked at it are installed."""
    installed = then.models is not None and dict(then.models.identities) == then.decision.models
    return installed and bool(inputs.request.picture)


def recorded_probe(decision: CapturedDecision) -> Probe | None:
    """Return the embedding of the evidence; None: there is none."""
    if decision.embedding is None:
        return None
    vector = np.frombuffer(decision.embedding, np.dtype("<f2")).astype(np.float32)
    recorded = {c.identity_id: (c.number, c.cosine) for c in decision.candidates}
    return Probe(vector, recorded, HALF_PRECISION)


def look_again(inputs: Inputs) -> MatchDecision:
    """Return the decision from the picture."""
    return MatchCall().decide(inputs.request, inputs.snapshot, inputs.context)


def search_again(inputs: Inputs, probe: Probe) -> MatchDecision:
    """Return the decision from the embedding."""
    try:
        resolved = resolve_scope(inputs.request, inputs.snapshot.site, inputs.context.policy)
    except Refused as refused:
        return MatchCall().refuse(inputs.request, refused.refusal, inputs.snapshot, inputs.context)
    decision = conclude_again(inputs, resolved, nearest(inputs.snapshot, resolved, probe))
    return replace(decision, probe=probe.vector)


def conclude_again(inputs: Inputs, resolved: ResolvedScope, candidates: Sequence[Candidate]) -> MatchDecision:
    """Return the decision from the nearest people of the scope."""
    return conclude(inputs.request, resolved, candidates, inputs.snapshot, inputs.context)


def nearest(snapshot: Snapshot, resolved: ResolvedScope, probe: Probe) -> Sequence[Candidate]:
    """Return the nearest people of the scope, with the recorded cosine of everybody who has one.

    Somebody without a recorded cosine precedes others only where the cosine is higher by more than the slack.
    """
    many = CANDIDATES * _MORE if probe.recorded else CANDIDATES
    found = [_with_recorded(c, probe) for c in snapshot.gallery.best(probe.vector, resolved.scope, many)]
    slack = {c.person.identity_id: 0.0 if c.person.identity_id in probe.recorded else probe.slack for c in found}
    found.sort(key=lambda c: (slack[c.person.identity_id] - c.cosine, c.person.identity_id))
    return found[:CANDIDATES]


def contradictions(snapshot: Snapshot, resolved: ResolvedScope, probe: Probe) -> Sequence[tuple[str, float, float]]:
    """Return identity_id, recorded and recomputed cosine of every recorded candidate whose cosine does not come out.

    The recomputed cosine is -1 where the person is not among the nearest people of the scope.
    """
    found = snapshot.gallery.best(probe.vector, resolved.scope, CANDIDATES * _MORE)
    cosines = {c.person.identity_id: c.cosine for c in found}
    return [
        (identity_id, cosine, now)
        for identity_id, (_, cosine) in probe.recorded.items()
        if abs((now := cosines.get(identity_id, -1.0)) - cosine) > probe.slack
    ]


def _with_recorded(candidate: Candidate, probe: Probe) -> Candidate:
    number, cosine = probe.recorded.get(candidate.person.identity_id, (0, -2.0))
    if abs(candidate.cosine - cosine) > probe.slack or number not in candidate.person.faces:
        return candidate
    return replace(candidate, number=number, cosine=cosine)
