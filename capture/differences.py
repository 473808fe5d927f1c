"""Compares the answers of a server, or the decisions of a replay, with the decisions in a capture. Pure."""

from capture.posted import Scale, decision_of_answer, recorded_score, scale_of_answer
from capture.rows import Difference
from clients.answers import ServerAnswer, code_name
from contract.captures.values import CapturedDecision, CaptureLine
from contract.errors import Code
from contract.terms import STRANGER
from engine.calls.matching import RECOGNISED
from engine.score import VENDORS_RANGE

_PERCENT = 100
_NO_DECISIONS = frozenset({Code.TIMEOUT, Code.OVERLOADED, Code.INTERNAL_ERROR})
"""The errors that are no decisions about a picture: the deadline passed, the people could not be read, a fault."""


def differences(
    line: CaptureLine, answer: ServerAnswer, score_tolerance: float, scale: Scale | None = None
) -> tuple[Difference, ...] | None:
    """Return the differences between a captured line and the answer.

    A recorded decision is compared by error code, retcode, identity and score; without a recorded decision, or where
    nothing was decided about the picture, the expected identity is compared. Empty: nothing differs. None: the line
    contains neither. `scale`: that of the answer's score; None: as capture.posted.scale_of_answer finds it.
    `score_tolerance` is one of the raw scale: on the percent scale scores may differ by what it makes there.
    """
    if line.decision is not None and not is_undecided(line.decision):
        return _from_decision(line.decision, answer, score_tolerance, scale)
    if line.expected_identity_id is not None:
        return _from_expectation(line, line.expected_identity_id, answer)
    return None


def decision_differences(
    then: CapturedDecision, now: CapturedDecision, score_tolerance: float
) -> tuple[Difference, ...]:
    """Return the differences between two decisions: in outcome, error, retcode, identity, and in a score by more than
    the tolerance, which is one of the raw scale: on the percent scale scores may differ by what it makes there."""
    found = []
    if then.outcome != now.outcome:
        found.append(Difference("outcome", then.outcome, now.outcome))
    if then.error_code != now.error_code:
        found.append(Difference("error", _error(then.error_code), _error(now.error_code)))
    if then.error_code is None and now.error_code is None:
        if then.retcode != now.retcode:
            found.append(Difference("retcode", then.retcode, now.retcode))
        if then.identity_id != now.identity_id:
            found.append(Difference("identity_id", then.identity_id, now.identity_id))
        if then.score != now.score and not _close(then.score, now.score, tolerance_of(then, score_tolerance)):
            found.append(Difference("score", then.score, now.score))
    return tuple(found)


def expectation_differences(expected_identity_id: str, now: CapturedDecision) -> tuple[Difference, ...]:
    """Return the differences of a decision from an expected identity, "" for a stranger."""
    if now.error_code is not None:
        return (Difference("error", None, _error(now.error_code)),)
    # A recognised person who may not pass was recognised nevertheless.
    recognised = now.identity_id if now.outcome in RECOGNISED else ""
    same = recognised == expected_identity_id
    return () if same else (Difference("identity_id", expected_identity_id, recognised),)


def is_undecided(then: CapturedDecision) -> bool:
    """Return whether a recorded decision is none about the picture: it expired, or the server could not work."""
    return then.outcome == "expired" or then.error_code in _NO_DECISIONS


def tolerance_of(then: CapturedDecision, score_tolerance: float) -> float:
    """Return the tolerance of a score on the scale of a decision. `score_tolerance`: that of the raw scale."""
    return _on_scale(score_tolerance, "percent" if _is_percent(then.threshold) else "raw", then)


def _on_scale(score_tolerance: float, scale: Scale, then: CapturedDecision) -> float:
    """Return by how much scores on a scale differ at most where their cosines differ by the tolerance.

    On the percent scale a score rises below the threshold by the score of the threshold for each such cosine.
    """
    if scale == "raw":
        return score_tolerance
    cosine = None if then.applied is None else then.applied.cosine
    of_threshold = then.threshold if then.threshold is not None and _is_percent(then.threshold) else VENDORS_RANGE[1]
    return score_tolerance * (max(_PERCENT, of_threshold / cosine) if cosine is not None and cosine > 0 else _PERCENT)


def _is_percent(threshold: float | None) -> bool:
    return threshold is not None and threshold > 1


def _close(then: float | None, now: float | None, tolerance: float) -> bool:
    return then is not None and now is not None and abs(then - now) <= tolerance


def _from_decision(
    then: CapturedDecision, now: ServerAnswer, score_tolerance: float, scale: Scale | None
) -> tuple[Difference, ...]:
    if then.error_code != now.code:
        return (Difference("error", _error(then.error_code), _error(now.code)),)
    if now.code is not None:
        return ()
    found = []
    for what, before in (("retcode", then.retcode), ("identity_id", then.identity_id)):
        if before != (after := now.fields.get(what)):
            found.append(Difference(what, before, None if after is None else str(after)))
    score = now.fields.get("score")
    after_score = float(score) if isinstance(score, int | float) else None
    compared_on = scale_of_answer(then, scale, after_score)
    before_score = recorded_score(then, compared_on)
    if before_score is not None and not _close(
        before_score, after_score, _on_scale(score_tolerance, compared_on, then)
    ):
        found.append(Difference("score", before_score, after_score))
    return tuple(found)


def _from_expectation(line: CaptureLine, expected: str, now: ServerAnswer) -> tuple[Difference, ...]:
    if now.code is not None:
        return (Difference("error", None, _error(now.code)),)
    # With need_keep_info an answer also names the person who is nearest to a stranger.
    is_nearest = line.request.need_keep_info and decision_of_answer(line, now).outcome == STRANGER
    recognised = "" if is_nearest else str(now.fields.get("identity_id") or "")
    return () if recognised == expected else (Difference("identity_id", expected, recognised),)


def _error(code: int | None) -> str | None:
    return None if code is None else code_name(code)


def is_refusal_to_work(answer: ServerAnswer) -> bool:
    """Return whether the server did not decide: it was overloaded, or the deadline passed, or the answer is neither a
    success nor an error of PictureMatch."""
    known = answer.code is not None or "retcode" in answer.fields
    return answer.is_busy or answer.code in (Code.OVERLOADED, Code.TIMEOUT) or not known
