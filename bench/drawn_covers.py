"""Draws the covered faces on which `bench.covered` measures, with other shapes, colours and patterns than enrolment.

The drawings of enrolment (engine.vision.covering) must not be measured against themselves, so form, edges, colour and
pattern are drawn at random here.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.vision.covering import FaceFrame, fill, shaded
from engine.vision.ports import Image

MASK_KINDS = ("pleated", "cone", "cloth", "scarf")


def draw_some_mask(image: Image, frame: FaceFrame, chance: np.random.Generator) -> Image:
    """Return a copy of the image with a face mask, a cone of a respirator, a cloth or a scarf over mouth and nose."""
    kind = MASK_KINDS[chance.integers(len(MASK_KINDS))]
    drawn = image.copy()
    colour = _cloth_colour(chance)
    picture = shaded(image, frame, colour)
    if kind in ("cloth", "scarf") and chance.random() < 0.6:
        picture = _patterned(picture, frame, chance)
    picture += chance.normal(0, chance.uniform(1, 6), picture.shape[:2]).astype(np.float32)[:, :, np.newaxis]
    picture = np.clip(picture, 0, 255)
    _straps(drawn, frame, colour, kind)
    fill(drawn, frame.pixels(_outline(kind, chance)), picture)
    if kind == "pleated":
        for height in np.arange(0.62, 1.4, chance.uniform(0.16, 0.3)):
            fill(drawn, frame.pixels(_crease(height, 0.85, 0.02)), picture * np.float32(chance.uniform(0.7, 0.92)))
    if kind == "cone":
        ridge = [(-0.03, 0.35), (0.03, 0.35), (0.04, 1.5), (-0.04, 1.5)]
        fill(drawn, frame.pixels(ridge), np.clip(picture * np.float32(1.12), 0, 255))
        fill(drawn, frame.pixels(_crease(1.0, 0.5, 0.03)), picture * np.float32(0.85))
    return drawn


def draw_some_sunglasses(image: Image, frame: FaceFrame, chance: np.random.Generator) -> Image:
    """Return a copy of the image with sunglasses: round, square, pilot's or wrapped; plain or graded."""
    drawn = image.copy()
    dark = np.array(chance.uniform((8, 8, 8), (75, 70, 90)), np.float32)
    rim = chance.uniform(0, 110, 3)
    kind = chance.integers(4)
    width, height = chance.uniform(0.30, 0.40), chance.uniform(0.24, 0.38)
    middle = (-0.46, chance.uniform(0.02, 0.12))
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    power = {0: 1.0, 1: 0.45, 2: 0.75, 3: 0.6}[int(kind)]
    across = np.sign(np.cos(angles)) * np.abs(np.cos(angles)) ** power
    down = np.sign(np.sin(angles)) * np.abs(np.sin(angles)) ** power
    if kind == 2:
        across = across * np.where(down > 0, 1 - 0.2 * down, 1)
    outline = np.stack([middle[0] + width * across, middle[1] + height * down], axis=1)
    if kind == 3:
        outline[:, 0] = np.where(outline[:, 0] < middle[0], outline[:, 0] * 1.12, outline[:, 0])
    rows = np.arange(image.shape[0], dtype=np.float32)
    top, bottom = (frame.pixels([(0.0, b)])[0, 1] for b in (-0.3, 0.5))
    graded = np.clip((rows - top) / max(bottom - top, 1.0), 0, 1)[:, np.newaxis, np.newaxis]
    glass = np.broadcast_to(dark, image.shape).astype(np.float32) + graded * np.float32(chance.choice([0, 60, 90]))
    through = np.float32(chance.choice([0.0, 0.08, 0.15]))
    glass = glass * (1 - through) + image * through
    mirrored = np.stack([-outline[:, 0], outline[:, 1]], axis=1)
    bridge = [(-0.2, -0.08), (0.2, -0.08), (0.2, 0.0), (-0.2, 0.0)]
    temple = [(-1.0, -0.08), (middle[0] - width, -0.08), (middle[0] - width, 0.0), (-1.0, -0.01)]
    for part in (bridge, temple, [(-a, b) for a, b in temple]):
        fill(drawn, frame.pixels(part), rim)
    for one in (outline, mirrored):
        around = one.mean(axis=0)
        fill(drawn, frame.pixels([(a, b) for a, b in around + (one - around) * 1.08]), rim)
        fill(drawn, frame.pixels([(a, b) for a, b in one]), np.clip(glass, 0, 255))
        if chance.random() < 0.5:
            spot = around + (one - around) * chance.uniform(0.15, 0.35) + chance.uniform(-0.08, 0.08, 2)
            fill(drawn, frame.pixels([(a, b) for a, b in spot]), glass * 0.4 + chance.uniform(90, 150))
    return drawn


