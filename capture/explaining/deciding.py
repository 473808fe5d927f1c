"""Decides a match again: from its picture, or from the embedding of its evidence. Pure.

Both ways run the functions with which a processor decides (engine.calls.match). From the embedding, the recorded
cosines count where the same person is found again: the evidence contains the embedding in half precision, and the
cosines in full precision.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Never

import numpy as np

from capture.explaining.gallery import PeopleThen
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
from engine.policy import Policy
from engine.score import from_percent
from engine.vision.ports import Embedding, Face, Image, ModelSet
from models.manifest import FmrPoint

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


@dataclass(frozen=True, slots=True, eq=False)
class Embedded:
    """An embedder that is not installed: of it, only the threshold of one decision is known."""

    dimension: int
    threshold: float
    fmr_curve: tuple[FmrPoint, ...] = ()

    def __call__(self, image: Image, face: Face) -> Embedding:
        """Raise an error: an embedder that is not installed computes no embedding."""
        raise RuntimeError("the embedder is not installed")


def can_look(then: Then) -> bool:
    """Return whether the picture, the people and the policy are there, and the networks that decided are installed."""
    there = then.people is not None and then.policy is not None and then.models is not None
    return there and _has_picture(then) and dict(then.models.identities) == then.decision.models  # type: ignore[union-attr]  # `there`


def can_decide(then: Then) -> bool:
    """Return whether the embedding, the people and the policy are there."""
    there = then.people is not None and then.policy is not None and then.request is not None
    return there and then.decision.embedding is not None


def inputs_of(then: Then, people: PeopleThen, policy: Policy) -> Inputs:
    """Return the inputs of the decision of then. `then` has a request."""
    assert then.request is not None, "a decision has a request"
    models = _models_of(then, policy)
    context = Context(models, policy, then.max_pixels, lambda: 0.0)
    return Inputs(then.request, people.snapshot(), context)


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


def _has_picture(then: Then) -> bool:
    return then.request is not None and bool(then.request.picture)


def _models_of(then: Then, policy: Policy) -> ModelSet:
    """Return the installed networks, with the embedder of then as far as the decision describes it."""
    embedder = then.decision.models.get("embedder")
    if then.models is not None and then.models.embedder_identity == embedder:
        return then.models
    threshold = _threshold_before_score(then.decision, policy)
    curve = ()
    if then.decision.applied is not None and then.decision.applied.rule != "model":
        # the threshold of then, whichever rate is wanted
        curve = tuple(FmrPoint(fmr=fmr, threshold=threshold) for fmr in (0.1, 1e-6))
    known = Embedded(len(then.decision.embedding or b"") // 2, threshold, curve)
    identities = tuple(then.decision.models.items())
    if then.models is not None:
        return replace(then.models, embedder=known, identities=identities)
    return ModelSet(_not_installed, known, _not_installed, _not_installed, identities)


def _threshold_before_score(decision: CapturedDecision, policy: Policy) -> float:
    """Return the threshold of then without `Policy.accepted_score`, which the decision contains on the percent scale."""
    cosine = 0.5 if decision.applied is None or decision.applied.cosine is None else decision.applied.cosine
    if policy.accepted_score is None or decision.applied is None or decision.applied.rule != "accepted_score":
        return cosine
    low, high = 0.0, 1.0
    for _ in range(60):  # the threshold rises with the one that it is computed from
        middle = (low + high) / 2
        below = from_percent(policy.accepted_score, middle, policy.score_range) < cosine
        low, high = (middle, high) if below else (low, middle)
    return (low + high) / 2


def _not_installed(*_: object) -> Never:
    raise RuntimeError("the network is not installed")
