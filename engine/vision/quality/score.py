"""Computes the overall score: one number that predicts whether a face can be recognised at all.

The score is a weighted mean of three signs, each scaled linearly to 0..1 between two values that were measured on
ordinary photos and on spoilt copies of them (docs/models.md): faces that nearly always fail to match score about 0,
faces that nearly always match about 1. The length of the embedding is the best sign: networks of this kind return short
vectors for inputs that they do not recognise as a face. Lengths differ between embedders, so the embedding contains the
scaled length.
"""

from engine.vision.ports import Embedding, Face, Image
from engine.vision.quality.sharpness import clarity
from engine.vision.scaling import scale_to_unit

STRENGTH_WEIGHT, CONFIDENCE_WEIGHT, SHARPNESS_WEIGHT = 4.0, 2.0, 1.0

CONFIDENCE_RANGE = (0.5, 0.92)
"""The detector's least confidence of a face, and the median of ordinary photos."""

SHARPNESS_RANGE = (0.13, 0.33)
"""The clarity of faces that are too blurred to be distinguished, and the clarity that nearly all ordinary faces reach;
more does not help."""


def quality_score(image: Image, face: Face, embedding: Embedding) -> float:
    """Return one number, 0..1, that predicts how well the face can be recognised at all."""
    parts = [
        (CONFIDENCE_WEIGHT, scale_to_unit(face.confidence, CONFIDENCE_RANGE)),
        (SHARPNESS_WEIGHT, scale_to_unit(clarity(image, face.box), SHARPNESS_RANGE)),
    ]
    if embedding.strength is not None:
        parts.append((STRENGTH_WEIGHT, embedding.strength))
    return sum(weight * part for weight, part in parts) / sum(weight for weight, _ in parts)
