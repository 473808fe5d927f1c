"""Stand-in networks for tests: deterministic, fast and without weights. They recognise only drawn faces.

A drawn face is a square with a bright ring, which the detector finds also after conversion to grey, JPEG compression
and dimming. Inside the ring are a strip of four grey cells, whose values encode yaw, pitch, roll and liveness, and
below the strip a pattern of grey cells, which encodes the identity. The embedding is that pattern, centred and
normalised, so that lighting cancels out; the embeddings of two seeds are nearly orthogonal.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

import cv2
import numpy as np

from contract.terms import Cover
from engine.vision.ports import Box, Embedding, Face, HeadPose, Image, ModelSet
from engine.vision.tensor import resize
from models.manifest import FmrPoint

GRID = 16
"""Cells per side of the pattern; the cosine of two random patterns is 0 with a standard deviation of 1/16.
"""

DIMENSION = GRID * GRID
THRESHOLD = 0.5

_UNITS = GRID + 8
"""The face's side in cells: the ring takes two cells on each side, the strip two above the pattern; two are free."""
_RING, _STRIP = 2, 2
_INSIDE = _UNITS - 2 * _RING
_PATTERN_LEFT, _PATTERN_TOP = _RING + 2, _RING + _STRIP + 2

_BRIGHT, _DARKEST, _LIGHTEST, _MIDDLE = 255, 20, 170, 95
_BACKGROUND = 110
_DEGREES_PER_GREY = 1.0
_SMALLEST_SIDE = 24
_WORKING_SIDE = 1280


