"""Presentation attacks made from a live photo, as far as arithmetic can make them; a seed gives one picture.

They stand in for what nobody could photograph here: a flat copy of a face, held up before a camera. What a maker does
not model (real inks, real displays, real lenses) it does not test. Kinds, by the names of `COLOUR_ATTACKS`:

    paste     the photo pasted into another scene, sharp and without any border
    print     a print on paper with a white margin: tilted, less contrast, a colour cast, a little blurred
    screen    a screen with a dark bezel: tilted, its pixel grid seen by the camera's, with glare
    moire     a screen that fills the picture: the pixel grid alone
    closeup   a print that fills the picture: no edge, no grid; recapture alone

Infrared pictures are in bench.infrared_attacks.
"""

from collections.abc import Callable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.ports import Box, Image
from engine.vision.tensor import crop_around, resize

Chance = np.random.Generator
Maker = Callable[[Image, Box, int], Image]
"""(a live photo, the box of its face, seed) -> the picture of the attack."""

CAMERA = (640, 480)
"""Width and height of the pictures that are made."""

_GAMMA = 2.2
"""Light is mixed as light, not as the numbers of a picture."""


def pasted(photo: Image, box: Box, seed: int) -> Image:
    """The photo, cut around the head, in another scene; no trace of a recapture."""
    chance = np.random.default_rng(seed)
    return _placed(_around_head(photo, box, chance), _scene(chance), chance, chance.uniform(0, 0.08))[0]


def printed(photo: Image, box: Box, seed: int) -> Image:
    """A print on white paper, held before the camera."""
    chance = np.random.default_rng(seed)
    sheet = _around_head(photo, box, chance)
    paper = _rimmed(_ink(sheet), chance.uniform(0.03, 0.08), 238)
    return recaptured(_placed(paper, _scene(chance), chance, chance.uniform(0, 0.15))[0], chance)


def screen(photo: Image, box: Box, seed: int) -> Image:
    """A phone or tablet, held before the camera."""
    chance = np.random.default_rng(seed)
    device = _rimmed(_around_head(photo, box, chance), chance.uniform(0.03, 0.1), 14)
    held, where = _placed(device, _scene(chance), chance, chance.uniform(0, 0.12))
    grid = through_pixels(held, chance.uniform(0.6, 1.3), chance.uniform(-12, 12))
    return recaptured(np.where(where[:, :, np.newaxis], glare(grid, chance), held), chance)


def screen_closeup(photo: Image, box: Box, seed: int) -> Image:
    """A screen so near that it fills the picture."""
    chance = np.random.default_rng(seed)
    near = camera_view(photo, box, chance)
    return recaptured(through_pixels(near, chance.uniform(0.6, 1.3), chance.uniform(-12, 12)), chance)


def print_closeup(photo: Image, box: Box, seed: int) -> Image:
    """A print so near that it fills the picture."""
    chance = np.random.default_rng(seed)
    return recaptured(_ink(camera_view(photo, box, chance)), chance)


COLOUR_ATTACKS: Mapping[str, Maker] = {
    "paste": pasted,
    "print": printed,
    "screen": screen,
    "moire": screen_closeup,
    "closeup": print_closeup,
}


def camera_view(photo: Image, box: Box, chance: Chance) -> Image:
    """The photo as a near camera sees it: the head and its surroundings, as high as `CAMERA`."""
    near = crop_around(photo, box, float(chance.uniform(2.4, 3.2)))
    height = CAMERA[1]
    if near.shape[0] > height:
        near = np.asarray(cv2.GaussianBlur(near, (0, 0), 0.3 * near.shape[0] / height), np.uint8)
    return resize(near, max(1, round(near.shape[1] * height / near.shape[0])), height)


def recaptured(image: Image, chance: Chance) -> Image:
    """What a second camera adds: blur, another tone curve, a colour cast, noise, compression."""
    blurred = cv2.GaussianBlur(image, (0, 0), chance.uniform(0.4, 0.9)).astype(np.float64) / 255.0
    toned = blurred ** chance.uniform(0.8, 1.25) * chance.uniform(0.92, 1.08, 3) * 255.0
    noisy = np.clip(toned + chance.normal(0, chance.uniform(1, 3), image.shape), 0, 255).astype(np.uint8)
    return recompressed(noisy, int(chance.integers(78, 94)))


def recompressed(image: Image, quality: int) -> Image:
    """The picture after a JPEG of that quality."""
    data = np.frombuffer(encode_jpeg(np.ascontiguousarray(image), quality), np.uint8)
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)


def glare(image: Image, chance: Chance) -> Image:
    """A lamp's soft reflection somewhere on it."""
    rows, columns = image.shape[:2]
    y, x = np.mgrid[:rows, :columns]
    at, size = chance.uniform(0.2, 0.8, 2) * [rows, columns], chance.uniform(0.08, 0.2) * columns
    lamp = np.exp(-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * size**2)) * chance.uniform(40, 110)
    return np.asarray(np.clip(image + lamp[:, :, np.newaxis], 0, 255), np.uint8)


