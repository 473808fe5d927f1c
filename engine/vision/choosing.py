"""Chooses which face of a picture is that of the person who asks, where the picture has several.

The rule: faces whose side is at least `NEAR` of the largest face's side are equally near to the camera, and no other
face can be chosen. So a face that is more than 1 / `NEAR` = 1.18 times as large as all others always wins. Among
equally near faces the one with the highest weight is chosen: its side, reduced for what is cut off by the border, for a
detector that is not sure, for a turned head, for blur, and for its distance from the picture's middle. The rival is the
next one by weight, unless the chosen face is more than `NEARER` times as large. The side is the square root of the area
of the box.

`python -m bench.faces` compares this rule with others (docs/accuracy.md has the figures).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from contract.terms import FaceRule
from engine.vision.ports import Face, Image
from engine.vision.quality import clarity, cut_share
from engine.vision.quality.score import CONFIDENCE_RANGE, SHARPNESS_RANGE
from engine.vision.scaling import scale_to_unit

NEAR = 0.85
"""The least side of a face, as a share of the largest face's side, with which it counts as equally near: heads of
adults, and boxes around one face in two pictures, differ by about as much."""

NEARER = 1.1
"""How many times as large as its rival a chosen face may be at most: a larger one is nearer to the camera, and the
answer must not be about somebody behind it."""

CONFIDENCE_WEIGHT, POSE_WEIGHT, SHARPNESS_WEIGHT, PLACE_WEIGHT = 0.5, 0.25, 0.25, 0.1
"""The share of a face's weight that is lost by the worst confidence, pose, sharpness and place. What is cut off by the
border is lost wholly. Place counts little, because cameras at doors see people at the sides too."""


@dataclass(frozen=True, slots=True)
class Traits:
    """What the choice depends on, of one face.

    `side`: the square root of the box's area, in pixels. `visible`: the share of the face within the picture.
    `confidence` and `sharpness`: as the quality score scales them. `frontal`: 1 for a nose in the middle, less the
    further it is moved towards one eye. `central`: 1 in the picture's middle, 0 in its corners. All but the side are
    0..1.
    """

    side: float
    visible: float = 1.0
    confidence: float = 1.0
    frontal: float = 1.0
    sharpness: float = 1.0
    central: float = 1.0

    @property
    def weight(self) -> float:
        """The side in pixels, reduced by everything that speaks against the face."""
        parts = (
            (CONFIDENCE_WEIGHT, self.confidence),
            (POSE_WEIGHT, self.frontal),
            (SHARPNESS_WEIGHT, self.sharpness),
            (PLACE_WEIGHT, self.central),
        )
        weight = self.side * self.visible
        for share, part in parts:
            weight *= 1 - share + share * part
        return weight


class Choice(NamedTuple):
    """The places of the chosen face and of its rival in the sequence of faces; None: no other face is as near."""

    chosen: int
    rival: int | None = None


def choose(faces: Sequence[Traits]) -> Choice:
    """Return the chosen face and its rival, by the rule in this module's docstring; of equal faces the first.

    Raises:
        ValueError: there are no faces.
    """
    ranked = sorted(_near([face.side for face in faces]), key=lambda place: -faces[place].weight)
    if not ranked:
        raise ValueError("a face can be chosen only where there is one")
    chosen = ranked[0]
    rivals = (place for place in ranked[1:] if faces[chosen].side <= NEARER * faces[place].side)
    return Choice(chosen, next(rivals, None))


def choose_face(image: Image, faces: Sequence[Face], rule: FaceRule) -> tuple[Face, Face | None]:
    """Return the face that counts and its rival, by the rule: with `largest` the first face, which has no rival.

    `faces`: the faces of the image that may count, the largest first; at least one.
    """
    sides = [face.box.area**0.5 for face in faces]
    near = _near(sides)
    if rule == "largest" or len(near) == 1:
        return faces[0], None
    chosen, rival = choose([traits_of(image, faces[place]) for place in near])
    return faces[near[chosen]], None if rival is None else faces[near[rival]]


def traits_of(image: Image, face: Face) -> Traits:
    """Return what the choice depends on, of a face in an image."""
    return Traits(
        side=face.box.area**0.5,
        visible=1.0 - cut_share(image, face),
        confidence=scale_to_unit(face.confidence, CONFIDENCE_RANGE),
        frontal=frontality(face),
        sharpness=scale_to_unit(clarity(image, face.box), SHARPNESS_RANGE),
        central=centrality(image.shape[1], image.shape[0], face),
    )


def frontality(face: Face) -> float:
    """Return how far the head faces the camera, 0..1, from the landmarks: 1 / (1 + the distance of the nose from the
    middle between eyes and mouth, along the line of the eyes and in distances of the eyes)."""
    eye, other_eye, nose, corner, other_corner = face.landmarks.astype(np.float64)
    apart = other_eye - eye
    length = float(np.hypot(*apart))
    if length <= 0:
        return 0.0
    middle = (eye + other_eye + corner + other_corner) / 4
    return float(1.0 / (1.0 + abs(np.dot(nose - middle, apart)) / length**2))


def centrality(width: int, height: int, face: Face) -> float:
    """Return 1 for a face in the middle of a picture of that size, 0 for one in its corner or beyond."""
    box = face.box
    away = np.hypot(box.x + box.width / 2 - width / 2, box.y + box.height / 2 - height / 2)
    return max(0.0, 1.0 - float(away / np.hypot(width / 2, height / 2)))


def _near(sides: Sequence[float]) -> Sequence[int]:
    """Return the places of the faces that are as near as the largest one."""
    largest = max(sides, default=0.0)
    return [place for place, side in enumerate(sides) if side >= NEAR * largest]
