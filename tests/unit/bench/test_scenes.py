import numpy as np
import pytest

from bench.scenes import FACE_SHARE, empty_scenes, scenes
from engine.vision.decode.versions import decode
from engine.vision.networks.standin import detect, draw_face, draw_scene

PORTRAIT = draw_scene(300, 300, [(draw_face(1, 100), 90, 20)])


@pytest.mark.parametrize(("width", "height"), [(250, 250), (640, 480), (1280, 720)])
def test_a_scene_has_the_size_that_was_asked_for_and_one_face_of_a_quarter_of_its_height(width: int, height: int):
    for jpeg in scenes(PORTRAIT, detect(PORTRAIT)[0], width, height, 3):
        scene = decode(jpeg, width * height)

        assert scene.shape == (height, width, 3)
        (face,) = detect(scene)
        assert face.box.height == pytest.approx(height * FACE_SHARE, rel=0.15)


def test_no_two_scenes_are_alike_and_a_second_run_makes_the_same_ones():
    face = detect(PORTRAIT)[0]
    first, again = (scenes(PORTRAIT, face, 320, 240, 4) for _ in range(2))

    assert first == again
    assert len(set(first)) == 4


def test_an_empty_scene_shows_nobody_and_no_two_are_alike():
    made = empty_scenes(PORTRAIT, 640, 480, 3)

    assert len(set(made)) == 3
    for jpeg in made:
        scene = decode(jpeg, 640 * 480)
        assert scene.shape == (480, 640, 3)
        assert not detect(scene)


def test_a_scene_has_the_noise_of_a_sensor():
    plain = np.full((200, 200, 3), 120, np.uint8)
    face = detect(PORTRAIT)[0]
    (jpeg,) = scenes(plain, face, 320, 240, 1)

    assert 1.0 < decode(jpeg, 320 * 240).astype(float).std() < 10.0
