"""The steps around the networks, with networks that are plain functions."""

import math

import cv2
import msgspec
import numpy as np
import pytest

from contract.errors import PictureUnreadable
from engine.vision.networks.arcface import TEMPLATE, ArcFaceEmbedder, align, similarity
from engine.vision.networks.centerface import CenterFace, DetectorPolicy, spots, suppress
from engine.vision.networks.headpose import BinnedHeadPose, expected_angle
from engine.vision.networks.live import LivenessNetwork
from engine.vision.ports import Box, Face
from engine.vision.tensor import crop_around, resize, to_tensor
from models.manifest import InputSpec, default_manifest
from tests.support import pictures

MANIFEST = default_manifest()
ANY_FACE = Face(Box(40, 40, 50, 60), 0.9, TEMPLATE + 20)


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> np.ndarray:
    angle = math.radians(degrees)
    matrix = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    return (points @ matrix.T + shift).astype(np.float32)


@pytest.mark.parametrize(("degrees", "scale", "shift"), [(0, 1, (0, 0)), (30, 2.5, (40, -7)), (-170, 0.2, (900, 400))])
def test_the_alignment_undoes_turning_scaling_and_shifting(degrees: float, scale: float, shift: tuple[float, float]):
    landmarks = turned(TEMPLATE, degrees, scale, shift)
    matrix = similarity(landmarks, TEMPLATE)

    assert np.allclose(np.hstack([landmarks, np.ones((5, 1))]) @ matrix.T, TEMPLATE, atol=1e-2)


def test_the_alignment_never_mirrors_a_face():
    mirrored = TEMPLATE * np.array([-1, 1], np.float32)

    assert np.linalg.det(similarity(mirrored, TEMPLATE)[:, :2]) > 0


def test_an_aligned_picture_shows_the_landmarks_where_the_template_has_them():
    picture = np.zeros((400, 400, 3), np.uint8)
    landmarks = turned(TEMPLATE, 20, 2, (100, 60))
    for x, y in landmarks:
        cv2.circle(picture, (round(float(x)), round(float(y))), 5, (255, 255, 255), -1)
    aligned = align(picture, Face(Box(0, 0, 1, 1), 1.0, landmarks))

    assert aligned.shape == (112, 112, 3)
    for x, y in TEMPLATE:
        assert aligned[round(float(y)), round(float(x))].min() > 200


def test_landmarks_that_fall_together_are_an_answer_not_a_crash():
    face = Face(Box(0, 0, 9, 9), 1.0, np.full((5, 2), 7, np.float32))
    with pytest.raises(PictureUnreadable):
        align(pictures.colours(), face)


def test_pixels_reach_a_network_in_the_order_and_scale_its_manifest_says():
    pixel = np.array([[[10, 20, 30]]], np.uint8)  # blue, green, red
    spec = InputSpec(colour="rgb", mean=(1, 2, 3), divisor=(2, 4, 8))

    assert to_tensor(pixel, spec).reshape(-1).tolist() == [29 / 2, 18 / 4, 7 / 8]
    assert to_tensor(pixel, InputSpec(colour="bgr")).reshape(-1).tolist() == [10, 20, 30]
    assert to_tensor(np.zeros((2, 3, 3), np.uint8), InputSpec(colour="bgr")).shape == (1, 3, 2, 3)
    assert to_tensor(np.zeros((2, 3, 3), np.uint8), InputSpec(colour="bgr", layout="nhwc")).shape == (1, 2, 3, 3)


@pytest.mark.parametrize(
    ("box", "scale"),
    [(Box(40, 40, 20, 20), 2.0), (Box(-10, -10, 40, 40), 2.7), (Box(70, 80, 60, 60), 2.7), (Box(0, 0, 100, 100), 9.0)],
)
def test_an_enlarged_box_stays_inside_the_picture(box: Box, scale: float):
    picture = np.arange(100 * 100 * 3, dtype=np.uint32).astype(np.uint8).reshape(100, 100, 3)
    crop = crop_around(picture, box, scale)
    wanted = min(scale * box.width, 100)

    assert abs(crop.shape[0] - wanted) <= 1
    assert abs(crop.shape[1] - wanted) <= 1


def test_a_box_far_outside_or_without_area_still_gives_pixels():
    for box in (Box(500, 500, 10, 10), Box(-500, -500, 10, 10), Box(5, 5, 0, 0)):
        assert crop_around(pictures.colours(), box, 1.0).size > 0


def test_the_embedding_is_a_unit_vector_and_remembers_its_length():
    raw = np.zeros((1, 512), np.float32)
    raw[0, :2] = 3, 4
    embedding = ArcFaceEmbedder(lambda _: (raw,), MANIFEST.network("embedder"))(pictures.colours(), ANY_FACE)

    assert embedding.norm == pytest.approx(5)
    assert embedding.vector.dtype == np.float32
    assert embedding.vector[:2].tolist() == pytest.approx([0.6, 0.8])


