"""A landmarks network for the 68 points of the iBUG 300-W set (Sagonas et al., 2013), of which five align a face."""

import numpy as np
from numpy.typing import NDArray

from engine.vision.ports import Box, Image
from engine.vision.tensor import Run, resize, to_tensor
from models.manifest import NetworkEntry

POINTS = 68
_EYE, _OTHER_EYE = slice(36, 42), slice(42, 48)
_NOSE_TIP, _MOUTH_CORNER, _OTHER_CORNER = 30, 48, 54


class SixtyEightPoints:
    """Finds the points of a face in its box; the network's outputs are shares of the input's width and height."""

    def __init__(self, run: Run, entry: NetworkEntry) -> None:
        if not entry.input.width or not entry.input.height:
            raise ValueError(f"the landmarks network {entry.name} needs input.width and input.height")
        self._run = run
        self._spec = entry.input
        self._size = (entry.input.width, entry.input.height)

    def __call__(self, image: Image, box: Box) -> NDArray[np.float32] | None:
        """Return eyes, nose tip and mouth corners (5 x 2, pixels of the image, in the order of `Face.landmarks`).

        None: less than two pixels of the box lie in the image.

        Raises:
            ValueError: the network's output is not 68 points.
        """
        rows, columns = image.shape[:2]
        grown = self._spec.box_scale
        left, top = box.x - (grown - 1) * box.width / 2, box.y - (grown - 1) * box.height / 2
        x0, x1 = (int(np.clip(x, 0, columns)) for x in (left, left + grown * box.width))
        y0, y1 = (int(np.clip(y, 0, rows)) for y in (top, top + grown * box.height))
        if min(x1 - x0, y1 - y0) < 2:
            return None
        shown = resize(np.ascontiguousarray(image[y0:y1, x0:x1]), *self._size)
        shares = self._run(to_tensor(shown, self._spec))[0].reshape(-1)
        if shares.size != 2 * POINTS:
            raise ValueError(f"the landmarks network returns {shares.size} numbers, not {2 * POINTS}")
        points = shares.reshape(POINTS, 2) * np.array([x1 - x0, y1 - y0], np.float32) + np.array([x0, y0], np.float32)
        five = [
            points[_EYE].mean(axis=0),
            points[_OTHER_EYE].mean(axis=0),
            points[_NOSE_TIP],
            points[_MOUTH_CORNER],
            points[_OTHER_CORNER],
        ]
        return np.array(five, np.float32)
