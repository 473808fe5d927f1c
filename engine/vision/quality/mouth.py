"""Measures whether the mouth of a face is visible: the item mask.

A visible mouth has two signs, and a cloth in front of it has neither: the brightness of its region varies about as much
as that of the eyes (lips, teeth, the line between them, the shadow below), and its redness varies (lips and skin).
Either sign is enough, so that grey pictures and pale lips do not count as a mask. Brightness is measured relative to
the eyes, so that blur and dim light, which affect both, change the value little.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from engine.vision.networks.arcface import align
from engine.vision.ports import Face, Image

EYES = ((slice(44, 60), slice(28, 48)), (slice(44, 60), slice(64, 84)))
MOUTH = (slice(82, 102), slice(40, 72))
LIPS = (slice(80, 104), slice(36, 76))
"""Rows and columns of `EYES`, `MOUTH` and `LIPS` in a face that is aligned onto the ArcFace template (112 x 112)."""

BARE_STRUCTURE = 0.55
"""The standard deviation of brightness at the mouth divided by that at the eyes; a bare face exceeds this value or
`BARE_COLOUR`."""

BARE_COLOUR = 2.2
"""The standard deviation of CIE a* (green to red) around the lips; a bare face exceeds it or `BARE_STRUCTURE`."""


@dataclass(frozen=True, slots=True)
class MouthVisibility:
    """The two signs of a visible mouth, on the scales of `BARE_STRUCTURE` and `BARE_COLOUR`."""

    structure: float
    colour: float

    @property
    def value(self) -> float:
        """The stronger of the two signs: from 1 on the mouth is visible, below 1 something covers it."""
        return max(self.structure / BARE_STRUCTURE, self.colour / BARE_COLOUR)


def measure_mouth(image: Image, face: Face) -> MouthVisibility:
    """Return the signs of a visible mouth in the region of a face's mouth.

    Raises:
        PictureUnreadable: the face cannot be aligned.
    """
    aligned = align(image, face)
    lab = np.asarray(cv2.cvtColor(aligned, cv2.COLOR_BGR2LAB), np.float32)
    light, redness = lab[:, :, 0], lab[:, :, 1]
    eyes = sum(float(light[eye].std()) for eye in EYES) / len(EYES)
    return MouthVisibility(float(light[MOUTH].std()) / max(eyes, 1.0), float(redness[LIPS].std()))
