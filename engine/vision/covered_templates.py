"""Computes the templates of a face for searches with covered faces, from one photo in which nothing covers the face."""

from collections.abc import Mapping

import numpy as np

from contract.terms import COVERS, Cover
from contract.vectors import Vector
from engine.vision.covering import covered_copy
from engine.vision.ports import Embedder, Face, Image


def covered_templates(image: Image, face: Face, whole: Vector, embedder: Embedder) -> Mapping[Cover, Vector]:
    """Return by cover the normalised mean of `whole` and of the embedding of a copy of the image with the cover drawn.

    Only covers for which the embedder has a curve have a template. `whole`: the embedding of the face (unit vector).

    Raises:
        PictureUnreadable: the face with the cover cannot be aligned, or gives no usable embedding.
    """
    return {
        cover: _mean(whole, embedder(*covered_copy(image, face, cover)).vector)
        for cover in COVERS
        if cover in embedder.covered_curves
    }


def _mean(one: Vector, other: Vector) -> Vector:
    total = one.astype(np.float64) + other.astype(np.float64)
    mean: Vector = (total / max(float(np.linalg.norm(total)), 1e-6)).astype(np.float32)
    return mean