@pytest.mark.parametrize(("norm", "strength"), [(1, 0), (2, 0), (3, 0.5), (4, 1), (9, 1)])
def test_the_strength_of_an_embedding_is_its_lengths_place_on_its_own_embedders_scale(norm: float, strength: float):
    raw = np.zeros((1, 512), np.float32)
    raw[0, 0] = norm
    entry = MANIFEST.network("embedder")

    def told(typical: tuple[float, float] | None) -> float | None:
        typed = msgspec.structs.replace(entry, norm_typical=typical)
        return ArcFaceEmbedder(lambda _: (raw,), typed)(pictures.colours(), ANY_FACE).strength

    assert told((2.0, 4.0)) == pytest.approx(strength)
    assert told(None) is None


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_an_embedding_that_says_nothing_is_an_answer(value: float):
    raw = np.full((1, 512), value, np.float32)
    with pytest.raises(PictureUnreadable):
        ArcFaceEmbedder(lambda _: (raw,), MANIFEST.network("embedder"))(pictures.colours(), ANY_FACE)


def test_an_embedder_of_another_dimension_than_its_manifest_says_is_refused():
    embedder = ArcFaceEmbedder(lambda _: (np.ones((1, 128), np.float32),), MANIFEST.network("embedder"))
    with pytest.raises(ValueError, match="128 numbers, but its manifest names 512"):
        embedder(pictures.colours(), ANY_FACE)


def test_a_mirrored_embedding_is_that_of_the_face_and_of_its_mirror_image_alike():
    def run(tensor: np.ndarray) -> tuple[np.ndarray, ...]:
        return (tensor.reshape(1, -1)[:, :512] + 2,)

    entry = MANIFEST.network("embedder")
    picture = np.random.default_rng(3).integers(0, 255, (150, 150, 3), np.uint8)
    once = ArcFaceEmbedder(run, msgspec.structs.replace(entry, mirrored=False))(picture, ANY_FACE)
    straight = ArcFaceEmbedder(run, entry)(picture, ANY_FACE)
    aligned = align(picture, ANY_FACE)
    mean = (run(to_tensor(aligned, entry.input))[0] + run(to_tensor(aligned[:, ::-1], entry.input))[0])[0] / 2

    assert np.allclose(straight.vector, mean / np.linalg.norm(mean), atol=1e-5)
    assert not np.allclose(straight.vector, once.vector, atol=1e-3)


