"""What the real networks make of real pictures."""

import cv2
import numpy as np
import pytest

from contract.terms import QualityLevel
from engine.policy import QualityLimits
from engine.vision.attributes import measure_attributes
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.decode.versions import decode
from engine.vision.networks.arcface import align
from engine.vision.ports import Box, Face, Image, ModelSet
from engine.vision.quality import limits_of, measure_quality, quality_score

MAX_PIXELS = 32_000_000


def largest(models: ModelSet, image: Image) -> Face:
    faces = models.detector(image)
    assert faces
    return faces[0]


def cosine(models: ModelSet, image: Image, vector: np.ndarray) -> float:
    return float(models.embedder(image, largest(models, image)).vector @ vector)


def tilted(image: Image, degrees: float) -> Image:
    rows, columns = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 4), degrees, 1.0)
    return np.asarray(cv2.warpAffine(image, matrix, (columns, rows)), np.uint8)


def lit(image: Image, gain: float, gamma: float = 1.0) -> Image:
    return np.asarray(np.clip((image / 255.0) ** gamma * 255.0 * gain, 0, 255), np.uint8)


def test_the_astronaut_has_one_face_where_it_is(models: ModelSet, astronaut: Image):
    faces = models.detector(astronaut)

    assert len(faces) == 1
    box = faces[0].box
    assert (box.x + box.width / 2, box.y + box.height / 2) == pytest.approx((226, 120), abs=12)
    assert (box.width, box.height) == pytest.approx((88, 115), abs=20)


def test_the_landmarks_are_in_their_places(models: ModelSet, astronaut: Image):
    left_eye, right_eye, nose, left_mouth, right_mouth = largest(models, astronaut).landmarks

    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])
    assert left_eye == pytest.approx((205, 103), abs=5)
    assert right_eye == pytest.approx((246, 103), abs=5)


def test_a_cup_of_coffee_has_no_face(models: ModelSet, coffee: Image):
    assert len(models.detector(coffee)) == 0


@pytest.mark.parametrize(
    "altered",
    [
        lambda image: image[20:260, 100:380],
        lambda image: image[60:182, 178:276],
        lambda image: tilted(image, 15),
        lambda image: tilted(image, -20),
        lambda image: lit(image, 0.4),
        lambda image: lit(image, 1.3),
        lambda image: lit(image, 1.0, gamma=1.8),
        lambda image: decode(encode_jpeg(image, 25), MAX_PIXELS),
        lambda image: cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
        lambda image: cv2.resize(image, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC),
        lambda image: cv2.copyMakeBorder(image, 900, 300, 200, 1500, cv2.BORDER_CONSTANT),
        lambda image: image[:, ::-1],
    ],
    ids=["crop", "filling", "left", "right", "dark", "bright", "gamma", "jpeg", "half", "large", "far", "mirrored"],
)
def test_an_altered_copy_is_still_the_astronaut(models: ModelSet, astronaut: Image, vector: np.ndarray, altered):
    assert cosine(models, np.ascontiguousarray(altered(astronaut)), vector) > models.embedder.threshold


