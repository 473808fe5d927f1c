"""Decodes untrusted bytes to upright images in several sizes; the cost is bounded before anything is decoded."""

from functools import cached_property

import cv2
import numpy as np

from contract.errors import PictureUnreadable
from contract.pictures.affordable import Affordable, require_affordable
from contract.pictures.headers import Kind
from contract.pictures.png import plain_png
from contract.pictures.webp import plain_webp
from engine.vision.decode.jpeg import decode_jpeg, encode_jpeg
from engine.vision.decode.orientation import stored_orientation, upright
from engine.vision.ports import Image

REDUCTIONS = (8, 4, 2)
"""The factors by which libjpeg can reduce a JPEG while decoding it, at a fraction of the work."""


def decode(data: bytes, max_pixels: int, reduction: int = 1) -> Image:
    """Return the image: BGR, uint8, height x width x 3, C-contiguous, upright.

    Greyscale, palettes, 16 bits and CMYK are converted to BGR; transparency is dropped; of an animation the first frame
    is decoded.

    Args:
        data: the bytes of a JPEG, PNG, WebP or BMP file.
        max_pixels: the most pixels of the picture as sent.
        reduction: one of `REDUCTIONS`, for a JPEG only: each side is divided by it and rounded up.

    Raises:
        PictureUnreadable: the bytes are not a JPEG, PNG, WebP or BMP file, or are damaged or cut off.
        PictureTooLarge: according to its headers the picture has too many pixels or too long a side, or decoding it
            costs too much.
    """
    affordable = require_affordable(data, max_pixels)
    return _upright(_as_stored(data, affordable, reduction), data, affordable)


class Versions:
    """A picture that can be decoded in several sizes, as few times as its kind allows.

    A JPEG of one scan is decoded again for each size, which costs little; any other picture is decoded once, at full
    size, and then shrunk. The headers are checked at the first use of any method or property, so all of them raise the
    errors of `decode`.
    """

    def __init__(self, data: bytes, max_pixels: int) -> None:
        self._data, self._max_pixels = data, max_pixels
        self._whole: Image | None = None
        self._sound = False

    @cached_property
    def _affordable(self) -> Affordable:
        return require_affordable(self._data, self._max_pixels)

    @property
    def size(self) -> tuple[int, int]:
        """The width and height of the picture as sent, in pixels."""
        return self._affordable.header.width, self._affordable.header.height

    @property
    def longer_side(self) -> int:
        """The longer side of the picture as sent, in pixels."""
        return max(self.size)

    @property
    def pixels(self) -> int:
        """The number of pixels of the picture as sent."""
        return self._affordable.header.pixels

    def fitting_reduction(self, least_side: int) -> int:
        """Return the largest reduction that leaves the longer side at least `least_side` pixels; 1 means none."""
        if self._affordable.header.kind is not Kind.JPEG:
            return 1
        return next((reduction for reduction in REDUCTIONS if self.longer_side // reduction >= least_side), 1)

    def version(self, reduction: int = 1) -> Image:
        """Return the image as `decode` does; a picture that is not a JPEG of one scan is shrunk by averaging.

        Raises:
            PictureRefused: the errors of `decode`.
        """
        if self._affordable.in_one_pass and reduction > 1:
            image = _as_stored(self._data, self._affordable, reduction)
        else:
            if self._whole is None:
                self._whole = _as_stored(self._data, self._affordable, 1)
            image = _shrunk(self._whole, reduction)
        self._sound = True
        return _upright(image, self._data, self._affordable)

    def as_jpeg(self) -> bytes:
        """Return the picture as a JPEG file: the file as sent if it is a JPEG, else an encoded one.

        Raises:
            PictureRefused: the errors of `decode`.
        """
        if self._affordable.header.kind is not Kind.JPEG:
            return encode_jpeg(self.version())
        if not self._sound:
            self.version(REDUCTIONS[0])
        return self._data


def as_jpeg(data: bytes, max_pixels: int) -> bytes:
    """Return the picture as a JPEG file: the file as sent if it is a JPEG, else an encoded one.

    Raises:
        PictureRefused: the errors of `decode`.
    """
    return Versions(data, max_pixels).as_jpeg()


def _as_stored(data: bytes, affordable: Affordable, reduction: int) -> Image:
    header = affordable.header
    if affordable.layout is not None:
        image = decode_jpeg(data, affordable.layout, reduction)
    elif header.kind is Kind.PNG:
        image = _decode_by_opencv(plain_png(data))
    elif header.kind is Kind.WEBP:
        image = _decode_by_opencv(plain_webp(data))
    else:
        image = _decode_by_opencv(data)
    if image.shape != (-(-header.height // reduction), -(-header.width // reduction), 3):
        raise PictureUnreadable
    return image


def _upright(image: Image, data: bytes, affordable: Affordable) -> Image:
    return np.ascontiguousarray(upright(image, stored_orientation(data, affordable.header.kind)))


def _shrunk(image: Image, reduction: int) -> Image:
    if reduction == 1:
        return image
    rows, columns = -(-image.shape[0] // reduction), -(-image.shape[1] // reduction)
    return np.asarray(cv2.resize(image, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)


def _decode_by_opencv(data: bytes) -> Image:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise PictureUnreadable from error
    # OpenCV's type stub promises an array, but the result for a damaged picture is None.
    if not isinstance(image, np.ndarray):
        raise PictureUnreadable
    return np.asarray(image, np.uint8)
