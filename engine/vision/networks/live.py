"""The liveness network, whose input is a face with its surroundings (the edge of a screen, a hand with a print).

The network is made for colour pictures; the same class runs a network of the same form for infrared pictures.
"""

from engine.vision.ports import Face, Image
from engine.vision.tensor import Run, crop_around, resize, softmax, to_tensor
from models.manifest import NetworkEntry

LIVE = 0
"""The number of the network's class for a live face; its other classes are kinds of attack."""


class LivenessNetwork:
    """Computes the probability that a face is live."""

    def __init__(self, run: Run, entry: NetworkEntry) -> None:
        if not entry.input.width or not entry.input.height:
            raise ValueError(f"the liveness network {entry.name} needs input.width and input.height")
        self._run = run
        self._spec = entry.input
        self._size = (entry.input.width, entry.input.height)

    def __call__(self, image: Image, face: Face) -> float:
        """Return the probability, 0..1, that the face is live."""
        crop = crop_around(image, face.box, self._spec.box_scale)
        logits = self._run(to_tensor(resize(crop, *self._size), self._spec))[0]
        return float(softmax(logits.reshape(-1))[LIVE])
