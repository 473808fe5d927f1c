from collections.abc import Callable, Sequence

import numpy as np
import pytest

from engine.vision.networks.landmarks import CLOSE_SIDE, refine_landmarks
from engine.vision.ports import Box, Face, Image

TRUTH = np.array([[40, 45], [60, 45], [50, 58], [43, 70], [57, 70]], np.float32)
BOX = Box(30, 30, 40, 50)


def fixed(points: np.ndarray) -> Callable[[Image], Sequence[Face]]:
    """A detector that always answers with these landmarks around the middle."""
    box = Box(CLOSE_SIDE / 2 - 30, CLOSE_SIDE / 2 - 30, 60, 60)
    return lambda image: (Face(box, 0.9, points.astype(np.float32)),)


def test_the_lean_of_a_detector_cancels_out_between_the_face_and_its_mirror_image():
    truth = Face(BOX, 0.9, TRUTH)
    points = (TRUTH - np.array([0, 5])) * (CLOSE_SIDE / 100)
    mirrored = points * np.array([-1, 1]) + np.array([CLOSE_SIDE, 0])
    lean = np.array([3.0, 0.0])
    answers = iter([points + lean, (mirrored + lean)[[1, 0, 2, 4, 3]]])

    refined = refine_landmarks(np.zeros((160, 200, 3), np.uint8), truth, lambda image: fixed(next(answers))(image))

    assert np.allclose(refined.landmarks, TRUTH, atol=0.01)


def test_both_opinions_are_asked_of_a_small_square_picture_and_its_mirror_image():
    seen: list[Image] = []

    def look(image: Image) -> Sequence[Face]:
        seen.append(image)
        return ()

    image = np.random.default_rng(1).integers(0, 255, (160, 200, 3), np.uint8)

    refine_landmarks(image, Face(BOX, 0.9, TRUTH), look)

    straight, mirrored = seen
    assert straight.shape == mirrored.shape == (CLOSE_SIDE, CLOSE_SIDE, 3)
    assert np.array_equal(straight[:, ::-1], mirrored)


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("shift", [(0, 0), (-28, 0), (0, -28), (60, 40)])
def test_points_come_back_to_where_they_are_in_the_whole_picture(scale, shift):
    # The middle of every close picture is the middle of the box: exactly, unless the border cuts the close picture at a
    # fraction of one of its pixels.
    box = Box((30 + shift[0]) * scale, (30 + shift[1]) * scale, 40 * scale, 40 * scale)
    middle = np.array([box.x + box.width / 2, box.y + box.height / 2])
    face = Face(box, 0.9, np.tile(middle.astype(np.float32), (5, 1)))
    answer = fixed(np.full((5, 2), CLOSE_SIDE / 2))
    image = np.zeros((round(160 * scale), round(200 * scale), 3), np.uint8)

    refined = refine_landmarks(image, face, answer)

    step = 80 * scale / CLOSE_SIDE
    assert np.allclose(refined.landmarks, middle, atol=0.01 if min(shift) >= 0 else 0.5 * step)


def test_a_face_that_is_not_seen_from_close_by_stays_as_it_is():
    face = Face(BOX, 0.9, TRUTH)
    refined = refine_landmarks(np.zeros((160, 200, 3), np.uint8), face, lambda image: ())
    assert np.array_equal(refined.landmarks, TRUTH)


@pytest.mark.parametrize("other", [Box(0, 0, 40, 40), Box(CLOSE_SIDE / 2 - 5, CLOSE_SIDE / 2 - 5, 10, 10)])
def test_another_face_in_the_close_picture_does_not_count(other):
    face = Face(BOX, 0.9, TRUTH)
    wrong = np.full((5, 2), 3.0, np.float32)
    refined = refine_landmarks(np.zeros((160, 200, 3), np.uint8), face, lambda image: (Face(other, 0.9, wrong),))
    assert np.array_equal(refined.landmarks, TRUTH)


@pytest.mark.parametrize(
    "box",
    [
        Box(-5000, -5000, 4, 4),
        Box(1e9, 1e9, 10, 10),
        Box(-1e6, -1e6, 2e6, 2e6),
        Box(10, 10, 0, 0),
        Box(199, 159, 50, 50),
    ],
)
def test_a_box_far_outside_or_out_of_all_measure_changes_nothing_and_breaks_nothing(box):
    face = Face(box, 0.9, TRUTH)
    refined = refine_landmarks(np.zeros((160, 200, 3), np.uint8), face, lambda image: ())
    assert np.array_equal(refined.landmarks, TRUTH)


def test_the_opinions_of_a_landmarks_network_count_twice_as_much_as_the_detector():
    face = Face(BOX, 0.9, TRUTH)
    image = np.random.default_rng(1).integers(0, 255, (160, 200, 3), np.uint8)
    seen: list[tuple[Image, Box]] = []

    def points(shown: Image, box: Box) -> np.ndarray:
        """What a network without a lean says of the picture, and of its mirror image: six pixels below the truth."""
        seen.append((shown, box))
        scale = CLOSE_SIDE / 100
        places = (TRUTH - np.array([0, 5]) + np.array([0, 6])) * scale
        mirrored = np.array([CLOSE_SIDE, 0]) + places * np.array([-1, 1])
        return (places if len(seen) % 2 else mirrored[[1, 0, 2, 4, 3]]).astype(np.float32)

    refined = refine_landmarks(image, face, lambda _: pytest.fail("the detector is not asked"), points)

    assert np.allclose(refined.landmarks, TRUTH + np.array([0, 4]), atol=1e-3)
    pictures, boxes = zip(*seen, strict=True)
    assert np.array_equal(pictures[0][:, ::-1], pictures[1])
    assert [box.width for box in boxes] == pytest.approx([51.2, 51.2, 58.88, 58.88])
    middles = [box.x + box.width / 2 for box in boxes]
    assert middles == pytest.approx([CLOSE_SIDE / 2] * 4)


def test_a_landmarks_network_that_says_nothing_leaves_the_detector_its_say():
    face = Face(BOX, 0.9, TRUTH)
    refined = refine_landmarks(np.zeros((160, 200, 3), np.uint8), face, lambda _: (), lambda _image, _box: None)
    assert np.allclose(refined.landmarks, TRUTH)


def test_a_landmarks_network_is_not_asked_of_a_face_that_the_border_cuts():
    face = Face(Box(-20, 30, 40, 50), 0.9, TRUTH)
    refined = refine_landmarks(
        np.zeros((160, 200, 3), np.uint8), face, lambda _: (), lambda _image, _box: pytest.fail("asked")
    )
    assert np.allclose(refined.landmarks, TRUTH)


def test_an_opinion_that_lies_far_off_is_of_something_else():
    face = Face(BOX, 0.9, TRUTH)
    refined = refine_landmarks(
        np.zeros((160, 200, 3), np.uint8), face, lambda _: (), lambda _image, _box: np.full((5, 2), 3, np.float32)
    )
    assert np.allclose(refined.landmarks, TRUTH)
