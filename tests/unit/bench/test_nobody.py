from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bench.nobody import conditions, main
from bench.nobody_set import PLACES, Condition, Place, close_crop, fitted, make_place, parts_without_faces, put_face
from engine.vision.networks.standin import detect, draw_face, draw_scene
from engine.vision.ports import Box

FACE_BOX = Box(90, 60, 100, 120)
PHOTO = np.full((300, 300, 3), 250, np.uint8)


def chance(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("place", PLACES)
def test_a_made_up_place_has_its_size_and_is_the_same_every_time(place: Place):
    first, again = (make_place(place, 321, 240, chance()) for _ in range(2))

    assert first.shape == (240, 321, 3)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, make_place(place, 321, 240, chance(4)))


@pytest.mark.parametrize("degrees", [0, 90, 150])
def test_a_face_lies_in_the_box_that_is_told_and_the_place_is_as_it_was_elsewhere(degrees: int):
    place = np.full((480, 640, 3), 40, np.uint8)
    view, box = put_face(place, PHOTO, FACE_BOX, Condition((640, 480), 60, degrees), chance())

    bright = view[:, :, 0] > 100
    ys, xs = np.nonzero(bright)
    assert (box.width, box.height) == pytest.approx((50, 60))
    assert (xs.mean() + 0.5, ys.mean() + 0.5) == pytest.approx((box.x + 25, box.y + 30), abs=2)
    assert 60 <= np.ptp(ys) < 3 * 60
    assert view[~bright].min() >= 40
    assert view[0, 0].tolist() == [40, 40, 40]


@pytest.mark.parametrize("seed", range(8))
def test_of_a_cut_face_the_share_that_was_asked_for_lies_beyond_one_edge(seed: int):
    place = np.full((480, 640, 3), 40, np.uint8)
    _, box = put_face(place, PHOTO, FACE_BOX, Condition((640, 480), 60, cut=0.4), chance(seed))

    beyond = (-box.x / box.width, (box.x + box.width - 640) / box.width, -box.y / 60, (box.y + 60 - 480) / 60)
    assert max(beyond) == pytest.approx(0.4)
    assert sorted(beyond)[-2] < 0


def test_low_light_dims_the_picture_and_adds_noise():
    place = np.full((480, 640, 3), 200, np.uint8)
    dark, _ = put_face(place, PHOTO, FACE_BOX, Condition((640, 480), 60, light=0.1), chance())

    assert 20 < dark.mean() < 40
    assert dark.std() > 4


def test_a_close_crop_is_the_middle_of_the_face():
    photo = PHOTO.copy()
    photo[60:180, 90:190] = 10

    assert close_crop(photo, FACE_BOX, 0.5, 480).shape == (480, 400, 3)
    assert close_crop(photo, FACE_BOX, 0.5, 480).max() <= 10
    assert close_crop(photo, FACE_BOX, 1.2, 480).max() >= 250


def test_parts_of_a_photo_lie_beside_its_faces_and_show_none():
    known = draw_scene(900, 300, [(draw_face(1, 100), 400, 100)])
    with_other = draw_scene(900, 300, [(draw_face(1, 100), 400, 100), (draw_face(2, 100), 60, 100)])
    (face,) = detect(known)

    assert [part.shape for part in parts_without_faces(known, [face], detect)] == [(300, 355, 3), (300, 355, 3)]
    (right,) = parts_without_faces(with_other, [face], detect)
    assert np.array_equal(right, with_other[:, 545:])
    assert parts_without_faces(known, [], detect) == []


@pytest.mark.parametrize("size", [(640, 480), (100, 300), (300, 20)])
def test_a_part_is_fitted_without_distortion(size: tuple[int, int]):
    part = np.repeat(np.arange(200, dtype=np.uint8)[:, np.newaxis, np.newaxis], 250, axis=1).repeat(3, axis=2)
    made = fitted(part, *size, chance())

    assert made.shape == (size[1], size[0], 3)
    steps = np.diff(made[:, 0, 0].astype(float)).mean() * size[1]
    assert steps == pytest.approx(min(200, 250 * size[1] / size[0]), abs=8)


def test_the_conditions_are_told_apart_by_heading_and_value():
    listed = [condition for group in conditions().values() for condition in group]

    assert len(set(listed)) == len(listed)
    assert {condition.size for condition in listed} == {(640, 480), (1280, 960)}


def test_a_folder_that_is_missing_is_an_error_of_one_sentence(tmp_path: Path):
    result = CliRunner().invoke(main, [str(tmp_path / "nowhere"), "--only", "faces"])

    assert result.exit_code == 2
    assert "nowhere is not a folder" in result.output
