"""Whether the records of one decision agree with each other: the event, its evidence, its deadline, its networks, its
policy. Pure."""

from collections.abc import Iterator, Mapping

import numpy as np

from capture.differences import is_undecided
from capture.explaining.values import Then
from capture.rows import Difference
from contract.captures.convert import decision_of
from contract.captures.values import CapturedDecision
from contract.configs import model_set_record
from contract.errors import Code, Refusal
from contract.events import Event
from contract.kinds import ADMIN_KINDS, EVENT_KINDS, kind_of
from contract.requests import CompareRequest, MatchRequest
from contract.terms import STRANGER
from engine.calls.matching import RECOGNISED
from engine.calls.people import NOTHING_PREPARED, refuse_change
from engine.calls.reporting import outcome_of
from engine.vision.ports import ModelSet

_NO_ANSWER = {
    "retcode": None,
    "identity_id": "",
    "score": None,
    "cosine": None,
    "faces": None,
    "face": None,
    "liveness": None,
}
"""The values of an event about whose picture nothing was decided."""
_ACCEPTING: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    kind_of(MatchRequest): (RECOGNISED, (STRANGER,)),
    kind_of(CompareRequest): (("same",), ("different",)),
}
"""By kind, the outcomes of scores that reach the threshold, that with the retcode 1 first; and of those that do not."""


def has_evidence(recorded: CapturedDecision) -> bool:
    """Return whether a match with this decision compared a face, so that evidence was written if the setting was on.

    After an error that is so only where a face was found and nobody was enrolled in the scope. A request that was
    refused at its scope has the same outcome, but no face.
    """
    return recorded.error_code is None or (recorded.outcome == "empty_group" and recorded.faces is not None)


def inconsistencies(then: Then) -> tuple[Difference, ...]:
    """Return the recorded values that contradict each other, whatever the picture shows."""
    recorded = then.decision
    found = [
        *model_faults(recorded.models, recorded.model_set),
        *policy_faults(recorded.policy, then.policy_content),
        *_embedding(then),
    ]
    if then.event is not None:
        found += event_faults(then.event, then.deadline_s)
    return tuple(found)


def embedding_fault(embedding: bytes, models: ModelSet | None, embedder: str | None) -> str | None:
    """Return what is wrong with the bytes of a recorded embedding; None: they are a vector that can be compared.

    `models`: the installed networks. `embedder`: the identity of the network that computed the embedding.
    """
    if not embedding or len(embedding) % 2:
        return f"{len(embedding)} bytes, which are no half-precision numbers"
    if models is not None and models.embedder_identity == embedder and len(embedding) != 2 * models.embedder.dimension:
        return f"{len(embedding) // 2} numbers, and the embedder computes {models.embedder.dimension}"
    if not np.isfinite(np.frombuffer(embedding, np.dtype("<f2"))).all():
        return "a vector with numbers that are not finite"
    return None


def _embedding(then: Then) -> Iterator[Difference]:
    recorded = then.decision
    if recorded.embedding is None:
        return
    if not has_evidence(recorded):
        yield Difference("evidence", "an embedding", f"none, because the outcome {recorded.outcome} is decided without")
    fault = embedding_fault(recorded.embedding, then.models, recorded.embedder)
    if fault is not None:
        yield Difference("embedding", "a vector", fault)


def event_faults(event: Event, deadline_s: float | None) -> Iterator[Difference]:
    """Yield the values of an event of any kind that contradict each other. `deadline_s`: that of the request."""
    error = event.error
    if error is not None and error.code in set(Code):
        outcome = _outcome(event.kind, Refusal(Code(error.code), error.message))
        if outcome not in (None, event.outcome):
            yield Difference("outcome", event.outcome, f"{outcome}, because of the error {error.code}")
    elif error is None and event.outcome == "expired":
        yield Difference("error", None, "an error, because of the outcome expired")
    if is_undecided(decision_of(event)):
        for name, value in _NO_ANSWER.items():
            if name == "identity_id" and event.kind != kind_of(MatchRequest):
                continue  # events of other kinds have the identity that the request names
            if (recorded := getattr(event, name)) != value:
                yield Difference(name, str(recorded), "nothing, because nothing was decided about the picture")
    if event.outcome == "expired" and deadline_s is not None and event.processed_time < deadline_s:
        early_ms = round(1000 * (deadline_s - event.processed_time))
        yield Difference("outcome", "expired", f"not expired, because the deadline was {early_ms} ms later")
    yield from _verdict(event)


def model_faults(models: Mapping[str, str], model_set: str | None) -> Iterator[Difference]:
    """Yield the id of a model set that is not that of the models."""
    computed = model_set_record(models).id
    if model_set and model_set != computed:
        yield Difference("model_set", model_set, f"{computed}, the id of the recorded models")


def policy_faults(policy: str | None, content: str | None) -> Iterator[Difference]:
    """Yield the id of a policy that is not that of its record's content, `content`; None: there is no record."""
    if policy and content is not None and policy != content:
        yield Difference("policy", policy, f"{content}, the id of the content of its record")


def _outcome(kind: str, refusal: Refusal) -> str | None:
    """Return the outcome of a request of that kind that was refused; None: this release does not know it."""
    if kind in ADMIN_KINDS:
        return refuse_change(refusal, NOTHING_PREPARED).outcome
    return outcome_of(refusal) if kind in EVENT_KINDS else None


def _verdict(event: Event) -> Iterator[Difference]:
    """Yield the outcome that contradicts score and threshold, and the retcode that contradicts the outcome."""
    accepting, refusing = _ACCEPTING.get(event.kind, ((), ()))
    if event.error is not None or event.outcome not in (*accepting, *refusing):
        return
    if event.score is not None and event.threshold is not None:
        # Score and threshold are rounded alike, so that a score that equals the threshold may be of either side.
        score, limit = event.score, event.threshold.value
        below, reaches = score < limit, score > limit
        if below and event.outcome in accepting:
            words = f"{refusing[0]}, because the score {score:g} is below the threshold {limit:g}"
            yield Difference("outcome", event.outcome, words)
        elif reaches and event.outcome in refusing:
            words = f"not {event.outcome}, because the score {score:g} is above the threshold {limit:g}"
            yield Difference("outcome", event.outcome, words)
    retcode = "1" if event.outcome == accepting[0] else "0"
    if event.retcode != retcode:
        yield Difference("retcode", event.retcode, f"{retcode}, because of the outcome {event.outcome}")
