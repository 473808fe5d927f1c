"""Infrared pictures for colour ones, made by arithmetic: a plausible live one, and attacks. Nobody had a real one.

What is known of near infrared (some 850 nm, a lamp beside the lens) is put in: the room's light is gone and the lamp's
shades the head, lips lose contrast, irises turn bright, clothes lose their pattern, what is behind the person stays
dark, and the second lens sees the head from a little aside. How far that is from a real sensor's picture is not known.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.attacks import Chance, recompressed
from engine.vision.ports import Face, Image

Plane = NDArray[np.float32]

InfraredMaker = Callable[[Image, Face, int], Image]
"""(a live colour photo, its face, seed) -> the infrared picture."""


def simulated_infrared(photo: Image, face: Face, seed: int) -> Image:
    """What an infrared camera beside the colour camera might see of a live person."""
    chance = np.random.default_rng(seed)
    rows, columns = photo.shape[:2]
    size, middle = face.box.shorter_side, (face.box.x + face.box.width / 2, face.box.y + face.box.height / 2)
    depth = _depth((rows, columns), face)
    red = photo.astype(np.float32) @ np.array([0.05, 0.2, 0.75], np.float32) / 255.0
    # The light of the room goes ...
    flat = red / np.maximum(cv2.GaussianBlur(red, (0, 0), 0.25 * size), 0.05) ** 0.6
    skin = 0.3 + 0.5 * _lips_and_eyes(np.clip(flat, 0, 1.5), face, chance)
    cloth = 0.3 + 0.2 * cv2.GaussianBlur(flat, (0, 0), max(1.0, 0.05 * size))
    head = _blob((rows, columns), *middle, 0.8 * face.box.width, 0.8 * face.box.height)
    # ... and that of the lamp comes: surfaces that face it are bright, what is far from it is dark.
    lamp = 0.3 + 0.7 * _blob((rows, columns), *middle, 2.5 * size, 3.0 * size)
    seen = (skin * head + cloth * (1 - head)) * lamp * _shading(depth, chance)
    moved = _from_aside(seen, depth, face, chance)
    soft = cv2.GaussianBlur(moved, (0, 0), max(0.5, 0.006 * size)) * 255.0
    return _grey_picture(soft + chance.normal(0, 4, (rows, columns)), int(chance.integers(80, 95)))


def _depth(shape: tuple[int, int], face: Face) -> Plane:
    """How far each place stands out towards the camera, in pixels: an egg for the head, a bump for the nose."""
    rows, columns = shape
    box, nose = face.box, face.landmarks[2]
    down, right = np.mgrid[:rows, :columns].astype(np.float32)
    x, y = box.x + box.width / 2, box.y + box.height / 2
    egg = 1 - ((right - x) / (0.75 * box.width)) ** 2 - ((down - y) / (0.8 * box.height)) ** 2
    bump = _blob(shape, float(nose[0]), float(nose[1]) - 0.05 * box.height, 0.12 * box.width, 0.14 * box.height)
    stands_out = 0.5 * np.sqrt(np.maximum(egg, 0)) + 0.08 * bump
    return np.asarray(cv2.GaussianBlur(stands_out * box.width, (0, 0), max(1.0, 0.06 * box.width)), np.float32)


def _shading(depth: Plane, chance: Chance) -> Plane:
    """Half lamp from beside the lens (the cosine to the surface, Lambert), half light that comes back from the room."""
    right, down = (cv2.Sobel(depth, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    lamp = np.array([chance.uniform(-0.25, 0.25), chance.uniform(-0.25, 0.25), 1.0])
    towards = (lamp[2] - lamp[0] * right - lamp[1] * down) / np.sqrt(1 + right**2 + down**2) / np.linalg.norm(lamp)
    return np.asarray(0.5 + 0.5 * np.clip(towards, 0, 1), np.float32)


def _lips_and_eyes(skin: Plane, face: Face, chance: Chance) -> Plane:
    """Lips nearly vanish, irises are bright."""
    size = face.box.shorter_side
    for x, y in face.landmarks[:2]:
        skin = skin + _blob(skin.shape[:2], float(x), float(y), 0.04 * size, 0.035 * size) * chance.uniform(0.1, 0.4)
    x, y = (face.landmarks[3] + face.landmarks[4]) / 2
    lips = 0.7 * _blob(skin.shape[:2], float(x), float(y), 0.2 * size, 0.08 * size)
    return np.asarray(skin * (1 - lips) + lips * cv2.GaussianBlur(skin, (0, 0), max(1.0, 0.08 * size)), np.float32)


def _from_aside(seen: Plane, depth: Plane, face: Face, chance: Chance) -> Plane:
    """As a second lens, a few centimetres aside, sees it: what stands out moves against what does not."""
    rows, columns = seen.shape[:2]
    size = face.box.shorter_side
    middle = face.box.x + face.box.width / 2, face.box.y + face.box.height / 2
    matrix = cv2.getRotationMatrix2D(middle, chance.uniform(-1.5, 1.5), chance.uniform(0.95, 1.05))
    matrix[:, 2] = matrix[:, 2] + chance.uniform(-0.12, 0.12, 2) * size
    down, right = np.mgrid[:rows, :columns].astype(np.float32)
    parallax = depth * np.float32(chance.choice([-1, 1]) * chance.uniform(0.05, 0.1))
    stereo = cv2.remap(seen, right + parallax, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    moved = cv2.warpAffine(stereo, matrix, (columns, rows), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def dark_screen(photo: Image, face: Face, seed: int) -> Image:
    """A screen is dark in the infrared: its rim and some noise, no face."""
    chance = np.random.default_rng(seed)
    rows, columns = photo.shape[:2]
    grey = np.full((rows, columns), 70.0)
    box = face.box
    left, top = int(box.x - 0.4 * box.width), int(box.y - 0.4 * box.height)
    right, bottom = int(box.x + 1.4 * box.width), int(box.y + 1.5 * box.height)
    cv2.rectangle(grey, (left, top), (right, bottom), 18.0, -1)
    return _grey_picture(grey + chance.normal(0, 4, (rows, columns)), 88)


def colour_copy(photo: Image, face: Face, seed: int) -> Image:
    """The colour picture sent twice."""
    return photo.copy()


def grey_copy(photo: Image, face: Face, seed: int) -> Image:
    """The colour picture without its colours."""
    return np.asarray(cv2.cvtColor(cv2.cvtColor(photo, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)


def disguised_copy(photo: Image, face: Face, seed: int) -> Image:
    """A grey copy made to look like another picture: one channel, tone curve, size, shift, blur, noise, compression."""
    chance = np.random.default_rng(seed)
    rows, columns = photo.shape[:2]
    weights = chance.dirichlet([1.0, 1.0, 2.0])
    grey = photo.astype(np.float64) @ weights / 255.0
    toned = (chance.uniform(0, 0.15) + chance.uniform(0.7, 0.95) * grey) ** chance.uniform(0.6, 1.6)
    size = face.box.shorter_side
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), chance.uniform(-2, 2), chance.uniform(0.95, 1.05))
    matrix[:, 2] = matrix[:, 2] + chance.uniform(-0.08, 0.08, 2) * size
    moved = cv2.warpAffine(toned, matrix, (columns, rows), borderMode=cv2.BORDER_REPLICATE)
    blurred = cv2.GaussianBlur(moved, (0, 0), max(0.3, 0.01 * size * chance.uniform(0.2, 1))) * 255.0
    noisy = blurred + chance.normal(0, chance.uniform(0, 3), (rows, columns))
    smaller = chance.uniform(0.6, 1.0)
    sent = cv2.resize(noisy, None, fx=smaller, fy=smaller, interpolation=cv2.INTER_AREA)
    return _grey_picture(np.asarray(sent, np.float32), int(chance.integers(55, 95)))


INFRARED_ATTACKS: Mapping[str, InfraredMaker] = {
    "ir_no_face": dark_screen,
    "ir_colour": colour_copy,
    "ir_grey": grey_copy,
    "ir_disguised": disguised_copy,
}
"""Attacks that need no second person; `ir_other` (somebody else's simulated infrared picture) is made by the caller."""


def _blob(shape: tuple[int, int], x: float, y: float, wide: float, tall: float) -> NDArray[np.float32]:
    """1 in the middle, falling smoothly to 0; an ellipse of those half axes."""
    rows, columns = shape
    down, right = np.mgrid[:rows, :columns].astype(np.float32)
    distance = ((right - x) / wide) ** 2 + ((down - y) / tall) ** 2
    return np.asarray(np.exp(-(distance**2)), np.float32)


def _grey_picture(grey: NDArray[np.floating], quality: int) -> Image:
    levels = np.clip(grey, 0, 255).astype(np.uint8)
    return recompressed(np.repeat(levels[:, :, np.newaxis], 3, axis=2), quality)
