"""Compares the answers of a server with the decisions in a capture. Pure."""

from capture.rows import Difference
from clients.http import ServerAnswer, code_name
from contract.captures.values import CapturedDecision, CaptureLine
from contract.errors import Code


def differences(line: CaptureLine, answer: ServerAnswer, score_tolerance: float) -> tuple[Difference, ...] | None:
    """Return the differences between a captured line and the answer.

    A recorded decision is compared by error code, retcode, identity and score; without a recorded decision, or where
    the request expired, the expected identity is compared. Empty: nothing differs. None: the line contains neither.
    """
    if line.decision is not None and line.decision.outcome != "expired":
        return _from_decision(line.decision, answer, score_tolerance)
    if line.expected_identity_id is not None:
        return _from_expectation(line.expected_identity_id, answer)
    return None


def _from_decision(then: CapturedDecision, now: ServerAnswer, score_tolerance: float) -> tuple[Difference, ...]:
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
    if then.score is not None and (after_score is None or not abs(after_score - then.score) <= score_tolerance):
        found.append(Difference("score", then.score, after_score))
    return tuple(found)


def _from_expectation(expected: str, now: ServerAnswer) -> tuple[Difference, ...]:
    if now.code is not None:
        return (Difference("error", None, _error(now.code)),)
    recognised = str(now.fields.get("identity_id", ""))
    return () if recognised == expected else (Difference("identity_id", expected, recognised),)


def _error(code: int | None) -> str | None:
    return None if code is None else code_name(code)


def is_refusal_to_work(answer: ServerAnswer) -> bool:
    """Return whether the server did not decide: it was overloaded, or the deadline passed, or the answer is neither a
    success nor an error of PictureMatch."""
    known = answer.code is not None or "retcode" in answer.fields
    return answer.is_busy or answer.code in (Code.OVERLOADED, Code.TIMEOUT) or not known
