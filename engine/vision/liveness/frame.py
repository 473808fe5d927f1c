"""A frame around a head: four straight edges that close, the lower one running across the body.

A screen or a print that is held up has such a rim; so has a photo pasted into a scene. A door, a window or a picture
behind a person has four sides too, but the person hides most of the lower one: so the lower side must also be there
right below the face.

Lines come from OpenCV's line segment detector (R. Grompone von Gioi et al., LSD: a Line Segment Detector, 2012); how
much of a side is there is told from the colour gradient along it, which sees fainter edges once the line is known.
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
"""Faces are brought to this width first: edges of a held picture stay, the texture of cloth and hair goes."""

_SIDEWAYS, _UP, _DOWN = 3.0, 2.6, 3.4
"""How far is looked from the middle of the face: to the sides in its widths, up and down in its heights."""

_SHORTEST = 0.3
"""Of segments, in face widths."""

_LONGEST = 12
"""Lines kept per direction, through the longest segments; with more the time grows, and nothing else did."""

_CANDIDATES = 7
"""Best covered lines per side that are combined with those of the others."""

_NEAR_PX = 2.5
"""A segment supports a line when its ends are no farther from it."""

_EDGE, _ACROSS = 5.0, 0.9
"""An edge's least slope, in grey values per pixel of any colour, and how exactly it runs along its line (cosine)."""

_STEEPEST, _UNEQUAL = 0.45, 0.25
"""How far a side may lean (tangent, about 24 degrees), and by how much the tangents of opposite sides may differ."""

_ASIDE = 0.08
"""A side is at least so far from the face, in its widths: hair and cheeks have edges of their own."""

_CORNER = 0.06
"""Share of a side next to each corner that is not asked for: corners are round, and a thumb may cover one."""


@dataclass(frozen=True, slots=True)
class _Line:
    """across = slope * along + start; `covered[i]` counts the pixels of 0..i along it that have an edge."""

    slope: float
    start: float
    covered: NDArray[np.int64]

    def at(self, along: float) -> float:
        return self.slope * along + self.start

    def share(self, begin: float, end: float) -> float:
        """The covered share between two places along it; 0 where they lie outside what was looked at."""
        first, last = round(begin), round(end)
        if first < 0 or last >= len(self.covered) or last <= first:
            return 0.0
        return float(self.covered[last] - self.covered[first]) / (last - first)


def frame_closure(image: Image, box: Box) -> float:
    """How far a frame around the head closes, 0..1: the covered share of its weakest side; 0 where there is none."""
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
    """Where they cross: x = upright.slope * y + upright.start, y = flat.slope * x + flat.start."""
    x = (upright.slope * flat.start + upright.start) / (1.0 - upright.slope * flat.slope)
    return x, flat.at(x)


def _inner(begin: float, end: float) -> tuple[float, float]:
    cut = _CORNER * (end - begin)
    return begin + cut, end - cut


def _surroundings(image: Image, box: Box) -> tuple[Image, Box]:
    """The head with what is around it, faces at `_FACE_PX`, and the face's box there."""
    rows, columns = image.shape[:2]
    x, y = box.x + box.width / 2, box.y + box.height / 2
    left, right = max(0, int(x - _SIDEWAYS * box.width)), min(columns, int(x + _SIDEWAYS * box.width) + 1)
    top, bottom = max(0, int(y - _UP * box.height)), min(rows, int(y + _DOWN * box.height) + 1)
    scale = _FACE_PX / box.width
    cut = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    view = resize(cut, max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale)))
    return view, Box((box.x - left) * scale, (box.y - top) * scale, _FACE_PX, box.height * scale)


def _segments(view: Image) -> Segments:
    """Straight segments, n x 4 (x1, y1, x2, y2), those long enough."""
    grey = cv2.cvtColor(np.ascontiguousarray(view), cv2.COLOR_BGR2GRAY)
    # A detector is made for each call: it keeps state and must not be shared between threads.
    found = cv2.createLineSegmentDetector().detect(grey)[0]
    # Where there is none it gives None, whatever its stub says.
    segments = np.asarray([] if found is None else found, np.float64).reshape(-1, 4)
    lengths = np.hypot(segments[:, 2] - segments[:, 0], segments[:, 3] - segments[:, 1])
    return np.asarray(segments[lengths >= _SHORTEST * _FACE_PX])


def _gradient(view: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Grey values per pixel, to the right and downwards, of whichever colour changes most."""
    smooth = cv2.GaussianBlur(view, (0, 0), 0.8).astype(np.float32)
    right, down = (cv2.Scharr(smooth, cv2.CV_32F, dx, 1 - dx, scale=1 / 32) for dx in (1, 0))
    strongest = np.argmax(right**2 + down**2, axis=2)[:, :, np.newaxis]
    return tuple(np.take_along_axis(g, strongest, axis=2)[:, :, 0] for g in (right, down))  # type: ignore[return-value]  # a pair


def _lines(segments: Segments, along: NDArray[np.float32], across: NDArray[np.float32]) -> Sequence[_Line]:
    """Lines through the segments (along, across, along, across) that run mostly along, the best covered first.

    `along` and `across` are the gradient in these directions, indexed [across, along].
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
    """At which places along the line there is an edge that runs with it, within two pixels."""
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
