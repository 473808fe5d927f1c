"""Finds a frame around a head: four straight sides that close, of which the lower one runs across the body.

A screen or a print that somebody holds up has such a frame, and so has a photo pasted into a scene. A door, a window or
a picture behind a person has four sides too, but the person covers most of the lower side: so the lower side must also
be present right below the face.

OpenCV's line segment detector finds the lines (R. Grompone von Gioi et al., LSD: a Line Segment Detector, 2012). How
much of a side is present is measured by the colour gradient along its line, which also shows edges that are too faint
for the detector.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.vision.ports import Box, Image
from engine.vision.tensor import resize

Segments = NDArray[np.float64]

_FACE_PX = 72.0
"""The width in pixels to which faces are scaled first: it keeps the edges of a picture and removes the texture of cloth
and hair."""

_SIDEWAYS, _UP, _DOWN = 3.0, 2.6, 3.4
"""The distances from the middle of the face up to which a frame is searched for: to the sides in widths of the face, up
and down in heights of the face."""

_SHORTEST = 0.3
"""The least length of a segment, in face widths."""

_LONGEST = 12
"""The most lines per direction, through the longest segments; more lines took more time and found no more frames."""

_CANDIDATES = 7
"""The number of best covered lines of each side that are combined with the lines of the other sides."""

_NEAR_PX = 2.5
"""The greatest distance in pixels between a line and the ends of a segment that belongs to the line."""

_EDGE, _ACROSS = 5.0, 0.9
"""The least gradient of an edge, in grey values per pixel of any colour, and the least cosine between the gradient and
the line's normal."""

_STEEPEST, _UNEQUAL = 0.45, 0.25
"""The greatest inclination of a side (a tangent, about 24 degrees), and the greatest difference between the tangents of
opposite sides."""

_ASIDE = 0.08
"""The least distance of a side from the face, in face widths: hair and cheeks have edges of their own."""

_CORNER = 0.06
"""The share of a side next to each corner that need not be present: corners are round, and a thumb may cover one."""


@dataclass(frozen=True, slots=True)
class _Line:
    """The line across = slope * along + start; `covered[i]` is the number of pixels 0..i along it that have an edge."""

    slope: float
    start: float
    covered: NDArray[np.int64]

    def at(self, along: float) -> float:
        return self.slope * along + self.start

    def share(self, begin: float, end: float) -> float:
        """Return the covered share between two places along the line; 0 where a place lies outside the image."""
        first, last = round(begin), round(end)
        if first < 0 or last >= len(self.covered) or last <= first:
            return 0.0
        return float(self.covered[last] - self.covered[first]) / (last - first)


def frame_closure(image: Image, box: Box) -> float:
    """Return the covered share, 0..1, of the weakest side of the best frame around the head; 0 without a frame."""
    if box.shorter_side < 1:
        return 0.0
    view, face = _surroundings(image, box)
    level = _segments(view)
    across, down = _gradient(view)
    middle_x, middle_y = face.x + face.width / 2, face.y + face.height / 2
    flat, upright = _lines(level, across, down), _lines(level[:, [1, 0, 3, 2]], down.T, across.T)
    aside = _ASIDE * face.width
    sides = (
        [line for line in upright if line.at(middle_y) < face.x - aside],
        [line for line in upright if line.at(middle_y) > face.x + face.width + aside],
        [line for line in flat if line.at(middle_x) < face.y + 0.1 * face.height],
        [line for line in flat if line.at(middle_x) > face.y + 0.95 * face.height],
    )
    quads = product(*(side[:_CANDIDATES] for side in sides))
    return max((_closure(left, right, top, bottom, face) for left, right, top, bottom in quads), default=0.0)


def _closure(left: _Line, right: _Line, top: _Line, bottom: _Line, face: Box) -> float:
    if abs(left.slope - right.slope) > _UNEQUAL or abs(top.slope - bottom.slope) > _UNEQUAL:
        return 0.0
    (x1, y1), (x2, y2) = _corner(left, top), _corner(right, top)
    (x3, y3), (x4, y4) = _corner(right, bottom), _corner(left, bottom)
    return min(
        left.share(*_inner(y1, y4)),
        right.share(*_inner(y2, y3)),
        top.share(*_inner(x1, x2)),
        bottom.share(*_inner(x4, x3)),
        bottom.share(face.x, face.x + face.width),
    )


