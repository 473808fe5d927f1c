"""Made-up photos of any size with one real face in them: the sample portrait, placed and scaled, on its own background;
and of the background alone.

Sensor noise is added, because a smooth picture compresses and decodes as no photo does.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.ports import Face, Image

FACE_SHARE = 0.25
"""The face box's share of the picture's height: a person two steps before a gate's camera."""

_NOISE_GREYS = 3.0
_BACKGROUND_FROM = 0.45
"""Below this share of the sample portrait's height there is no face."""


def scenes(portrait: Image, face: Face, width: int, height: int, count: int) -> list[bytes]:
    """`count` different JPEGs of that size, each with the portrait's face; the same every time."""
    chance = np.random.default_rng(7)
    scale = height * FACE_SHARE / face.box.height
    kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    person = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=kind)
    background, noise = _background(portrait, width, height), _noise(chance, width, height)
    made = []
    for _ in range(count):
        view = background.copy()
        left = round(width * chance.uniform(0.45, 0.55) - (face.box.x + face.box.width / 2) * scale)
        top = round(height * chance.uniform(0.40, 0.50) - (face.box.y + face.box.height / 2) * scale)
        _paste(view, np.asarray(person, np.uint8), left, top)
        made.append(_taken(view, noise, chance))
    return made


def empty_scenes(portrait: Image, width: int, height: int, count: int) -> list[bytes]:
    """`count` different JPEGs of that size with the background alone: nobody stands before the camera."""
    chance = np.random.default_rng(11)
    background, noise = _background(portrait, width, height), _noise(chance, width, height)
    return [_taken(background, noise, chance) for _ in range(count)]


def _background(portrait: Image, width: int, height: int) -> Image:
    behind = portrait[round(portrait.shape[0] * _BACKGROUND_FROM) :]
    return np.asarray(cv2.resize(behind, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _noise(chance: np.random.Generator, width: int, height: int) -> NDArray[np.int16]:
    return chance.normal(0, _NOISE_GREYS, (height, width, 3)).astype(np.int16)


def _taken(view: Image, noise: NDArray[np.int16], chance: np.random.Generator) -> bytes:
    # Rolled, so that no two pictures have the same noise and none costs a fresh draw of millions of numbers.
    grain = np.roll(noise, tuple(chance.integers(0, 97, 2)), (0, 1))
    return encode_jpeg(np.clip(view + grain, 0, 255).astype(np.uint8))


def _paste(view: Image, person: Image, left: int, top: int) -> None:
    x, y = max(0, left), max(0, top)
    right, bottom = min(view.shape[1], left + person.shape[1]), min(view.shape[0], top + person.shape[0])
    view[y:bottom, x:right] = person[y - top : bottom - top, x - left : right - left]
