"""Compares the recomputed decision with what was recorded: every value that differs is an alarm. Pure.

From the picture, numbers may differ as much as between two machines; from the evidence, which has the cosines
unrounded, and between the event and its evidence, nothing may differ.
"""

import numpy as np
from msgspec import structs

from capture.explaining.deciding import NOWHERE, Decider
from capture.explaining.differing import BETWEEN_MACHINES, Compared, differing
from capture.explaining.estimates import estimate_of, estimated_in, without_estimates
from capture.explaining.near_limits import decided_as_then
from capture.replaying.candidates import contradiction
from capture.replaying.captured import Limit, concluded
from capture.rows import Difference
from contract.captures.convert import decision_of
from contract.events import Event
from contract.evidence import Evidence
from contract.pictures.digest import picture_digest
from contract.repeats import as_repeat
from contract.terms import STRANGER
from engine.calls.match import MatchCall
from engine.calls.matching import MatchDecision, scope_of_refusal, verdict_of
from engine.calls.reporting import Circumstances, error_info, wire_threshold
from engine.context import Context
from engine.threshold import covered_threshold, search_threshold

_FOUND = ("pictures", "faces", "face", "quality", "quality_score", "liveness")
_OF_THE_SEARCH = ("outcome", "retcode", "identity_id", "score", "threshold", "error_code", "applied", "scope")


def compared(decider: Decider) -> Compared:
    """Return the differences between the recorded decision and the recomputed one."""
    then, result = decider.then, Compared()
    if then.event is not None and then.evidence is not None:
        result = result.plus(contradicting(then.event, then.evidence))
    context = decider.context(decider.inputs)
    if context is not None and decider.decision is not None:
        result = result.plus(_looked(decider, decider.decision, context))
    if then.decision.embedding is not None or decider.way == "decide":
        result = result.plus(_decided(decider))
    return result.plus(_threshold(decider))


def contradicting(event: Event, evidence: Evidence) -> Compared:
    """Return the values in which an event and its evidence contradict each other."""
    found = _FOUND if event.repeat_of is None else ()  # the event of a repeat has no measurements
    names = ("outcome", "gallery_version", "policy", "model_set", *found)
    in_event = {name: getattr(event, name) for name in names}
    in_evidence = {name: getattr(evidence, name) for name in names}
    in_event["event_id"], in_evidence["event_id"] = event.id, evidence.event_id
    in_event |= {"embedder": event.models.get("embedder"), "decided_time": event.processed_time}
    in_evidence |= {"embedder": evidence.embedder, "decided_time": evidence.decided_time}
    if event.scope is not None:
        in_event |= {"group_name": event.scope.group_name, "permission_name": event.scope.permission_name}
        in_evidence |= {"group_name": evidence.group_name, "permission_name": evidence.permission_name}
    if event.threshold is not None and event.threshold.cosine is not None:
        in_event |= {"threshold.cosine": event.threshold.cosine, "threshold.cover": event.threshold.cover}
        in_evidence |= {"threshold.cosine": round(evidence.threshold, 6), "threshold.cover": evidence.cover}
    if event.index is not None:
        in_event["index.estimate"], in_evidence["index.estimate"] = event.index.estimate, estimate_of(evidence)
    return differing(in_event, in_evidence)


def _looked(decider: Decider, decision: MatchDecision, context: Context) -> Compared:
    """Compare with the event and evidence that a processor would write now."""
    then, call = decider.then, MatchCall()
    request, at = decider.inputs.request, _circumstances(decider)
    as_then = decided_as_then(decider, decision)
    decision, looked = as_then.decision, as_then.looked
    first, whole = decision.candidate, then.whole
    if whole is not None and first is not None and first.person.identity_id == whole.identity_id:
        decision = call.with_person(decision, whole)
    # What was measured is compared as it is; only what follows from it may follow from the recorded values.
    event = structs.replace(
        call.event(request, decision, context, at), score=call.event(request, looked, context, at).score
    )
    evidence, measured = (call.evidence(request, each, context, at) for each in (decision, looked))
    if evidence is not None and measured is not None:
        evidence = structs.replace(evidence, candidates=measured.candidates)
    result, estimated = Compared(remarks=as_then.remarks), estimated_in(then)
    if then.event is None:
        there = then.decision.embedding is not None
        now = decision_of(event, evidence if there else None)
        result = result.plus(differing(*without_estimates(estimated, then.decision, now), BETWEEN_MACHINES))
    else:
        without_info = decider.inputs.policy.event_identity_info and whole is None
        ignored = frozenset({"identity_info"}) if without_info else frozenset()
        now_event = event if then.event.repeat_of is None else as_repeat(event, then.event.repeat_of)
        sides = without_estimates(estimated, then.event, now_event)
        result = result.plus(differing(*sides, BETWEEN_MACHINES, ignored))
        if then.evidence is not None and evidence is not None:
            sides = without_estimates(estimated, then.evidence, evidence)
            result = result.plus(differing(*sides, BETWEEN_MACHINES))
    if evidence is None or then.decision.embedding is None:
        return result
    return result.plus(_embeddings(then.decision.embedding, evidence.embedding))


