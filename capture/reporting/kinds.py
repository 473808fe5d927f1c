"""The kinds of differences: every pair of a decision of then and a decision of now has exactly one kind. Pure."""

from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from contract.captures.values import CapturedDecision
from contract.terms import STRANGER
from engine.passing import Barrier

Kind = Literal[
    "another_person",
    "stranger_to_matched",
    "from_spoof",
    "barred_to_matched",
    "matched_to_stranger",
    "matched_to_barred",
    "other_barrier",
    "stranger_to_barred",
    "to_spoof",
    "from_low_quality",
    "to_low_quality",
    "from_no_face",
    "to_no_face",
    "from_image_error",
    "to_image_error",
    "from_empty_group",
    "to_empty_group",
    "from_error",
    "to_error",
    "another_refusal",
    "error_code",
    "other_value",
    "score_only",
]
FailOn = Kind | Literal["opens"]
"""What gives exit status 1: a kind of differences, or any difference that would have opened a door (`opens`)."""

KINDS: tuple[Kind, ...] = get_args(Kind)
"""All kinds, the gravest first: a wrong person who may pass, then people who may not pass any more, then the rest."""

KIND_WORDS: Mapping[Kind, str] = {
    "another_person": "one person was recognised, and now another one is",
    "stranger_to_matched": "a stranger, or a person who was not recognised, is recognised and may pass now",
    "from_spoof": "the liveness check refused the face, and does not refuse it any more",
    "barred_to_matched": "the person was recognised and barred, and may pass now",
    "matched_to_stranger": "a person was recognised, and is a stranger now",
    "matched_to_barred": "the person might pass, and is recognised and barred now",
    "other_barrier": "the person is barred for another reason",
    "stranger_to_barred": "a stranger, or a person who was not recognised, is recognised and barred now",
    "to_spoof": "the liveness check refuses the face now",
    "from_low_quality": "the quality was too low, and suffices now",
    "to_low_quality": "the quality is too low now",
    "from_no_face": "no face was found, and one is found now",
    "to_no_face": "no face is found now",
    "from_image_error": "the picture could not be used, and can be used now",
    "to_image_error": "the picture cannot be used now",
    "from_empty_group": "nobody was enrolled in the scope, and somebody is now",
    "to_empty_group": "nobody is enrolled in the scope now",
    "from_error": "the request had an error, and is decided now",
    "to_error": "the request has an error now",
    "another_refusal": "the request is refused for another reason",
    "error_code": "the same refusal has another error code",
    "other_value": "the outcome and the person are the same, and another value differs",
    "score_only": "the outcome and the person are the same, and only the score differs",
}

Outcome = Literal[
    "matched", "barred", "stranger", "spoof", "low_quality", "no_face", "image_error", "empty_group", "error"
]
"""An outcome as the kinds divide outcomes: `barred` is any recognised person who may not pass, and `error` is every
outcome that is not named here, also one that this program does not know."""

_RECOGNISED = ("matched", "barred")
_DECIDED = (*_RECOGNISED, STRANGER)
_OUTCOMES: Mapping[str, Outcome] = {
    **{name: name for name in get_args(Outcome)},
    **dict.fromkeys(get_args(Barrier), "barred"),
    "barred": "error",
}
_SCORES = frozenset({"score", "cosine", "threshold", "margin", "percent"})


def outcome_of(decision: CapturedDecision) -> Outcome:
    """Return the outcome of a decision as the kinds divide outcomes."""
    return _OUTCOMES.get(decision.outcome, "error")


def recognised_by(decision: CapturedDecision) -> str | None:
    """Return the identity_id of the person whom a decision recognised; None: nobody."""
    return decision.identity_id if _OUTCOMES.get(decision.outcome) in _RECOGNISED else None


def expectation(expected: str) -> CapturedDecision:
    """Return an expected identity ("": a stranger) as a decision of then, for rows that no decision of then is in."""
    outcome = "matched" if expected else STRANGER
    return CapturedDecision(outcome=outcome, gallery_version=0, models={}, identity_id=expected)


def opens(then: CapturedDecision, now: CapturedDecision) -> bool:
    """Return whether a door would open now that stayed closed then: an error or the retcode "0" has become "1"."""
    return _has_opened(now) and not _has_opened(then)


def _has_opened(decision: CapturedDecision) -> bool:
    """Return whether a decision opens the door. An expectation has no retcode."""
    return decision.retcode == "1" if decision.retcode is not None else decision.outcome == "matched"


def kind_of(then: CapturedDecision, now: CapturedDecision, differing: Iterable[str] = ()) -> Kind:
    """Return the kind of the difference between two decisions. `differing`: the names of the values that differ."""
    before, after = outcome_of(then), outcome_of(now)
    if before in _RECOGNISED and after in _RECOGNISED:
        return _of_recognised(then, now, differing)
    if before == after:
        if then.error_code != now.error_code:
            return "error_code"
        return "score_only" if _SCORES.issuperset(differing) else "other_value"
    if "spoof" in (before, after):
        return "to_spoof" if after == "spoof" else "from_spoof"
    if before not in _DECIDED and after not in _DECIDED:
        return "another_refusal"
    if before in _DECIDED and after in _DECIDED:
        if after == STRANGER:
            return "matched_to_stranger"
        return "stranger_to_matched" if after == "matched" else "stranger_to_barred"
    return _TO[after] if before in _DECIDED else _FROM[before]


def _of_recognised(then: CapturedDecision, now: CapturedDecision, differing: Iterable[str]) -> Kind:
    if then.identity_id != now.identity_id:
        return "another_person"
    if then.outcome == now.outcome:
        return "score_only" if _SCORES.issuperset(differing) else "other_value"
    if now.outcome == "matched":
        return "barred_to_matched"
    return "matched_to_barred" if then.outcome == "matched" else "other_barrier"


_FROM: Mapping[Outcome, Kind] = {
    "low_quality": "from_low_quality",
    "no_face": "from_no_face",
    "image_error": "from_image_error",
    "empty_group": "from_empty_group",
    "error": "from_error",
}
_TO: Mapping[Outcome, Kind] = {
    "low_quality": "to_low_quality",
    "no_face": "to_no_face",
    "image_error": "to_image_error",
    "empty_group": "to_empty_group",
    "error": "to_error",
}
