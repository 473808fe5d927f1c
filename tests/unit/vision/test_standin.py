import cv2
import numpy as np
import pytest

from engine.vision.decode.versions import decode
from engine.vision.networks.standin import draw_face, draw_scene, stand_in_models
from engine.vision.ports import Embedding, Image
from tests.support import pictures

MODELS = stand_in_models()


def picture(seed: int, size: int = 120, left: int = 60, top: int = 40, **drawn: float) -> Image:
    return draw_scene(400, 300, [(draw_face(seed, size, **drawn), left, top)])


def embedded(image: Image) -> Embedding:
    faces = MODELS.detector(image)
    assert len(faces) == 1
    return MODELS.embedder(image, faces[0])


def cosine(one: Image, other: Image) -> float:
    return float(embedded(one).vector @ embedded(other).vector)


@pytest.mark.parametrize(
    "altered",
    [
        lambda image: decode(pictures.jpeg(image, 60), 10**6),
        lambda image: np.clip(image * 1.25, 0, 255).astype(np.uint8),
        lambda image: (image * 0.6).astype(np.uint8),
        lambda image: np.roll(image, (7, -5), axis=(0, 1)),
        lambda image: cv2.resize(image, None, fx=0.9, fy=0.9, interpolation=cv2.INTER_AREA),
        lambda image: cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR),
    ],
    ids=["recompressed", "brighter", "darker", "shifted", "smaller", "grey"],
)
def test_an_altered_copy_of_a_drawn_face_is_the_same_person(altered):
    for seed in range(10):
        assert cosine(picture(seed), altered(picture(seed))) > 0.8


def test_different_seeds_are_different_people():
    vectors = np.array([embedded(picture(seed)).vector for seed in range(80)])
    others = vectors @ vectors.T - np.eye(80)

    assert others.max() < 0.3
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_faces_are_found_largest_first_where_they_were_drawn():
    scene = draw_scene(640, 480, [(draw_face(1, 60), 20, 30), (draw_face(2, 200), 300, 200)])
    boxes = [face.box for face in MODELS.detector(scene)]

    assert [(box.x, box.y, box.width, box.height) for box in boxes] == [(300, 200, 200, 200), (20, 30, 60, 60)]


def test_pictures_without_a_drawn_face_have_none():
    for image in (draw_scene(640, 480), np.zeros((9, 9, 3), np.uint8), pictures.busy(640, 480), pictures.colours()):
        assert len(MODELS.detector(image)) == 0


def test_pose_and_liveness_are_what_was_drawn():
    for live in (True, False):
        image = decode(pictures.jpeg(picture(3, 160, yaw=40, pitch=-30, roll=0, live=live), 80), 10**6)
        face = MODELS.detector(image)[0]
        pose = MODELS.pose(image, face)
        assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((40, -30, 0), abs=12)
        assert (MODELS.liveness(image, face) > 0.5) is live
