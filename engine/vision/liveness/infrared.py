"""Liveness from a second, infrared picture: checks that can be explained, each reported by name.

    ir_monochrome   an infrared picture has no colours
    ir_face         it holds a face where the colour picture does (a screen emits hardly any near infrared)
    ir_size         of similar size
    ir_same_person  whose embedding agrees loosely with the colour face's
    ir_copy         and that is not the colour face made grey
    ir_contrast     (a vote) face and background differ, and the face has structure: the lamp falls off with distance
    ir_live         (a vote, unless by a network made for infrared) what a liveness network says of the picture

Without a face where it should be, the checks that need one are not made: `ir_face` has refused already.
"""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from contract.errors import PictureRefused
from engine.policy import LivenessLimits
from engine.threshold import threshold_at
from engine.vision.liveness.grey_copy import likeness
from engine.vision.ports import Box, Check, Detector, Embedder, Embedding, Face, Image, ModelSet
from engine.vision.tensor import crop_around, resize

LOOSE_FMR = 5e-2
"""A picture in another light costs some likeness, so `ir_same_person` asks for little: one in twenty others passes,
which is enough against holding up two different people."""

LOOSE_SHARE = 0.5
"""What it asks for where the embedder has no curve: this share of the embedder's own threshold."""

_SMALL_SIDE = 160
"""Pictures are shrunk to this before their colours are looked at: it averages noise and compression away."""

_MOST_COLOURED = 95.0
"""Percentile of the pixels: a few coloured ones may be a status light."""

_AROUND = 2.0
"""The background is what lies in the face box enlarged so, outside of it enlarged by `_HEAD`."""

_HEAD = 1.4


def infrared_checks(
    image: Image,
    face: Face,
    infrared: Image,
    embedding: Callable[[], Embedding],
    models: ModelSet,
    limits: LivenessLimits,
) -> list[Check]:
    """All checks on the infrared picture; `embedding` gives that of the colour face."""
    spread = colour_spread(infrared)
    other, overlap_share = matching_face(image, face, infrared, models.detector)
    checks = [
        Check("ir_monochrome", spread, limits.ir_monochrome, spread <= limits.ir_monochrome),
        Check("ir_face", overlap_share, limits.ir_face, overlap_share >= limits.ir_face),
    ]
    if other is None:
        return checks
    ratio = size_ratio(_relative(face.box, image), _relative(other.box, infrared))
    checks.append(Check("ir_size", ratio, limits.ir_size, ratio >= limits.ir_size))
    checks.append(_same_person(embedding, infrared, other, models.embedder, limits))
    checks.append(_copy(image, face, infrared, other, limits.ir_copy))
    checks.append(_contrast(infrared, other.box, limits.ir_contrast))
    checks.append(_live(infrared, other, models, limits.ir_live))
    return checks


def matching_face(image: Image, face: Face, infrared: Image, detector: Detector) -> tuple[Face | None, float]:
    """The infrared picture's face that overlaps `face` best, and by how much, 0..1; None where none does."""
    wanted = _relative(face.box, image)
    overlaps = [(overlap(wanted, _relative(other.box, infrared)), other) for other in detector(infrared)]
    best, other = max(overlaps, key=lambda pair: pair[0], default=(0.0, None))
    return (other, best) if best > 0 else (None, 0.0)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union, 0..1."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(width, 0.0) * max(height, 0.0)
    union = one.area + other.area - shared
    return shared / union if union > 0 else 0.0


def size_ratio(one: Box, other: Box) -> float:
    """The smaller height over the larger, 0..1."""
    larger = max(one.height, other.height)
    return min(one.height, other.height) / larger if larger > 0 else 0.0


