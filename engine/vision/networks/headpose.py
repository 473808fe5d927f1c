"""Head pose: three angles, each the expectation over bins of three degrees.

Positive roll turns the head clockwise in the picture. The expectation is taken over the bins' middles: taken over their
lower ends, as the angles are often read, yaw and roll of a face and of its mirror image would not be each other's
opposite but differ by three degrees.
"""

import numpy as np

from engine.vision.networks.live import softmax
from engine.vision.ports import Face, HeadPose, Image
from engine.vision.tensor import Run, crop_around, resize, to_tensor
from models.manifest import NetworkEntry

BIN_DEGREES = 3.0
FIRST_MIDDLE_DEGREES = -97.5
"""The middle of the first bin, which begins at -99."""


def expected_angle(logits: np.ndarray) -> float:
    """Degrees: the mean of the bins' angles, weighted by their probabilities."""
    probabilities = softmax(logits.reshape(-1))
    return float(probabilities @ (np.arange(probabilities.size) * BIN_DEGREES + FIRST_MIDDLE_DEGREES))


class BinnedHeadPose:
    """Measures where a head is turned; the network's outputs are yaw, pitch and roll."""

    def __init__(self, run: Run, entry: NetworkEntry) -> None:
        if not entry.input.width or not entry.input.height:
            raise ValueError(f"the pose network {entry.name} needs input.width and input.height")
        self._run = run
        self._spec = entry.input
        self._size = (entry.input.width, entry.input.height)

    def __call__(self, image: Image, face: Face) -> HeadPose:
        """The angles of that face's head."""
        box = face.box.squared if self._spec.square else face.box
        crop = crop_around(image, box, self._spec.box_scale)
        yaw, pitch, roll = self._run(to_tensor(resize(crop, *self._size), self._spec))[:3]
        return HeadPose(expected_angle(yaw), expected_angle(pitch), expected_angle(roll))
