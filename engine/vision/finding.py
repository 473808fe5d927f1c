"""From a picture file to its faces, decoding no more of a big photo than its faces need.

A JPEG can be decoded at a half, a quarter or an eighth of its size for much less work. So faces are looked for in a
small version first; where the largest turns out to be too small there, the photo is decoded again, larger.
"""

from collections.abc import Sequence
from dataclasses import astuple, replace

import numpy as np

from engine.timing import StageTimer
from engine.vision.decode import decode, fitting_reduction
from engine.vision.ports import Box, Detector, Face, Image

LEAST_SIDE = 1280
"""Longer side, in pixels, of the smallest version that is looked at: the detector's closest look sees no more."""

ENOUGH = 112.0
"""Shorter side of a face, in pixels, that a larger version would add nothing to: what embedders are fed."""


def find_faces(picture: bytes, detector: Detector, max_pixels: int, timer: StageTimer) -> tuple[Image, Sequence[Face]]:
    """The decoded picture, perhaps smaller than it was sent, and its faces in that picture, largest first.

    Raises:
        PictureRefused: it is no picture that can be served.
    """
    with timer.stage("decode"):
        reduction = fitting_reduction(picture, max_pixels, LEAST_SIDE)
        image = decode(picture, max_pixels, reduction)
    with timer.stage("detect"):
        faces = detector(image)
    if reduction == 1:
        return image, faces
    if not faces:
        with timer.stage("decode"):
            image = decode(picture, max_pixels)
        with timer.stage("detect"):
            return image, detector(image)
    wanted = _reduction_for(faces[0], reduction)
    if wanted == reduction:
        return image, [replace(face, reduction=reduction) for face in faces]
    with timer.stage("decode"):
        larger = decode(picture, max_pixels, wanted)
    growth = np.array([larger.shape[1] / image.shape[1], larger.shape[0] / image.shape[0]], np.float32)
    return larger, [_grown(face, growth, wanted) for face in faces]


def _reduction_for(face: Face, reduction: int) -> int:
    """The largest reduction, at most the present one, that leaves the face big enough."""
    wanted, side = reduction, face.box.shorter_side
    while wanted > 1 and side < ENOUGH:
        wanted, side = wanted // 2, side * 2
    return wanted


def _grown(face: Face, growth: np.ndarray, reduction: int) -> Face:
    x, y, width, height = (float(value) for value in np.tile(growth, 2) * astuple(face.box))
    return Face(Box(x, y, width, height), face.confidence, face.landmarks * growth, reduction)
