"""Measures the clarity of a face, which is its sharpness, by blurring the face once more.

Blurring removes most of the fine differences of a sharp picture; a blurred picture has few left. The removed share does
not depend on contrast or light, unlike the energy of a Laplacian, which is low in a dim or pale face even if the face
is sharp. The measure is 1 minus that of F. Crete, T. Dolmiere, P. Ladret, M. Nicolas, "The blur effect: perception and
estimation with a new no-reference perceptual blur metric", 2007. In addition the face is slightly smoothed first, since
a sensor's noise on a blurred face would count as sharpness.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.vision.ports import Box, Image
from engine.vision.tensor import crop_around, resize

CLARITY_SIDE = 112
"""The side, in pixels, to which faces are scaled before their sharpness is measured. It is the size at which faces are
embedded: finer detail does not count, and a small face that was enlarged has no fine detail."""

BLUR_SIDE = 9
"""The length, in pixels, of the moving average that blurs along one axis at a time; the value is that of the paper."""


FINEST_SIDE = 2 * CLARITY_SIDE
"""The side, in pixels, above which only every second, third, ... pixel of a face is read: averaging all pixels takes
twenty times as long and gives the same result after the later averaging."""

NOISE_SIGMA = 1.0
"""The standard deviation, in pixels, of the Gaussian that smooths the face first."""


def clarity(image: Image, box: Box) -> float:
    """Return the sharpness of a face, 0..1; sharp faces have about .4, blurred ones .1 to .2.

    The sharpness is the share of the differences between neighbouring pixels that a blur removes, along the axis where
    that share is lower, since motion blurs one axis only.
    """
    crop = crop_around(image, box, 1.0)
    step = max(1, min(crop.shape[:2]) // FINEST_SIDE)
    grey = np.asarray(cv2.cvtColor(np.ascontiguousarray(crop[::step, ::step]), cv2.COLOR_BGR2GRAY), np.uint8)
    small = np.asarray(resize(grey, CLARITY_SIDE, CLARITY_SIDE), np.float32)
    upright = np.asarray(cv2.GaussianBlur(small, (0, 0), NOISE_SIGMA), np.float32)
    return min(_lost_share(upright), _lost_share(np.ascontiguousarray(upright.T)))


def _lost_share(face: NDArray[np.float32]) -> float:
    """Return the share, 0..1, of the differences along the rows that a blur along the rows removes."""
    before = np.abs(np.diff(face, axis=1))
    after = np.abs(np.diff(cv2.blur(face, (BLUR_SIDE, 1)), axis=1))
    whole = float(before.sum())
    return float(np.maximum(before - after, 0).sum()) / whole if whole > 0 else 0.0