def _outline(kind: str, chance: np.random.Generator) -> list[tuple[float, float]]:
    top, side = chance.uniform(0.18, 0.48), chance.uniform(0.35, 0.62)
    wide, chin = chance.uniform(0.82, 1.04), chance.uniform(1.5, 1.85)
    if kind == "pleated":
        half = [(0.0, top), (0.35, top + 0.04), (wide, side), (wide * 0.95, 1.2), (0.45, chin - 0.06), (0.0, chin)]
    elif kind == "cone":
        half = [
            (0.0, top - 0.05),
            (0.25, top + 0.08),
            (wide * 0.85, side + 0.3),
            (wide * 0.8, 1.15),
            (0.35, chin),
            (0, chin),
        ]
    elif kind == "cloth":
        half = [(0.0, top), (0.5, top + 0.06), (wide, side), (wide * 0.9, 1.3), (0.5, chin), (0.0, chin + 0.05)]
    else:
        half = [(0.0, top + 0.05), (0.6, top + 0.1), (1.08, side), (1.1, 1.5), (0.9, 2.2), (0.0, 2.5)]
    jitter = chance.normal(0, 0.025, (len(half), 2))
    right = [(a + (da if a else 0.0), b + db) for (a, b), (da, db) in zip(half, jitter, strict=True)]
    return right + [(-a, b) for a, b in reversed(right[1:-1])]


def _crease(height: float, half: float, thick: float) -> list[tuple[float, float]]:
    return [
        (-half, height), (0.0, height + 0.06), (half, height),
        (half, height + thick), (0.0, height + 0.06 + thick), (-half, height + thick),
    ]  # fmt: skip


def _straps(image: Image, frame: FaceFrame, colour: tuple[int, int, int], kind: str) -> None:
    if kind == "scarf":
        return
    for sign in (-1.0, 1.0):
        for low, high in ((0.5, 0.2), (1.15, 0.45)):
            strap = [(sign * 0.85, low), (sign * 1.12, high), (sign * 1.12, high + 0.03), (sign * 0.85, low + 0.05)]
            fill(image, frame.pixels(strap), colour)


def _cloth_colour(chance: np.random.Generator) -> tuple[int, int, int]:
    hsv = np.array([[[chance.integers(180), chance.integers(0, 200), chance.integers(40, 250)]]], np.uint8)
    blue, green, red = cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0].tolist()
    return blue, green, red


def _patterned(picture: NDArray[np.float32], frame: FaceFrame, chance: np.random.Generator) -> NDArray[np.float32]:
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    side = float(np.hypot(*(frame.right - frame.left)))
    period, angle = side * chance.uniform(0.06, 0.25), chance.uniform(0, np.pi)
    stripes = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    if chance.random() < 0.5:
        stripes = stripes * np.sin(2 * np.pi * (y * np.cos(angle) - x * np.sin(angle)) / period)
    strength = np.float32(chance.uniform(0.1, 0.35))
    return np.asarray(picture * (1 + strength * np.sign(stripes))[:, :, np.newaxis], np.float32)
