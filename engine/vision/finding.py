"""From a picture file to its faces, decoding no more of a big photo than its faces need.

A JPEG of one scan can be decoded at a half, a quarter or an eighth of its size for much less work. So faces are looked
for in a small version first; where the largest turns out to be too small there, a larger version is taken. Where
nothing is found, or hardly, the picture is looked at with a border around it, for a face larger than the picture.
A full decode would find no more: the small version is as large as the detector's closest look. Pictures that lie on
their side are turned upright.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from engine.timing import StageTimer
from engine.vision.decode.versions import Versions
from engine.vision.ports import Box, Detector, Face, Image
from engine.vision.tensor import resize
from engine.vision.turned import quarter_turns, turn

LEAST_SIDE = 1280
"""Longer side, in pixels, of the smallest version that is looked at: the detector's closest look sees no more."""

ENOUGH = 112.0
"""Shorter side of a face, in pixels, that a larger version would add nothing to: what embedders are fed."""

_MOST_PIXELS = 8_300_000
"""Of a version that many checks look at as a whole, each of them at every pixel."""

_BORDER_SHARE = 0.4
"""Width of the border that such a picture is looked at with, as a share of its longer side."""

_BORDERED_SIDE = 256
"""Longer side of that look, in pixels: a face as large as the picture is seen well enough."""

_FILLING_SHARE = 0.7
"""Of a picture's width or height, what a face must fill for that look to count."""

_SURE = 0.85
"""Confidence from which on a face that fills its picture needs no such look."""


def find_faces(picture: bytes, detector: Detector, max_pixels: int, timer: StageTimer) -> tuple[Image, Sequence[Face]]:
    """The decoded picture, perhaps smaller than it was sent, and its faces in that picture, largest first.

    Raises:
        PictureRefused: it is no picture that can be served.
    """
    return find_in_versions(Versions(picture, max_pixels), detector, timer)


def find_in_versions(versions: Versions, detector: Detector, timer: StageTimer) -> tuple[Image, Sequence[Face]]:
    """The same of a picture whose sizes the caller needs as well.

    Raises:
        PictureRefused: it is no picture that can be served.
    """
    with timer.stage("decode"):
        reduction = versions.fitting_reduction(LEAST_SIDE)
        image = versions.version(reduction)
    with timer.stage("detect"):
        image, faces = _upright(image, _faces(image, detector), detector)
    if reduction == 1 or not faces:
        return image, faces
    wanted = _reduction_for(faces[0], reduction)
    if wanted == reduction:
        return image, [replace(face, reduction=reduction) for face in faces]
    with timer.stage("decode"):
        larger = turn(versions.version(wanted), faces[0].quarter_turns)
    growth = larger.shape[1] / image.shape[1], larger.shape[0] / image.shape[0]
    return larger, [replace(_moved(face, 0, growth), reduction=wanted) for face in faces]


def version_for(versions: Versions, side_share: float) -> Image:
    """The smallest version of a picture that is good enough for a face whose shorter side is that share of the
    picture's longer one, and for finding it; but none of more than `_MOST_PIXELS` if there is a smaller one.

    Raises:
        PictureRefused: it is no picture that can be served.
    """
    reduction = versions.fitting_reduction(LEAST_SIDE)
    while (
        reduction > 1
        and side_share * versions.longer_side / reduction < ENOUGH
        and versions.pixels / (reduction // 2) ** 2 <= _MOST_PIXELS
    ):
        reduction //= 2
    return versions.version(reduction)


def _upright(image: Image, faces: Sequence[Face], detector: Detector) -> tuple[Image, Sequence[Face]]:
    """The picture and its faces, turned if its faces lie on their side and are found when it is turned."""
    turns = quarter_turns(image, faces, detector)
    if not turns:
        return image, faces
    turned = turn(image, turns)
    found = [replace(face, quarter_turns=turns) for face in detector(turned)]
    return (turned, found) if found else (image, faces)


def _reduction_for(face: Face, reduction: int) -> int:
    """The largest reduction, at most the present one, that leaves the face big enough."""
    wanted, side = reduction, face.box.shorter_side
    while wanted > 1 and side < ENOUGH:
        wanted, side = wanted // 2, side * 2
    return wanted


def _faces(image: Image, detector: Detector) -> Sequence[Face]:
    faces = detector(image)
    if faces and (faces[0].confidence >= _SURE or not _fills(faces[0], image)):
        return faces
    filling = _filling_face(image, detector)
    return filling if filling and (not faces or filling[0].confidence > faces[0].confidence) else faces


def _fills(face: Face, image: Image) -> bool:
    rows, columns = image.shape[:2]
    return bool(max(face.box.width / columns, face.box.height / rows) >= _FILLING_SHARE)


def _filling_face(image: Image, detector: Detector) -> Sequence[Face]:
    """The face that reaches over the picture's border, where there is one: detectors want to see what is around it."""
    rows, columns = image.shape[:2]
    scale = min(1.0, _BORDERED_SIDE / (max(rows, columns) * (1 + 2 * _BORDER_SHARE)))
    width, height = max(1, int(columns * scale)), max(1, int(rows * scale))
    border = int(max(width, height) * _BORDER_SHARE)
    small = resize(image, width, height)
    bordered = cv2.copyMakeBorder(small, border, border, border, border, cv2.BORDER_CONSTANT)
    growth = columns / width, rows / height
    faces = [_moved(face, -border, growth) for face in detector(np.asarray(bordered, np.uint8))[:1]]
    return [face for face in faces if _fills(face, image)]


def _moved(face: Face, shift: float, growth: tuple[float, float]) -> Face:
    """The face shifted by as many pixels both ways, then enlarged (across, down)."""
    box, (across, down) = face.box, growth
    moved = Box((box.x + shift) * across, (box.y + shift) * down, box.width * across, box.height * down)
    return replace(face, box=moved, landmarks=((face.landmarks + shift) * growth).astype(np.float32))
