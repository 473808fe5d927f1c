"""Recognises by their faces pictures that lie on their side or upside down without an orientation in their file.

Detectors find turned faces too, but with the landmarks of an upright face, so that such a face would match nobody. In a
close picture, an upright face is found with more confidence than the same face turned; from this follows how the
picture is turned (docs/accuracy.md has the figures).
"""

from collections.abc import Sequence

import cv2
import numpy as np

from engine.vision.networks.landmarks import CLOSE_SIDE, close_picture
from engine.vision.ports import Detector, Face, Image
from engine.vision.tensor import resize

SURE = 0.9
"""The confidence in the whole picture from which on a face counts as upright without a close picture: five of six
upright faces reach it, and hardly one of six turned faces."""

UPRIGHT = 0.8
"""The confidence in a close picture from which on a face counts as upright: 95 of 100 upright faces reach it."""

LEAST = 0.75
"""The least confidence in a face after turning."""

SURER = 0.1
"""The least gain of confidence by turning."""

_TURNINGS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}

SMALL_SIDE = 256
"""The longer side, in pixels, to which a picture is shrunk in which no face was found at all."""


def quarter_turns(image: Image, faces: Sequence[Face], detector: Detector) -> int:
    """Return how many quarter turns (0..3, counterclockwise, as in numpy.rot90) turn the image's faces upright.

    `faces` are the faces found in the image as it is, the largest first; where the first has enough confidence, the
    image is upright.
    """
    if faces and faces[0].confidence >= SURE:
        return 0
    if faces:
        close = close_picture(image, faces[0])
        if close is None:
            return 0
        small = close.image
        shown = _surest(small, detector, middle=True)
        if shown >= UPRIGHT:
            return 0
    else:
        rows, columns = image.shape[:2]
        scale = min(1.0, SMALL_SIDE / max(rows, columns))
        small = resize(image, max(1, round(columns * scale)), max(1, round(rows * scale)))
        shown = 0.0
    surest = {turns: _surest(turn(small, turns), detector, middle=bool(faces)) for turns in (1, 2, 3)}
    best = max(surest, key=lambda turns: surest[turns])
    return best if surest[best] >= max(LEAST, shown + SURER) else 0


def turn(image: Image, turns: int) -> Image:
    """Return the image after that many quarter turns counterclockwise."""
    turning = _TURNINGS.get(turns % 4)
    return image if turning is None else np.asarray(cv2.rotate(image, turning), np.uint8)


def _surest(image: Image, detector: Detector, *, middle: bool) -> float:
    """Return the highest confidence of a face in the image, or of a face in its middle where `middle` is True."""
    faces = detector(image)
    return max((face.confidence for face in faces if not middle or _in_the_middle(face)), default=0.0)


def _in_the_middle(face: Face) -> bool:
    half, box = CLOSE_SIDE / 2, face.box
    return abs(box.x + box.width / 2 - half) < half / 2 and abs(box.y + box.height / 2 - half) < half / 2
