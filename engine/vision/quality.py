"""The quality of a face for recognition: measured items against the limits of a level (docs/interface.md).

Items: face_size, headpose, partial, brightness, clarity. The wire's `mask` and `occlusion` need networks that are not
there; they are not reported, rather than reported as fine.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from engine.policy import QualityLimits
from engine.terms import QualityLevel
from engine.vision.arcface import TEMPLATE, similarity
from engine.vision.ports import Box, Check, Embedding, Face, Image, PoseNet
from engine.vision.tensor import crop_around, resize

CUT_SHARE = 0.1
"""Share of a face outside the picture from which it counts as cut: boxes are a few percent off in any case."""

TEMPLATE_BOX = Box(19.5, 18.7, 73.0, 95.0)
"""What the detector takes for a frontal face whose landmarks lie on the ArcFace template."""

BRIGHTNESS = (30.0, 235.0)
"""Mean grey value of a face: wide, so that it refuses the under- and overexposed, not dark or pale skin."""

CLARITY_SIDE = 112
"""Faces are brought to this size before their sharpness is measured, as they are before they are embedded."""

LEVELS: dict[QualityLevel, QualityLimits] = {
    "high": QualityLimits(face_size_px=112, headpose_degrees=60, partial=CUT_SHARE, brightness=BRIGHTNESS),
    "middle": QualityLimits(face_size_px=80, headpose_degrees=90, partial=CUT_SHARE, brightness=BRIGHTNESS),
    "low": QualityLimits(face_size_px=60, headpose_degrees=120),
    "no": QualityLimits(face_size_px=None, headpose_degrees=None),
}


def measure_quality(
    image: Image, face: Face, level: QualityLevel, custom: QualityLimits, pose: PoseNet
) -> Sequence[Check]:
    """The items that `level` asks for, each held against its limit; `custom` are the limits of the level custom.

    Only what has a limit is measured; `pose` runs only where head angles have one.
    """
    limits = custom if level == "custom" else LEVELS[level]
    checks: list[Check] = []
    if limits.face_size_px is not None:
        size = face.sent_box.shorter_side
        checks.append(Check("face_size", size, limits.face_size_px, size > limits.face_size_px))
    if limits.headpose_degrees is not None:
        angles = pose(image, face).sum_of_angles
        checks.append(Check("headpose", angles, limits.headpose_degrees, angles <= limits.headpose_degrees))
    if limits.partial is not None:
        share = cut_share(image, face)
        checks.append(Check("partial", share, limits.partial, share <= limits.partial))
    if limits.brightness is not None:
        checks.append(_between("brightness", brightness(image, face.box), *limits.brightness))
    if limits.clarity is not None:
        sharp = clarity(image, face.box)
        checks.append(Check("clarity", sharp, limits.clarity, sharp >= limits.clarity))
    return checks


def quality_score(image: Image, face: Face, embedding: Embedding) -> float:
    """One number, 0..1, that predicts how far the face can be recognised at all."""
    return face.confidence


def cut_share(image: Image, face: Face) -> float:
    """The share of the face, 0..1, that the border cuts off.

    Detectors shrink the box of a cut face to what they see, but still put the landmarks where they must be: so the box
    that belongs to the landmarks is looked at as well.
    """
    share = share_outside(image, face.box)
    try:
        matrix = similarity(TEMPLATE, face.landmarks)
    except ValueError:
        return share
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    width, height = TEMPLATE_BOX.width * scale, TEMPLATE_BOX.height * scale
    middle = [TEMPLATE_BOX.x + TEMPLATE_BOX.width / 2, TEMPLATE_BOX.y + TEMPLATE_BOX.height / 2, 1.0]
    x, y = (float(value) for value in matrix @ np.array(middle))
    return max(share, share_outside(image, Box(x - width / 2, y - height / 2, width, height)))


def share_outside(image: Image, box: Box) -> float:
    """The share of the box, 0..1, that lies outside the picture."""
    rows, columns = image.shape[:2]
    width = min(box.x + box.width, columns) - max(box.x, 0.0)
    height = min(box.y + box.height, rows) - max(box.y, 0.0)
    if box.area <= 0:
        return 1.0
    return float(1.0 - max(width, 0.0) * max(height, 0.0) / box.area)


def brightness(image: Image, box: Box) -> float:
    """The mean grey value, 0..255, of the face."""
    return float(_grey(crop_around(image, box, 1.0)).mean())


def clarity(image: Image, box: Box) -> float:
    """The sharpness of the face: the variance of its Laplacian at a fixed size. Sharp faces have hundreds."""
    face = _grey(resize(crop_around(image, box, 1.0), CLARITY_SIDE, CLARITY_SIDE))
    return float(cv2.Laplacian(face, cv2.CV_64F).var())


def _grey(image: Image) -> Image:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), np.uint8)


def _between(name: str, value: float, low: float, high: float) -> Check:
    # One limit is reported: the one the value is nearer to missing, or has missed.
    return Check(name, value, low if value < (low + high) / 2 else high, low <= value <= high)
