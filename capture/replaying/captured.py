"""Decisions that were made again, as values of a capture. Pure."""

from msgspec import structs

from capture.replaying.plan import Case
from contract.captures.values import CapturedDecision
from contract.events import EventScope, Threshold
from contract.evidence import EvidenceCandidate
from engine.calls.match import MatchDecision, shown_in
from engine.calls.reporting import wire_threshold
from engine.policy import Policy
from engine.threshold import AppliedThreshold


def concluded(case: Case, decision: MatchDecision) -> CapturedDecision:
    """Return the decision of a search that was made again; the findings about the picture are those of then."""
    if decision.refusal is not None:
        code = int(decision.refusal.code)
        return refused(case, decision.outcome, code, decision.scope, decision.threshold)
    policies = case.policies
    shown = shown_in(case.request, decision, policies.policy)
    applied = _applied(decision.threshold, policies.policy)
    return structs.replace(
        case.then,
        outcome=decision.outcome,
        gallery_version=case.version,
        retcode=shown.retcode,
        identity_id=shown.identity_id,
        score=shown.score,
        threshold=applied.value,
        error_code=None,
        applied=applied,
        scope=decision.scope,
        candidates=tuple(
            EvidenceCandidate(identity_id=c.person.identity_id, number=c.number, cosine=c.cosine)
            for c in decision.candidates
        ),
        embedding=None,
        policy=policies.name,
    )


def refused(
    case: Case, outcome: str, code: int | None, names: EventScope, threshold: AppliedThreshold | None
) -> CapturedDecision:
    """Return the decision that answers a request with an error; `threshold` None: it cannot be computed."""
    applied = None if threshold is None else _applied(threshold, case.policies.policy)
    return structs.replace(
        case.then,
        outcome=outcome,
        gallery_version=case.version,
        retcode=None,
        identity_id="",
        score=None,
        threshold=None if applied is None else applied.value,
        error_code=code,
        applied=applied,
        scope=names,
        candidates=(),
        embedding=None,
        policy=case.policies.name,
    )


def _applied(threshold: AppliedThreshold, policy: Policy) -> Threshold:
    """Return the threshold on the wire's scale, with its cosine unrounded, as evidence has it."""
    return structs.replace(wire_threshold(threshold, policy), cosine=threshold.cosine)
