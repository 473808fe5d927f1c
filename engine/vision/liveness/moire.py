"""Moire: the beat between a screen's pixel grid and the camera's, as a narrow peak in the spectrum of a face.

Skin, hair and beards have broad spectra; a grid puts its power into single frequencies, the same all over the face. So
the logarithms of the spectra of many tiles are averaged (what one tile alone has, a collar or a strand of hair, counts
little) and the mean is compared with its own surroundings. Measured on the picture's own pixels: shrinking would blur
the grid away.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.vision.ports import Box, Image

_TILE = 64
"""Pixels; the smallest face that is served has about this side."""

_MOST_TILES = 8
"""Per direction; more change nothing."""

_REACH = 1.2
"""How much of the face's surroundings is looked at; beyond are clothes, which may have a pattern."""

_LOWEST = 0.12
"""Cycles per pixel; below, a face itself has structure."""

_AROUND = 13
"""Side of the surroundings in the spectrum that a peak is held against, in bins."""

_FLOOR = 30.0
"""Added to the power of every bin (a tile of one grey value has none): about the rounding noise of 8 bits."""

_STEPS_PER_NAT = 12.0
"""The median is taken on 256 steps; a spectrum spans at most some 20 nats."""

_DB_PER_NAT = 10.0 / np.log(10.0)
_WINDOW = np.outer(np.hanning(_TILE), np.hanning(_TILE)).astype(np.float32)


def _measurable_bins() -> NDArray[np.bool_]:
    """Not the low frequencies, nor the axes: edges of the picture's own blocks and of frames lie there."""
    bins = np.arange(_TILE) - _TILE // 2
    y, x = np.meshgrid(bins, bins, indexing="ij")
    on_block_grid = ((np.abs(y) == 1) & (x % 8 == 0)) | ((np.abs(x) == 1) & (y % 8 == 0))
    return np.asarray((np.hypot(x, y) >= _LOWEST * _TILE) & (x != 0) & (y != 0) & ~on_block_grid)


_MEASURABLE = _measurable_bins()


def moire_peak(image: Image, box: Box) -> float | None:
    """By how many decibels the strongest periodic pattern on the face stands out; None if the picture is too small."""
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
    """The enlarged side of a box, at least a tile long, kept inside 0..limit."""
    wanted = max(length * _REACH, float(_TILE))
    begin = int(np.clip(start + (length - wanted) / 2, 0, limit - _TILE))
    end = int(np.clip(start + (length + wanted) / 2, begin + _TILE, limit))
    return begin, end


def _mean_log_spectrum(grey: NDArray[np.float32]) -> NDArray[np.float64]:
    """Mean of log power over overlapping tiles, the middle is frequency 0."""
    flat = grey - cv2.GaussianBlur(grey, (0, 0), 4)
    total = np.zeros((_TILE, _TILE))
    places = [(y, x) for y in _starts(grey.shape[0]) for x in _starts(grey.shape[1])]
    for y, x in places:
        power = np.abs(np.fft.fft2(flat[y : y + _TILE, x : x + _TILE] * _WINDOW)) ** 2
        total += np.log(power + _FLOOR)
    return np.fft.fftshift(total / len(places))


def _starts(length: int) -> NDArray[np.int_]:
    """Where tiles begin along a side: half overlapping, evenly spread."""
    spare = length - _TILE
    count = min(_MOST_TILES, 1 + -(-spare // (_TILE // 2)))
    return np.linspace(0, spare, count).astype(np.int_)
