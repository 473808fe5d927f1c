"""The values that pass between the steps of the engine, and the ports that the networks fill."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from contract.vectors import Vector
from models.manifest import FmrPoint

Image = NDArray[np.uint8]
"""A decoded picture: BGR, uint8, height x width x 3, C-contiguous, upright (EXIF orientation applied)."""

"""A float32 vector."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels; it may reach over the picture's border."""

    x: float
    y: float
    width: float
    height: float

    @property
    def area(self) -> float:
        """Width x height, in square pixels."""
        return self.width * self.height

    @property
    def shorter_side(self) -> float:
        """The wire's face size, in pixels (docs/interface.md, "Quality levels")."""
        return min(self.width, self.height)

    @property
    def squared(self) -> "Box":
        """The square of the longer side about the same middle."""
        side = max(self.width, self.height)
        return Box(self.x + (self.width - side) / 2, self.y + (self.height - side) / 2, side, side)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One detected face. `landmarks`: 5 x 2 float32 pixels (x, y): the eye on the picture's left, the other eye,
    the nose tip, the mouth corner on the left, the other corner. Places count from the picture's upper left corner, so
    that the first pixel's middle is at (0.5, 0.5).

    Box and landmarks lie in the picture as decoded and turned upright; `reduction` says how many times larger it was
    sent, `quarter_turns` how often it was turned against the clock because its faces lay so, unsaid by its file.
    """

    box: Box
    confidence: float
    landmarks: NDArray[np.float32]
    reduction: int = 1
    quarter_turns: int = 0

    @property
    def sent_box(self) -> Box:
        """The box in the picture as sent, but upright: what limits on sizes and answers are about."""
        factor = self.reduction
        return Box(self.box.x * factor, self.box.y * factor, self.box.width * factor, self.box.height * factor)


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A face as a unit vector (float32, the embedder's dimension); `norm` is its length before normalising.

    `strength`: where the norm lies, 0..1, between what is typical of faces that fail to match and of good photos; None
    where nobody measured that of the embedder.
    """

    vector: Vector
    norm: float
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Angles of the head in degrees."""

    yaw: float
    pitch: float
    roll: float

    @property
    def sum_of_angles(self) -> float:
        """What quality levels limit: the sum of the absolute angles."""
        return abs(self.yaw) + abs(self.pitch) + abs(self.roll)


@dataclass(frozen=True, slots=True)
class Check:
    """One measured item of quality or liveness against its limit; `limit` is what the value was held against.

    A `vote` does not decide alone (engine.vision.liveness.rule). `detail`: the named values that `value` was made of.
    """

    name: str
    value: float
    limit: float
    passed: bool
    vote: bool = False
    detail: tuple[tuple[str, float], ...] = ()


class Detector(Protocol):
    """Finds faces."""

    def __call__(self, image: Image) -> Sequence[Face]:
        """All faces of the picture, largest box first; deterministic."""
        ...


class Embedder(Protocol):
    """Turns a face into a vector whose cosine to another tells whether they are of one person."""

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        ...

    @property
    def threshold(self) -> float:
        """The model's default cosine threshold for 1:N, where it has no curve."""
        ...

    @property
    def fmr_curve(self) -> tuple[FmrPoint, ...]:
        """Thresholds by false match rate, the highest rate first; empty where nobody measured them."""
        ...

    def __call__(self, image: Image, face: Face) -> Embedding:
        """The embedding of that face of the picture."""
        ...


class LivenessNet(Protocol):
    """Tells a live face from a picture of one, on the kind of picture it was made for (colour, or infrared)."""

    def __call__(self, image: Image, face: Face) -> float:
        """The probability, 0..1, that the face is live."""
        ...


class PoseNet(Protocol):
    """Measures where a head is turned."""

    def __call__(self, image: Image, face: Face) -> HeadPose:
        """The angles of that face's head."""
        ...


class AttributeNet(Protocol):
    """Guesses one number about a person: an age in years, or the probability of a sex."""

    def __call__(self, image: Image, face: Face) -> float:
        """The number for that face of the picture; not a finite one where it cannot be told."""
        ...


@dataclass(frozen=True, slots=True)
class ModelSet:
    """The networks of one engine; those that may be missing are None.

    `identities`: role -> identity (source sha256 + recipe version). `age` gives years, `sex` the probability, 0..1,
    that a person is male.
    """

    detector: Detector
    embedder: Embedder
    liveness: LivenessNet
    pose: PoseNet
    identities: tuple[tuple[str, str], ...]
    infrared_liveness: LivenessNet | None = None
    age: AttributeNet | None = None
    sex: AttributeNet | None = None

    @property
    def embedder_identity(self) -> str:
        """Embeddings of different identities must never be compared."""
        return dict(self.identities)["embedder"]