def test_the_landmarks_are_refined_before_they_are_used():
    moved = Face(ANY_FACE.box, 0.9, ANY_FACE.landmarks + 9)
    seen: list[np.ndarray] = []

    def run(tensor: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(tensor)
        return (np.ones((1, 512), np.float32),)

    entry = msgspec.structs.replace(MANIFEST.network("embedder"), mirrored=False)
    picture = np.random.default_rng(3).integers(0, 255, (150, 150, 3), np.uint8)
    ArcFaceEmbedder(run, entry, lambda _image, _face: moved)(picture, ANY_FACE)

    assert np.array_equal(seen[0], to_tensor(align(picture, moved), entry.input))


def test_liveness_is_the_probability_of_the_live_class():
    logits = np.log(np.array([[0.7, 0.2, 0.1]], np.float32))
    seen: list[tuple[int, ...]] = []

    def run(tensor: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(tensor.shape)
        return (logits,)

    assert LivenessNetwork(run, MANIFEST.network("liveness"))(pictures.colours(), ANY_FACE) == pytest.approx(
        0.7, abs=1e-5
    )
    assert seen == [(1, 3, 128, 128)]


def test_head_angles_are_the_expectation_over_three_degree_bins():
    certain = np.full((1, 66), -50, np.float32)
    certain[0, 43] = 50
    level = np.full((1, 66), -50, np.float32)
    level[0, 33] = 50

    pose = BinnedHeadPose(lambda _: (certain, level, level), MANIFEST.network("pose"))(pictures.colours(), ANY_FACE)

    assert (pose.yaw, pose.pitch, pose.roll) == pytest.approx((31.5, 1.5, 1.5), abs=1e-3)
    assert pose.sum_of_angles == pytest.approx(34.5, abs=1e-3)
    assert expected_angle(np.zeros((1, 66), np.float32)) == pytest.approx(0)


def test_a_face_keeps_its_proportions_before_the_pose_network():
    image = np.zeros((200, 200, 3), np.uint8)
    image[60:140, 80:120] = 255
    seen: list[np.ndarray] = []

    def run(tensor: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(tensor[0, 0] > 0)
        return (np.zeros((1, 66), np.float32),) * 3

    BinnedHeadPose(run, MANIFEST.network("pose"))(image, Face(Box(80, 60, 40, 80), 0.9, TEMPLATE))

    rows, columns = np.nonzero(seen[0])
    assert np.ptp(rows) / np.ptp(columns) == pytest.approx(2, abs=0.1)


class PaintedFaces:
    """A detector's network that sees white rectangles: one peak at the centre of each, sized as it is."""

    def __init__(self) -> None:
        self.looks: list[tuple[int, int]] = []

    def __call__(self, tensor: np.ndarray) -> tuple[np.ndarray, ...]:
        height, width = tensor.shape[2:]
        assert (height % 32, width % 32) == (0, 0)
        self.looks.append((height, width))
        rows, columns = height // 4, width // 4
        heat = np.zeros((1, 1, rows, columns), np.float32)
        size, offset = np.zeros((1, 2, rows, columns), np.float32), np.zeros((1, 2, rows, columns), np.float32)
        landmarks = np.full((1, 10, rows, columns), 0.5, np.float32)
        white = (tensor[0].min(axis=0) > 200).astype(np.uint8)
        _, _, regions, _ = cv2.connectedComponentsWithStats(white)
        for x, y, w, h, _ in regions[1:].tolist():
            row, column = int((y + h / 2) // 4), int((x + w / 2) // 4)
            heat[0, 0, row, column] = 0.9
            size[0, :, row, column] = math.log(h / 4), math.log(w / 4)
            offset[0, :, row, column] = (y + h / 2) / 4 - row - 0.5, (x + w / 2) / 4 - column - 0.5
        return heat, size, offset, landmarks


def scene(width: int, height: int, *boxes: tuple[int, int, int, int]) -> np.ndarray:
    picture = np.zeros((height, width, 3), np.uint8)
    for x, y, w, h in boxes:
        picture[y : y + h, x : x + w] = 255
    return picture


def test_faces_come_back_in_the_pictures_own_pixels_largest_first():
    picture = scene(1000, 600, (100, 50, 100, 120), (500, 200, 200, 260))
    small, large = (100, 50, 100, 120), (500, 200, 200, 260)

    faces = CenterFace(PaintedFaces(), MANIFEST.network("detector"))(picture)

    assert len(faces) == 2
    for face, (x, y, w, h) in zip(faces, (large, small), strict=True):
        assert (face.box.x, face.box.y, face.box.width, face.box.height) == pytest.approx((x, y, w, h), abs=8)
        assert face.landmarks.shape == (5, 2)
        assert np.allclose(face.landmarks, [x + w / 2, y + h / 2], atol=8)


def test_a_near_face_is_found_in_one_cheap_look_and_a_far_one_in_a_closer_look():
    near, far = PaintedFaces(), PaintedFaces()
    assert CenterFace(near, MANIFEST.network("detector"))(scene(2000, 1500, (700, 500, 400, 500)))
    assert CenterFace(far, MANIFEST.network("detector"))(scene(2000, 1500, (700, 500, 60, 70)))

    assert near.looks == [(192, 256)]
    assert len(far.looks) > 1
    assert max(far.looks[-1]) == 1280


def test_a_picture_is_never_enlarged_or_looked_at_twice_at_its_own_size():
    network = PaintedFaces()
    assert not CenterFace(network, MANIFEST.network("detector"))(scene(250, 250))

    assert network.looks == [(256, 256)]


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 4000), (4000, 1), (31, 33)])
def test_a_picture_of_any_shape_can_be_looked_at(width: int, height: int):
    assert not CenterFace(PaintedFaces(), MANIFEST.network("detector"))(scene(width, height))


def test_of_overlapping_boxes_the_surest_stays_and_of_equal_ones_the_first():
    boxes = np.array([[0, 0, 100, 100], [5, 5, 100, 100], [300, 0, 50, 50], [300, 0, 50, 50]], np.float32)
    confidence = np.array([0.6, 0.9, 0.7, 0.7], np.float32)

    assert suppress(boxes, confidence, 0.3) == [1, 2]


def test_a_policy_decides_what_counts_as_a_face():
    picture = scene(320, 320, (100, 100, 60, 60))
    strict = DetectorPolicy(confidence=0.95)

    assert CenterFace(PaintedFaces(), MANIFEST.network("detector"))(picture)
    assert not CenterFace(PaintedFaces(), MANIFEST.network("detector"), strict)(picture)


def test_a_picture_at_its_size_already_is_not_resized():
    picture = pictures.colours()
    assert resize(picture, 96, 64) is picture


class FaintFaces(PaintedFaces):
    """The same, but the heat of a rectangle is a hundredth of its width in pixels of the input, at most 0.9."""

    def __call__(self, tensor: np.ndarray) -> tuple[np.ndarray, ...]:
        heat, size, offset, landmarks = super().__call__(tensor)
        width = np.exp(size[:, 1:]) * 4
        return np.where(heat > 0, np.minimum(width / 100, 0.9), 0).astype(np.float32), size, offset, landmarks


def areas(network: PaintedFaces) -> list[int]:
    return [height * width for height, width in network.looks]


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (2000, 1500)])
def test_a_picture_without_a_face_is_searched_at_two_low_resolutions_only(size: tuple[int, int]):
    network = PaintedFaces()
    found = CenterFace(network, MANIFEST.network("detector")).search(scene(*size))

    assert (found.faces, found.evidence) == ((), 0.0)
    assert len(network.looks) == 2
    assert max(network.looks[1]) < 0.65 * min(max(size), 1280)


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (2000, 1500)])
def test_a_face_that_only_a_spot_shows_is_the_one_that_a_search_of_the_whole_finds(size: tuple[int, int]):
    scale = max(1.0, size[0] / 1280)
    box = tuple(round(value * scale) for value in (400, 200, 60, 70))
    picture, spotting = scene(*size, box), FaintFaces()

    (found,) = CenterFace(spotting, MANIFEST.network("detector")).search(picture).faces
    (whole,) = CenterFace(FaintFaces(), MANIFEST.network("detector"), DetectorPolicy(spots=0)).search(picture).faces

    assert (found.box, found.confidence) == (whole.box, whole.confidence)
    assert np.array_equal(found.landmarks, whole.landmarks)
    assert (128, 128) in spotting.looks


