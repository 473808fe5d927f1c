"""That a big photo is decoded no larger than its largest face needs, and no smaller."""

import time
from collections.abc import Sequence

import numpy as np
import pytest

from contract.errors import PictureUnreadable
from engine.timing import StageTimer
from engine.vision.decode.versions import REDUCTIONS, Versions, decode
from engine.vision.finding import ENOUGH, LEAST_EVIDENCE, LEAST_SIDE, find_faces
from engine.vision.networks.centerface import DetectorPolicy
from engine.vision.ports import Box, Face, Image, Search
from tests.support import pictures

LIMIT = 40_000_000
WIDTH, HEIGHT = 5472, 3648
PHOTO = pictures.jpeg(pictures.colours(WIDTH, HEIGHT))


class FaceOfShare:
    """A detector that sees one face, of that share of the picture's width, wherever it can make out `least` pixels."""

    def __init__(self, share: float, least: float = 0.0) -> None:
        self._share, self._least = share, least
        self.seen: list[tuple[int, int]] = []

    def __call__(self, image: Image) -> Sequence[Face]:
        rows, columns = image.shape[:2]
        self.seen.append((columns, rows))
        side = self._share * columns
        if side < self._least:
            return []
        landmarks = np.full((5, 2), (columns / 2, rows / 2), np.float32)
        return [Face(Box(columns / 4, rows / 4, side, side), 0.9, landmarks)]


def found(picture: bytes, detector: FaceOfShare) -> tuple[Image, Sequence[Face]]:
    return find_faces(picture, detector, LIMIT, StageTimer(time.perf_counter))


