"""Measures moire, the beat between a screen's pixel grid and the camera's, as a narrow peak in the spectrum of a face.

Skin, hair and beards have broad spectra; a pixel grid has its power at single frequencies, which are the same all over
the face. So the logarithms of the spectra of many tiles are averaged (a collar or a strand of hair in a single tile
counts little), and each frequency of the mean is compared with its neighbours. The picture must have all its pixels,
because shrinking would blur the grid away.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.vision.ports import Box, Image

_TILE = 64
"""The side of a tile in pixels; the smallest face that is served has about this side."""

_MOST_TILES = 8
"""The most tiles per direction; more tiles change nothing."""

_REACH = 1.2
"""The factor by which the face box is enlarged; beyond that lie clothes, which may have a pattern."""

_LOWEST = 0.12
"""The lowest frequency that is measured, in cycles per pixel; below it a face itself has structure."""

_AROUND = 13
"""The side, in bins, of the neighbourhood in the spectrum with whose median a peak is compared."""

_FLOOR = 30.0
"""The power that is added to every bin (a tile of one grey value has none): about the rounding noise of 8 bits."""

_STEPS_PER_NAT = 12.0
"""The resolution of the median, which works on 256 steps; a spectrum spans at most some 20 nats."""

_DB_PER_NAT = 10.0 / np.log(10.0)
_WINDOW = np.outer(np.hanning(_TILE), np.hanning(_TILE)).astype(np.float32)


def _measurable_bins() -> NDArray[np.bool_]:
    """Return a mask of all bins except the low frequencies, and except those where the edges of compression blocks and
    of frames lie: on the axes and beside them."""
    bins = np.arange(_TILE) - _TILE // 2
    y, x = np.meshgrid(bins, bins, indexing="ij")
    on_block_grid = ((np.abs(y) == 1) & (x % 8 == 0)) | ((np.abs(x) == 1) & (y % 8 == 0))
    return np.asarray((np.hypot(x, y) >= _LOWEST * _TILE) & (x != 0) & (y != 0) & ~on_block_grid)


_MEASURABLE = _measurable_bins()


def moire_peak(image: Image, box: Box) -> float | None:
    """Return by how many decibels the strongest periodic pattern on the face exceeds its neighbourhood in the spectrum.

    None: the picture is smaller than a tile.
    """
    grey = _face(image, box)
    if grey is None:
        return None
    spectrum = _mean_log_spectrum(grey)
    steps = np.clip((spectrum - np.log(_FLOOR)) * _STEPS_PER_NAT, 0, 255).astype(np.uint8)
    around = cv2.medianBlur(steps, _AROUND) / _STEPS_PER_NAT + np.log(_FLOOR)
    return max(0.0, float((spectrum - around)[_MEASURABLE].max()) * float(_DB_PER_NAT))


def _face(image: Image, box: Box) -> NDArray[np.float32] | None:
    rows, columns = image.shape[:2]
    if min(rows, columns) < _TILE:
        return None
    (left, right), (top, bottom) = _span(box.x, box.width, columns), _span(box.y, box.height, rows)
    cut = np.ascontiguousarray(image[top:bottom, left:right])
    return cv2.cvtColor(cut, cv2.COLOR_BGR2GRAY).astype(np.float32)


def _span(start: float, length: float, limit: int) -> tuple[int, int]:
    """Return the start and end of a box's enlarged side, at least a tile long and inside 0..limit."""
    wanted = max(length * _REACH, float(_TILE))
    begin = int(np.clip(start + (length - wanted) / 2, 0, limit - _TILE))
    end = int(np.clip(start + (length + wanted) / 2, begin + _TILE, limit))
    return begin, end


def _mean_log_spectrum(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the mean of the log power over overlapping tiles, with frequency 0 in the middle."""
    flat = grey - cv2.GaussianBlur(grey, (0, 0), 4)
    total = np.zeros((_TILE, _TILE))
    places = [(y, x) for y in _starts(grey.shape[0]) for x in _starts(grey.shape[1])]
    for y, x in places:
        power = np.abs(np.fft.fft2(flat[y : y + _TILE, x : x + _TILE] * _WINDOW)) ** 2
        total += np.log(power + _FLOOR)
    return np.fft.fftshift(total / len(places))


def _starts(length: int) -> NDArray[np.int_]:
    """Return the offsets of the tiles along a side: they overlap by about half and are evenly spread."""
    spare = length - _TILE
    count = min(_MOST_TILES, 1 + -(-spare // (_TILE // 2)))
    return np.linspace(0, spare, count).astype(np.int_)
