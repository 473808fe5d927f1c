"""Finds the faces of a picture, decoding the picture at the smallest size that its faces allow.

A JPEG of one scan can be decoded at a half, a quarter or an eighth of its size for much less work. So the detector
searches a small version of the picture first; where the largest face in it is too small, a larger version is decoded.
Decoding the whole picture would not find more faces, because the small version is as large as the largest image that
the detector uses. Where no face is found with confidence, the detector also searches the picture with a border around
it, for a face that is larger than the picture. Pictures that lie on their side are turned upright. A picture with no
face and hardly any evidence of one is searched neither with a border nor turned, unless it is small.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from engine.timing import StageTimer
from engine.vision.decode.versions import Versions
from engine.vision.ports import Box, Detector, Face, Image, Search, SearchingDetector
from engine.vision.tensor import resize
from engine.vision.turned import quarter_turns, turn

LEAST_SIDE = 1280
"""The longer side, in pixels, of the smallest version that is searched: the detector's largest image has this side."""

ENOUGH = 112.0
"""The shorter side of a face, in pixels, from which on a larger version adds nothing: that of the embedders' input."""

_MOST_PIXELS = 8_300_000
"""The most pixels of a version: many liveness checks read every pixel of it."""

_BORDER_SHARE = 0.4
"""The width of the border around a picture, as a share of the picture's longer side."""

_BORDERED_SIDE = 256
"""The longer side, in pixels, of a picture with its border: enough for a face that is as large as the picture."""

_FILLING_SHARE = 0.7
"""The share of a picture's width or height from which on a face counts as filling the picture."""

_SURE = 0.85
"""The confidence from which on a face that fills its picture is not searched for again with a border."""

LEAST_EVIDENCE = 0.1
"""The evidence from which on a picture without a face is searched with a border and turned: a fifth of the confidence
of a face. Turned faces and faces larger than their picture have more, most empty pictures have less (docs/accuracy.md).
"""

ALWAYS_SIDE = 640
"""The longer side, in pixels, up to which a picture is searched with a border and turned without evidence: with these
searches a picture without a face still costs less than twice one with a face, and the evidence of a small picture comes
from few resolutions."""


def find_faces(picture: bytes, detector: Detector, max_pixels: int, timer: StageTimer) -> tuple[Image, Sequence[Face]]:
    """Return the decoded image, perhaps smaller than the picture as sent, and the faces in that image, largest first.

    Raises:
        PictureRefused: the picture cannot be decoded.
    """
    return find_in_versions(Versions(picture, max_pixels), detector, timer)


def find_in_versions(versions: Versions, detector: Detector, timer: StageTimer) -> tuple[Image, Sequence[Face]]:
    """Return the decoded image and its faces, as `find_faces`, from versions that the caller uses further.

    Raises:
        PictureRefused: the picture cannot be decoded.
    """
    with timer.stage("decode"):
        reduction = versions.fitting_reduction(LEAST_SIDE)
        image = versions.version(reduction)
    with timer.stage("detect"):
        image, faces = _find(image, detector)
    if reduction == 1 or not faces:
        return image, faces
    wanted = _reduction_for(faces[0], reduction)
    if wanted == reduction:
        return image, [replace(face, reduction=reduction) for face in faces]
    with timer.stage("decode"):
        larger = turn(versions.version(wanted), faces[0].quarter_turns)
    growth = larger.shape[1] / image.shape[1], larger.shape[0] / image.shape[0]
    return larger, [replace(_moved(face, 0, growth), reduction=wanted) for face in faces]


def reduction_for(versions: Versions, side_share: float) -> int:
    """Return the reduction to the smallest version of a picture in which a face can be found and has enough pixels.

    `side_share`: the shorter side of the face, as a share of the picture's longer side. A version has more than
    `_MOST_PIXELS` only where no smaller version exists.

    Raises:
        PictureRefused: the picture is refused by its headers.
    """
    reduction = versions.fitting_reduction(LEAST_SIDE)
    while (
        reduction > 1
        and side_share * versions.longer_side / reduction < ENOUGH
        and versions.pixels / (reduction // 2) ** 2 <= _MOST_PIXELS
    ):
        reduction //= 2
    return reduction


def _find(image: Image, detector: Detector) -> tuple[Image, Sequence[Face]]:
    """Return the image, perhaps turned, and its faces."""
    found = _search(image, detector)
    if not found.faces and found.evidence < LEAST_EVIDENCE and max(image.shape) > ALWAYS_SIDE:
        return image, found.faces
    return _upright(image, _with_filling(image, found.faces, detector), detector)


def _search(image: Image, detector: Detector) -> Search:
    return detector.search(image) if isinstance(detector, SearchingDetector) else Search(detector(image), 1.0)


def _upright(image: Image, faces: Sequence[Face], detector: Detector) -> tuple[Image, Sequence[Face]]:
    """Return the image and its faces; both are turned where the faces lie on their side and are found after turning."""
    turns = quarter_turns(image, faces, detector)
    if not turns:
        return image, faces
    turned = turn(image, turns)
    found = [replace(face, quarter_turns=turns) for face in detector(turned)]
    return (turned, found) if found else (image, faces)


def _reduction_for(face: Face, reduction: int) -> int:
    """Return the largest reduction, at most the present one, that leaves the face large enough."""
    wanted, side = reduction, face.box.shorter_side
    while wanted > 1 and side < ENOUGH:
        wanted, side = wanted // 2, side * 2
    return wanted


def _with_filling(image: Image, faces: Sequence[Face], detector: Detector) -> Sequence[Face]:
    """Return the faces, or the face that fills the image where that is found with more confidence."""
    if faces and (faces[0].confidence >= _SURE or not _fills(faces[0], image)):
        return faces
    filling = _filling_face(image, detector)
    return filling if filling and (not faces or filling[0].confidence > faces[0].confidence) else faces


def _fills(face: Face, image: Image) -> bool:
    rows, columns = image.shape[:2]
    return bool(max(face.box.width / columns, face.box.height / rows) >= _FILLING_SHARE)


def _filling_face(image: Image, detector: Detector) -> Sequence[Face]:
    """Return the face that fills the image, if the image has one, found with a border around the image, because
    detectors need surroundings around a face."""
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
    """Return the face shifted by `shift` pixels across and down, and then enlarged by `growth` (across, down)."""
    box, (across, down) = face.box, growth
    moved = Box((box.x + shift) * across, (box.y + shift) * down, box.width * across, box.height * down)
    return replace(face, box=moved, landmarks=((face.landmarks + shift) * growth).astype(np.float32))