@pytest.mark.parametrize(
    ("side_px", "decoded_width"),
    [(1200, WIDTH // 4), (449, WIDTH // 4), (447, WIDTH // 2), (225, WIDTH // 2), (223, WIDTH), (30, WIDTH)],
)
def test_the_largest_face_decides_how_large_a_photo_is_decoded(side_px: int, decoded_width: int):
    detector = FaceOfShare(side_px / WIDTH)
    image, faces = found(PHOTO, detector)

    assert image.shape == (HEIGHT * decoded_width // WIDTH, decoded_width, 3)
    assert detector.seen == [(WIDTH // 4, HEIGHT // 4)]
    assert decoded_width == WIDTH or faces[0].box.shorter_side >= ENOUGH


@pytest.mark.parametrize("side_px", [1200, 300, 100])
def test_where_a_face_is_told_in_pixels_of_the_photo_as_sent(side_px: int):
    image, (face,) = found(PHOTO, FaceOfShare(side_px / WIDTH))
    box = face.sent_box

    assert (box.x, box.y) == pytest.approx((WIDTH / 4, HEIGHT / 4))
    assert (box.width, box.height) == pytest.approx((side_px, side_px))
    assert face.landmarks[0] == pytest.approx((image.shape[1] / 2, image.shape[0] / 2))


def test_a_photo_without_a_face_is_decoded_once_and_small():
    detector = FaceOfShare(60 / WIDTH, least=10_000)
    image, faces = found(PHOTO, detector)

    assert (image.shape, faces) == ((HEIGHT // 4, WIDTH // 4, 3), [])
    assert detector.seen[0] == (WIDTH // 4, HEIGHT // 4)
    assert max(max(size) for size in detector.seen) == WIDTH // 4


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_ordinary_pictures_and_other_kinds_are_decoded_whole(suffix: str):
    size = (2 * LEAST_SIDE - 1, 9) if suffix == ".jpg" else (4 * LEAST_SIDE, 9)
    image, (face,) = found(pictures.encoded(pictures.colours(*size), suffix), FaceOfShare(0.5))

    assert image.shape == (size[1], size[0], 3)
    assert face.sent_box == face.box


def test_a_photo_held_upright_is_turned_before_it_is_looked_at():
    image, _ = found(pictures.with_exif(PHOTO, 6), FaceOfShare(0.5))

    assert image.shape == (WIDTH // 4, HEIGHT // 4, 3)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("size", [(160, 120), (161, 123), (7, 300), (1, 1)])
@pytest.mark.parametrize("make", [pictures.jpeg, pictures.progressive_jpeg], ids=["baseline", "progressive"])
def test_a_reduced_picture_is_the_same_picture(make, size: tuple[int, int], reduction: int):
    whole = make(pictures.colours(*size))
    small = decode(whole, LIMIT, reduction)

    assert small.shape == (-(-size[1] // reduction), -(-size[0] // reduction), 3)
    assert abs(float(small.mean()) - float(decode(whole, LIMIT).mean())) < 20


def test_a_reduced_picture_is_held_to_be_whole_as_well():
    whole = pictures.jpeg(pictures.busy())
    for reduction in REDUCTIONS:
        with pytest.raises(PictureUnreadable):
            decode(whole[: len(whole) // 2], LIMIT, reduction)


def test_the_reduction_leaves_the_side_that_is_asked_for():
    assert Versions(PHOTO, LIMIT).fitting_reduction(10_000) == 1
    assert [Versions(PHOTO, LIMIT).fitting_reduction(WIDTH // factor) for factor in (1, 2, 4, 8)] == [1, 2, 4, 8]
    assert Versions(PHOTO, LIMIT).fitting_reduction(WIDTH // 4 + 1) == 2


def test_the_smallest_version_is_as_large_as_the_detectors_closest_look():
    assert max(DetectorPolicy().look_sides) <= LEAST_SIDE


class FaceInABorder:
    """A detector that sees a face only when there is black around it, of that share of what is not black."""

    def __init__(self, share: float) -> None:
        self._share = share

    def __call__(self, image: Image) -> Sequence[Face]:
        if image[0].any():
            return []
        ys, xs = np.nonzero(image.any(axis=2))
        left, top, width, height = xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1
        box = Box(float(left), float(top), float(width * self._share), float(height * self._share))
        landmarks = np.full((5, 2), (left + width / 2, top + height / 2), np.float32)
        return [Face(box, 0.9, landmarks)]


@pytest.mark.parametrize("size", [(90, 120), (640, 480), (100, 1000), (WIDTH, HEIGHT)])
def test_a_face_larger_than_the_picture_is_found_with_a_border_around_it(size: tuple[int, int]):
    image, (face,) = find_faces(
        pictures.jpeg(pictures.colours(*size)), FaceInABorder(1.2), LIMIT, StageTimer(time.perf_counter)
    )
    box = face.sent_box

    assert (box.x, box.y) == pytest.approx((0, 0), abs=0.02 * max(size))
    assert (box.width, box.height) == pytest.approx((1.2 * size[0], 1.2 * size[1]), rel=0.04)
    assert face.landmarks[0] == pytest.approx((image.shape[1] / 2, image.shape[0] / 2), rel=0.03)


@pytest.mark.parametrize(("confidence", "taken"), [(0.6, "bordered"), (0.88, "plain")])
def test_a_face_that_fills_the_picture_is_looked_at_with_a_border_unless_it_is_sure(confidence: float, taken: str):
    def detector(image: Image) -> Sequence[Face]:
        found = FaceInABorder(1.2)(image)
        rows, columns = image.shape[:2]
        return found or [Face(Box(0, 0, columns, rows), confidence, np.zeros((5, 2), np.float32))]

    _, (face,) = find_faces(pictures.jpeg(pictures.colours()), detector, LIMIT, StageTimer(time.perf_counter))

    assert face.confidence == (0.9 if taken == "bordered" else confidence)


def test_a_small_face_is_not_believed_when_only_the_border_brings_it():
    picture = pictures.jpeg(pictures.colours())
    _, faces = find_faces(picture, FaceInABorder(0.5), LIMIT, StageTimer(time.perf_counter))

    assert not faces


class Doubting:
    """A detector that finds no face, and says how near the picture came to showing one."""

    def __init__(self, evidence: float) -> None:
        self._evidence, self.looks = evidence, 0

    def __call__(self, image: Image) -> Sequence[Face]:
        return self.search(image).faces

    def search(self, image: Image) -> Search:
        self.looks += 1
        return Search((), self._evidence)


@pytest.mark.parametrize(
    ("evidence", "size", "looks"),
    [(LEAST_EVIDENCE / 2, (641, 480), 1), (LEAST_EVIDENCE, (641, 480), 5), (0.0, (640, 480), 5)],
    ids=["hardly any", "some", "a small picture"],
)
def test_a_picture_is_searched_with_a_border_and_turned_only_where_there_is_evidence_of_a_face(
    evidence: float, size: tuple[int, int], looks: int
):
    detector = Doubting(evidence)
    image, faces = find_faces(pictures.jpeg(pictures.colours(*size)), detector, LIMIT, StageTimer(time.perf_counter))

    assert (image.shape[:2], len(faces)) == ((size[1], size[0]), 0)
    assert detector.looks == looks
