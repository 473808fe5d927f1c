"""Decides a match again, with the inputs of then or with one of them changed. Pure.

From the picture, the functions of a processor decide (engine.calls.match); from the evidence, the rules of a replay
(capture.replaying). Either way the threshold of then counts as long as nothing that moves it is changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from msgspec import structs

from capture.explaining.values import Then, Way
from capture.replaying.candidates import is_certain
from capture.replaying.covered import find_covered, limits_now, may_be_covered
from capture.replaying.plan import Case, Keep, Look, Search, plan
from capture.replaying.policies import PolicyPair
from capture.replaying.searches import Found, find_all
from capture.replaying.thresholds import covered_thresholds_now, threshold_now
from contract.captures.convert import line_of
from contract.errors import Refusal, Refused
from contract.events import RequestPlace
from contract.requests import MatchRequest
from contract.vectors import Vector
from engine.calls.demands import wanted_of
from engine.calls.match import MatchCall, search_several, search_within
from engine.calls.matching import (
    CANDIDATES,
    MatchDecision,
    about_only_face,
    conclude_several,
    conclude_under,
    scope_of_refusal,
)
from engine.calls.reporting import outcome_of
from engine.calls.several import with_nearest
from engine.context import Context
from engine.covered_search import CoveredMatch, SearchLimits
from engine.gallery.people import Snapshot
from engine.gallery.port import Candidate, Scope
from engine.gallery.scope import ResolvedScope, resolve_scope
from engine.policy import Policy
from engine.threshold import AppliedThreshold

NOWHERE = RequestPlace(topic="", partition=0, offset=0, sha256="0" * 64)
"""The place of a request without its picture."""


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """The values from which one decision follows; a change replaces one of them."""

    request: MatchRequest
    snapshot: Snapshot
    policy: Policy
    max_pixels: int


def inputs_of(then: Then) -> Inputs | None:
    """Return the inputs of the decision of then; None: the request, the people or the policy of then are gone."""
    if then.request is None or then.people is None or then.policy is None:
        return None
    return Inputs(then.request, then.people.snapshot(), then.policy, then.max_pixels)


def resolved_in(inputs: Inputs) -> ResolvedScope | Refusal:
    """Return the scope of the request, or why it is refused at its scope."""
    try:
        return resolve_scope(inputs.request, inputs.snapshot.site, inputs.policy)
    except Refused as refused:
        return refused.refusal


class Decider:
    """Decides one match again. `inputs` are those of then.

    `embedder`: the installed embedder, where it is the one of then; else None.
    """

    def __init__(self, then: Then, inputs: Inputs) -> None:
        self.then, self.inputs = then, inputs
        models = then.models
        same = models is not None and dict(models.identities) == then.decision.models
        self._models = models if same and inputs.request.picture else None
        same = models is not None and models.embedder_identity == then.decision.models.get("embedder")
        self.embedder = models.embedder if models is not None and same else None

    @property
    def way(self) -> Way:
        """How `decision` was made."""
        if self.can_look:
            return "look"
        return "read" if self.decision is None else "decide"

    @property
    def can_look(self) -> bool:
        """Whether the picture is there, and the networks that looked at it are installed."""
        return self._models is not None

    def context(self, inputs: Inputs) -> Context | None:
        """Return the context of a look; None: there is no picture, or other networks are installed."""
        return None if self._models is None else Context(self._models, inputs.policy, inputs.max_pixels, lambda: 0.0)

    @cached_property
    def decision(self) -> MatchDecision | None:
        """The decision from the inputs of then; None: it cannot be made again."""
        context = self.context(self.inputs)
        return self.from_evidence(self.inputs) if context is None else self._look(self.inputs, context)

    def again(self, inputs: Inputs) -> MatchDecision | None:
        """Return the decision from other inputs; None: it cannot be made without the picture or the networks."""
        context = self.context(inputs)
        if context is None:
            return self.from_evidence(inputs)
        probe = None if self.decision is None else self.decision.probe
        if self.decision is not None and len(self.decision.searched) > 1 and _looks_alike(self.inputs, inputs):
            return self._search_several(inputs, self.decision)
        if probe is not None and _looks_alike(self.inputs, inputs):
            return self._search(inputs, probe)
        return self._look(inputs, context)

    def under(self, candidates: Sequence[Candidate]) -> MatchDecision | None:
        """Return the decision from other cosines; None: the request is refused at its scope."""
        resolved, decision = resolved_in(self.inputs), self.decision
        if decision is None or isinstance(resolved, Refusal):
            return None
        ranked = sorted(candidates, key=lambda c: (-c.cosine, c.person.identity_id))
        site, policy = self.inputs.snapshot.site, self.inputs.policy
        if decision.searched:
            faces = with_nearest(decision.searched, ranked)
            return conclude_several(decision.threshold, self.inputs.request, resolved, faces, site, policy)
        return conclude_under(decision.threshold, self.inputs.request, resolved, ranked, site, policy)

    def from_evidence(self, inputs: Inputs) -> MatchDecision | None:
        """Return the decision from the recorded embedding or refusal; None: it cannot be made from them."""
        case = self.case(inputs)
        match plan(case):
            case Refusal() as refusal:
                return self._refuse(inputs, refusal)
            case Search(resolved):
                try:
                    (found,) = find_all([case], inputs.snapshot.gallery, resolved.scope)
                except ValueError:  # the embedding has not the length of the enrolled faces
                    return None
                return None if found is None else self._conclude_found(case, inputs, resolved, found)
            case Keep() | Look():
                return None

    def case(self, inputs: Inputs) -> Case:
        """Return a decision as a replay decides it."""
        request = structs.replace(
            inputs.request,
            picture=b"",
            further_pictures=(b"",) * len(inputs.request.further_pictures),
            ir_picture=None if inputs.request.ir_picture is None else b"",
        )
        then, name = self.then.decision, self.then.decision.policy or ""
        return Case(
            1,
            line_of(request, NOWHERE, then),
            then,
            request,
            then.embedding,
            self.inputs.snapshot,
            inputs.snapshot,
            PolicyPair(self.inputs.policy, inputs.policy, name, True),
            then.gallery_version,
        )

    def _look(self, inputs: Inputs, context: Context) -> MatchDecision:
        looked = MatchCall().decide(inputs.request, inputs.snapshot, context)
        if len(looked.searched) > 1:
            return replace(self._search_several(inputs, looked) or looked, timings_ms=looked.timings_ms)
        if looked.probe is None:
            return looked
        searched = self._search(inputs, looked.probe) or looked
        if looked.searched:
            searched = about_only_face(searched, looked.searched[0])
        return replace(searched, findings=looked.findings, pictures=looked.pictures, timings_ms=looked.timings_ms)

    def _search(self, inputs: Inputs, probe: Vector) -> MatchDecision | None:
        resolved = resolved_in(inputs)
        if isinstance(resolved, Refusal):
            return self._refuse(inputs, resolved)
        scope, snapshot = resolved.scope, inputs.snapshot
        limits = self.limits(inputs, scope, probe)
        if limits is None:
            return None
        found = search_within(limits, probe, inputs.request, resolved, snapshot, inputs.policy)
        return replace(found, probe=probe)

    def limits(self, inputs: Inputs, scope: Scope, probe: Vector | None) -> SearchLimits | None:
        """Return the limits of a search for a unit vector; None: they cannot be computed."""
        then, before, gallery = self.then.decision, self.inputs.policy, inputs.snapshot.gallery
        if self.embedder is not None:
            return limits_now(then, before, inputs.policy, probe, scope, gallery, self.embedder)
        threshold = self._threshold(inputs, scope)
        return None if threshold is None else SearchLimits(threshold, (), 1.0)

    def _search_several(self, inputs: Inputs, looked: MatchDecision) -> MatchDecision | None:
        resolved = resolved_in(inputs)
        if isinstance(resolved, Refusal):
            return self._refuse(inputs, resolved)
        limits = self.limits(inputs, resolved.scope, looked.probe)
        if limits is None:
            return None
        return search_several(limits, looked.searched, inputs.request, resolved, inputs.snapshot, inputs.policy)

    def _conclude(
        self, inputs: Inputs, resolved: ResolvedScope, candidates: Sequence[Candidate]
    ) -> MatchDecision | None:
        threshold = self._threshold(inputs, resolved.scope)
        if threshold is None:
            return None
        return conclude_under(threshold, inputs.request, resolved, candidates, inputs.snapshot.site, inputs.policy)

    def _covered(self, inputs: Inputs, resolved: ResolvedScope, match: CoveredMatch | None) -> MatchDecision | None:
        """Return the decision by templates of covered faces; None where these recognise nobody."""
        if match is None:
            return None
        candidates, site = match.candidates[:CANDIDATES], inputs.snapshot.site
        return conclude_under(match.threshold, inputs.request, resolved, candidates, site, inputs.policy)

    def _covered_thresholds(self, inputs: Inputs, scope: Scope) -> Sequence[AppliedThreshold]:
        faces, before = inputs.snapshot.gallery.count(scope), self.inputs.policy
        return covered_thresholds_now(self.then.decision, before, inputs.policy, faces, self.embedder)

    def _conclude_found(
        self, case: Case, inputs: Inputs, resolved: ResolvedScope, found: Found
    ) -> MatchDecision | None:
        """Return the decision; None: half precision may have changed it, since people were compared anew."""
        decision = self._conclude(inputs, resolved, found.candidates)
        if decision is not None and may_be_covered(case, decision):
            covered = find_covered(
                case, resolved.scope, self._covered_thresholds(inputs, resolved.scope), self.embedder
            )
            if not covered.is_certain:
                return None
            if covered.match is not None:
                return self._covered(inputs, resolved, covered.match)
        if decision is None or found.computed is None:
            return decision
        named, limit = inputs.request.need_keep_info, decision.threshold.cosine
        certain = is_certain(found.recorded, found.computed, limit, found.within, names_strangers=named)
        return decision if certain else None

    def _refuse(self, inputs: Inputs, refusal: Refusal) -> MatchDecision | None:
        scope, names = scope_of_refusal(inputs.request, inputs.snapshot.site, inputs.policy)
        threshold = self._threshold(inputs, scope)
        if threshold is None:
            return None
        return MatchDecision(outcome_of(refusal), threshold, names, refusal=refusal)

    def _threshold(self, inputs: Inputs, scope: Scope) -> AppliedThreshold | None:
        faces = inputs.snapshot.gallery.count(scope)
        return threshold_now(self.then.decision, self.inputs.policy, inputs.policy, faces, self.embedder)


def _looks_alike(one: Inputs, other: Inputs) -> bool:
    """Return whether both inputs lead to the same look at the same picture."""
    before, after = one.policy, other.policy
    return (
        one.request.picture is other.request.picture
        and one.request.further_pictures is other.request.further_pictures
        and one.request.ir_picture is other.request.ir_picture
        and one.max_pixels == other.max_pixels
        and _wanted(one) == _wanted(other)
        and (before.custom_quality, before.liveness_threshold, before.liveness_limits)
        == (after.custom_quality, after.liveness_threshold, after.liveness_limits)
    )


def _wanted(inputs: Inputs) -> object:
    resolved = resolved_in(inputs)
    return resolved if isinstance(resolved, Refusal) else wanted_of(inputs.request, inputs.policy, resolved.device)
