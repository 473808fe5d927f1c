"""From untrusted bytes to an upright picture; the limit on pixels is checked before anything is decoded."""

import cv2
import numpy as np

from engine.errors import PictureUnreadable
from engine.vision.headers import Kind, require_pixels
from engine.vision.jpeg import decode_jpeg, encode_jpeg
from engine.vision.orientation import stored_orientation, upright
from engine.vision.png import plain_png
from engine.vision.ports import Image

REDUCTIONS = (8, 4, 2)
"""How many times smaller libjpeg can decode a picture at a fraction of the work."""


def decode(data: bytes, max_pixels: int, reduction: int = 1) -> Image:
    """The picture: BGR, uint8, height x width x 3, C-contiguous, upright.

    Greyscale, palettes, 16 bits and CMYK become BGR; transparency is dropped; of an animation the first frame is taken.

    Args:
        data: a JPEG, PNG, WebP or BMP file.
        max_pixels: the limit, in pixels of the picture as sent.
        reduction: one of `REDUCTIONS`, for a JPEG only: its sides become that many times shorter, rounded up.

    Raises:
        PictureUnreadable: not a JPEG, PNG, WebP or BMP, or a damaged or truncated one.
        PictureTooLarge: more than `max_pixels`, or too long a side, told from the header.
    """
    header = require_pixels(data, max_pixels)
    if header.kind is Kind.JPEG:
        image = decode_jpeg(data, header, reduction)
    else:
        image = _decode_by_opencv(plain_png(data) if header.kind is Kind.PNG else data)
    if image.shape != (-(-header.height // reduction), -(-header.width // reduction), 3):
        raise PictureUnreadable
    return np.ascontiguousarray(upright(image, stored_orientation(data, header.kind)))


def fitting_reduction(data: bytes, max_pixels: int, least_side: int) -> int:
    """The largest reduction that leaves the picture's longer side at least `least_side` pixels; 1 for none.

    Raises:
        PictureRefused: as `decode`, as far as the header tells.
    """
    header = require_pixels(data, max_pixels)
    if header.kind is not Kind.JPEG:
        return 1
    longer = max(header.width, header.height)
    return next((reduction for reduction in REDUCTIONS if longer // reduction >= least_side), 1)


def as_jpeg(data: bytes, max_pixels: int) -> bytes:
    """The picture as a JPEG file: as it came if it is one, else encoded anew.

    Raises:
        PictureRefused: as `decode`.
    """
    image = decode(data, max_pixels)
    return data if data.startswith(b"\xff\xd8") else encode_jpeg(image)


def _decode_by_opencv(data: bytes) -> Image:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise PictureUnreadable from error
    # OpenCV's types promise a picture; for a damaged one it is None all the same.
    if not isinstance(image, np.ndarray):
        raise PictureUnreadable
    return np.asarray(image, np.uint8)