def test_everyone_in_a_picture_is_found_the_largest_first(models: ModelSet, astronaut: Image, vector: np.ndarray):
    person = astronaut[:300, 80:400]
    smaller = cv2.resize(person, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    group = np.full((320, 560, 3), 90, np.uint8)
    group[:180, :192] = smaller
    group[:300, 220:540] = person

    faces = models.detector(group)

    assert len(faces) == 2
    assert faces[0].box.x > 220
    for face in faces:
        assert float(models.embedder(group, face).vector @ vector) > models.embedder.threshold


def test_the_same_picture_gives_the_same_answer(models: ModelSet, astronaut: Image):
    first, second = largest(models, astronaut), largest(models, astronaut)

    assert first.box == second.box
    assert np.array_equal(models.embedder(astronaut, first).vector, models.embedder(astronaut, second).vector)


def test_the_colours_reach_the_embedder_in_the_order_it_was_made_for(models: ModelSet, astronaut: Image):
    # Unfamiliar colours make the vector shorter.
    face = largest(models, astronaut)
    swapped = np.ascontiguousarray(astronaut[:, :, ::-1])

    assert models.embedder(astronaut, face).norm > models.embedder(swapped, face).norm
    assert models.liveness(astronaut, face) > models.liveness(swapped, face)


def test_the_astronaut_is_live_with_the_channels_in_order(models: ModelSet, astronaut: Image):
    face = largest(models, astronaut)

    assert models.liveness(astronaut, face) > 0.9


def test_the_head_is_held_straight_and_a_tilt_is_measured(models: ModelSet, astronaut: Image):
    straight = models.pose(astronaut, largest(models, astronaut))
    leaning = tilted(astronaut, 25)
    tilt = models.pose(leaning, largest(models, leaning))

    assert straight.sum_of_angles < 40
    assert abs(straight.roll) < 10
    assert abs(tilt.roll - straight.roll) == pytest.approx(25, abs=5)


def test_the_mirrored_head_is_turned_the_other_way_by_as_much(models: ModelSet, astronaut: Image):
    mirrored = np.ascontiguousarray(astronaut[:, ::-1])
    pose, other = (models.pose(image, largest(models, image)) for image in (astronaut, mirrored))

    assert (other.yaw, other.pitch, other.roll) == pytest.approx((-pose.yaw, pose.pitch, -pose.roll), abs=4)


@pytest.mark.parametrize("degrees", [-20, -10, 10, 20])
def test_a_tilt_of_the_picture_is_the_same_tilt_of_the_head(models: ModelSet, astronaut: Image, degrees: float):
    straight = models.pose(astronaut, largest(models, astronaut))
    leaning = tilted(astronaut, degrees)

    # OpenCV turns counter-clockwise, roll counts clockwise.
    assert models.pose(leaning, largest(models, leaning)).roll - straight.roll == pytest.approx(-degrees, abs=5)


@pytest.mark.parametrize(("level", "passes"), [("no", True), ("low", True), ("middle", True), ("high", False)])
def test_the_astronauts_face_is_good_enough_for_all_but_the_highest_level(
    models: ModelSet, astronaut: Image, level: QualityLevel, passes: bool
):
    checks = measure_quality(astronaut, largest(models, astronaut), limits_of((level,), QualityLimits()), models.pose)

    assert all(check.passed for check in checks) is passes
    assert [check.name for check in checks if not check.passed] == ([] if passes else ["face_size"])


def test_a_face_cut_by_the_border_is_seen_to_be_cut(models: ModelSet, astronaut: Image):
    # The face reaches from 184 to 269 in x and from 64 to 175 in y.
    for cut in (astronaut[:, 205:], astronaut[:, :250], astronaut[90:]):
        image = np.ascontiguousarray(cut)
        checks = measure_quality(image, largest(models, image), limits_of(("middle",), QualityLimits()), models.pose)
        assert "partial" in [check.name for check in checks if not check.passed]


@pytest.mark.parametrize("cloth", [(225, 190, 150), (30, 30, 30), (240, 240, 240)], ids=["blue", "black", "white"])
def test_a_mask_is_seen_and_a_bare_face_is_not_taken_for_one(models: ModelSet, astronaut: Image, cloth):
    face = largest(models, astronaut)
    left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
    width, below = right_eye - left_eye, (left_mouth + right_mouth) / 2 - nose
    edge = [left_eye - 0.35 * width + below, nose - 0.1 * below, right_eye + 0.35 * width + below]
    edge += [right_mouth + 0.2 * width + 1.2 * below, left_mouth - 0.2 * width + 1.2 * below]
    masked = astronaut.copy()
    cv2.fillPoly(masked, [np.array(edge, np.int32)], cloth)

    assert measure_attributes(astronaut, face, models).mask is False
    assert measure_attributes(masked, largest(models, masked), models).mask is True


def test_a_blurred_photo_is_unclear_and_scores_lower(models: ModelSet, astronaut: Image):
    blurred = np.asarray(cv2.GaussianBlur(astronaut, (0, 0), 4), np.uint8)
    scores = []
    for image in (astronaut, blurred):
        face = largest(models, image)
        checks = measure_quality(image, face, limits_of(("high",), QualityLimits()), models.pose)
        assert ("clarity" in [c.name for c in checks if not c.passed]) is (image is blurred)
        scores.append(quality_score(image, face, models.embedder(image, face)))

    assert scores[0] > 0.85
    assert scores[1] < scores[0] - 0.1


def test_the_astronaut_is_told_a_grown_woman(models: ModelSet, astronaut: Image):
    told = measure_attributes(astronaut, largest(models, astronaut), models)

    assert told.sex == "female"
    assert told.age_class in ("youth", "adult")


def test_a_face_whose_box_lies_anywhere_is_measured_without_a_crash(models: ModelSet, astronaut: Image):
    for box in (Box(-80, -80, 100, 100), Box(500, 500, 90, 90), Box(-50, -50, 700, 700)):
        face = Face(box, 1.0, largest(models, astronaut).landmarks)
        assert 0 <= models.liveness(astronaut, face) <= 1
        assert models.pose(astronaut, face).sum_of_angles < 300
    assert align(astronaut, largest(models, astronaut)).shape == (112, 112, 3)
