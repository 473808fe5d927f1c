"""The networks of then, as far as a recorded decision describes those that are not installed any more."""

from dataclasses import dataclass, replace
from typing import Never

from contract.captures.values import CapturedDecision
from engine.policy import Policy
from engine.score import from_percent
from engine.vision.ports import Embedding, Face, Image, ModelSet
from models.manifest import FmrPoint

_RATES = (0.1, 1e-6)


class NotInstalled:
    """A network that is not installed."""

    def __call__(self, image: Image, face: Face | None = None) -> Never:
        """Raise an error: there is no look without networks."""
        raise RuntimeError("the network is not installed")


@dataclass(frozen=True, slots=True, eq=False)
class RecordedEmbedder:
    """An embedder that is not installed: of it, the thresholds of one decision are known."""

    dimension: int
    threshold: float
    fmr_curve: tuple[FmrPoint, ...]

    def __call__(self, image: Image, face: Face) -> Embedding:
        """Raise an error: there is no look without networks."""
        raise RuntimeError("the embedder is not installed")


def networks_of(decision: CapturedDecision, installed: ModelSet | None, policy: Policy) -> ModelSet:
    """Return the installed networks; where their embedder is another one, with the recorded embedder instead."""
    if installed is not None and installed.embedder_identity == decision.models.get("embedder"):
        return installed
    embedder = _recorded_embedder(decision, policy)
    identities = tuple(decision.models.items())
    if installed is not None:
        return replace(installed, embedder=embedder, identities=identities)
    return ModelSet(NotInstalled(), embedder, NotInstalled(), NotInstalled(), identities)


def _recorded_embedder(decision: CapturedDecision, policy: Policy) -> RecordedEmbedder:
    """Return an embedder with the threshold of the decision at every rate."""
    threshold = _threshold_without_score(decision, policy)
    has_curve = decision.applied is not None and decision.applied.rule in ("target_fpir", "floor")
    curve = tuple(FmrPoint(fmr=rate, threshold=threshold) for rate in _RATES) if has_curve else ()
    return RecordedEmbedder(len(decision.embedding or b"") // 2, threshold, curve)


def _threshold_without_score(decision: CapturedDecision, policy: Policy) -> float:
    """Return the cosine from which the threshold of the decision was computed, if by `Policy.accepted_score`."""
    cosine = None if decision.applied is None else decision.applied.cosine
    if cosine is None:
        return 0.5
    if policy.accepted_score is None or decision.applied is None or decision.applied.rule != "accepted_score":
        return cosine
    low, high = 0.0, 1.0
    for _ in range(60):  # the threshold rises with the cosine from which it is computed
        middle = (low + high) / 2
        below = from_percent(policy.accepted_score, middle, policy.score_range) < cosine
        low, high = (middle, high) if below else (low, middle)
    return (low + high) / 2
