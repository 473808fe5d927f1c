"""Measures whether the infrared picture is only a grey copy of the colour picture.

In infrared light, skin, lips, brows, irises and cloth reflect otherwise than in visible light, the lamp is in another
place, and the second lens is beside the first. So an infrared face can be predicted from the colour face only in part.
A copy, however it was toned, scaled, shifted, blurred or compressed, can be predicted from its original almost
completely.

Both faces are aligned onto the embedder's template by their landmarks, and then the infrared face is moved until it
fits best, because landmarks are off by a pixel or two. Then the best tone curve from the colour face to the infrared
face is fitted, and the face that it predicts is correlated with the infrared face: `tone` compares them as they are,
`detail` without the parts that change slowly over the face.
"""

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.vision.networks.arcface import TEMPLATE_SIDE, align
from engine.vision.ports import Face, Image
from engine.vision.tensor import resize

Plane = NDArray[np.float32]

_FINE, _COARSE = 1.0, 5.0
"""The standard deviations, in template pixels, of the two blurs between which detail lies: coarser than noise and
compression blocks, finer than lighting."""

_EDGE = 6
"""The width, in template pixels, of the border that is left out, because the moved face may not cover it."""

_STEPS, _ENOUGH = 40, 1e-4
"""The most iterations of the search for the best fit, and the gain at which the search ends."""

_FLATTEST = 1e-3
"""The standard deviation, in grey values, below which a face has no detail to compare."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How well the infrared face can be predicted from the colour face: two correlations, 0..1."""

    detail: float
    tone: float


def likeness(image: Image, face: Face, infrared: Image, infrared_face: Face) -> Likeness:
    """Return how well the face in `infrared` can be predicted from the face in `image`.

    Raises:
        PictureUnreadable: a face cannot be aligned.
    """
    colour = align(*_near_template(image, face)).astype(np.float32)
    grey = align(*_near_template(infrared, infrared_face)).astype(np.float32).mean(axis=2)
    fitted = _fitted(grey, np.asarray(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY), np.float32))
    inside = slice(_EDGE, TEMPLATE_SIDE - _EDGE)
    levels = colour.reshape(-1, 3).T / 255.0
    curve = np.concatenate([np.ones_like(levels[:1]), levels, levels**2, levels**3])
    predicted = _predicted(curve, fitted.reshape(-1), inside)
    detail = _correlation(_band(predicted)[inside, inside], _band(fitted)[inside, inside])
    tone = _correlation(_smooth(predicted)[inside, inside], _smooth(fitted)[inside, inside])
    return Likeness(detail, tone)


def _near_template(image: Image, face: Face) -> tuple[Image, Face]:
    """Return the image and the face, shrunk by averaging until the face has about the template's size.

    Aligning samples single pixels, and from a large face it would sample different ones in both pictures.
    """
    scale = TEMPLATE_SIDE / max(face.box.height, 1.0)
    if scale >= 1:
        return image, face
    rows, columns = image.shape[:2]
    small = resize(image, max(1, round(columns * scale)), max(1, round(rows * scale)))
    ratio = np.array([small.shape[1] / columns, small.shape[0] / rows], np.float32)
    return small, replace(face, landmarks=face.landmarks * ratio)


def _predicted(causes: NDArray[Any], effect: NDArray[Any], inside: slice) -> Plane:
    """Return the linear combination of `causes` (one per row) that is nearest to `effect` inside the border."""
    side = TEMPLATE_SIDE
    chosen = causes.reshape(-1, side, side)[:, inside, inside].reshape(len(causes), -1).astype(np.float64)
    mix = np.linalg.lstsq(chosen.T, effect.reshape(side, side)[inside, inside].reshape(-1), rcond=None)[0]
    return np.asarray((mix @ causes).reshape(side, side), np.float32)


def _fitted(grey: Plane, target: Plane) -> Plane:
    """Return `grey` moved by the affine map that correlates best with `target`; unmoved where the search fails."""
    start = np.eye(2, 3, dtype=np.float32)
    ends = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _STEPS, _ENOUGH)
    try:
        _, move = cv2.findTransformECC(_band(target), _band(grey), start, cv2.MOTION_AFFINE, ends)
    except cv2.error:
        return grey
    size = (TEMPLATE_SIDE, TEMPLATE_SIDE)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(grey, move, size, flags=flags, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _smooth(plane: Plane) -> Plane:
    return np.asarray(cv2.GaussianBlur(plane, (0, 0), _FINE), np.float32)


def _band(plane: Plane) -> Plane:
    """Return the detail of a plane between the blurs `_FINE` and `_COARSE`."""
    return _smooth(plane) - np.asarray(cv2.GaussianBlur(plane, (0, 0), _COARSE), np.float32)


def _correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return Pearson's correlation, and 0 where it is negative or a plane is flat."""
    a, b = (plane.reshape(-1).astype(np.float64) - plane.mean(dtype=np.float64) for plane in (one, other))
    if min(a.std(), b.std()) < _FLATTEST:
        return 0.0
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), 0.0, 1.0))
