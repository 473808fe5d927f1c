"""The threshold of a decision that is made again: that of then, as long as nothing that moves it has changed. Pure."""

from contract.captures.values import CapturedDecision
from engine.policy import Policy
from engine.score import threshold_from
from engine.threshold import AppliedThreshold, Calibrated, search_threshold

_ROUNDING = 5e-7
"""Events contain the cosine of the threshold with six decimal places."""


def threshold_now(
    then: CapturedDecision | None, before: Policy, policy: Policy, faces: int, embedder: Calibrated | None
) -> AppliedThreshold | None:
    """Return the threshold of a search among `faces` faces under `policy`; None where it cannot be computed, because
    it has changed and the curve of the embedder is not known.

    The threshold of then is kept where the policy of then, `before`, and the number of faces give the same: the curve
    of the installed embedder may have been measured anew since. `embedder` None: its curve is not known.
    """
    kept = None if then is None else _kept(then, before, policy, faces)
    fixed = policy.threshold is not None
    if embedder is None and not fixed:
        return kept
    computed = search_threshold(policy, embedder or _NO_CURVE, faces)
    if kept is None or computed.rule != kept.rule:
        return kept or computed
    # Without evidence the recorded cosine is rounded, and the computed one is exact.
    has_evidence = then is not None and then.embedding is not None
    close = abs(computed.cosine - kept.cosine) <= _ROUNDING
    return computed if close and (computed.cosine == kept.cosine or not has_evidence) else kept


class _Uncalibrated:
    """An embedder without any facts, for policies that fix the threshold."""

    threshold = 1.0
    fmr_curve = ()


_NO_CURVE = _Uncalibrated()


def _kept(then: CapturedDecision, before: Policy, policy: Policy, faces: int) -> AppliedThreshold | None:
    """Return the threshold of then; None where it is not recorded or something that moves it has changed."""
    applied = then.applied
    if applied is None or applied.cosine is None or _moved_by(before) != _moved_by(policy):
        return None
    if applied.faces is not None and applied.faces != faces:
        return None
    middle = None
    if applied.rule == "accepted_score" and policy.accepted_score is not None:
        middle = threshold_from(applied.cosine, policy.accepted_score, policy.score_range)
    return AppliedThreshold(
        applied.cosine, applied.rule, applied.target_fpir, applied.fmr, applied.faces, middle, applied.extrapolated
    )


def _moved_by(policy: Policy) -> tuple[object, ...]:
    return policy.threshold, policy.target_fpir, policy.highest_fmr, policy.accepted_score, policy.score_range
