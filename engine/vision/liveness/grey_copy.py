"""Is the infrared picture only a copy of the colour one, without its colours?

In infrared skin, lips, brows, irises and cloth reflect otherwise than in visible light, the lamp stands elsewhere, and
the second lens sees the head from aside. So what one picture tells, the other tells only in part. A copy, however it
was toned, scaled, shifted, blurred or compressed, is told by its original nearly wholly.

Both faces are brought onto the embedder's template by their landmarks, then the infrared one is moved until it fits
best (landmarks are a pixel off or two). There the best tone curve is sought, from the colour to the infrared face, and
what it makes of the colour face is correlated with the infrared one: `tone` as they are, `detail` without what changes
slowly over the face.
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
"""Standard deviations in template pixels between which detail lies: above noise and blocks, below lighting."""

_EDGE = 6
"""Template pixels at the border that are left out, because the moved picture may not reach them."""

_STEPS, _ENOUGH = 40, 1e-4
"""Of the search for the best fit: most iterations, and the gain at which it ends."""

_FLATTEST = 1e-3
"""Standard deviation, in grey values, below which a face has no detail to compare."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """How far the colour picture tells the infrared one; both are correlations, 0..1."""

    detail: float
    tone: float


def likeness(image: Image, face: Face, infrared: Image, infrared_face: Face) -> Likeness:
    """How far `image` tells `infrared`, on the face.

    Raises:
        PictureUnreadable: a face cannot be aligned.
    """
    colour = align(*_near_template(image, face)).astype(np.float32)
    grey = align(*_near_template(infrared, infrared_face)).astype(np.float32).mean(axis=2)
    fitted = _fitted(grey, np.asarray(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY), np.float32))
    inside = slice(_EDGE, TEMPLATE_SIDE - _EDGE)
    levels = colour.reshape(-1, 3).T / 255.0
    curve = np.concatenate([np.ones_like(levels[:1]), levels, levels**2, levels**3])
    told = _told(curve, fitted.reshape(-1), inside)
    detail = _correlation(_band(told)[inside, inside], _band(fitted)[inside, inside])
    tone = _correlation(_smooth(told)[inside, inside], _smooth(fitted)[inside, inside])
    return Likeness(detail, tone)


def _near_template(image: Image, face: Face) -> tuple[Image, Face]:
    """The face with its surroundings, shrunk by averaging to about the template's size: aligning takes single pixels,
    and of a large face other ones in each picture."""
    scale = TEMPLATE_SIDE / max(face.box.height, 1.0)
    if scale >= 1:
        return image, face
    rows, columns = image.shape[:2]
    small = resize(image, max(1, round(columns * scale)), max(1, round(rows * scale)))
    ratio = np.array([small.shape[1] / columns, small.shape[0] / rows], np.float32)
    return small, replace(face, landmarks=face.landmarks * ratio)


def _told(causes: NDArray[Any], effect: NDArray[Any], inside: slice) -> Plane:
    """The best mix of `causes` (rows) for `effect` as a picture; only what lies inside is fitted."""
    side = TEMPLATE_SIDE
    chosen = causes.reshape(-1, side, side)[:, inside, inside].reshape(len(causes), -1).astype(np.float64)
    mix = np.linalg.lstsq(chosen.T, effect.reshape(side, side)[inside, inside].reshape(-1), rcond=None)[0]
    return np.asarray((mix @ causes).reshape(side, side), np.float32)


def _fitted(grey: Plane, target: Plane) -> Plane:
    """`grey` moved (shift, turn, scale, shear) to where it correlates best with `target`; unmoved if nothing fits."""
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
    """Detail between `_FINE` and `_COARSE`."""
    return _smooth(plane) - np.asarray(cv2.GaussianBlur(plane, (0, 0), _COARSE), np.float32)


def _correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Pearson's, 0 where it is negative or a plane is flat."""
    a, b = (plane.reshape(-1).astype(np.float64) - plane.mean(dtype=np.float64) for plane in (one, other))
    if min(a.std(), b.std()) < _FLATTEST:
        return 0.0
    return float(np.clip(a @ b / np.sqrt((a @ a) * (b @ b)), 0.0, 1.0))
