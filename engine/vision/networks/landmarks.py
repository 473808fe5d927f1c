"""Landmarks found again, by several looks at the same face: their mean is nearer to the truth than any of them.

A detector's landmarks are noisy, and lean to one side. So a network made for landmarks, or else the detector, looks at
a small picture of the face, and at its mirror image, where it leans the other way. Embeddings of one person come nearer
to each other by it (docs/accuracy.md has the figures).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.vision.ports import Box, Detector, Face, Image
from engine.vision.tensor import resize, share_outside

CLOSE_SIDE = 128
"""Pixels of the close picture's side."""

SURROUNDINGS = 2.0
"""Its side in longer sides of the face box."""

MIRRORED = [1, 0, 2, 4, 3]
"""Where each landmark of a mirror image belongs."""

FURTHEST = 0.25
"""What lies further from where it is expected, as a share of the face (or of `CLOSE_SIDE`), is of something else. Of
ordinary faces not one in a thousand has two opinions a fifth apart."""

LARGEST_RATIO = 2.0
"""So is one that is so much larger or smaller."""

BOXES = (1.0, 1.15)
"""How large a box the landmarks network is shown, in boxes of the detector."""

MOST_CUT = 0.15
"""Share of the face box outside the picture up to which a landmarks network is asked: it knows whole faces only."""

Points = Callable[[Image, Box], NDArray[np.float32] | None]
"""Landmarks (5 x 2, pixels of the picture) of the face in a box. `engine.vision.networks.points68` is one."""


@dataclass(frozen=True, slots=True, eq=False)
class ClosePicture:
    """A small square picture of a face. A point p of it lies at p * step + origin of the whole."""

    image: Image
    step: NDArray[np.float64]
    origin: NDArray[np.float64]

    def to_whole(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Points of the close picture in the whole one."""
        return points * self.step + self.origin

    def to_close(self, box: Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Upper left corner and size (width, height) of a box of the whole, in the close picture."""
        return (np.array([box.x, box.y]) - self.origin) / self.step, np.array([box.width, box.height]) / self.step


def refine_landmarks(image: Image, face: Face, detector: Detector, points: Points | None = None) -> Face:
    """The face with better landmarks.

    `points` gives the landmarks of a face from its box: on the close picture and its mirror image, with two boxes each.
    Their mean counts twice as much as the detector's. Where it cannot be asked, or all that it says is far off, the
    detector looks at the close picture and its mirror image instead; where it finds nothing, the face stays as it is.
    """
    close = close_picture(image, face)
    if close is None:
        return face
    mirrored = np.ascontiguousarray(close.image[:, ::-1])
    opinions = []
    if points is not None and share_outside(image, face.box) <= MOST_CUT:
        opinions = _by_points(face, close, mirrored, points)
    if opinions:
        landmarks = (2 * np.mean(opinions, axis=0) + face.landmarks) / 3
    else:
        landmarks = _by_detector(face, close, mirrored, detector)
    return replace(face, landmarks=landmarks.astype(np.float32))


def _by_detector(face: Face, close: ClosePicture, mirrored: Image, detector: Detector) -> NDArray[np.float64]:
    opinions = [face.landmarks.astype(np.float64)]
    straight = _central(detector(close.image), face, close)
    if straight is not None:
        opinions.append(close.to_whole(straight))
    turned_round = _central(detector(mirrored), face, close)
    if turned_round is not None:
        opinions.append(close.to_whole(_mirrored_back(turned_round)))
    return np.asarray(np.mean(opinions, axis=0))


def _by_points(face: Face, close: ClosePicture, mirrored: Image, points: Points) -> list[NDArray[np.float64]]:
    (left, top), (width, height) = close.to_close(face.box)
    opinions = []
    for grown in BOXES:
        wide, high = grown * width, grown * height
        x, y = left - (wide - width) / 2, top - (high - height) / 2
        straight = points(close.image, Box(x, y, wide, high))
        turned_round = points(mirrored, Box(CLOSE_SIDE - x - wide, y, wide, high))
        opinions += [] if straight is None else [close.to_whole(straight)]
        opinions += [] if turned_round is None else [close.to_whole(_mirrored_back(turned_round))]
    furthest = FURTHEST * face.box.shorter_side
    return [one for one in opinions if np.abs(one - face.landmarks).max() <= furthest]


def _mirrored_back(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Landmarks of the mirror image of a close picture, in the close picture itself."""
    return np.asarray(np.array([CLOSE_SIDE, 0]) + points[MIRRORED].astype(np.float64) * np.array([-1, 1]))


def close_picture(image: Image, face: Face) -> ClosePicture | None:
    """The face with its surroundings, `CLOSE_SIDE` pixels wide and high, black where the picture ends; None where too
    little of it lies in the picture."""
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
    return ClosePicture(canvas, step, np.array([x0, y0]) - np.array([x, y]) * step)


def _central(faces: Sequence[Face], face: Face, close: ClosePicture) -> NDArray[np.float32] | None:
    """The landmarks of the one among the close picture's faces that is `face`."""
    middle = CLOSE_SIDE / 2

    def distance(other: Face) -> float:
        return float(np.hypot(other.box.x + other.box.width / 2 - middle, other.box.y + other.box.height / 2 - middle))

    nearest = min(faces, key=distance, default=None)
    if nearest is None or distance(nearest) > FURTHEST * CLOSE_SIDE:
        return None
    ratio = nearest.box.width * float(close.step[0]) / max(face.box.width, 1e-6)
    return nearest.landmarks if 1 / LARGEST_RATIO < ratio < LARGEST_RATIO else None
