"""Draws a face mask or sunglasses over a face, for the second template of a covered face. Pure and deterministic.

The drawings are simple on purpose: an embedder that sees a covered face loses the features behind the cover, whatever
its pattern is, and the template should lose the same features (docs/accuracy.md has the figures).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from contract.errors import PictureUnreadable
from contract.terms import COVERED_EYES, COVERED_MOUTH, Cover
from engine.vision.ports import Box, Face, Image
from engine.vision.tensor import resize

Colour = tuple[int, int, int]
"""Blue, green, red: 0..255 each."""

Points = NDArray[np.float64]

SIDE_OF_FACE = 1.13
"""The distance from an eye to the outer edge of the face, in distances from that eye to the nose (frontal faces)."""

LEAST_HALF = 0.35
"""The least width of the half of a face that is turned away, as a share of half the distance of the eyes."""

_SURROUNDINGS = 1.5
"""How far the part of the image that is copied extends from the middle of the face, in longer sides of the face box.
Embedders look at no more."""

_LONGEST_SIDE = 224.0
"""The longer side of the face box, in pixels, above which the copy is shrunk: twice that of the embedders' input."""

_BLURRED_SIDE = 48
"""The width, in pixels, of the face of which the light is measured."""

_SUBPIXEL_BITS = 4
_FOLDS = 3
_FOLD_SHADE = 0.82
_LEAST_SHADE, _MOST_SHADE = 0.55, 1.1


@dataclass(frozen=True, slots=True, eq=False)
class FaceFrame:
    """The coordinates of a face, in which drawings are made.

    The point (a, b): b is 0 at the height of the eyes, 1 at that of the mouth's corners and about 1.63 at the chin; a
    is -1 at the edge of the face on the picture's left, 0 in its middle and 1 at the other edge. A face that is turned
    away has a narrow half, as its landmarks do.
    """

    eyes: Points
    down: Points
    left: Points
    right: Points
    middle: Points

    @classmethod
    def of(cls, landmarks: NDArray[np.floating]) -> "FaceFrame":
        """Return the frame of landmarks (5 x 2 pixels, `Face.landmarks`).

        Raises:
            ValueError: the eyes coincide, or eyes and mouth do.
        """
        left_eye, right_eye, nose, left_mouth, right_mouth = landmarks.astype(np.float64)
        across, eyes = right_eye - left_eye, (left_eye + right_eye) / 2
        apart, down = float(np.hypot(*across)), (left_mouth + right_mouth) / 2 - eyes
        if not (apart > 1e-3 and float(np.hypot(*down)) > 1e-3):
            raise ValueError("the landmarks coincide")
        unit = across / apart
        least = LEAST_HALF * apart / 2
        from_left = float(np.clip((nose - left_eye) @ unit, least, apart))
        from_right = float(np.clip((right_eye - nose) @ unit, least, apart))
        return cls(
            eyes,
            down,
            left_eye - eyes - unit * SIDE_OF_FACE * from_left,
            right_eye - eyes + unit * SIDE_OF_FACE * from_right,
            unit * (from_left - from_right) / 4,
        )

    def pixels(self, points: Sequence[tuple[float, float]]) -> Points:
        """Return points (a, b) as pixels of the image, n x 2."""
        places = np.array(points, np.float64)
        a, b = places[:, :1], places[:, 1:]
        edge = np.where(a < 0, self.left, self.right)
        return np.asarray(self.eyes + b * self.down + self.middle + np.abs(a) * (edge - self.middle))


def fill(image: Image, outline: Points, colour: NDArray[np.floating] | Colour) -> None:
    """Fill a polygon (n x 2 pixels) of the image, with smooth edges, with a colour or with the pixels of a picture."""
    inside = np.zeros(image.shape[:2], np.uint8)
    shift = 1 << _SUBPIXEL_BITS
    cv2.fillPoly(
        inside,
        [np.round((outline - 0.5) * shift).astype(np.int32)],
        255,
        lineType=cv2.LINE_AA,
        shift=_SUBPIXEL_BITS,
    )
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not len(rows):
        return
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    share = inside[part].astype(np.float32)[:, :, np.newaxis] / 255
    filled = np.asarray(colour, np.float32)
    filled = filled[part] if filled.ndim == 3 else filled
    image[part] = np.round(image[part] * (1 - share) + filled * share).astype(np.uint8)


def shaded(image: Image, frame: FaceFrame, colour: Colour) -> NDArray[np.float32]:
    """Return a picture of one colour under the light of the image: as bright as the blurred face is there."""
    rows, columns = image.shape[:2]
    # Blurring a small copy takes the same time for every size of the face.
    shrink = min(1.0, _BLURRED_SIDE / max(float(np.hypot(*(frame.right - frame.left))), 1.0))
    small = resize(image, max(1, round(columns * shrink)), max(1, round(rows * shrink)))
    light = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32), (0, 0), _BLURRED_SIDE / 5)
    light = cv2.resize(light, (columns, rows), interpolation=cv2.INTER_LINEAR)
    x, y = np.clip(frame.pixels([(0.0, 0.5)])[0], 0, [columns - 1, rows - 1]).astype(int)
    shade = np.clip(light / max(float(light[y, x]), 1.0), _LEAST_SHADE, _MOST_SHADE)
    return np.asarray(np.clip(shade[:, :, np.newaxis] * np.array(colour, np.float32), 0, 255), np.float32)


