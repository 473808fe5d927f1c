"""Measures the items of a face's quality: face_size, headpose, partial, brightness, clarity, mask.

The item `occlusion` of the wire is not measured: no network for it is available, and no method that was tried
distinguishes a hand or hair in front of a face from a bare face (docs/models.md has the figures). Answers leave
`occlusion` out, so that nobody takes it for passed.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from contract.errors import PictureUnreadable
from engine.vision.networks.arcface import TEMPLATE, similarity
from engine.vision.ports import Box, Face, Image, PoseNet
from engine.vision.quality.mouth import MouthVisibility, measure_mouth
from engine.vision.quality.sharpness import clarity
from engine.vision.tensor import crop_around, share_outside

TEMPLATE_BOX = Box(19.5, 18.7, 73.0, 95.0)
"""The detector's box of a frontal face whose landmarks lie on the ArcFace template."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One measured item, without a limit. `detail`: the named values from which `value` was computed."""

    name: str
    value: float
    detail: tuple[tuple[str, float], ...] = ()


def measure_items(image: Image, face: Face, pose: PoseNet, names: Collection[str] | None = None) -> Sequence[Measured]:
    """Return the items with those names (None: all items), in the order of this module's first line.

    Only the named items are measured; the network `pose` runs only for the item headpose.
    """
    return [measure(image, face, pose) for name, measure in _ITEMS.items() if names is None or name in names]


def face_size(image: Image, face: Face, pose: PoseNet) -> Measured:
    """Return the item face_size: the shorter side of the face box, in pixels of the picture as sent."""
    return Measured("face_size", face.sent_box.shorter_side)


def headpose(image: Image, face: Face, pose: PoseNet) -> Measured:
    """Return the item headpose: the sum of the absolute head angles, in degrees."""
    angles = pose(image, face)
    detail = (("yaw", angles.yaw), ("pitch", angles.pitch), ("roll", angles.roll))
    return Measured("headpose", angles.sum_of_angles, detail)


def partial(image: Image, face: Face, pose: PoseNet) -> Measured:
    """Return the item partial: the share of the face, 0..1, that the border cuts off."""
    return Measured("partial", cut_share(image, face))


def brightness(image: Image, face: Face, pose: PoseNet) -> Measured:
    """Return the item brightness: the mean grey value of the face, 0..255; its detail has both halves of the face."""
    grey = cv2.cvtColor(crop_around(image, face.box, 1.0), cv2.COLOR_BGR2GRAY)
    # In a crop of one column both halves are that column.
    middle = max(1, grey.shape[1] // 2)
    halves = (("left", float(grey[:, :middle].mean())), ("right", float(grey[:, -middle:].mean())))
    return Measured("brightness", float(grey.mean()), halves)


def sharpness(image: Image, face: Face, pose: PoseNet) -> Measured:
    """Return the item clarity: the sharpness of the face, 0..1."""
    return Measured("clarity", clarity(image, face.box))


def mask(image: Image, face: Face, pose: PoseNet) -> Measured:
    """Return the item mask: the visibility of the mouth; below 1 it is covered. 0 where the landmarks coincide."""
    try:
        mouth = measure_mouth(image, face)
    except PictureUnreadable:
        mouth = MouthVisibility(0.0, 0.0)
    return Measured("mask", mouth.value, (("structure", mouth.structure), ("colour", mouth.colour)))


_ITEMS: dict[str, Callable[[Image, Face, PoseNet], Measured]] = {
    "face_size": face_size,
    "headpose": headpose,
    "partial": partial,
    "brightness": brightness,
    "clarity": sharpness,
    "mask": mask,
}


def cut_share(image: Image, face: Face) -> float:
    """Return the share of the face, 0..1, that the border cuts off.

    Detectors shrink the box of a cut face to its visible part, but still place the landmarks correctly: so the box that
    follows from the landmarks is measured as well, and the larger share is returned.
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
