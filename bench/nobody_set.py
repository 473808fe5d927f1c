"""The pictures of `bench.nobody`: made-up places without people, and faces of photos put into them.

A face is put into a place at a chosen size, turn and cut, with a soft border around it, so that the detector sees no
edge of a photo. Equal seeds give equal pictures.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.vision.ports import Box, Detector, Face, Image

Place = Literal["wall", "corridor", "clouds", "leaves", "bricks", "discs", "text", "night", "noise"]
PLACES: tuple[Place, ...] = ("wall", "corridor", "clouds", "leaves", "bricks", "discs", "text", "night", "noise")
"""The made-up places; `discs` has dozens of drawn faces, each a disc with two eyes and a mouth."""

Edge = Literal["left", "right", "top", "bottom"]
EDGES: tuple[Edge, ...] = ("left", "right", "top", "bottom")

_LEAST_BACKGROUND = (200, 150)
"""The least width and height, in pixels, of a part of a photo that serves as a place."""

Chance = np.random.Generator
_Pixels = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Condition:
    """How a face lies in its picture.

    `size`: width and height of the picture. `height`: of the face box, in pixels. `degrees`: by how far the face is
    turned counterclockwise, in its place. `cut`: the share of the face box beyond one edge of the picture. `light`: the
    factor of all grey values; below 1, the noise of a sensor in the dark is added.
    """

    size: tuple[int, int]
    height: int
    degrees: int = 0
    cut: float = 0.0
    light: float = 1.0


def make_place(kind: Place, width: int, height: int, chance: Chance) -> Image:
    """Return a made-up picture of a place without people, with the noise of a sensor."""
    if kind == "night":
        dark = 0.06 * make_place("corridor", width, height, chance) + chance.normal(12, 7, (height, width, 3))
        return _as_image(dark)
    canvas = _DRAWN[kind](width, height, chance)
    return _as_image(canvas.astype(np.float32) + chance.normal(0, 3, (height, width, 3)).astype(np.float32))


def parts_without_faces(photo: Image, faces: Sequence[Face], detector: Detector) -> list[Image]:
    """Return the parts of a photo beside, above and below its faces, without those in which a face is found."""
    if not faces:
        return []
    rows, columns = photo.shape[:2]
    boxes = [face.box for face in faces]
    left = int(min(box.x - 0.45 * box.width for box in boxes))
    right = int(max(box.x + 1.45 * box.width for box in boxes))
    top = int(min(box.y - 0.6 * box.height for box in boxes))
    bottom = int(max(box.y + 1.25 * box.height for box in boxes))
    found = []
    for x0, y0, x1, y1 in (
        (0, 0, left, rows),
        (right, 0, columns, rows),
        (0, bottom, columns, rows),
        (0, 0, columns, top),
    ):
        if x1 - x0 >= _LEAST_BACKGROUND[0] and y1 - y0 >= _LEAST_BACKGROUND[1]:
            part = np.ascontiguousarray(photo[max(0, y0) : y1, max(0, x0) : x1])
            if not detector(part):
                found.append(part)
    return found


def fitted(part: Image, width: int, height: int, chance: Chance) -> Image:
    """Return a part of a photo at that size, cut to its proportions at a place of chance."""
    rows, columns = part.shape[:2]
    if columns * height > rows * width:
        kept = max(1, rows * width // height)
        left = int(chance.integers(0, columns - kept + 1))
        part = part[:, left : left + kept]
    else:
        kept = max(1, columns * height // width)
        top = int(chance.integers(0, rows - kept + 1))
        part = part[top : top + kept]
    kind = cv2.INTER_AREA if part.shape[1] > width else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (width, height), interpolation=kind), np.uint8)


def put_face(place: Image, photo: Image, box: Box, condition: Condition, chance: Chance) -> tuple[Image, Box]:
    """Return the place with the face of a photo in it, and the box in which the face then lies, untouched by its turn.

    An uncut face lies anywhere in the inner half of the place; a cut one at an edge of chance.
    """
    width, height = condition.size
    scale = condition.height / box.height
    face_width = box.width * scale
    x, y = chance.uniform(0.25, 0.75) * width, chance.uniform(0.25, 0.75) * height
    if condition.cut:
        inside = 0.5 - condition.cut
        match EDGES[int(chance.integers(len(EDGES)))]:
            case "left":
                x = inside * face_width
            case "right":
                x = width - inside * face_width
            case "top":
                y = inside * condition.height
            case "bottom":
                y = height - inside * condition.height
    view = _blended(place, photo, box, scale, condition.degrees, (x, y))
    if condition.light != 1.0:
        view = condition.light * view + chance.normal(8, 6, view.shape).astype(np.float32)
    where = Box(x - face_width / 2, y - condition.height / 2, face_width, float(condition.height))
    return _as_image(view), where


def close_crop(photo: Image, box: Box, share: float, height: int) -> Image:
    """Return the middle of a face alone, enlarged to `height` rows: `share` of the box's width and height."""
    x, y = box.x + box.width / 2, box.y + box.height / 2
    half_width, half_height = box.width * share / 2, box.height * share / 2
    part = photo[max(0, int(y - half_height)) : int(y + half_height), max(0, int(x - half_width)) : int(x + half_width)]
    width = max(1, part.shape[1] * height // part.shape[0])
    return np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def _blended(
    place: Image, photo: Image, box: Box, scale: float, degrees: float, middle: tuple[float, float]
) -> _Pixels:
    shrink = min(1.0, scale)
    small = cv2.resize(photo, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) if shrink < 1 else photo
    across, down = small.shape[1] / photo.shape[1], small.shape[0] / photo.shape[0]
    x, y = (box.x + box.width / 2) * across, (box.y + box.height / 2) * down
    radius_x = min(1.35 * box.width * across, 0.92 * min(x, small.shape[1] - x))
    radius_y = min(1.35 * box.height * down, 0.92 * min(y, small.shape[0] - y))
    ys, xs = np.mgrid[: small.shape[0], : small.shape[1]]
    distance = np.hypot((xs + 0.5 - x) / max(radius_x, 1.0), (ys + 0.5 - y) / max(radius_y, 1.0))
    mask = np.clip((1 - distance) / 0.18, 0, 1).astype(np.float32)
    matrix = cv2.getRotationMatrix2D((x, y), degrees, scale / shrink)
    matrix[:, 2] += np.array(middle) - (x, y)
    size = place.shape[1], place.shape[0]
    person = cv2.warpAffine(small.astype(np.float32), matrix, size)
    weight = cv2.warpAffine(mask, matrix, size)[:, :, np.newaxis]
    return np.asarray(place * (1 - weight) + person * weight, np.float32)


def _as_image(pixels: NDArray[np.floating]) -> Image:
    return np.asarray(np.clip(pixels, 0, 255), np.uint8)


def _colour(chance: Chance, low: int, high: int) -> tuple[float, float, float]:
    blue, green, red = chance.integers(low, high, 3).tolist()
    return float(blue), float(green), float(red)


def _point(chance: Chance, width: int, height: int) -> tuple[int, int]:
    return int(chance.integers(0, width)), int(chance.integers(0, height))


def _plain(width: int, height: int, grey: float) -> Image:
    return np.full((height, width, 3), grey, np.uint8)


def _wall(width: int, height: int, chance: Chance) -> Image:
    slope = np.linspace(-20, 20, width) + chance.integers(60, 200)
    return _as_image(np.broadcast_to(slope[np.newaxis, :, np.newaxis], (height, width, 3)))


def _corridor(width: int, height: int, chance: Chance) -> Image:
    canvas = _plain(width, height, float(chance.integers(120, 190)))
    x, y = width * chance.uniform(0.4, 0.6), height * chance.uniform(0.35, 0.5)
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height)], float)
    far = (x, y) + 0.18 * (corners - (x, y))
    for first, second in ((0, 1), (1, 2), (2, 3), (3, 0)):
        side = np.array([corners[first], corners[second], far[second], far[first]], np.int32)
        cv2.fillPoly(canvas, [side], _colour(chance, 60, 220))
    for share in np.linspace(0.25, 0.9, 6):
        low, high = ((x, y) + share * (corners[corner] - (x, y)) for corner in (0, 2))
        start, end = (int(low[0]), int(low[1])), (int(high[0]), int(high[1]))
        cv2.rectangle(canvas, start, end, _colour(chance, 40, 240), max(1, height // 240))
    for _ in range(6):
        left, top = _point(chance, width, height)
        cv2.rectangle(canvas, (left, top), (left + width // 12, top + height // 5), _colour(chance, 30, 230), -1)
        cv2.circle(canvas, (left + width // 14, top + height // 10), max(2, height // 100), _colour(chance, 0, 255), -1)
    return canvas


def _clouds(width: int, height: int, chance: Chance) -> Image:
    """Noise with as much of it in each octave, as the structure of natural pictures has."""
    grey = np.zeros((height, width), np.float32)
    for cells in (3, 6, 12, 24, 48, 96, 192):
        coarse = chance.normal(0, 1, (cells, cells * width // height + 1)).astype(np.float32)
        grey += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return _as_image(np.repeat(120 + 15 * grey[:, :, np.newaxis], 3, axis=2))


def _leaves(width: int, height: int, chance: Chance) -> Image:
    canvas = _plain(width, height, 60)
    for _ in range(700):
        colour = float(chance.integers(20, 90)), float(chance.integers(60, 200)), float(chance.integers(20, 120))
        length = int(height * chance.uniform(0.008, 0.04)) + 1
        tilt = float(chance.uniform(0, 180))
        cv2.ellipse(canvas, _point(chance, width, height), (length, length // 2 + 1), tilt, 0, 360, colour, -1)
    return canvas


def _bricks(width: int, height: int, chance: Chance) -> Image:
    canvas = _plain(width, height, 170)
    tall = max(8, height // 20)
    wide = 3 * tall
    for row in range(height // tall + 1):
        for column in range(-1, width // wide + 1):
            left, top = column * wide + (row % 2) * wide // 2, row * tall
            blue, green, red = (float(chance.integers(-20, 20)) + base for base in (60, 70, 150))
            cv2.rectangle(canvas, (left + 2, top + 2), (left + wide - 2, top + tall - 2), (blue, green, red), -1)
    return canvas


def _discs(width: int, height: int, chance: Chance) -> Image:
    canvas = _plain(width, height, 200)
    for _ in range(60):
        radius = int(height * chance.uniform(0.01, 0.08))
        x, y = _point(chance, width, height)
        cv2.circle(canvas, (x, y), radius, _colour(chance, 60, 230), -1)
        for across, down in ((-0.35, -0.2), (0.35, -0.2), (0.0, 0.4)):
            spot = int(x + across * radius), int(y + down * radius)
            cv2.circle(canvas, spot, max(1, radius // 6), (30, 30, 30), -1)
    return canvas


def _text(width: int, height: int, chance: Chance) -> Image:
    canvas = _plain(width, height, 235)
    scale = height / 600
    for y in range(int(20 * scale), height, int(28 * scale) + 1):
        line = "".join(chr(code) for code in chance.integers(48, 122, 90))
        cv2.putText(canvas, line, (5, y), cv2.FONT_HERSHEY_SIMPLEX, 0.8 * scale, (20, 20, 20), max(1, int(2 * scale)))
    return canvas


def _noise(width: int, height: int, chance: Chance) -> Image:
    return _as_image(chance.normal(110, 50, (height, width, 3)))


_DRAWN = {
    "wall": _wall,
    "corridor": _corridor,
    "clouds": _clouds,
    "leaves": _leaves,
    "bricks": _bricks,
    "discs": _discs,
    "text": _text,
    "noise": _noise,
}
