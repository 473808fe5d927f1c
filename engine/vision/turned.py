"""Pictures that lie on their side or upside down, and whose file does not say so: from the faces they show.

Detectors find turned faces too, with landmarks that fit an upright one, so such a face would be matched with nobody.
Seen from close by, an upright face is found with more confidence than the same one turned, and that tells how a picture
lies (docs/accuracy.md has the figures).
"""

from collections.abc import Sequence

import cv2
import numpy as np

from engine.vision.networks.landmarks import CLOSE_SIDE, close_picture
from engine.vision.ports import Detector, Face, Image
from engine.vision.tensor import resize

SURE = 0.9
"""Confidence in the whole picture from which on no closer look is taken: five of six upright faces have it, and hardly
one of six turned ones."""

UPRIGHT = 0.8
"""Confidence from close by of an upright face: 95 of 100 have it."""

LEAST = 0.75
"""Confidence that a face must have once it is turned."""

SURER = 0.1
"""How much more it must be than before."""

_TURNINGS = {1: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_CLOCKWISE}

SMALL_SIDE = 256
"""Longer side, in pixels, of the look at a picture in which no face was found at all."""


def quarter_turns(image: Image, faces: Sequence[Face], detector: Detector) -> int:
    """How many quarter turns (0..3, against the clock, as numpy.rot90 counts) bring the picture's faces upright.

    `faces` are those found in it as it is, largest first; a sure one means that it is upright.
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
    """The picture after so many quarter turns against the clock."""
    turning = _TURNINGS.get(turns % 4)
    return image if turning is None else np.asarray(cv2.rotate(image, turning), np.uint8)


def _surest(image: Image, detector: Detector, *, middle: bool) -> float:
    """The confidence of the surest face; of the one in the `middle` only, in a close picture."""
    faces = detector(image)
    return max((face.confidence for face in faces if not middle or _in_the_middle(face)), default=0.0)


def _in_the_middle(face: Face) -> bool:
    half, box = CLOSE_SIDE / 2, face.box
    return abs(box.x + box.width / 2 - half) < half / 2 and abs(box.y + box.height / 2 - half) < half / 2
