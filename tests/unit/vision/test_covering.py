"""Drawing covers over faces."""

import numpy as np
import pytest

from contract.errors import PictureUnreadable
from engine.vision.covering import FaceFrame, covered_copy
from engine.vision.networks.arcface import TEMPLATE
from engine.vision.ports import Box, Face


def face_at(scale: float = 1.0, x: float = 100.0, y: float = 60.0) -> Face:
    landmarks = (TEMPLATE * scale + np.array([x, y])).astype(np.float32)
    return Face(Box(x + 18 * scale, y + 18 * scale, 75 * scale, 95 * scale), 0.9, landmarks)


def grey(width: int = 400, height: int = 300) -> np.ndarray:
    return np.full((height, width, 3), 120, np.uint8)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.abs(before.astype(int) - after.astype(int)).max(axis=2) > 8


def around(image: np.ndarray, face: Face) -> tuple[np.ndarray, Face]:
    """The part of a grey image that a drawing copies, without the drawing."""
    drawn, moved = covered_copy(image, face, "mouth")
    return np.full_like(drawn, 120), moved


@pytest.mark.parametrize("scale", [0.6, 1.0, 1.7])
def test_each_cover_hides_its_part_of_the_face_and_nothing_else(scale: float) -> None:
    for cover, hidden, free in (("mouth", (2, 3, 4), (0, 1)), ("eyes", (0, 1), (3, 4))):
        before, moved = around(grey(), face_at(scale))
        drawn, _ = covered_copy(grey(), face_at(scale), cover)
        there = changed(before, drawn)
        for point in hidden:
            x, y = moved.landmarks[point].astype(int)
            assert there[y, x], (cover, point)
        for point in free:
            x, y = moved.landmarks[point].astype(int)
            assert not there[y, x], (cover, point)
        rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
        box = moved.box
        assert columns[0] > box.x - 0.15 * box.width
        assert columns[-1] < box.x + 1.15 * box.width
        assert rows[-1] < box.y + 1.25 * box.height


def test_the_same_face_gives_the_same_drawing_and_the_image_is_not_changed() -> None:
    image = np.random.default_rng(1).integers(0, 255, (300, 400, 3)).astype(np.uint8)
    before = image.copy()
    for cover in ("mouth", "eyes"):
        one, other = covered_copy(image, face_at(), cover)[0], covered_copy(image, face_at(), cover)[0]
        assert np.array_equal(one, other)
    assert np.array_equal(image, before)


def test_a_large_face_is_drawn_smaller_at_the_same_places_of_the_face() -> None:
    drawn, moved = covered_copy(grey(4000, 3000), face_at(12.0, 300, 200), "mouth")
    assert max(moved.box.width, moved.box.height) == pytest.approx(224, abs=1)
    assert max(drawn.shape[:2]) < 700
    spread = np.ptp(moved.landmarks, axis=0) / np.ptp(TEMPLATE, axis=0)
    assert spread == pytest.approx(224 / 95, rel=0.02)


def test_a_face_at_the_border_is_drawn_as_far_as_the_image_goes() -> None:
    drawn, moved = covered_copy(grey(120, 100), face_at(1.0, -30, -30), "mouth")
    x, y = moved.landmarks[4].astype(int)
    assert changed(np.full_like(drawn, 120), drawn)[y, x]


def test_the_half_of_a_face_that_is_turned_away_is_narrow() -> None:
    landmarks = TEMPLATE.copy()
    landmarks[2, 0] += 10  # the nose is nearer to the eye on the right
    frame = FaceFrame.of(landmarks)
    left, middle, right = frame.pixels([(-1.0, 1.0), (0.0, 1.0), (1.0, 1.0)])[:, 0]
    assert right - middle < middle - left


@pytest.mark.parametrize("points", [[0, 0, 2, 3, 4], [0, 1, 2, 0, 1]])
def test_landmarks_that_coincide_are_refused(points: list[int]) -> None:
    face = face_at()
    with pytest.raises(PictureUnreadable, match="cannot be aligned"):
        covered_copy(grey(), Face(face.box, 0.9, face.landmarks[points]), "mouth")


def test_a_face_outside_the_picture_is_refused() -> None:
    with pytest.raises(PictureUnreadable, match="outside the picture"):
        covered_copy(grey(), face_at(1.0, 5000, 60), "mouth")
