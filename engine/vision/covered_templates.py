"""Computes the templates of a face for searches with covered faces, from one photo in which nothing covers the face."""

from collections.abc import Mapping
from contextlib import suppress

import numpy as np

from contract.errors import PictureUnreadable
from contract.terms import COVERS, Cover
from contract.vectors import Vector
from engine.vision.covering import covered_copy
from engine.vision.ports import Embedder, Face, Image

_LEAST_LENGTH = 1e-3
"""The least length of the sum of two embeddings from which a mean is computed: opposite vectors have none."""


def covered_templates(image: Image, face: Face, whole: Vector, embedder: Embedder) -> Mapping[Cover, Vector]:
    """Return by cover the normalised mean of `whole` and of the embedding of a copy of the image with the cover drawn.

    Only covers for which the embedder has a curve have a template; a cover with which the face gives no usable
    embedding is left out, so that no photo is refused for it. `whole`: the embedding of the face (unit vector).
    """
    found: dict[Cover, Vector] = {}
    for cover in COVERS:
        if cover in embedder.covered_curves:
            with suppress(PictureUnreadable):
                found[cover] = _mean(whole, embedder(*covered_copy(image, face, cover)).vector)
    return found


def _mean(one: Vector, other: Vector) -> Vector:
    total = one.astype(np.float64) + other.astype(np.float64)
    length = float(np.linalg.norm(total))
    if not length > _LEAST_LENGTH:
        raise PictureUnreadable("the face in the picture gives no usable features with a cover")
    mean: Vector = (total / length).astype(np.float32)
    return mean