def draw_face(
    seed: int,
    size: int = 120,
    *,
    yaw: float = 0.0,
    pitch: float = 0.0,
    roll: float = 0.0,
    live: bool = True,
    infrared: bool = False,
) -> Image:
    """Return a square image of the drawn face of a seed; angles are in degrees, -70..70.

    `infrared`: the image of another sensor, which is similar to the colour image but no copy (cosine about .8).
    """
    cells = np.full((_UNITS, _UNITS), _BRIGHT, np.uint8)
    cells[_RING:-_RING, _RING:-_RING] = _MIDDLE
    strip = [_MIDDLE + angle / _DEGREES_PER_GREY for angle in (yaw, pitch, roll)] + [_LIGHTEST if live else _DARKEST]
    for index, grey in enumerate(strip):
        left = _RING + index * _INSIDE // 4
        cells[_RING : _RING + _STRIP, left : left + _INSIDE // 4] = round(float(np.clip(grey, _DARKEST, _LIGHTEST)))
    chance = np.random.default_rng(seed)
    pattern = chance.integers(_DARKEST, _LIGHTEST, (GRID, GRID))
    if infrared:
        pattern = (6 * pattern + 4 * chance.integers(_DARKEST, _LIGHTEST, (GRID, GRID))) // 10
    cells[_PATTERN_TOP : _PATTERN_TOP + GRID, _PATTERN_LEFT : _PATTERN_LEFT + GRID] = pattern
    grey_face = cv2.resize(cells, (size, size), interpolation=cv2.INTER_NEAREST)
    return np.ascontiguousarray(np.repeat(grey_face[:, :, np.newaxis], 3, axis=2))


def draw_scene(width: int, height: int, faces: Sequence[tuple[Image, int, int]] = ()) -> Image:
    """Return an image of that size with the faces on a plain gradient; each face has its left and top in pixels."""
    slope = np.linspace(_BACKGROUND - 30, _BACKGROUND + 30, width).astype(np.uint8)
    scene = np.ascontiguousarray(np.broadcast_to(slope[np.newaxis, :, np.newaxis], (height, width, 3)))
    for face, left, top in faces:
        scene[top : top + face.shape[0], left : left + face.shape[1]] = face
    return scene


def stand_in_models(release: int = 1) -> ModelSet:
    """Return the model set of the stand-in networks.

    `release`: another one has another embedder, whose embeddings cannot be compared with those of the first.
    """
    roles = ("detector", "embedder", "liveness", "pose", "age", "sex")
    releases = {"embedder": release}
    return ModelSet(
        detector=detect,
        embedder=StandInEmbedder() if release == 1 else LaterStandInEmbedder(release),
        liveness=live_probability,
        pose=head_pose,
        identities=tuple((role, f"stand-in-{role}-r{releases.get(role, 1)}") for role in roles),
        age=age_years,
        sex=male_probability,
    )


def detect(image: Image) -> Sequence[Face]:
    """Return all drawn faces of the image, the largest first."""
    shrink = min(1.0, _WORKING_SIDE / max(image.shape[:2]))
    small = resize(image, max(1, round(image.shape[1] * shrink)), max(1, round(image.shape[0] * shrink)))
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
    brightest = int(grey.max())
    if brightest - int(grey.min()) < 32:
        return ()
    # The limit is relative to the brightest pixel, so that faces in a dimmed picture are found as well.
    _, bright = cv2.threshold(grey, int(0.87 * brightest), 255, cv2.THRESH_BINARY)
    outlines, _ = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    ring_share = 1.0 - (_INSIDE / _UNITS) ** 2
    faces = []
    for x, y, width, height in map(cv2.boundingRect, outlines):
        if min(width, height) < _SMALLEST_SIDE * shrink or not 0.9 < width / height < 1.1:
            continue
        area = cv2.countNonZero(bright[y : y + height, x : x + width])
        if 0.75 * ring_share < area / (width * height) < 1.3 * ring_share:
            faces.append(_face(Box(x / shrink, y / shrink, width / shrink, height / shrink)))
    return sorted(faces, key=lambda face: (-face.box.area, face.box.x, face.box.y))


class StandInEmbedder:
    """Computes the embedding of a drawn face: its pattern as a unit vector."""

    dimension = DIMENSION
    threshold = THRESHOLD
    fmr_curve: tuple[FmrPoint, ...] = ()
    covered_curves: Mapping[Cover, tuple[FmrPoint, ...]] = MappingProxyType({})

    def __call__(self, image: Image, face: Face) -> Embedding:
        """Return the embedding of a drawn face in the image."""
        pattern = _pattern(image, face).reshape(-1)
        centred = pattern - pattern.mean()
        norm = float(np.linalg.norm(centred))
        if norm < 1e-3:
            centred, norm = np.ones_like(centred), float(np.sqrt(centred.size))
        return Embedding((centred / norm).astype(np.float32), norm)


class LaterStandInEmbedder(StandInEmbedder):
    """A later release of the stand-in embedder, with which embeddings of the first one cannot be compared."""

    def __init__(self, release: int) -> None:
        self._order = np.random.default_rng(release).permutation(DIMENSION)

    def __call__(self, image: Image, face: Face) -> Embedding:
        """Return the embedding of a drawn face in the image: the pattern in another order."""
        found = super().__call__(image, face)
        return replace(found, vector=np.ascontiguousarray(found.vector[self._order]))


def live_probability(image: Image, face: Face) -> float:
    """Return 1 for a face drawn live and 0 for one drawn as a fake; between them only where the picture is spoilt."""
    share = (_strip(image, face.box)[3] - _DARKEST) / (_LIGHTEST - _DARKEST)
    return float(np.clip(2.0 * share - 0.5, 0.0, 1.0))


def head_pose(image: Image, face: Face) -> HeadPose:
    """Return the angles with which the face was drawn, within a few degrees."""
    yaw, pitch, roll = ((value - _MIDDLE) * _DEGREES_PER_GREY for value in _strip(image, face.box)[:3])
    return HeadPose(yaw, pitch, roll)


def age_years(image: Image, face: Face) -> float:
    """Return an age of 10 to 80 years, by the brightness of the pattern's first row."""
    row = _pattern(image, face)[0]
    return float(np.clip(45.0 + 2.0 * (row.mean() - _MIDDLE), 10.0, 80.0))


def male_probability(image: Image, face: Face) -> float:
    """Return 1 where the left half of the pattern is lighter than the right half, 0 where it is darker."""
    left, right = np.hsplit(_pattern(image, face), 2)
    return float(np.clip(0.5 + (left.mean() - right.mean()) / 2.0, 0.0, 1.0))


def _face(box: Box) -> Face:
    places = np.array([[0.35, 0.4], [0.65, 0.4], [0.5, 0.55], [0.38, 0.75], [0.62, 0.75]], np.float32)
    size = np.array([box.width, box.height], np.float32)
    return Face(box, 0.99, places * size + np.array([box.x, box.y], np.float32))


def _cells(image: Image, box: Box) -> np.ndarray:
    """Return the face as cells of mean grey, `_UNITS` x `_UNITS`, scaled so that the ring is 255 in any light."""
    rows, columns = image.shape[:2]
    left, top = max(0, round(box.x)), max(0, round(box.y))
    right, bottom = min(columns, round(box.x + box.width)), min(rows, round(box.y + box.height))
    crop = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    grey = cv2.cvtColor(np.ascontiguousarray(crop), cv2.COLOR_BGR2GRAY)
    cells = cv2.resize(grey, (_UNITS, _UNITS), interpolation=cv2.INTER_AREA).astype(np.float64)
    ring = float(np.median(cells[0]))
    return cells * (_BRIGHT / ring) if ring > 0 else cells


def _pattern(image: Image, face: Face) -> np.ndarray:
    cells = _cells(image, face.box)
    return cells[_PATTERN_TOP : _PATTERN_TOP + GRID, _PATTERN_LEFT : _PATTERN_LEFT + GRID]


def _strip(image: Image, box: Box) -> list[float]:
    strip = _cells(image, box)[_RING : _RING + _STRIP, _RING:-_RING]
    return [float(quarter.mean()) for quarter in np.array_split(strip, 4, axis=1)]
