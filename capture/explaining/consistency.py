"""Whether the records of one match agree with each other: the event, its evidence, its deadline, its networks. Pure."""

from collections.abc import Iterator

import numpy as np

from capture.differences import is_undecided
from capture.explaining.values import Then
from capture.rows import Difference
from contract.captures.values import CapturedDecision
from contract.configs import model_set_record
from contract.errors import Code, Refusal
from contract.events import Event
from engine.calls.reporting import outcome_of
from engine.vision.ports import ModelSet

_NO_ANSWER = {"retcode": None, "identity_id": "", "score": None, "faces": None, "face": None, "liveness": None}
"""The values of an event about whose picture nothing was decided."""


def has_evidence(recorded: CapturedDecision) -> bool:
    """Return whether a match with this decision compared a face, so that evidence was written if the setting was on.

    After an error that is so only where a face was found and nobody was enrolled in the scope. A request that was
    refused at its scope has the same outcome, but no face.
    """
    return recorded.error_code is None or (recorded.outcome == "empty_group" and recorded.faces is not None)


def inconsistencies(then: Then) -> tuple[Difference, ...]:
    """Return the recorded values that contradict each other, whatever the picture shows."""
    found = [*_models(then), *_embedding(then)]
    if then.event is not None:
        found += _event(then, then.event)
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


def _models(then: Then) -> Iterator[Difference]:
    recorded = then.decision
    computed = model_set_record(recorded.models).id
    if recorded.model_set and recorded.model_set != computed:
        yield Difference("model_set", recorded.model_set, f"{computed}, the id of the recorded models")


def _embedding(then: Then) -> Iterator[Difference]:
    recorded = then.decision
    if recorded.embedding is None:
        return
    if not has_evidence(recorded):
        yield Difference("evidence", "an embedding", f"none, because the outcome {recorded.outcome} is decided without")
    fault = embedding_fault(recorded.embedding, then.models, recorded.embedder)
    if fault is not None:
        yield Difference("embedding", "a vector", fault)


def _event(then: Then, event: Event) -> Iterator[Difference]:
    error = event.error
    if error is not None and error.code in set(Code):
        outcome = outcome_of(Refusal(Code(error.code), error.message))
        if outcome != event.outcome:
            yield Difference("outcome", event.outcome, f"{outcome}, because of the error {error.code}")
    elif error is None and event.outcome == "expired":
        yield Difference("error", None, "an error, because of the outcome expired")
    if is_undecided(then.decision):
        for name, value in _NO_ANSWER.items():
            if (recorded := getattr(event, name)) != value:
                yield Difference(name, str(recorded), "nothing, because nothing was decided about the picture")
    if event.outcome == "expired" and then.deadline_s is not None and event.processed_time < then.deadline_s:
        early_ms = round(1000 * (then.deadline_s - event.processed_time))
        yield Difference("outcome", "expired", f"not expired, because the deadline was {early_ms} ms later")
