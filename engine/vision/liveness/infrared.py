"""Liveness checks on a second, infrared picture; each check can be explained and is reported by its name.

    ir_monochrome   the infrared picture has no colours
    ir_face         it contains a face where the colour picture does (a screen emits hardly any near infrared)
    ir_size         the sizes of both faces are similar
    ir_same_person  the embeddings of both faces have at least a low cosine
    ir_copy         the infrared face is not a grey copy of the colour face
    ir_contrast     (a vote) face and background differ, and the face has contrast: the lamp's light falls with distance
    ir_live         (a vote, unless by a network for infrared pictures) a liveness network's probability is high enough

Where the infrared picture has no face in that place, `ir_face` fails, and the checks that need a face are not made.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from contract.errors import PictureRefused
from engine.policy import LivenessLimits
from engine.threshold import threshold_at
from engine.vision.liveness.grey_copy import likeness
from engine.vision.liveness.infrared_picture import InfraredImage
from engine.vision.ports import Box, Check, Embedder, Embedding, Face, Image, ModelSet
from engine.vision.tensor import crop_around

LOOSE_FMR = 5e-2
"""The false match rate of the limit of `ir_same_person`. Infrared light lowers the cosine of the same person, so the
limit is low: one in twenty other people passes, which is enough to refuse pictures of two different people."""

LOOSE_SHARE = 0.5
"""The limit of `ir_same_person` where the embedder has no curve, as a share of the embedder's threshold."""

_AROUND, _HEAD = 2.0, 1.4
"""The factors by which the face box is enlarged: the background lies inside the first box and outside the second."""


def infrared_checks(
    image: Image,
    face: Face,
    infrared: InfraredImage,
    embedding: Callable[[], Embedding],
    models: ModelSet,
    limits: LivenessLimits,
) -> list[Check]:
    """Return all checks on the infrared picture. `embedding` returns the embedding of the colour face."""
    spread, shown = infrared.spread, infrared.image
    other, overlap_share = matching_face(image, face, shown, infrared.faces)
    checks = [
        Check("ir_monochrome", spread, limits.ir_monochrome, spread <= limits.ir_monochrome),
        Check("ir_face", overlap_share, limits.ir_face, overlap_share >= limits.ir_face),
    ]
    if other is None:
        return checks
    ratio = size_ratio(_relative(face.box, image), _relative(other.box, shown))
    checks.append(Check("ir_size", ratio, limits.ir_size, ratio >= limits.ir_size))
    checks.append(_same_person(embedding, infrared, other, models.embedder, limits))
    checks.append(_copy(image, face, shown, other, limits.ir_copy))
    checks.append(_contrast(shown, other.box, limits.ir_contrast))
    checks.append(_live(shown, other, models, limits.ir_live))
    return checks


def matching_face(image: Image, face: Face, infrared: Image, others: Sequence[Face]) -> tuple[Face | None, float]:
    """Return the one of the infrared picture's faces `others` that overlaps `face` best, and the overlap, 0..1; (None,
    0) where none overlaps."""
    wanted = _relative(face.box, image)
    overlaps = [(overlap(wanted, _relative(other.box, infrared)), other) for other in others]
    best, other = max(overlaps, key=lambda pair: pair[0], default=(0.0, None))
    return (other, best) if best > 0 else (None, 0.0)


def overlap(one: Box, other: Box) -> float:
    """Return the intersection over union of two boxes, 0..1."""
    width = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    height = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    shared = max(width, 0.0) * max(height, 0.0)
    union = one.area + other.area - shared
    return shared / union if union > 0 else 0.0


def size_ratio(one: Box, other: Box) -> float:
    """Return the smaller height of two boxes divided by the larger, 0..1."""
    larger = max(one.height, other.height)
    return min(one.height, other.height) / larger if larger > 0 else 0.0


def contrasts(image: Image, box: Box) -> tuple[float, float]:
    """Return two contrasts: the relative difference in brightness between face and background (Michelson, 0..1), and
    the standard deviation of the face's grey values divided by their mean."""
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
    """Return the pixels along one axis that the face and its background cover; at least one."""
    middle, half = start + length / 2, max(length, 1.0) * _AROUND / 2
    first = min(max(int(middle - half), 0), limit - 1)
    return np.arange(first, max(first, min(int(middle + half) + 1, limit - 1)) + 1)


def _same_person(
    embedding: Callable[[], Embedding], infrared: InfraredImage, other: Face, embedder: Embedder, limits: LivenessLimits
) -> Check:
    limit = limits.ir_same_person
    if limit is None:
        curve = embedder.fmr_curve
        limit = threshold_at(curve, LOOSE_FMR) if curve else LOOSE_SHARE * embedder.threshold
    colour, found = embedding(), infrared.embedding(other, embedder)
    if found is None:
        return Check("ir_same_person", -1.0, limit, passed=False)
    cosine = float(colour.vector @ found.vector)
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
    # The colour network was trained on colour pictures, so its result is only a vote, and any tint is removed first.
    grey = cv2.cvtColor(np.ascontiguousarray(infrared), cv2.COLOR_BGR2GRAY)
    probability = models.liveness(np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8), other)
    return Check("ir_live", probability, limit, probability >= limit, vote=True)


def _relative(box: Box, image: Image) -> Box:
    rows, columns = image.shape[:2]
    return Box(box.x / columns, box.y / rows, box.width / columns, box.height / rows)
