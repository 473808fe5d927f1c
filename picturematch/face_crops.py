"""Cuts faces out of pictures, for the sinks that send them."""

import numpy as np

from contract.errors import PictureRefused
from contract.findings import FaceBox
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.decode.versions import decode
from sinks.context import Crop

_MARGIN = 0.3
"""How far the cut reaches beyond the box at each side, as a share of the box's side."""
_QUARTER_DEGREES = 90


def face_crops(max_pixels: int) -> Crop:
    """Return a function that cuts faces out of pictures of at most `max_pixels` pixels."""

    def crop(picture: bytes, box: FaceBox) -> bytes | None:
        try:
            image = decode(picture, max_pixels)
        except PictureRefused:
            return None
        upright = np.rot90(image, box.turned_degrees // _QUARTER_DEGREES)
        height, width = upright.shape[:2]
        left, right = _span(box.x, box.width, width)
        top, bottom = _span(box.y, box.height, height)
        if left >= right or top >= bottom:
            return None
        return encode_jpeg(upright[top:bottom, left:right])

    return crop


def _span(start: float, length: float, limit: int) -> tuple[int, int]:
    """Return the first pixel of a cut, and the one behind its last, within 0..limit."""
    margin = _MARGIN * length
    return max(0, round(start - margin)), min(limit, round(start + length + margin))
