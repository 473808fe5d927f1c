"""The facts about an embedder that a decision from a recorded embedding needs; no network is needed for them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from contract.terms import Cover
from engine.vision.ports import ModelSet
from models.errors import BadManifest
from models.manifest import NO_THRESHOLD, FmrPoint, Manifest, is_calibrated


@dataclass(frozen=True, slots=True)
class EmbedderFacts:
    """The identity of an embedder, the length of its vectors, and its thresholds (engine.vision.ports.Embedder)."""

    identity: str
    dimension: int
    threshold: float
    fmr_curve: tuple[FmrPoint, ...]
    covered_curves: Mapping[Cover, tuple[FmrPoint, ...]] = field(default_factory=dict)

    @classmethod
    def of_models(cls, models: ModelSet) -> Self:
        """Return the facts about the embedder of opened networks."""
        embedder = models.embedder
        return cls(
            models.embedder_identity,
            embedder.dimension,
            embedder.threshold,
            embedder.fmr_curve,
            dict(embedder.covered_curves),
        )

    @classmethod
    def of_manifest(cls, manifest: Manifest, identity: str) -> Self:
        """Return the facts about the embedder of a manifest, whose identity is `identity`.

        Raises:
            BadManifest: the entry of the embedder is not complete.
        """
        entry = manifest.embedder_of(identity)
        if entry.dimension is None or not is_calibrated(entry):
            raise BadManifest(f"the embedder {entry.name} needs a dimension, and a threshold or a curve")
        threshold = NO_THRESHOLD if entry.threshold is None else entry.threshold
        return cls(identity, entry.dimension, threshold, entry.fmr_curve, entry.covered_curves)
