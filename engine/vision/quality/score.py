"""The overall score: one number that predicts whether a face can be recognised at all.

A weighted mean of three signs, each brought to 0..1 by a straight line between two places that were measured on
ordinary photos and on spoilt copies of them (docs/models.md): what nearly always fails to match has about 0, what
nearly always matches about 1. The embedding's length says most: networks of this kind make the vector of what they do
not recognise as a face short. Its scale is the embedder's own, so its place comes with the embedding.
"""

from engine.vision.place import place
from engine.vision.ports import Embedding, Face, Image
from engine.vision.quality.sharpness import clarity

STRENGTH_WEIGHT, CONFIDENCE_WEIGHT, SHARPNESS_WEIGHT = 4.0, 2.0, 1.0

CONFIDENCE_RANGE = (0.5, 0.92)
"""The least that the detector takes for a face, and the median of ordinary photos."""

SHARPNESS_RANGE = (0.13, 0.33)
"""Faces too blurred to be told apart, and nearly all ordinary ones; sharper does not help."""


def quality_score(image: Image, face: Face, embedding: Embedding) -> float:
    """One number, 0..1, that predicts how far the face can be recognised at all."""
    parts = [
        (CONFIDENCE_WEIGHT, place(face.confidence, CONFIDENCE_RANGE)),
        (SHARPNESS_WEIGHT, place(clarity(image, face.box), SHARPNESS_RANGE)),
    ]
    if embedding.strength is not None:
        parts.append((STRENGTH_WEIGHT, embedding.strength))
    return sum(weight * part for weight, part in parts) / sum(weight for weight, _ in parts)
