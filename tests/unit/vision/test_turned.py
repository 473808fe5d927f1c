from collections.abc import Sequence

import numpy as np
import pytest

from engine.timing import StageTimer
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.finding import find_faces
from engine.vision.ports import Box, Face, Image
from engine.vision.turned import quarter_turns, turn

POINTS = np.zeros((5, 2), np.float32)


def scene(width: int = 200, height: int = 200) -> Image:
    """A dark picture with a face: a grey square, brighter along its upper edge, which tells how it lies."""
    image = np.zeros((height, width, 3), np.uint8)
    top, left, side = height // 2 - 40, width // 2 - 40, 80
    image[top : top + side, left : left + side] = 120
    image[top : top + side // 4, left : left + side] = 250
    return image


class Seer:
    """A detector that is sure of upright faces, and less sure of turned ones."""

    def __init__(self, upright: float = 0.91, turned: float = 0.6) -> None:
        self._upright, self._turned = upright, turned
        self.looks = 0

    def __call__(self, image: Image) -> Sequence[Face]:
        self.looks += 1
        bright = image[:, :, 0] > 60
        if not bright.any() or (self._turned == 0.0 and not self._lies_upright(image)):
            return ()
        ys, xs = np.nonzero(bright)
        box = Box(float(xs.min()), float(ys.min()), float(np.ptp(xs)), float(np.ptp(ys)))
        confidence = self._upright if self._lies_upright(image) else self._turned
        return (Face(box, confidence, POINTS),)

    @staticmethod
    def _lies_upright(image: Image) -> bool:
        ys, xs = np.nonzero(image[:, :, 0] > 200)
        every, _ = np.nonzero(image[:, :, 0] > 60)
        return bool(np.ptp(xs) > 2 * np.ptp(ys) and ys.mean() < every.mean())


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("seen_turned", [0.6, 0.0], ids=["hardly found", "not found at all"])
def test_a_turned_picture_is_told_by_the_face_that_is_surer_upright(turns: int, seen_turned: float):
    detector = Seer(turned=seen_turned)
    lying = turn(scene(), 4 - turns)

    assert quarter_turns(lying, detector(lying), detector) == turns


def test_a_sure_face_costs_no_further_look():
    detector = Seer()
    faces = detector(scene())
    assert (quarter_turns(scene(), faces, detector), detector.looks) == (0, 1)


def test_an_upright_face_that_is_not_quite_sure_costs_one():
    detector = Seer(upright=0.85)
    faces = detector(scene())
    assert (quarter_turns(scene(), faces, detector), detector.looks) == (0, 2)


@pytest.mark.parametrize(("upright", "turned"), [(0.7, 0.5), (0.78, 0.7)], ids=["unsure both ways", "hardly surer"])
def test_a_picture_is_not_turned_for_a_face_that_is_hardly_surer(upright: float, turned: float):
    detector = Seer(upright, turned)
    lying = turn(scene(), 1)
    assert quarter_turns(lying, detector(lying), detector) == 0


def test_a_picture_without_a_face_stays_as_it_is():
    empty = np.zeros((90, 400, 3), np.uint8)
    assert quarter_turns(empty, (), Seer()) == 0


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_the_face_that_is_found_lies_in_the_picture_as_it_was_turned(turns: int):
    lying = encode_jpeg(turn(scene(300, 200), (4 - turns) % 4), quality=95)

    image, (face,) = find_faces(lying, Seer(), 10**6, StageTimer(lambda: 0.0))

    assert image.shape == (200, 300, 3)
    assert face.quarter_turns == turns
    assert (face.box.x, face.box.y) == pytest.approx((110, 60), abs=3)


def test_a_big_turned_photo_is_decoded_larger_and_turned_again_for_a_small_face():
    small = scene(1300, 900)
    big = np.repeat(np.repeat(small, 4, axis=0), 4, axis=1)

    image, (face,) = find_faces(encode_jpeg(turn(big, 3), quality=90), Seer(), 10**8, StageTimer(lambda: 0.0))

    assert (face.quarter_turns, face.reduction) == (1, 2)
    assert image.shape == (1800, 2600, 3)
    assert (face.sent_box.x, face.sent_box.width) == pytest.approx((4 * 610, 4 * 80), abs=12)


def test_a_picture_whose_face_is_not_found_once_it_is_turned_stays_as_it_was():
    lying = turn(scene(300, 200), 3)

    def detector(image: Image) -> Sequence[Face]:
        # From close by the face is surer upright; in the whole picture it is found only as it lies.
        return () if image.shape == (200, 300, 3) else Seer()(image)

    image, (face,) = find_faces(encode_jpeg(lying, quality=95), detector, 10**6, StageTimer(lambda: 0.0))

    assert (image.shape, face.quarter_turns, face.confidence) == ((300, 200, 3), 0, 0.6)
