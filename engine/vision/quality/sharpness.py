"""Clarity: how sharp a face is, told by blurring it once more.

A sharp picture loses most of its fine differences to a blur, a blurred one has few left to lose. The share that is
lost does not depend on contrast or light, unlike the energy of a Laplacian, which a dim or pale face lacks however
sharp it is. After F. Crete, T. Dolmiere, P. Ladret, M. Nicolas, "The blur effect: perception and estimation with a new
no-reference perceptual blur metric", 2007 (there: 1 minus this); here a slight blur goes first, since a sensor's noise
on a blurred face would pass for sharpness.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.vision.ports import Box, Image
from engine.vision.tensor import crop_around, resize

CLARITY_SIDE = 112
"""Faces are brought to this size before their sharpness is measured, as they are before they are embedded: what is
finer does not count, and a small face made larger has nothing fine."""

BLUR_SIDE = 9
"""Pixels of the mean that blurs, along one axis at a time; the paper's."""


FINEST_SIDE = 2 * CLARITY_SIDE
"""Of a larger face only every second, third, ... pixel is read: averaging them all takes twenty times as long and, by
the averaging that is left, tells the same."""

NOISE_SIGMA = 1.0
"""Pixels of the Gaussian that goes first."""


def clarity(image: Image, box: Box) -> float:
    """The sharpness of the face, 0..1: the share of its differences between neighbouring pixels that a blur takes away,
    along the axis where that is less (motion blurs one axis only). Sharp faces have about .4, blurred ones .1 to .2."""
    crop = crop_around(image, box, 1.0)
    step = max(1, min(crop.shape[:2]) // FINEST_SIDE)
    grey = np.asarray(cv2.cvtColor(np.ascontiguousarray(crop[::step, ::step]), cv2.COLOR_BGR2GRAY), np.uint8)
    small = np.asarray(resize(grey, CLARITY_SIDE, CLARITY_SIDE), np.float32)
    upright = np.asarray(cv2.GaussianBlur(small, (0, 0), NOISE_SIGMA), np.float32)
    return min(_lost_share(upright), _lost_share(np.ascontiguousarray(upright.T)))


def _lost_share(face: NDArray[np.float32]) -> float:
    """The share, 0..1, of the differences along the rows that a blur along the rows takes away."""
    before = np.abs(np.diff(face, axis=1))
    after = np.abs(np.diff(cv2.blur(face, (BLUR_SIDE, 1)), axis=1))
    whole = float(before.sum())
    return float(np.maximum(before - after, 0).sum()) / whole if whole > 0 else 0.0
