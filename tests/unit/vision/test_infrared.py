import numpy as np
import pytest

from engine.vision.infrared import infrared_face_check, overlap
from engine.vision.ports import Box, Check
from engine.vision.standin import detect, draw_face, draw_scene


def check(rgb: tuple[int, int], infrared: tuple[int, int] | None, ir_size: tuple[int, int] = (640, 480)) -> Check:
    colour = draw_scene(640, 480, [(draw_face(1, 160), *rgb)])
    scale = ir_size[0] / 640
    other = draw_face(1, round(160 * scale))
    dark = draw_scene(*ir_size, [(other, *infrared)] if infrared else [])
    return infrared_face_check(colour, detect(colour)[0], dark, detect)


def test_a_face_at_the_same_place_passes():
    assert check((200, 150), (200, 150)).value == pytest.approx(1, abs=0.05)
    assert check((200, 150), (200, 150)).passed


def test_a_face_shifted_by_a_second_lens_passes():
    assert check((200, 150), (250, 160)).passed


def test_the_infrared_picture_may_have_another_size():
    assert check((200, 150), (100, 75), (320, 240)).passed


def test_a_face_elsewhere_or_none_at_all_fails():
    assert not check((50, 150), (450, 150)).passed
    missing = check((200, 150), None)
    assert (missing.name, missing.value, missing.passed) == ("ir_face", 0.0, False)


def test_the_best_of_several_infrared_faces_counts():
    colour = draw_scene(640, 480, [(draw_face(1, 120), 100, 100)])
    dark = draw_scene(640, 480, [(draw_face(2, 200), 400, 200), (draw_face(1, 120), 110, 100)])

    assert infrared_face_check(colour, detect(colour)[0], dark, detect).passed


def test_overlap_is_intersection_over_union():
    assert overlap(Box(0, 0, 2, 2), Box(1, 0, 2, 2)) == pytest.approx(1 / 3)
    assert overlap(Box(0, 0, 1, 1), Box(5, 5, 1, 1)) == 0
    assert overlap(Box(0, 0, 0, 0), Box(0, 0, 0, 0)) == 0
    assert np.isfinite(overlap(Box(-1, -1, 3, 3), Box(0, 0, 1, 1)))
