"""The threshold of a decision that is made again: that of then, as long as nothing that moves it has changed. Pure."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from contract.captures.values import CapturedDecision
from contract.terms import COVERS, Cover
from engine.policy import Policy
from engine.score import threshold_from
from engine.threshold import AppliedThreshold, CoverCalibrated, covered_threshold, search_threshold
from models.manifest import FmrPoint

_ROUNDING = 5e-7
"""Events contain the cosine of the threshold with six decimal places."""


def threshold_now(
    then: CapturedDecision | None,
    before: Policy,
    policy: Policy,
    faces: int,
    embedder: CoverCalibrated | None,
    cover: Cover | None = None,
) -> AppliedThreshold | None:
    """Return the threshold of a search among `faces` faces under `policy`; None where it cannot be computed, because
    it has changed and the curve of the embedder is not known.

    The threshold of then is kept where the policy of then, `before`, and the number of faces give the same: the curve
    of the installed embedder may have been measured anew since. `embedder` None: its curve is not known. `cover`: the
    threshold is that of the templates of faces with that cover; None also where these are not compared.
    """
    kept = None if then is None else _kept(then, before, policy, faces, cover)
    fixed = policy.threshold is not None
    if cover is not None and (fixed or not policy.covered_templates):
        return None
    if embedder is None and not fixed:
        return kept
    known = embedder or _NO_CURVE
    computed = (
        search_threshold(policy, known, faces) if cover is None else covered_threshold(policy, known, cover, faces)
    )
    if kept is None or computed is None or computed.rule != kept.rule:
        return kept or computed
    # Without evidence the recorded cosine is rounded, and the computed one is exact.
    has_evidence = then is not None and then.embedding is not None
    close = abs(computed.cosine - kept.cosine) <= _ROUNDING
    return computed if close and (computed.cosine == kept.cosine or not has_evidence) else kept


def covered_thresholds_now(
    then: CapturedDecision | None, before: Policy, policy: Policy, faces: int, embedder: CoverCalibrated | None
) -> Sequence[AppliedThreshold]:
    """Return the thresholds of the templates of covered faces that can be computed, in the order of the search."""
    found = (threshold_now(then, before, policy, faces, embedder, cover) for cover in COVERS)
    return [threshold for threshold in found if threshold is not None]


class _Uncalibrated:
    """An embedder without any facts, for policies that fix the threshold."""

    threshold = 1.0
    fmr_curve = ()
    covered_curves: Mapping[Cover, tuple[FmrPoint, ...]] = MappingProxyType({})


_NO_CURVE = _Uncalibrated()


def _kept(
    then: CapturedDecision, before: Policy, policy: Policy, faces: int, cover: Cover | None
) -> AppliedThreshold | None:
    """Return the threshold of then; None where it is not recorded or something that moves it has changed."""
    applied = then.applied
    if applied is None or applied.cosine is None or _moved_by(before) != _moved_by(policy):
        return None
    if (applied.faces is not None and applied.faces != faces) or applied.cover != cover:
        return None
    middle = None
    if applied.rule == "accepted_score" and policy.accepted_score is not None:
        middle = threshold_from(applied.cosine, policy.accepted_score, policy.score_range)
    return AppliedThreshold(
        applied.cosine,
        applied.rule,
        applied.target_fpir,
        applied.fmr,
        applied.faces,
        middle,
        applied.extrapolated,
        cover,
    )


def _moved_by(policy: Policy) -> tuple[object, ...]:
    return policy.threshold, policy.target_fpir, policy.highest_fmr, policy.accepted_score, policy.score_range
