"""The explanation of a match: what was decided and why, whether it comes out again, what would change it. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain

from msgspec import structs

from capture.differences import is_undecided
from capture.explaining.checks import checks_of, decidable_words, nearest_people, seen_in
from capture.explaining.comparing import compared, contradicting
from capture.explaining.consistency import embedding_fault, inconsistencies
from capture.explaining.deciding import Decider, inputs_of
from capture.explaining.differing import Compared
from capture.explaining.faces import face_sentences
from capture.explaining.looks import look_changes
from capture.explaining.nearer import cosine_changes, people_changes, threshold_changes
from capture.explaining.passage import passage_words
from capture.explaining.passing import passing_changes
from capture.explaining.proposals import Alternatives, Proposal
from capture.explaining.scopes import scope_changes
from capture.explaining.values import Explanation, Flip, Then, Way
from contract.evidence import EvidenceCandidate
from contract.kinds import kind_of
from contract.requests import MatchRequest
from engine.calls.matching import RECOGNISED, MatchDecision

_OUTCOMES = {
    "matched": "{who} was recognised and may pass",
    "stranger": "nobody was recognised: no enrolled face of the scope is similar enough",
    "known_stranger": "{who} was recognised, and is of the type stranger",
    "blacklisted": "{who} was recognised, and is on the blacklist",
    "not_valid": "{who} was recognised, and was not valid then",
    "not_in_pass_time": "{who} was recognised, outside the pass times",
    "spoof": "the face was not accepted as live",
    "low_quality": "the quality of the face is too low",
    "no_face": "no face was found that could be compared",
    "image_error": "the picture could not be used",
    "empty_group": "nobody is enrolled in the scope of the request",
    "expired": "nobody waited for the answer any more",
    "error": "the request was answered with an error",
}
_WAYS = {
    "look": "The decision was made again from the picture",
    "decide": "The decision was made again from the recorded embedding, without a look at the picture",
    "read": "The decision could not be made again; what follows is what was recorded",
}
_FROM_SCOPE = "The decision was made again from the scope of the request, without a look at the picture"

_NEAR = (
    "No change was tried, because a value is so near to its limit that this machine decides otherwise: a difference as "
    "between two machines is enough."
)


def explain_match(then: Then) -> Explanation:
    """Return the explanation of one match, from what is left of it."""
    found = Compared(inconsistencies(then))
    then = _with_sound_embedding(then)
    inputs = inputs_of(then)
    decider = None if inputs is None else Decider(then, inputs)
    result = found.plus(_compared(then, decider))
    shown = _with_candidates(then, decider)
    way: Way = "read" if decider is None else decider.way
    flips, no_flip = ((), _NEAR) if result.remarks else _flips(then, decider)
    recorded = then.decision
    return Explanation(
        event_id=then.request_id,
        kind=kind_of(MatchRequest),
        outcome=recorded.outcome,
        way=way,
        decided_time=recorded.decided_time,
        device_ip=_device(then),
        gallery_version=recorded.gallery_version,
        sentences=tuple(_sentences(then, way, result)),
        alarms=result.alarms,
        rounding=result.rounding,
        gone=then.gone,
        seen=seen_in(shown, None if decider is None else decider.decision),
        checks=tuple(checks_of(shown, decider)),
        candidates=tuple(nearest_people(shown, decider)),
        flips=flips,
        no_flip=no_flip,
        models=recorded.models,
        policy=recorded.policy,
    )


def _device(then: Then) -> str | None:
    if then.request is not None:
        return then.request.device_ip
    return None if then.event is None else then.event.device_ip


def _with_sound_embedding(then: Then) -> Then:
    """Return what is left, without an embedding that cannot be compared."""
    recorded = then.decision
    if recorded.embedding is None or embedding_fault(recorded.embedding, then.models, recorded.embedder) is None:
        return then
    return replace(then, decision=structs.replace(recorded, embedding=None))


def _compared(then: Then, decider: Decider | None) -> Compared:
    """Compare what is left; a decision that is none about the picture has nothing to compare."""
    if decider is not None and not is_undecided(then.decision):
        return compared(decider)
    if then.event is not None and then.evidence is not None:
        return contradicting(then.event, then.evidence)
    return Compared()


def _with_candidates(then: Then, decider: Decider | None) -> Then:
    """Return what is left, with the candidates of the decision that was made again where no evidence has them."""
    again = None if decider is None else decider.decision
    if then.decision.candidates or again is None or is_undecided(then.decision):
        return then
    candidates = tuple(
        EvidenceCandidate(identity_id=c.person.identity_id, number=c.number, cosine=c.cosine) for c in again.candidates
    )
    return replace(then, decision=structs.replace(then.decision, candidates=candidates))


def _sentences(then: Then, way: Way, result: Compared) -> Iterator[str]:
    recorded = then.decision
    who = recorded.identity_id
    name = None if then.event is None else then.event.name
    if name is None and then.people is not None and (person := then.people.person(who)) is not None:
        name = person.name
    if then.event is not None and then.event.error is not None:
        yield f"{recorded.outcome}: {then.event.error.message} ({then.event.error.code} {then.event.error.status})."
    else:
        words = _OUTCOMES.get(recorded.outcome, "this release does not know the outcome")
        yield f"{recorded.outcome}: {words.format(who=f'{name} ({who})' if name else who)}."
    at_scope = way == "decide" and recorded.embedding is None
    begin = _FROM_SCOPE if at_scope else _WAYS[way]
    if is_undecided(recorded):
        yield f"{begin}; the recorded outcome is no decision about the picture, so that only the records were compared."
    elif way == "read":
        yield f"{begin}."
    elif result.alarms:
        yield f"{begin}, and it came out differently."
    else:
        rounding = f"; {result.rounding} numbers differ as between two machines" if result.rounding else ""
        what = "everything" if way == "look" else "the refusal" if at_scope else "outcome, person, score and threshold"
        yield f"{begin}, and {what} came out as recorded{rounding}."
    yield from result.remarks
    yield from face_sentences(recorded.searched)
    yield from passage_words(recorded.pictures)
    if way == "decide":
        yield f"Not checked: {', '.join(_unchecked(then, at_scope=at_scope))}."


def _unchecked(then: Then, *, at_scope: bool) -> Iterator[str]:
    """Yield what a decision that was made again without a look cannot confirm."""
    if not at_scope:
        yield "what was measured in the picture (faces, quality, liveness)"
    if then.is_inferred:
        yield "the picture, the device, the scope and the times of the request, which only the event records"
        yield "the min_face_size of the request, which no record has"


def _flips(then: Then, decider: Decider | None) -> tuple[tuple[Flip, ...], str | None]:
    """Return the changes that lead to another outcome, or else the reason why there are none."""
    decision = None if decider is None else decider.decision
    if decider is None or decision is None or then.people is None:
        missing = ", ".join(dict.fromkeys(gone.what for gone in then.gone)) or "the picture"
        return (), f"No change could be tried, because the decision cannot be made again without: {missing}."
    if is_undecided(then.decision):
        proposals: Sequence[Alternatives] = [[Proposal(_decidable(then), lambda: decision)]]
        before = then.decision.outcome, ""
    else:
        proposals, before = _proposals(decider, decision, then), _outcome_of(decision)
    flips = tuple(flip for alternatives in proposals if (flip := _first_flip(alternatives, before)) is not None)
    if flips:
        return flips, None
    if not decider.can_look and decision.probe is None and then.decision.embedding is None:
        return (), "No single change of the scope leads to another outcome; other changes need the picture."
    surely = "" if decider.can_look else " beyond what the half precision of the embedding can move"
    return (), f"No single change that was tried leads to another outcome{surely}; another picture might."


def _proposals(decider: Decider, decision: MatchDecision, then: Then) -> Sequence[Alternatives]:
    people = then.people
    if people is None:
        return ()
    return list(
        chain(
            passing_changes(decider, decision, people),
            look_changes(decider, decision),
            scope_changes(decider),
            cosine_changes(decider, decision),
            threshold_changes(decider, decision),
            people_changes(decider, decision, people),
        )
    )


def _decidable(then: Then) -> str:
    recorded = then.decision
    return decidable_words(recorded.outcome, recorded.decided_time, then.deadline_s)


def _first_flip(alternatives: Alternatives, before: tuple[str, str]) -> Flip | None:
    """Return the first of the changes that really leads to another outcome, or to another person."""
    for proposal in alternatives:
        again = proposal.decide()
        if again is None or _outcome_of(again) == before:
            continue
        outcome, identity_id = _outcome_of(again)
        name = again.candidate.person.name if identity_id and again.candidate is not None else ""
        return Flip(proposal.change, outcome, identity_id, name, proposal.setting, proposal.value)
    return None


def _outcome_of(decision: MatchDecision) -> tuple[str, str]:
    """Return the outcome and, where somebody was recognised, the identity_id."""
    recognised = decision.outcome in RECOGNISED and decision.candidate is not None
    return decision.outcome, decision.candidate.person.identity_id if recognised and decision.candidate else ""
