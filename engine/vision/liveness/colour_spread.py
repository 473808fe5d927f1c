"""Measures how coloured a picture is: an infrared picture has no colours."""

import numpy as np

from engine.vision.ports import Image
from engine.vision.tensor import resize

_SMALL_SIDE = 160
"""The longer side, in pixels, to which pictures are shrunk before their colours are measured: shrinking averages noise
and compression away."""

_MOST_COLOURED = 95.0
"""The percentile of the pixels whose colour is measured: a few pixels with more colour may be a status light."""


def colour_spread(image: Image) -> float:
    """Return the difference between the colour channels of the most coloured pixels, in grey values.

    An even tint over the whole image (each channel is a linear function of brightness) does not count, because cameras
    add one.
    """
    scale = min(1.0, _SMALL_SIDE / max(image.shape[:2]))
    small = resize(image, max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    pixels = small.reshape(-1, 3).astype(np.float64)
    brightness = np.stack([pixels.mean(axis=1), np.ones(len(pixels))], axis=1)
    tint = brightness @ np.linalg.lstsq(brightness, pixels, rcond=None)[0]
    return float(np.percentile(np.ptp(pixels - tint, axis=1), _MOST_COLOURED))