def test_evidence_is_the_highest_confidence_of_any_place_though_it_is_no_face():
    found = CenterFace(FaintFaces(), MANIFEST.network("detector")).search(scene(1280, 960, (400, 200, 30, 40)))

    assert not found.faces
    assert found.evidence == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("size", [(300, 225), (640, 480), (1280, 720), (2000, 1500)])
def test_a_picture_full_of_places_that_are_nearly_faces_costs_hardly_more_than_a_search_of_the_whole(
    size: tuple[int, int],
):
    near = [(x, y, 18, 18) for x in range(20, size[0] - 20, 70) for y in range(20, size[1] - 20, 70)]
    spotting, whole = FaintFaces(), FaintFaces()

    assert not CenterFace(spotting, MANIFEST.network("detector"))(scene(*size, *near))
    CenterFace(whole, MANIFEST.network("detector"), DetectorPolicy(spots=0))(scene(*size, *near))

    assert sum(areas(spotting)) <= 1.2 * sum(areas(whole))


@pytest.mark.parametrize("size", [(1280, 20), (20, 1280), (260, 100)])
def test_a_picture_that_is_smaller_than_two_spots_is_searched_as_a_whole(size: tuple[int, int]):
    spotting, whole = PaintedFaces(), PaintedFaces()
    CenterFace(spotting, MANIFEST.network("detector"))(scene(*size))
    CenterFace(whole, MANIFEST.network("detector"), DetectorPolicy(spots=0))(scene(*size))

    assert spotting.looks == whole.looks


def test_a_detector_of_one_resolution_searches_nothing_else():
    network = PaintedFaces()
    assert not CenterFace(network, MANIFEST.network("detector"), DetectorPolicy(look_sides=(640,)))(scene(1280, 960))

    assert network.looks == [(480, 640)]


def test_spots_are_the_hottest_places_apart_from_each_other():
    heat = np.zeros((60, 80), np.float32)
    heat[30, 40], heat[31, 41], heat[5, 70], heat[50, 10], heat[20, 20] = 0.4, 0.39, 0.3, 0.2, 0.01

    found = spots(heat, 5, 0.1, 0.02)

    assert found == [(40.5 / 80, 30.5 / 60), (70.5 / 80, 5.5 / 60), (10.5 / 80, 50.5 / 60)]
    assert spots(heat, 2, 0.1, 0.02) == found[:2]


class Promising(PaintedFaces):
    """A network that shows half a face anywhere in a picture of the size of a spot, and hardly one in a larger one."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self._after = after

    def __call__(self, tensor: np.ndarray) -> tuple[np.ndarray, ...]:
        heat, size, offset, landmarks = super().__call__(tensor)
        in_spots = sum(look == (128, 128) for look in self.looks)
        value = 0.45 if in_spots == self._after and self.looks[-1] == (128, 128) else 0.1
        return np.full_like(heat, value), size, offset, landmarks


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (2000, 1500)])
def test_a_picture_made_to_have_every_search_costs_at_most_three_quarters_more(size: tuple[int, int]):
    hostile, whole = Promising(after=DetectorPolicy().spots), Promising(after=0)
    assert not CenterFace(hostile, MANIFEST.network("detector"))(scene(*size))
    CenterFace(whole, MANIFEST.network("detector"), DetectorPolicy(spots=0))(scene(*size))

    assert hostile.looks[-1] == whole.looks[-1]
    assert sum(areas(hostile)) <= 1.75 * sum(areas(whole))
