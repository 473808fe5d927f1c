"""Measures one photo of a person: the embedding of the face that counts, and the values that predict its quality."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from contract.errors import Code, PictureRefused
from engine.timing import StageTimer
from engine.vision.choosing import choose_face
from engine.vision.finding import find_faces
from engine.vision.ports import Embedding, Face, Image, ModelSet
from engine.vision.quality import clarity, quality_score

FaceChoice = Literal["chosen", "largest", "centred", "only"]
"""Which of several faces counts: the one that a match chooses (engine.vision.choosing); the largest; the most central
one, to which the labels of verification sets refer; or none, since only photos with exactly one face count."""


class SeveralFaces(PictureRefused):
    """A photo shows several faces where only photos with exactly one face count."""

    def __init__(self, faces: int) -> None:
        super().__init__(Code.IMAGE_ERROR, f"{faces} faces found, and only photos with exactly one count")


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredPhoto:
    """The measurements of the face that counts, and the number of faces in the photo.

    `quality`: the engine's quality score. `confidence`: the confidence of the detector. `sharpness`: the item clarity.
    All three are 0..1.
    """

    embedding: Embedding
    confidence: float
    sharpness: float
    quality: float
    faces: int


def measure_photo(photo: bytes, models: ModelSet, choice: FaceChoice, max_pixels: int) -> MeasuredPhoto:
    """Return the measurements of one photo.

    Raises:
        SeveralFaces: the choice is "only", and the photo shows several faces.
        PictureRefused: the photo cannot be decoded, or no usable face was found in it.
    """
    image, faces = find_faces(photo, models.detector, max_pixels, StageTimer(clock=lambda: 0.0))
    if not faces:
        raise PictureRefused(Code.NO_FACE, "no face found in the picture")
    if choice == "only" and len(faces) > 1:
        raise SeveralFaces(len(faces))
    face = _counted(image, faces, choice)
    embedding = models.embedder(image, face)
    return MeasuredPhoto(
        embedding, face.confidence, clarity(image, face.box), quality_score(image, face, embedding), len(faces)
    )


def _counted(image: Image, faces: Sequence[Face], choice: FaceChoice) -> Face:
    if choice == "centred":
        return most_centred(image, faces)
    return choose_face(image, faces, "chosen" if choice == "chosen" else "largest")[0]


def most_centred(image: Image, faces: Sequence[Face]) -> Face:
    """Return the face with the smallest distance from the image's middle, measured in widths of the face.

    The measure prevents that a small face in the background is preferred for lying nearer to the middle.
    """
    middle = np.array([image.shape[1], image.shape[0]]) / 2

    def distance(face: Face) -> float:
        centre = np.array([face.box.x + face.box.width / 2, face.box.y + face.box.height / 2])
        return float(np.linalg.norm(centre - middle) / max(face.box.area, 1.0) ** 0.5)

    return min(faces, key=distance)
