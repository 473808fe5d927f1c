"""What is measured of a face, one item at a time: face_size, headpose, partial, brightness, clarity, mask.

The wire's `occlusion` is not measured: no network for it is at hand, and nothing that was tried tells a hand or hair
before a face from a face (docs/models.md has the figures). It is not reported, rather than reported as fine.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from contract.errors import PictureUnreadable
from engine.vision.networks.arcface import TEMPLATE, similarity
from engine.vision.ports import Box, Face, Image, PoseNet
from engine.vision.quality.mouth import MouthShown, mouth_shows
from engine.vision.quality.sharpness import clarity
from engine.vision.tensor import crop_around, share_outside

TEMPLATE_BOX = Box(19.5, 18.7, 73.0, 95.0)
"""What the detector takes for a frontal face whose landmarks lie on the ArcFace template."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One measured item, not yet held against a limit. `detail`: the named values that `value` was made of."""

    name: str
    value: float
    detail: tuple[tuple[str, float], ...] = ()


def measure_items(image: Image, face: Face, pose: PoseNet, names: Collection[str] | None = None) -> Sequence[Measured]:
    """The items of those names, None for all that can be measured, in the order of the module's first line.

    Only what is asked for is measured; `pose` runs only for headpose.
    """
    return [measure(image, face, pose) for name, measure in _ITEMS.items() if names is None or name in names]


def face_size(image: Image, face: Face, pose: PoseNet) -> Measured:
    """The shorter side of the face box in pixels of the picture as it was sent."""
    return Measured("face_size", face.sent_box.shorter_side)


def headpose(image: Image, face: Face, pose: PoseNet) -> Measured:
    """The sum of the absolute head angles in degrees."""
    angles = pose(image, face)
    detail = (("yaw", angles.yaw), ("pitch", angles.pitch), ("roll", angles.roll))
    return Measured("headpose", angles.sum_of_angles, detail)


def partial(image: Image, face: Face, pose: PoseNet) -> Measured:
    """The share of the face, 0..1, that the border cuts off."""
    return Measured("partial", cut_share(image, face))


def brightness(image: Image, face: Face, pose: PoseNet) -> Measured:
    """The mean grey value, 0..255, of the face, and of its halves as the picture shows them."""
    grey = cv2.cvtColor(crop_around(image, face.box, 1.0), cv2.COLOR_BGR2GRAY)
    # A crop of one column has no halves.
    middle = max(1, grey.shape[1] // 2)
    halves = (("left", float(grey[:, :middle].mean())), ("right", float(grey[:, -middle:].mean())))
    return Measured("brightness", float(grey.mean()), halves)


def sharpness(image: Image, face: Face, pose: PoseNet) -> Measured:
    """The item clarity: the sharpness of the face, 0..1."""
    return Measured("clarity", clarity(image, face.box))


def mask(image: Image, face: Face, pose: PoseNet) -> Measured:
    """How much of a mouth shows; below 1 something covers it. 0 where the landmarks fall together."""
    try:
        shown = mouth_shows(image, face)
    except PictureUnreadable:
        shown = MouthShown(0.0, 0.0)
    return Measured("mask", shown.value, (("structure", shown.structure), ("colour", shown.colour)))


_ITEMS: dict[str, Callable[[Image, Face, PoseNet], Measured]] = {
    "face_size": face_size,
    "headpose": headpose,
    "partial": partial,
    "brightness": brightness,
    "clarity": sharpness,
    "mask": mask,
}


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
