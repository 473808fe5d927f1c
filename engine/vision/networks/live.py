"""Liveness on one picture: a face with its surroundings (a screen's edge, a hand with a print) in one network.

Made for colour pictures; a network of the same form for infrared ones is fed by the same class.
"""

import numpy as np

from engine.vision.ports import Face, Image
from engine.vision.tensor import Run, crop_around, resize, to_tensor
from models.manifest import NetworkEntry

LIVE = 0
"""The network's class for a live face; the others are kinds of attack."""


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities from logits, along the last axis, in float64."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


class LivenessNetwork:
    """The probability that a face is live."""

    def __init__(self, run: Run, entry: NetworkEntry) -> None:
        if not entry.input.width or not entry.input.height:
            raise ValueError(f"the liveness network {entry.name} needs input.width and input.height")
        self._run = run
        self._spec = entry.input
        self._size = (entry.input.width, entry.input.height)

    def __call__(self, image: Image, face: Face) -> float:
        """The probability, 0..1, that the face is live."""
        crop = crop_around(image, face.box, self._spec.box_scale)
        logits = self._run(to_tensor(resize(crop, *self._size), self._spec))[0]
        return float(softmax(logits.reshape(-1))[LIVE])
