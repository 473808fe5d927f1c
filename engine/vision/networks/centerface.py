"""The detector CenterFace: a heat map of face centres at stride 4, with a size, an offset and five landmarks for each.

The detector searches a picture at rising resolutions (`DetectorPolicy.look_sides`) until the largest face is large
enough to be aligned well, or the picture's own resolution is reached. So a near face costs as little time in a large
picture as in a small one, and a far face is still found. The faces of the last resolution that had any are returned.

The higher resolutions cost six to forty times as much as the first, and most pictures in which the first shows no face
show nobody. So where it shows none, the picture is searched at a resolution in between (the glance), and then in those
spots of the closest resolution where the glance came nearest to a face. Only if one of them promises a face, the
picture is searched as a whole at all resolutions. So a face that is found has the box and landmarks of a whole search.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engine.vision.ports import Box, Face, Image, Search
from engine.vision.tensor import Run, Tensor, resize, to_tensor
from models.manifest import NetworkEntry

STRIDE = 4
SIDE_MULTIPLE = 32
"""The factor of which both sides of the network's input must be multiples: its deepest layer has stride 32."""


@dataclass(frozen=True, slots=True)
class DetectorPolicy:
    """The conditions for a face, and the resolutions at which a picture is searched.

    Attributes:
        confidence: the heat map value, 0..1, above which a place is a face.
        overlap: of two boxes with at least this intersection over union, the one with less confidence is dropped.
        look_sides: the longer side, in pixels, of the image at each resolution, rising.
        look_pixels: the most pixels of the image; it bounds the work for square pictures to that for oblong ones.
        enough: a resolution is the last one where the largest face has at least this shorter side, in its pixels.
        spots: in how many spots at most the closest resolution is searched before the whole; 0: the whole is always
            searched. The spots have at most half of its area together.
        spot_side: the side of a spot, in pixels of the closest resolution.
        hopeful: the heat map value from which on a place becomes a spot.
        promise: the heat map value, in the glance or in a spot, from which on the whole is searched; it is lower than
            `confidence`, because a face has other values in a spot than in the whole.
        glance: the resolution of the glance, as a share of the closest one. There is no glance where the first
            resolution has this share or `least_glance`.
        least_glance: see `glance`.
    """

    confidence: float = 0.5
    overlap: float = 0.3
    look_sides: tuple[int, ...] = (256, 640, 1280)
    look_pixels: int = 1280 * 960
    enough: float = 24.0
    spots: int = 8
    spot_side: int = 128
    hopeful: float = 0.02
    promise: float = 0.4
    glance: float = 0.565
    least_glance: float = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """What one run of the network over an image gave: the faces, and the heat map of the image without its padding."""

    faces: list[Face]
    heat: Tensor

    @property
    def evidence(self) -> float:
        return float(self.heat.max(initial=0.0))


