"""Whether a mouth shows: the item mask.

A mouth is told by two things that a cloth before it lacks both: its region varies in light about as much as the eyes'
does (lips, teeth, the line between, the shadow below), and it varies in redness (lips against skin). Either is enough,
so that grey pictures and pale lips are no mask. Measured relative to the eyes, so that blur and dim light, which take
from both, change little.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from engine.vision.networks.arcface import align
from engine.vision.ports import Face, Image

EYES = ((slice(44, 60), slice(28, 48)), (slice(44, 60), slice(64, 84)))
MOUTH = (slice(82, 102), slice(40, 72))
LIPS = (slice(80, 104), slice(36, 76))
"""Rows and columns in a face that was moved onto the ArcFace template (112 x 112)."""

BARE_STRUCTURE = 0.55
"""Deviation of grey values at the mouth over that at the eyes; a bare face has more of this or of the colour."""

BARE_COLOUR = 2.2
"""Deviation of CIE a* (green to red) around the lips."""


@dataclass(frozen=True, slots=True)
class MouthShown:
    """What was found where a mouth should be. `value`: 1 and more, a mouth shows; less, something covers it."""

    structure: float
    colour: float

    @property
    def value(self) -> float:
        """The stronger of the two signs, each on the scale on which bare faces have at least 1."""
        return max(self.structure / BARE_STRUCTURE, self.colour / BARE_COLOUR)


def mouth_shows(image: Image, face: Face) -> MouthShown:
    """What is where the mouth of that face should be.

    Raises:
        PictureUnreadable: the face cannot be aligned.
    """
    aligned = align(image, face)
    lab = np.asarray(cv2.cvtColor(aligned, cv2.COLOR_BGR2LAB), np.float32)
    light, redness = lab[:, :, 0], lab[:, :, 1]
    eyes = sum(float(light[eye].std()) for eye in EYES) / len(EYES)
    return MouthShown(float(light[MOUTH].std()) / max(eyes, 1.0), float(redness[LIPS].std()))