def _threshold(decider: Decider) -> Compared:
    """Compare the recorded threshold with the computed one, where no evidence confirms the recorded one."""
    recorded, inputs, embedder = decider.then.decision, decider.inputs, decider.embedder
    if recorded.embedding is not None or recorded.applied is None or embedder is None:
        return Compared()
    scope, _ = scope_of_refusal(inputs.request, inputs.snapshot.site, inputs.policy)
    faces, cover = inputs.snapshot.gallery.count(scope), recorded.applied.cover
    covered = None if cover is None else covered_threshold(inputs.policy, embedder, cover, faces)
    now = wire_threshold(covered or search_threshold(inputs.policy, embedder, faces), inputs.policy)
    return differing({"threshold": recorded.applied}, {"threshold": now})


def _embeddings(before: bytes, now: bytes) -> Compared:
    then, after = (np.frombuffer(data, np.dtype("<f2")).astype(np.float64) for data in (before, now))
    cosine = float(then @ after) if len(then) == len(after) else -1.0
    if 1.0 - cosine <= BETWEEN_MACHINES:
        return Compared()
    return Compared((Difference("embedding (cosine to the recorded one)", 1.0, round(cosine, 4)),))


def _decided(decider: Decider) -> Compared:
    """Compare with the decision that follows from the recorded embedding or refusal."""
    then, decision = decider.then.decision, decider.from_evidence(decider.inputs)
    if decision is None:
        return Compared((Difference("evidence", "an embedding", "no decision follows from it"),))
    limit = Limit.of(decision.threshold, decider.inputs.policy).shown
    now = concluded(decider.case(decider.inputs), decision, limit)
    sentence = contradiction(then.candidates, decision.candidates) if decision.refusal is None else None
    before, after = ({name: getattr(d, name) for name in _OF_THE_SEARCH} for d in (then, now))
    if then.embedding is None:
        after["applied"] = wire_threshold(decision.threshold, decider.inputs.policy)  # only the event has it, rounded
    result = differing(before, after)
    if sentence is not None:
        result = result.plus(Compared((Difference("candidates", "as recorded", sentence),)))
    if decider.then.event is not None:
        result = result.plus(_shown(decider, decider.then.event, decision))
    return result


def _shown(decider: Decider, event: Event, decision: MatchDecision) -> Compared:
    """Compare what only the event contains of a search."""
    policy = decider.inputs.policy
    verdict = None if decision.refusal is not None else verdict_of(decider.inputs.request, decision, policy)
    identity_id = verdict.identity_id if verdict else ""
    person = next((c.person for c in decision.candidates if c.person.identity_id == identity_id), None)
    now = {
        "name": (person.name if person else STRANGER) if verdict else "",
        "person_type": person.person_type if person else None,
        "error": error_info(decision.refusal) if decision.refusal else None,
        "threshold": wire_threshold(decision.threshold, policy),
    }
    return differing({name: getattr(event, name) for name in now}, now)


def circumstances_of(event: Event, digests: tuple[str, ...]) -> Circumstances:
    """Return the circumstances of an event, with the sha256 of the pictures that are there now."""
    place = event.request
    return Circumstances(
        place.topic,
        place.partition,
        place.offset,
        event.processed_time,
        event.gallery_version,
        event.models,
        digests,
        event.retry_of,
        event.replay_of,
        event.policy,
        event.model_set,
    )


def _circumstances(decider: Decider) -> Circumstances:
    """Return the circumstances of then, with the sha256 of the pictures that are there now."""
    then, event = decider.then.decision, decider.then.event
    digests = tuple(map(picture_digest, decider.inputs.request.pictures))
    if event is not None:
        return circumstances_of(event, digests)
    return Circumstances(
        NOWHERE.topic,
        NOWHERE.partition,
        NOWHERE.offset,
        then.decided_time or 0.0,
        then.gallery_version,
        then.models,
        digests,
        policy=then.policy or "",
        model_set=then.model_set or "",
    )