def colour_spread(image: Image) -> float:
    """How far the channels of the most coloured pixels lie apart, in grey values.

    An even tint over the whole picture (each channel a straight line of brightness) does not count: cameras have one.
    """
    scale = min(1.0, _SMALL_SIDE / max(image.shape[:2]))
    small = resize(image, max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    pixels = small.reshape(-1, 3).astype(np.float64)
    brightness = np.stack([pixels.mean(axis=1), np.ones(len(pixels))], axis=1)
    tint = brightness @ np.linalg.lstsq(brightness, pixels, rcond=None)[0]
    return float(np.percentile(np.ptp(pixels - tint, axis=1), _MOST_COLOURED))


def contrasts(image: Image, box: Box) -> tuple[float, float]:
    """Of face and background the relative difference in brightness (Michelson, 0..1), and of the face its standard
    deviation over its mean."""
    face = crop_around(image, box, 0.8).mean(axis=2)
    x, y = _reach(box.x, box.width, image.shape[1]), _reach(box.y, box.height, image.shape[0])
    near = np.ascontiguousarray(image[y[0] : y[-1] + 1, x[0] : x[-1] + 1])
    grey = cv2.cvtColor(near, cv2.COLOR_BGR2GRAY)
    across = np.abs(x - (box.x + box.width / 2))[np.newaxis, :] / max(box.width, 1.0)
    down = np.abs(y - (box.y + box.height / 2))[:, np.newaxis] / max(box.height, 1.0)
    away = np.maximum(across, down) * 2
    ring = grey[(away > _HEAD) & (away <= _AROUND)]
    inside, outside = float(face.mean()), float(ring.mean()) if ring.size else float(face.mean())
    to_background = abs(inside - outside) / max(inside + outside, 1.0)
    return to_background, float(face.std()) / max(inside, 1.0)


def _reach(start: float, length: float, limit: int) -> NDArray[np.intp]:
    """The pixels of a side that the background of a face may reach to; at least one."""
    middle, half = start + length / 2, max(length, 1.0) * _AROUND / 2
    first = min(max(int(middle - half), 0), limit - 1)
    return np.arange(first, max(first, min(int(middle + half) + 1, limit - 1)) + 1)


def _same_person(
    embedding: Callable[[], Embedding], infrared: Image, other: Face, embedder: Embedder, limits: LivenessLimits
) -> Check:
    limit = limits.ir_same_person
    if limit is None:
        curve = embedder.fmr_curve
        limit = threshold_at(curve, LOOSE_FMR) if curve else LOOSE_SHARE * embedder.threshold
    colour = embedding()
    try:
        cosine = float(colour.vector @ embedder(infrared, other).vector)
    except PictureRefused:
        return Check("ir_same_person", -1.0, limit, passed=False)
    return Check("ir_same_person", cosine, limit, cosine >= limit)


def _copy(image: Image, face: Face, infrared: Image, other: Face, limit: float) -> Check:
    try:
        found = likeness(image, face, infrared, other)
    except PictureRefused:
        return Check("ir_copy", 1.0, limit, passed=False)
    value = found.detail * found.tone
    return Check("ir_copy", value, limit, value < limit, detail=(("detail", found.detail), ("tone", found.tone)))


def _contrast(infrared: Image, box: Box, limit: float) -> Check:
    to_background, structure = contrasts(infrared, box)
    value = min(to_background, structure)
    detail = (("background", to_background), ("structure", structure))
    return Check("ir_contrast", value, limit, value >= limit, vote=True, detail=detail)


def _live(infrared: Image, other: Face, models: ModelSet, limit: float) -> Check:
    if models.infrared_liveness is not None:
        probability = models.infrared_liveness(infrared, other)
        return Check("ir_live", probability, limit, probability >= limit)
    # The colour network was made for other pictures, so its word is only a vote, and never sees a tint.
    grey = cv2.cvtColor(np.ascontiguousarray(infrared), cv2.COLOR_BGR2GRAY)
    probability = models.liveness(np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8), other)
    return Check("ir_live", probability, limit, probability >= limit, vote=True)


def _relative(box: Box, image: Image) -> Box:
    rows, columns = image.shape[:2]
    return Box(box.x / columns, box.y / rows, box.width / columns, box.height / rows)
