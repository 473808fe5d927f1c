"""One photo of a person, seen by the engine: the face that counts, its vector, and what its quality is told from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from contract.errors import Code, PictureRefused
from engine.timing import StageTimer
from engine.vision.finding import find_faces
from engine.vision.ports import Embedding, Face, Image, ModelSet
from engine.vision.quality import clarity, quality_score

FaceChoice = Literal["largest", "centred"]
"""Which of several faces counts: the largest, as in a match; or the one in the middle, whom a verification set's
label means."""


@dataclass(frozen=True, slots=True, eq=False)
class SeenPhoto:
    """The face that counts. `quality` is the engine's own score; the others are what it can be made of: the detector's
    confidence, the sharpness, the embedding's norm. `faces`: how many the photo shows."""

    embedding: Embedding
    confidence: float
    sharpness: float
    quality: float
    faces: int


def see(photo: bytes, models: ModelSet, choice: FaceChoice, max_pixels: int) -> SeenPhoto:
    """See one photo.

    Raises:
        PictureRefused: it cannot be decoded, or shows no usable face.
    """
    image, faces = find_faces(photo, models.detector, max_pixels, StageTimer(clock=lambda: 0.0))
    if not faces:
        raise PictureRefused(Code.NO_FACE, "no face found in the picture")
    face = faces[0] if choice == "largest" else most_centred(image, faces)
    embedding = models.embedder(image, face)
    return SeenPhoto(
        embedding, face.confidence, clarity(image, face.box), quality_score(image, face, embedding), len(faces)
    )


def most_centred(image: Image, faces: Sequence[Face]) -> Face:
    """The face nearest to the picture's middle, counted in widths of the face: small ones in the background do not
    win for being there."""
    middle = np.array([image.shape[1], image.shape[0]]) / 2

    def distance(face: Face) -> float:
        centre = np.array([face.box.x + face.box.width / 2, face.box.y + face.box.height / 2])
        return float(np.linalg.norm(centre - middle) / max(face.box.area, 1.0) ** 0.5)

    return min(faces, key=distance)
