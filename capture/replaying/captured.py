"""Decisions that were made again, as values of a capture. Pure."""

from dataclasses import dataclass
from typing import Self

from msgspec import structs

from capture.replaying.plan import Case
from contract.captures.values import CapturedDecision
from contract.events import EventScope, Threshold
from contract.evidence import EvidenceCandidate
from contract.findings import MatchedFace
from engine.calls.matching import MatchDecision, verdict_of
from engine.calls.reporting import wire_threshold
from engine.calls.several import Verdict
from engine.policy import Policy
from engine.threshold import AppliedThreshold


@dataclass(frozen=True, slots=True)
class Limit:
    """A threshold: as the engine applies it, and as evidence and events have it, with the cosine unrounded."""

    applied: AppliedThreshold
    shown: Threshold

    @classmethod
    def of(cls, applied: AppliedThreshold, policy: Policy) -> Self:
        """Return a threshold in both forms."""
        return cls(applied, structs.replace(wire_threshold(applied, policy), cosine=applied.cosine))


def concluded(
    case: Case, decision: MatchDecision, limit: Threshold, candidates: tuple[EvidenceCandidate, ...] | None = None
) -> CapturedDecision:
    """Return the decision of a search that was made again; the findings about the picture are those of then.

    The decision of then itself, as the line has it, is returned where every value comes out again.

    `limit`: the threshold as events contain it. `candidates`: the candidates, where they are those of then.
    """
    if decision.refusal is not None:
        code = int(decision.refusal.code)
        return refused(case, decision.outcome, code, decision.scope, limit)
    policies, recorded = case.policies, case.line.decision
    verdict = verdict_of(case.request, decision, policies.policy)
    if recorded is not None and candidates is recorded.candidates and _is_recorded(case, decision, verdict, limit):
        return recorded
    return structs.replace(
        case.then,
        outcome=decision.outcome,
        gallery_version=case.version,
        retcode=verdict.retcode,
        identity_id=verdict.identity_id,
        score=verdict.score,
        threshold=limit.value,
        error_code=None,
        applied=limit,
        scope=decision.scope,
        candidates=_recorded(decision) if candidates is None else candidates,
        searched=_about_only_face(case.then, decision.outcome, verdict),
        embedding=None,
        policy=policies.name,
    )


def _is_recorded(case: Case, decision: MatchDecision, verdict: Verdict, limit: Threshold) -> bool:
    """Return whether a decision, whose candidates are those of then, has all other values of then, too."""
    then = case.then
    return (
        then.outcome == decision.outcome
        and then.score == verdict.score
        and then.identity_id == verdict.identity_id
        and then.retcode == verdict.retcode
        and then.gallery_version == case.version
        and then.policy == case.policies.name
        and then.threshold == limit.value
        and then.applied == limit
        and then.scope == decision.scope
        and then.error_code is None
    )


def _about_only_face(then: CapturedDecision, outcome: str, verdict: Verdict) -> tuple[MatchedFace, ...]:
    """Return the faces that were searched for; only one may have another result than then, because a changed decision
    about several needs a look."""
    if len(then.searched) != 1:
        return then.searched
    retcode, identity_id, score = verdict
    face = structs.replace(then.searched[0], outcome=outcome, retcode=retcode, identity_id=identity_id, score=score)
    return (face,)


def _recorded(decision: MatchDecision) -> tuple[EvidenceCandidate, ...]:
    return tuple(
        EvidenceCandidate(identity_id=c.person.identity_id, number=c.number, cosine=c.cosine)
        for c in decision.candidates
    )


def refused(case: Case, outcome: str, code: int | None, names: EventScope, limit: Threshold | None) -> CapturedDecision:
    """Return the decision that answers a request with an error; `limit` None: no threshold can be computed."""
    return structs.replace(
        case.then,
        outcome=outcome,
        gallery_version=case.version,
        retcode=None,
        identity_id="",
        score=None,
        threshold=None if limit is None else limit.value,
        error_code=code,
        applied=limit,
        scope=names,
        candidates=(),
        embedding=None,
        policy=case.policies.name,
    )
