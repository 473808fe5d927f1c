"""The values that pass between the stages of the engine, and the interfaces that the networks implement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from contract.terms import Cover
from contract.vectors import Vector
from models.manifest import FmrPoint

Image = NDArray[np.uint8]
"""A decoded picture: BGR, uint8, height x width x 3, C-contiguous, upright (EXIF orientation applied)."""


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels, which may extend beyond the picture's border."""

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
        """The face size as the wire defines it, in pixels (docs/interface.md, "Quality levels")."""
        return min(self.width, self.height)

    @property
    def squared(self) -> "Box":
        """A square box with the longer side and the same middle."""
        side = max(self.width, self.height)
        return Box(self.x + (self.width - side) / 2, self.y + (self.height - side) / 2, side, side)


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One detected face.

    `landmarks`: 5 x 2 float32 pixels (x, y): the eye on the picture's left, the other eye, the nose tip, the mouth
    corner on the picture's left, the other corner. Coordinates count from the picture's upper left corner, so that the
    first pixel's middle is at (0.5, 0.5). Box and landmarks refer to the image as decoded and turned upright.
    `reduction`: how many times larger the picture was sent. `quarter_turns`: by how many quarter turns the picture was
    turned counterclockwise because its faces were not upright, although its file declared no orientation.
    """

    box: Box
    confidence: float
    landmarks: NDArray[np.float32]
    reduction: int = 1
    quarter_turns: int = 0

    @property
    def sent_box(self) -> Box:
        """The box in the upright picture at the size as sent, to which answers and limits of size refer."""
        factor = self.reduction
        return Box(self.box.x * factor, self.box.y * factor, self.box.width * factor, self.box.height * factor)


@dataclass(frozen=True, slots=True, eq=False)
class Embedding:
    """A face as a unit vector (float32, the embedder's dimension); `norm` is the vector's length before normalising.

    `strength`: the norm on a scale of 0..1, from the typical norm of faces that fail to match to that of good photos;
    None where these two norms were not measured for the embedder.
    """

    vector: Vector
    norm: float
    strength: float | None = None


@dataclass(frozen=True, slots=True)
class HeadPose:
    """The angles of a head in degrees."""

    yaw: float
    pitch: float
    roll: float

    @property
    def sum_of_angles(self) -> float:
        """The sum of the absolute angles, which quality levels limit."""
        return abs(self.yaw) + abs(self.pitch) + abs(self.roll)


@dataclass(frozen=True, slots=True)
class Check:
    """One measured item of quality or liveness, its limit, and whether the value passed.

    A `vote` does not decide alone (engine.vision.liveness.rule). `detail`: the named values from which `value` was
    computed.
    """

    name: str
    value: float
    limit: float
    passed: bool
    vote: bool = False
    detail: tuple[tuple[str, float], ...] = ()


class Detector(Protocol):
    """A network that finds faces."""

    def __call__(self, image: Image) -> Sequence[Face]:
        """Return all faces of the image, the largest box first; equal images give equal faces."""
        ...


@dataclass(frozen=True, slots=True)
class Search:
    """What a search of an image found: its faces, the largest first, and the evidence of faces.

    `evidence`: the highest confidence, 0..1, that any searched place of the image had, whether or not that is enough
    for a face. An image without faces and with hardly any evidence shows no face, in whatever way it is searched.
    """

    faces: Sequence[Face]
    evidence: float


@runtime_checkable
class SearchingDetector(Detector, Protocol):
    """A detector that also returns how near the image came to showing a face."""

    def search(self, image: Image) -> Search:
        """Return the faces that a call of the detector returns, with the evidence."""
        ...


class Embedder(Protocol):
    """A network that computes embeddings, whose cosine is high if two faces are of the same person."""

    @property
    def dimension(self) -> int:
        """The length of the vectors."""
        ...

    @property
    def threshold(self) -> float:
        """The default cosine threshold for 1:N, which is used where `fmr_curve` is empty."""
        ...

    @property
    def fmr_curve(self) -> tuple[FmrPoint, ...]:
        """The thresholds by false match rate, the highest rate first; empty where none were measured."""
        ...

    @property
    def covered_curves(self) -> Mapping[Cover, tuple[FmrPoint, ...]]:
        """By cover, the same for covered faces and templates of such faces; empty where none were measured."""
        ...

    def __call__(self, image: Image, face: Face) -> Embedding:
        """Return the embedding of a face in the image."""
        ...


class LivenessNet(Protocol):
    """A network that distinguishes a live face from a picture of a face, in colour pictures or in infrared pictures."""

    def __call__(self, image: Image, face: Face) -> float:
        """Return the probability, 0..1, that the face is live."""
        ...


class PoseNet(Protocol):
    """A network that measures the pose of a head."""

    def __call__(self, image: Image, face: Face) -> HeadPose:
        """Return the angles of the head of a face in the image."""
        ...


class AttributeNet(Protocol):
    """A network that estimates one number about a person: an age in years, or the probability of a sex."""

    def __call__(self, image: Image, face: Face) -> float:
        """Return the number for a face in the image; the number is not finite where it cannot be estimated."""
        ...


@dataclass(frozen=True, slots=True)
class ModelSet:
    """The networks of one engine; optional networks that are not installed are None.

    `identities`: role -> identity (source sha256 + recipe version). `age` estimates years, `sex` the probability, 0..1,
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
        """The identity of the embedder; embeddings of embedders with different identities must never be compared."""
        return dict(self.identities)["embedder"]
