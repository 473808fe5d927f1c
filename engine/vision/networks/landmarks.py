"""Refines the landmarks of a face: several estimates are averaged, and their mean is more exact than each of them.

A detector's landmarks are noisy and biased to one side. So a network for landmarks, or else the detector, estimates
them again in a small picture of the face and in its mirror image, where the bias has the opposite direction. Refined
landmarks raise the cosine of embeddings of one person (docs/accuracy.md has the figures).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.vision.ports import Box, Detector, Face, Image
from engine.vision.tensor import resize, share_outside

CLOSE_SIDE = 128
"""The side of a close picture, in pixels."""

SURROUNDINGS = 2.0
"""The side of a close picture, in longer sides of the face box."""

MIRRORED = [1, 0, 2, 4, 3]
"""The order of the landmarks in a mirror image, in which left and right are exchanged."""

FURTHEST = 0.25
"""The greatest distance of an estimate from the expected place, as a share of the face (or of `CLOSE_SIDE`): a more
distant estimate belongs to something else. Not one in a thousand ordinary faces has two estimates a fifth apart."""

LARGEST_RATIO = 2.0
"""The greatest ratio between the widths of two boxes of the same face; a larger ratio means another face."""

BOXES = (1.0, 1.15)
"""The sizes of the boxes that are passed to the landmarks network, as factors of the detector's box."""

MOST_CUT = 0.15
"""The greatest share of the face box outside the picture for which the landmarks network is used: it was trained on
whole faces only."""

Points = Callable[[Image, Box], NDArray[np.float32] | None]
"""A function that returns the landmarks (5 x 2, pixels of the image) of the face in a box, for example an
`engine.vision.networks.points68.SixtyEightPoints`."""


@dataclass(frozen=True, slots=True, eq=False)
class ClosePicture:
    """A small square image of a face. Its point p is the point p * step + origin of the whole image."""

    image: Image
    step: NDArray[np.float64]
    origin: NDArray[np.float64]

    def to_whole(self, points: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return points of the close picture as points of the whole image."""
        return points * self.step + self.origin

    def to_close(self, box: Box) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the upper left corner and the size (width, height), in the close picture, of a box of the image."""
        return (np.array([box.x, box.y]) - self.origin) / self.step, np.array([box.width, box.height]) / self.step


def refine_landmarks(image: Image, face: Face, detector: Detector, points: Points | None = None) -> Face:
    """Return the face with better landmarks.

    `points` estimates landmarks in the close picture and in its mirror image, with two boxes each. The mean of these
    estimates counts twice as much as the detector's landmarks. Where `points` cannot be used, or all its estimates are
    far off, the detector searches the close picture and its mirror image; where the detector finds no face in them, the
    landmarks remain unchanged.
    """
    close = close_picture(image, face)
    if close is None:
        return face
    mirrored = np.ascontiguousarray(close.image[:, ::-1])
    estimates = []
    if points is not None and share_outside(image, face.box) <= MOST_CUT:
        estimates = _by_points(face, close, mirrored, points)
    if estimates:
        landmarks = (2 * np.mean(estimates, axis=0) + face.landmarks) / 3
    else:
        landmarks = _by_detector(face, close, mirrored, detector)
    return replace(face, landmarks=landmarks.astype(np.float32))


def _by_detector(face: Face, close: ClosePicture, mirrored: Image, detector: Detector) -> NDArray[np.float64]:
    estimates = [face.landmarks.astype(np.float64)]
    straight = _central(detector(close.image), face, close)
    if straight is not None:
        estimates.append(close.to_whole(straight))
    turned_round = _central(detector(mirrored), face, close)
    if turned_round is not None:
        estimates.append(close.to_whole(_mirrored_back(turned_round)))
    return np.asarray(np.mean(estimates, axis=0))


def _by_points(face: Face, close: ClosePicture, mirrored: Image, points: Points) -> list[NDArray[np.float64]]:
    (left, top), (width, height) = close.to_close(face.box)
    estimates = []
    for grown in BOXES:
        wide, high = grown * width, grown * height
        x, y = left - (wide - width) / 2, top - (high - height) / 2
        straight = points(close.image, Box(x, y, wide, high))
        turned_round = points(mirrored, Box(CLOSE_SIDE - x - wide, y, wide, high))
        estimates += [] if straight is None else [close.to_whole(straight)]
        estimates += [] if turned_round is None else [close.to_whole(_mirrored_back(turned_round))]
    furthest = FURTHEST * face.box.shorter_side
    return [one for one in estimates if np.abs(one - face.landmarks).max() <= furthest]


def _mirrored_back(points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return landmarks of the mirror image of a close picture as landmarks of the close picture."""
    return np.asarray(np.array([CLOSE_SIDE, 0]) + points[MIRRORED].astype(np.float64) * np.array([-1, 1]))


def close_picture(image: Image, face: Face) -> ClosePicture | None:
    """Return the face with its surroundings, `CLOSE_SIDE` pixels wide and high, black beyond the image's border.

    None: less than two pixels of it lie in the image.
    """
    rows, columns = image.shape[:2]
    box = face.box
    side = SURROUNDINGS * max(box.width, box.height)
    left, top = box.x + (box.width - side) / 2, box.y + (box.height - side) / 2
    x0, y0 = (int(np.clip(value, 0, limit)) for value, limit in ((left, columns), (top, rows)))
    x1, y1 = (int(np.clip(value + side, 0, limit)) for value, limit in ((left, columns), (top, rows)))
    if x1 - x0 < 2 or y1 - y0 < 2 or not side > 1:
        return None
    scale = CLOSE_SIDE / side
    # Only the part inside the image is resized, however far the box extends beyond the border.
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
    """Return the landmarks of that face of the close picture which is `face`; None where no face is."""
    middle = CLOSE_SIDE / 2

    def distance(other: Face) -> float:
        return float(np.hypot(other.box.x + other.box.width / 2 - middle, other.box.y + other.box.height / 2 - middle))

    nearest = min(faces, key=distance, default=None)
    if nearest is None or distance(nearest) > FURTHEST * CLOSE_SIDE:
        return None
    ratio = nearest.box.width * float(close.step[0]) / max(face.box.width, 1e-6)
    return nearest.landmarks if 1 / LARGEST_RATIO < ratio < LARGEST_RATIO else None