MASK_OUTLINE = (
    (-0.98, 0.42), (-0.55, 0.33), (0.0, 0.27), (0.55, 0.33), (0.98, 0.42),
    (0.93, 1.05), (0.7, 1.42), (0.4, 1.66), (0.0, 1.74), (-0.4, 1.66), (-0.7, 1.42), (-0.93, 1.05),
)  # fmt: skip
"""The outline of a face mask, from under one eye over the bridge of the nose to the chin, in a `FaceFrame`."""

MASK_COLOUR: Colour = (196, 168, 128)
"""The blue of surgical masks. White and black masks, and the mean of all three, gave the same (docs/accuracy.md)."""

GLASS = ((-0.80, -0.16), (-0.42, -0.22), (-0.14, -0.14), (-0.12, 0.14), (-0.26, 0.32), (-0.56, 0.36), (-0.78, 0.20))
"""The outline of the glass on the picture's left; the other one is its mirror image."""

BRIDGE = ((-0.16, -0.10), (0.16, -0.10), (0.16, -0.02), (-0.16, -0.02))
TEMPLE = ((-1.0, -0.10), (-0.76, -0.14), (-0.76, -0.04), (-1.0, -0.02))

GLASS_COLOUR: Colour = (28, 26, 26)


def draw_mask(image: Image, frame: FaceFrame) -> Image:
    """Return a copy of the image with a face mask with a few folds over the face."""
    drawn = image.copy()
    cloth = shaded(image, frame, MASK_COLOUR)
    fill(drawn, frame.pixels(MASK_OUTLINE), cloth)
    for fold in range(_FOLDS):
        height = 0.72 + 0.26 * fold
        line = [(-0.8, height), (0.0, height + 0.08), (0.8, height), (0.8, height + 0.03), (0.0, height + 0.11)]
        fill(drawn, frame.pixels([*line, (-0.8, height + 0.03)]), cloth * np.float32(_FOLD_SHADE))
    return drawn


def draw_sunglasses(image: Image, frame: FaceFrame) -> Image:
    """Return a copy of the image with black sunglasses over the eyes."""
    drawn = image.copy()
    for part in (TEMPLE, GLASS):
        fill(drawn, frame.pixels(part), GLASS_COLOUR)
        fill(drawn, frame.pixels([(-a, b) for a, b in part]), GLASS_COLOUR)
    fill(drawn, frame.pixels(BRIDGE), GLASS_COLOUR)
    return drawn


_DRAWINGS: Mapping[Cover, Callable[[Image, FaceFrame], Image]] = {
    COVERED_MOUTH: draw_mask,
    COVERED_EYES: draw_sunglasses,
}


def covered_copy(image: Image, face: Face, cover: Cover) -> tuple[Image, Face]:
    """Return a copy of the part of the image around a face, in which a drawing covers the face, and the face in it.

    Raises:
        PictureUnreadable: the face's landmarks coincide, or the face lies outside the image.
    """
    part, moved = _around(image, face)
    try:
        frame = FaceFrame.of(moved.landmarks)
    except ValueError as error:
        raise PictureUnreadable("the face in the picture cannot be aligned; send a clearer picture") from error
    return _DRAWINGS[cover](part, frame), moved


def _around(image: Image, face: Face) -> tuple[Image, Face]:
    box, (rows, columns) = face.box, image.shape[:2]
    reach = _SURROUNDINGS * max(box.width, box.height)
    x, y = box.x + box.width / 2, box.y + box.height / 2
    left, right = (int(np.clip(edge, 0, columns)) for edge in (x - reach, x + reach + 1))
    top, bottom = (int(np.clip(edge, 0, rows)) for edge in (y - reach, y + reach + 1))
    if left >= right or top >= bottom:
        raise PictureUnreadable("the face lies outside the picture; send a picture that shows the whole face")
    part = np.ascontiguousarray(image[top:bottom, left:right])
    # A drawing on more pixels than an embedder reads would take long for nothing.
    shrink = min(1.0, _LONGEST_SIDE / max(box.width, box.height))
    part = resize(part, max(1, round(part.shape[1] * shrink)), max(1, round(part.shape[0] * shrink)))
    step = np.array([part.shape[1] / (right - left), part.shape[0] / (bottom - top)])
    (x, y), (width, height) = np.array([box.x - left, box.y - top]) * step, np.array([box.width, box.height]) * step
    landmarks = ((face.landmarks - np.array([left, top])) * step).astype(np.float32)
    return part, replace(face, box=Box(float(x), float(y), float(width), float(height)), landmarks=landmarks)
