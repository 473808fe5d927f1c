"""From untrusted bytes to an upright picture; what decoding costs is bounded before anything is decoded."""

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
        PictureTooLarge: more than `max_pixels`, too long a side, or too much work, told from the headers.
    """
    affordable = require_affordable(data, max_pixels)
    return _upright(_as_stored(data, affordable, reduction), data, affordable)


class Versions:
    """A picture in several sizes, decoded as few times as its kind allows: a JPEG of one scan anew for each size, which
    costs little; everything else once, as it was sent.

    Its headers are checked as it is first asked for anything: all raise what `decode` raises.
    """

    def __init__(self, data: bytes, max_pixels: int) -> None:
        self._data, self._max_pixels = data, max_pixels
        self._whole: Image | None = None
        self._sound = False

    @cached_property
    def _affordable(self) -> Affordable:
        return require_affordable(self._data, self._max_pixels)

    @property
    def longer_side(self) -> int:
        """Of the picture as sent, in pixels."""
        return max(self._affordable.header.width, self._affordable.header.height)

    @property
    def pixels(self) -> int:
        """Of the picture as sent."""
        return self._affordable.header.pixels

    def fitting_reduction(self, least_side: int) -> int:
        """The largest reduction that leaves the picture's longer side at least `least_side` pixels; 1 for none."""
        if self._affordable.header.kind is not Kind.JPEG:
            return 1
        return next((reduction for reduction in REDUCTIONS if self.longer_side // reduction >= least_side), 1)

    def version(self, reduction: int = 1) -> Image:
        """The picture as `decode` gives it. A JPEG of several scans is shrunk by averaging.

        Raises:
            PictureRefused: as `decode`.
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
        """The picture as a JPEG file: as it came if it is one, else encoded anew.

        Raises:
            PictureRefused: as `decode`.
        """
        if self._affordable.header.kind is not Kind.JPEG:
            return encode_jpeg(self.version())
        if not self._sound:
            self.version(REDUCTIONS[0])
        return self._data


def fitting_reduction(data: bytes, max_pixels: int, least_side: int) -> int:
    """The largest reduction that leaves the picture's longer side at least `least_side` pixels; 1 for none.

    Raises:
        PictureRefused: as `decode`, as far as the headers tell.
    """
    return Versions(data, max_pixels).fitting_reduction(least_side)


def as_jpeg(data: bytes, max_pixels: int) -> bytes:
    """The picture as a JPEG file: as it came if it is one, else encoded anew.

    Raises:
        PictureRefused: as `decode`.
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
    # OpenCV's types promise a picture; for a damaged one it is None all the same.
    if not isinstance(image, np.ndarray):
        raise PictureUnreadable
    return np.asarray(image, np.uint8)