def through_pixels(image: Image, pitch: float, degrees: float) -> Image:
    """The picture as shown by a display and seen by a camera: `pitch` display pixels per camera pixel, turned.

    Each display pixel is three stripes (red, green, blue) with a dark gap below; each camera pixel averages what it
    covers. The beat between the two grids is the moire.
    """
    fine = 3
    rows, columns = image.shape[:2]
    y, x = np.mgrid[: rows * fine, : columns * fine].astype(np.float32) / fine
    turn = np.deg2rad(degrees)
    u, v = pitch * (x * np.cos(turn) + y * np.sin(turn)), pitch * (y * np.cos(turn) - x * np.sin(turn))
    # The middle of the display pixel that each fine sample falls into, back in the picture's coordinates.
    mid_u, mid_v = (np.floor(u) + 0.5) / pitch, (np.floor(v) + 0.5) / pitch
    from_x, from_y = mid_u * np.cos(turn) - mid_v * np.sin(turn), mid_u * np.sin(turn) + mid_v * np.cos(turn)
    shown = cv2.remap(image, from_x.astype(np.float32), from_y.astype(np.float32), cv2.INTER_LINEAR)
    light = (shown.astype(np.float32) / 255.0) ** _GAMMA
    stripe = np.minimum((u - np.floor(u)) * 3, 2).astype(np.int8)
    lit = (v - np.floor(v)) < 0.88
    for channel in range(3):
        light[:, :, channel] *= ((stripe == 2 - channel) & lit) * np.float32(3.2)
    seen = cv2.resize(light, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(seen, 0, 1) ** (1 / _GAMMA) * 255.0, np.uint8)


def _ink(image: Image) -> Image:
    """Paper is no black hole, and ink no lamp: less contrast."""
    return np.asarray(cv2.convertScaleAbs(image, alpha=0.78, beta=30), np.uint8)


def _around_head(photo: Image, box: Box, chance: Chance) -> Image:
    return crop_around(photo, box, float(chance.uniform(1.7, 2.6)))


def _rimmed(sheet: Image, share: float, grey: int) -> Image:
    """With a margin of that share of its shorter side."""
    rim = round(min(sheet.shape[:2]) * share)
    colour = (grey, grey, grey)
    return np.asarray(cv2.copyMakeBorder(sheet, rim, rim, rim, rim, cv2.BORDER_CONSTANT, value=colour), np.uint8)


def _placed(sheet: Image, scene: Image, chance: Chance, tilt: float) -> tuple[Image, NDArray[np.bool_]]:
    """The sheet in the scene, as tall as fits, turned and tilted; and where it is."""
    width, height = CAMERA
    sheet = resize(sheet, max(1, round(sheet.shape[1] * height * 1.5 / sheet.shape[0])), round(height * 1.5))
    tall = height * chance.uniform(0.6, 0.85)
    wide = tall * sheet.shape[1] / sheet.shape[0]
    corners = np.array([[-wide, -tall], [wide, -tall], [wide, tall], [-wide, tall]]) / 2
    corners *= 1 + chance.uniform(-tilt, tilt, (4, 2))
    turn = np.deg2rad(chance.uniform(-10, 10))
    corners = corners @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    room = np.maximum(np.array(CAMERA) / 2 - np.abs(corners).max(axis=0) - 4, 0)
    corners += np.array(CAMERA) / 2 + chance.uniform(-1, 1, 2) * np.minimum(room, 40)
    rows, columns = sheet.shape[:2]
    flat = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
    matrix = cv2.getPerspectiveTransform(flat, corners.astype(np.float32))
    soft = cv2.GaussianBlur(sheet, (0, 0), 0.4 * rows / tall)
    laid = cv2.warpPerspective(soft, matrix, (width, height))
    where = cv2.warpPerspective(np.full((rows, columns), 255, np.uint8), matrix, (width, height))
    share = (where / 255.0)[:, :, np.newaxis]
    return np.asarray(laid * share + scene * (1 - share), np.uint8), where > 127


def _scene(chance: Chance) -> Image:
    """A room: a wall that is lit unevenly, some furniture, and whoever holds the picture up, from the neck down."""
    width, height = CAMERA
    wall = cv2.resize(chance.uniform(90, 200, (3, 4, 1)) + chance.uniform(-15, 15, 3), (width, height))
    room = wall + cv2.resize(chance.normal(0, 4, (height // 4, width // 4)), (width, height))[:, :, np.newaxis]
    scene = np.clip(room, 0, 255).astype(np.uint8)
    for _ in range(int(chance.integers(1, 5))):
        left, top = chance.integers(0, [width, height])
        size = chance.integers(40, 220, 2)
        colour = [int(c) for c in chance.integers(30, 220, 3)]
        cv2.rectangle(scene, (int(left), int(top)), (int(left + size[0]), int(top + size[1])), colour, -1)
    cloth = [int(c) for c in chance.integers(20, 160, 3)]
    cv2.ellipse(scene, (width // 2, height + 60), (230, 200), 0, 0, 360, cloth, -1, cv2.LINE_AA)
    noisy = cv2.GaussianBlur(scene, (0, 0), 0.8) + chance.normal(0, 2, scene.shape)
    return np.asarray(np.clip(noisy, 0, 255), np.uint8)
