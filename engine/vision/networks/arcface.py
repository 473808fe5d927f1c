"""The embedder: aligns a face by five landmarks onto the ArcFace template, and runs the network on the aligned face.

Any ArcFace-style network can be used; its manifest entry defines its input, its dimension and its threshold.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from contract.errors import PictureUnreadable
from engine.vision.ports import Embedding, Face, Image
from engine.vision.scaling import scale_to_unit
from engine.vision.tensor import Run, to_tensor
from models.manifest import NO_THRESHOLD, NetworkEntry

TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]],
    np.float32,
)
"""The places where ArcFace networks expect eyes, nose tip and mouth corners: 5 x 2 (x, y) in an image of 112 x 112
pixels, counted from the first pixel's middle."""

TEMPLATE_SIDE = 112


def similarity(points: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the 2 x 3 matrix of the rotation, uniform scale and shift that moves `points` closest to `target`.

    Both are n x 2. The solution is least squares in closed form: for centred points, read as complex numbers, the best
    factor is a projection. The matrix never mirrors a face.

    Raises:
        ValueError: all points coincide, so no scale fits.
    """
    source, wanted = points.astype(np.float64), target.astype(np.float64)
    source_centre, wanted_centre = source.mean(axis=0), wanted.mean(axis=0)
    z = (source - source_centre) @ np.array([1, 1j])
    w = (wanted - wanted_centre) @ np.array([1, 1j])
    spread = float((np.abs(z) ** 2).sum())
    if not spread > 1e-6:
        raise ValueError("the landmarks coincide")
    factor = complex((np.conj(z) * w).sum() / spread)
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.hstack([linear, (wanted_centre - linear @ source_centre)[:, np.newaxis]])


def align(
    image: Image, face: Face, width: int = TEMPLATE_SIDE, height: int = TEMPLATE_SIDE, surroundings: float = 1.0
) -> Image:
    """Return an image of that size with the face moved onto the template; black beyond the border of `image`.

    `surroundings`: the template is shrunk by this factor about the middle, so that more surroundings are included.

    Raises:
        PictureUnreadable: the landmarks coincide.
    """
    scale = np.array([width / TEMPLATE_SIDE, height / TEMPLATE_SIDE], np.float32)
    middle = np.array([width / 2, height / 2], np.float32)
    target = ((TEMPLATE + 0.5) * scale - middle) / np.float32(surroundings) + middle
    try:
        # OpenCV's coordinates count from the first pixel's middle.
        matrix = similarity(face.landmarks - np.float32(0.5), target - np.float32(0.5))
    except ValueError as error:
        raise PictureUnreadable("the face in the picture cannot be aligned; send a clearer picture") from error
    return np.asarray(cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR), np.uint8)


Refine = Callable[[Image, Face], Face]
"""A function that returns a face with better landmarks."""


class ArcFaceEmbedder:
    """Aligns a face and computes its embedding.

    With `mirrored` in the manifest entry, the embedding is the mean of the embeddings of the face and of its mirror
    image, which lessens the effects of light and pose. `refine` improves the landmarks before the face is aligned.
    """

    def __init__(self, run: Run, entry: NetworkEntry, refine: Refine | None = None) -> None:
        if entry.dimension is None or not entry.input.width or not entry.input.height:
            raise ValueError(f"the embedder {entry.name} needs dimension, input.width and input.height")
        self._run = run
        self._refine = refine
        self._mirrored = entry.mirrored
        self._spec = entry.input
        self._size = (entry.input.width, entry.input.height)
        self._norm_typical = entry.norm_typical
        self.dimension: int = entry.dimension
        self.threshold: float = NO_THRESHOLD if entry.threshold is None else entry.threshold
        self.fmr_curve = entry.fmr_curve
        self.covered_curves = entry.covered_curves

    def __call__(self, image: Image, face: Face) -> Embedding:
        """Return the embedding of a face in the image.

        Raises:
            PictureUnreadable: the face cannot be aligned, or the network's output is not usable.
            ValueError: the network's output does not have the manifest's dimension.
        """
        refined = face if self._refine is None else self._refine(image, face)
        aligned = align(image, refined, *self._size)
        raw = self._raw(aligned)
        if self._mirrored:
            raw = (raw + self._raw(np.ascontiguousarray(aligned[:, ::-1]))) / np.float32(2)
        norm = float(np.linalg.norm(raw.astype(np.float64)))
        if not (np.isfinite(norm) and norm > 1e-6):
            raise PictureUnreadable("the face in the picture gives no usable features; send a clearer picture")
        strength = None if self._norm_typical is None else scale_to_unit(norm, self._norm_typical)
        return Embedding((raw / norm).astype(np.float32), norm, strength)

    def _raw(self, aligned: Image) -> NDArray[np.float32]:
        raw = self._run(to_tensor(aligned, self._spec))[0].reshape(-1)
        if raw.size != self.dimension:
            raise ValueError(f"the embedder's output has {raw.size} numbers, but its manifest names {self.dimension}")
        return raw