class CenterFace:
    """Finds the faces of an image."""

    def __init__(self, run: Run, entry: NetworkEntry, policy: DetectorPolicy | None = None) -> None:
        self._run = run
        self._spec = entry.input
        self._policy = policy or DetectorPolicy()

    def __call__(self, image: Image) -> Sequence[Face]:
        """Return all faces of the image, the largest box first; equal images give equal faces."""
        return self.search(image).faces

    def search(self, image: Image) -> Search:
        """Return all faces of the image, the largest box first, and the evidence; equal images give equal results."""
        policy = self._policy
        rows, columns = image.shape[:2]
        faces: Sequence[Face] = ()
        evidence = 0.0
        closest = min(1.0, (policy.look_pixels / (rows * columns)) ** 0.5)
        last = min(closest, policy.look_sides[-1] / max(rows, columns))
        for number, side in enumerate(policy.look_sides):
            scale = min(closest, side / max(rows, columns))
            looked = self._look(image, scale)
            faces, evidence = looked.faces or faces, max(evidence, looked.evidence)
            if scale == closest or (faces and faces[0].box.shorter_side * scale >= policy.enough):
                break
            if number == 0 and not faces and scale < last:
                promise = self._promise(image, last, looked, scale)
                if promise is not None and promise < policy.promise:
                    return Search((), max(evidence, promise))
        return Search(faces, evidence)

    def _promise(self, image: Image, closest: float, first: _Looked, first_scale: float) -> float | None:
        """Return the highest heat of the glance and the spots; None where they would save nothing.

        The search ends with the first promise. `first`: what the first resolution showed.
        """
        policy = self._policy
        rows, columns = image.shape[:2]
        count = min(policy.spots, int(closest**2 * rows * columns / (2 * policy.spot_side**2)))
        if not count:
            return None
        glance = first if first_scale >= policy.least_glance * closest else self._look(image, policy.glance * closest)
        highest = glance.evidence
        for middle in spots(glance.heat, count, policy.spot_side / (closest * max(rows, columns)), policy.hopeful):
            if highest >= policy.promise:
                break
            part = _part(image, middle, policy.spot_side / closest)
            highest = max(highest, self._look(part, min(1.0, policy.spot_side / max(part.shape[:2]))).evidence)
        return highest

    def _look(self, image: Image, scale: float) -> _Looked:
        rows, columns = image.shape[:2]
        width, height = max(1, round(columns * scale)), max(1, round(rows * scale))
        small = _padded(resize(image, width, height))
        heat, log_size, offset, landmarks = self._run(to_tensor(small, self._spec))
        found = _peaks(heat[0, 0], log_size[0], offset[0], landmarks[0], self._policy)
        # Sides are rounded to whole pixels, so each axis is scaled back by its own factor.
        back = np.array([columns / width, rows / height], np.float32)
        faces = [_face(box, confidence, points, back) for box, confidence, points in found]
        return _Looked(faces, heat[0, 0, : -(-height // STRIDE), : -(-width // STRIDE)])


def spots(heat: Tensor, count: int, side: float, least: float) -> list[tuple[float, float]]:
    """Return the middles of at most `count` spots of an image, those of the highest heat first.

    The middles are (across, down), as shares of the image's width and height. `heat` covers the image. `side`: the side
    of a spot, as a share of the image's longer side; no middle is within a quarter of it of another one. `least`: the
    least heat of a middle.
    """
    left = heat.copy()
    rows, columns = left.shape
    around = max(1, int(side * max(rows, columns) / 4))
    chosen: list[tuple[float, float]] = []
    while len(chosen) < count:
        y, x = divmod(int(left.argmax()), columns)
        if left[y, x] < least:
            break
        chosen.append(((x + 0.5) / columns, (y + 0.5) / rows))
        left[max(0, y - around) : y + around + 1, max(0, x - around) : x + around + 1] = -1.0
    return chosen


def _part(image: Image, middle: tuple[float, float], side: float) -> Image:
    """Return a square part of the image around a middle (shares of width and height), within the image's borders."""
    rows, columns = image.shape[:2]
    width, height = min(columns, round(side)), min(rows, round(side))
    left = min(max(0, round(middle[0] * columns - width / 2)), columns - width)
    top = min(max(0, round(middle[1] * rows - height / 2)), rows - height)
    return image[top : top + height, left : left + width]


def _padded(image: Image) -> Image:
    bottom, right = -image.shape[0] % SIDE_MULTIPLE, -image.shape[1] % SIDE_MULTIPLE
    if not bottom and not right:
        return image
    return np.asarray(cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT), np.uint8)


def _peaks(
    heat: Tensor, log_size: Tensor, offset: Tensor, landmarks: Tensor, policy: DetectorPolicy
) -> list[tuple[NDArray[np.float32], float, NDArray[np.float32]]]:
    """Return (box as left, top, width, height; confidence; landmarks 5 x 2) of each face, the largest box first.

    All are in pixels of the network's input.
    """
    ys, xs = np.nonzero(heat > policy.confidence)
    if not len(ys):
        return []
    confidence = heat[ys, xs]
    # In every map of this network the channels are (vertical, horizontal).
    heights, widths = np.exp(log_size[:, ys, xs]) * STRIDE
    centre_y = (ys + offset[0, ys, xs] + 0.5) * STRIDE
    centre_x = (xs + offset[1, ys, xs] + 0.5) * STRIDE
    boxes = np.stack([centre_x - widths / 2, centre_y - heights / 2, widths, heights], axis=1).astype(np.float32)
    keep = suppress(boxes, confidence, policy.overlap)
    keep.sort(key=lambda i: (-float(boxes[i, 2] * boxes[i, 3]), -float(confidence[i]), float(boxes[i, 0]), i))
    found = []
    for i in keep:
        relative = landmarks[:, ys[i], xs[i]].reshape(5, 2)[:, ::-1]
        points = relative * boxes[i, 2:] + boxes[i, :2]
        found.append((boxes[i], float(confidence[i]), points.astype(np.float32)))
    return found


def suppress(boxes: NDArray[np.float32], confidence: NDArray[np.float32], overlap: float) -> list[int]:
    """Return the indexes of the boxes that no box of more confidence overlaps by `overlap` or more.

    `boxes`: n x 4 (left, top, width, height). `overlap`: intersection over union.
    """
    areas = boxes[:, 2] * boxes[:, 3]
    corners = boxes[:, :2] + boxes[:, 2:]
    left = np.argsort(-confidence, kind="stable")
    keep: list[int] = []
    while len(left):
        best, left = int(left[0]), left[1:]
        keep.append(best)
        lower = np.maximum(boxes[best, :2], boxes[left, :2])
        upper = np.minimum(corners[best], corners[left])
        shared = np.prod(np.clip(upper - lower, 0, None), axis=1)
        left = left[shared < overlap * (areas[best] + areas[left] - shared)]
    return keep


def _face(box: NDArray[np.float32], confidence: float, points: NDArray[np.float32], back: NDArray[np.float32]) -> Face:
    x, y, width, height = (float(value) for value in box * np.tile(back, 2))
    return Face(Box(x, y, width, height), confidence, points * back)