def _corner(upright: _Line, flat: _Line) -> tuple[float, float]:
    """Return the point (x, y) where x = upright.slope * y + upright.start and y = flat.slope * x + flat.start."""
    x = (upright.slope * flat.start + upright.start) / (1.0 - upright.slope * flat.slope)
    return x, flat.at(x)


def _inner(begin: float, end: float) -> tuple[float, float]:
    cut = _CORNER * (end - begin)
    return begin + cut, end - cut


def _surroundings(image: Image, box: Box) -> tuple[Image, Box]:
    """Return the head with its surroundings, scaled so that the face is `_FACE_PX` wide, and the face's box in it."""
    rows, columns = image.shape[:2]
    x, y = box.x + box.width / 2, box.y + box.height / 2
    left, right = max(0, int(x - _SIDEWAYS * box.width)), min(columns, int(x + _SIDEWAYS * box.width) + 1)
    top, bottom = max(0, int(y - _UP * box.height)), min(rows, int(y + _DOWN * box.height) + 1)
    scale = _FACE_PX / box.width
    cut = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    view = resize(cut, max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
    return view, Box((box.x - left) * scale, (box.y - top) * scale, _FACE_PX, box.height * scale)


def _segments(view: Image) -> Segments:
    """Return the straight segments that are long enough, n x 4 (x1, y1, x2, y2)."""
    grey = cv2.cvtColor(np.ascontiguousarray(view), cv2.COLOR_BGR2GRAY)
    # Each call creates a detector, because a detector has state and must not be shared between threads.
    found = cv2.createLineSegmentDetector().detect(grey)[0]
    # Where the image has no segment the result is None, although the type stub excludes None.
    segments = np.asarray([] if found is None else found, np.float64).reshape(-1, 4)
    lengths = np.hypot(segments[:, 2] - segments[:, 0], segments[:, 3] - segments[:, 1])
    return np.asarray(segments[lengths >= _SHORTEST * _FACE_PX])


def _gradient(view: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the gradient of the colour that changes most, in grey values per pixel, to the right and downwards."""
    smooth = cv2.GaussianBlur(view, (0, 0), 0.8).astype(np.float32)
    right, down = (cv2.Scharr(smooth, cv2.CV_32F, dx, 1 - dx, scale=1 / 32) for dx in (1, 0))
    strongest = np.argmax(right**2 + down**2, axis=2)[:, :, np.newaxis]
    return tuple(np.take_along_axis(g, strongest, axis=2)[:, :, 0] for g in (right, down))  # type: ignore[return-value]  # a pair


def _lines(segments: Segments, along: NDArray[np.float32], across: NDArray[np.float32]) -> Sequence[_Line]:
    """Return lines through those segments (along, across, along, across) that run mostly along, the best covered first.

    `along` and `across` are the components of the gradient in these directions, indexed [across, along].
    """
    steep = np.abs(segments[:, 3] - segments[:, 1]) > _STEEPEST * np.abs(segments[:, 2] - segments[:, 0])
    left = segments[~steep]
    left = left[np.argsort(-np.abs(left[:, 2] - left[:, 0]), kind="stable")]
    lines: list[_Line] = []
    while len(left) and len(lines) < _LONGEST:
        a1, c1, a2, c2 = left[0]
        slope = float((c2 - c1) / (a2 - a1))
        start = float(c1 - slope * a1)
        far = np.abs(left[:, [1, 3]] - (slope * left[:, [0, 2]] + start)).max(axis=1) > _NEAR_PX
        left = left[far]
        lines.append(_Line(slope, start, np.cumsum(_edges(slope, start, along, across))))
    return sorted(lines, key=lambda line: -int(line.covered[-1]))


def _edges(slope: float, start: float, along: NDArray[np.float32], across: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return, for each place along the line, whether an edge parallel to the line lies within two pixels."""
    rows, columns = along.shape
    place = np.arange(columns)
    found = np.zeros(columns, np.bool_)
    for aside in (-1.5, -0.75, 0.0, 0.75, 1.5):
        row = np.rint(slope * place + start + aside).astype(np.intp)
        inside = (row >= 0) & (row < rows)
        row = np.clip(row, 0, rows - 1)
        g_along, g_across = along[row, place], across[row, place]
        normal = np.abs(g_across - slope * g_along) / np.hypot(1.0, slope)
        found |= inside & (normal > _EDGE) & (normal > _ACROSS * np.hypot(g_along, g_across))
    return found
