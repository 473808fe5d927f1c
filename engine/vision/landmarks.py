"""Landmarks found again from close by: the detector's own, on a small picture of the face and on its mirror image.

A detector's landmarks are noisy, and lean to one side. The face at a size it sees well gives second opinions; the
mirrored one leans the other way. Their mean is nearer to the truth, and so embeddings of one person are nearer to each
other (docs/accuracy.md has the figures).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.vision.ports import Detector, Face, Image
from engine.vision.tensor import resize

CLOSE_SIDE = 128
"""Pixels of the close picture's side."""

SURROUNDINGS = 2.0
"""Its side in longer sides of the face box."""

MIRRORED = [1, 0, 2, 4, 3]
"""Where each landmark of a mirror image belongs."""

FURTHEST = 0.25
"""Of `CLOSE_SIDE`: a face whose middle is further from the middle is another one."""

LARGEST_RATIO = 2.0
"""So is one that is so much larger or smaller."""


@dataclass(frozen=True, slots=True, eq=False)
class _Close:
    """A close picture. A point p of it lies at (p + 0.5) * step + origin - 0.5 of the whole, pixels counted from 0."""

    image: Image
    step: NDArray[np.float64]
    origin: NDArray[np.float64]

    def to_whole(self, points: NDArray[np.float32]) -> NDArray[np.float64]:
        return (points + 0.5) * self.step + self.origin - 0.5


def refine_landmarks(image: Image, face: Face, detector: Detector) -> Face:
    """The face with its landmarks averaged with those that `detector` finds in the close picture and its mirror image.

    Where it finds the face in neither, the face stays as it is.
    """
    close = _close_picture(image, face)
    if close is None:
        return face
    opinions = [face.landmarks.astype(np.float64)]
    straight = _central(detector(close.image), face, close)
    if straight is not None:
        opinions.append(close.to_whole(straight))
    mirrored = _central(detector(np.ascontiguousarray(close.image[:, ::-1])), face, close)
    if mirrored is not None:
        back = mirrored[MIRRORED] * np.array([-1, 1], np.float32) + np.array([CLOSE_SIDE - 1, 0], np.float32)
        opinions.append(close.to_whole(back))
    return replace(face, landmarks=np.mean(opinions, axis=0).astype(np.float32))


def _close_picture(image: Image, face: Face) -> _Close | None:
    rows, columns = image.shape[:2]
    box = face.box
    side = SURROUNDINGS * max(box.width, box.height)
    left, top = box.x + (box.width - side) / 2, box.y + (box.height - side) / 2
    x0, y0 = (int(np.clip(value, 0, limit)) for value, limit in ((left, columns), (top, rows)))
    x1, y1 = (int(np.clip(value + side, 0, limit)) for value, limit in ((left, columns), (top, rows)))
    if x1 - x0 < 2 or y1 - y0 < 2 or not side > 1:
        return None
    scale = CLOSE_SIDE / side
    # Only what lies inside the picture is resized, however far the box reaches over the border.
    width = int(np.clip(round((x1 - x0) * scale), 1, CLOSE_SIDE))
    height = int(np.clip(round((y1 - y0) * scale), 1, CLOSE_SIDE))
    x = int(np.clip(round((x0 - left) * scale), 0, CLOSE_SIDE - width))
    y = int(np.clip(round((y0 - top) * scale), 0, CLOSE_SIDE - height))
    inside = resize(np.ascontiguousarray(image[y0:y1, x0:x1]), width, height)
    canvas = np.asarray(
        cv2.copyMakeBorder(inside, y, CLOSE_SIDE - height - y, x, CLOSE_SIDE - width - x, cv2.BORDER_CONSTANT), np.uint8
    )
    step = np.array([(x1 - x0) / width, (y1 - y0) / height])
    return _Close(canvas, step, np.array([x0, y0]) - np.array([x, y]) * step)


def _central(faces: Sequence[Face], face: Face, close: _Close) -> NDArray[np.float32] | None:
    """The landmarks of the one among the close picture's faces that is `face`."""
    middle = CLOSE_SIDE / 2

    def distance(other: Face) -> float:
        return float(np.hypot(other.box.x + other.box.width / 2 - middle, other.box.y + other.box.height / 2 - middle))

    nearest = min(faces, key=distance, default=None)
    if nearest is None or distance(nearest) > FURTHEST * CLOSE_SIDE:
        return None
    ratio = nearest.box.width * float(close.step[0]) / max(face.box.width, 1e-6)
    return nearest.landmarks if 1 / LARGEST_RATIO < ratio < LARGEST_RATIO else None
