"""The pose of a head: three angles, each of which is the expectation over bins of three degrees.

Positive roll turns the head clockwise in the picture. The expectation uses the middles of the bins. With their lower
ends, as other programs often compute it, yaw and roll of a face and of its mirror image would not be opposite numbers
but differ from that by three degrees.
"""

import numpy as np

from engine.vision.ports import Face, HeadPose, Image
from engine.vision.tensor import Run, crop_around, resize, softmax, to_tensor
from models.manifest import NetworkEntry

BIN_DEGREES = 3.0
FIRST_MIDDLE_DEGREES = -97.5
"""The middle of the first bin, which begins at -99 degrees."""


def expected_angle(logits: np.ndarray) -> float:
    """Return the mean of the bins' angles in degrees, weighted by the bins' probabilities."""
    probabilities = softmax(logits.reshape(-1))
    return float(probabilities @ (np.arange(probabilities.size) * BIN_DEGREES + FIRST_MIDDLE_DEGREES))


class BinnedHeadPose:
    """Measures the angles of a head with a network whose outputs are yaw, pitch and roll."""

    def __init__(self, run: Run, entry: NetworkEntry) -> None:
        if not entry.input.width or not entry.input.height:
            raise ValueError(f"the pose network {entry.name} needs input.width and input.height")
        self._run = run
        self._spec = entry.input
        self._size = (entry.input.width, entry.input.height)

    def __call__(self, image: Image, face: Face) -> HeadPose:
        """Return the angles of the head of a face in the image."""
        box = face.box.squared if self._spec.square else face.box
        crop = crop_around(image, box, self._spec.box_scale)
        yaw, pitch, roll = self._run(to_tensor(resize(crop, *self._size), self._spec))[:3]
        return HeadPose(expected_angle(yaw), expected_angle(pitch), expected_angle(roll))
