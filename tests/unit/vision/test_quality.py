import cv2
import numpy as np
import pytest

from engine.policy import QualityLimits
from engine.vision.networks.arcface import TEMPLATE
from engine.vision.ports import Box, Embedding, Face, HeadPose, Image
from engine.vision.quality import clarity, cut_share, limits_of, measure_all, measure_quality, quality_score
from engine.vision.tensor import share_outside

NO_LANDMARKS = np.zeros((5, 2), np.float32)
UNUSED = QualityLimits()


def face(x: float = 100, y: float = 100, width: float = 150, height: float = 180) -> Face:
    return Face(Box(x, y, width, height), 0.9, NO_LANDMARKS)


def frontal(image: Image, face: Face) -> HeadPose:
    return HeadPose(5, -5, 2)


def never(image: Image, face: Face) -> HeadPose:
    raise AssertionError("the pose network must not run")


def grey(value: int = 120) -> Image:
    return np.full((400, 400, 3), value, np.uint8)


def test_level_no_measures_nothing():
    assert list(measure_quality(grey(), face(), limits_of(("no",), UNUSED), never)) == []


@pytest.mark.parametrize(("level", "size"), [("high", 112), ("middle", 80), ("low", 60)])
def test_a_face_must_be_larger_than_its_levels_limit(level, size: int):
    def passed(side: float) -> bool:
        checks = {
            c.name: c
            for c in measure_quality(grey(), face(width=side, height=200), limits_of((level,), UNUSED), frontal)
        }
        assert checks["face_size"].limit == size
        assert checks["face_size"].value == side
        return checks["face_size"].passed

    assert not passed(size)
    assert passed(size + 1)


@pytest.mark.parametrize(("level", "degrees"), [("high", 60), ("middle", 90), ("low", 120)])
def test_the_sum_of_the_absolute_angles_may_reach_its_levels_limit(level, degrees: int):
    def passed(total: float) -> bool:
        def pose(image: Image, face: Face) -> HeadPose:
            return HeadPose(-total / 2, total / 4, -total / 4)

        return next(
            c for c in measure_quality(grey(), face(), limits_of((level,), UNUSED), pose) if c.name == "headpose"
        ).passed

    assert passed(degrees)
    assert not passed(degrees + 1)


def test_each_level_measures_what_the_wire_lists():
    names = {
        level: {c.name for c in measure_quality(grey(), face(), limits_of((level,), UNUSED), frontal)}
        for level in ("high", "middle", "low")
    }

    assert names["high"] == {"face_size", "headpose", "partial", "brightness", "clarity", "mask"}
    assert names["middle"] == {"face_size", "headpose", "partial", "brightness"}
    assert names["low"] == {"face_size", "headpose"}


def test_a_face_cut_by_the_border_is_told_by_its_share_outside():
    assert share_outside(grey(), Box(0, 0, 400, 400)) == 0
    assert share_outside(grey(), Box(-50, 0, 100, 100)) == pytest.approx(0.5)
    assert share_outside(grey(), Box(350, 350, 100, 100)) == pytest.approx(0.75)
    assert share_outside(grey(), Box(900, 900, 10, 10)) == 1
    cut = measure_quality(grey(), face(x=-40), limits_of(("middle",), UNUSED), frontal)
    assert [c.name for c in cut if not c.passed] == ["partial"]


def test_a_cut_face_is_told_by_its_landmarks_where_its_box_shrank_to_what_is_seen():
    # Twice the template, its left eye beyond the border: the face belongs at x -60.5, 146 wide.
    landmarks = (2 * TEMPLATE + np.array([-99.5, 100])).astype(np.float32)
    shrunk = Face(Box(0, 130, 90, 190), 0.9, landmarks)
    assert share_outside(grey(), shrunk.box) == 0

    assert cut_share(grey(), shrunk) == pytest.approx(60.5 / 146, abs=0.01)
    cut = measure_quality(grey(), shrunk, limits_of(("middle",), UNUSED), frontal)
    assert [c.name for c in cut if not c.passed] == ["partial"]


@pytest.mark.parametrize(("value", "limit", "passed"), [(5, 30, False), (180, 235, True), (250, 235, False)])
def test_brightness_is_held_against_the_limit_it_is_nearer_to(value: int, limit: float, passed: bool):
    check = next(
        c for c in measure_quality(grey(value), face(), limits_of(("high",), UNUSED), frontal) if c.name == "brightness"
    )

    assert (check.value, check.limit, check.passed) == (value, limit, passed)


def test_a_blurred_face_is_less_clear_whatever_its_contrast_and_noise():
    box = face().box
    for contrast in (1.0, 0.3):
        sharp = drawing(contrast)
        blurred = noisy(cv2.GaussianBlur(sharp, (0, 0), 5))
        moved = noisy(cv2.blur(sharp, (21, 1)))
        assert clarity(sharp, box) == pytest.approx(clarity(drawing(1.0), box), abs=0.03)
        assert clarity(blurred, box) < 0.7 * clarity(sharp, box)
        assert clarity(moved, box) < 0.7 * clarity(sharp, box)


def test_a_face_without_any_detail_has_no_clarity():
    assert clarity(grey(), face().box) == 0
    assert clarity(grey(), Box(900, 900, 0, 0)) == 0


def test_custom_limits_come_from_the_settings_and_nothing_else_is_measured():
    limits = QualityLimits(face_size_px=None, headpose_degrees=None, clarity=1)
    checks = measure_quality(grey(), face(), limits_of(("custom",), limits), never)

    assert [(c.name, c.passed) for c in checks] == [("clarity", False)]


def test_everything_can_be_measured_and_what_the_level_does_not_limit_has_no_verdict():
    checks, others = measure_all(grey(), face(), limits_of(("middle",), UNUSED), frontal)

    assert [c.name for c in checks] == ["face_size", "headpose", "partial", "brightness"]
    assert [item.name for item in others] == ["clarity", "mask"]
    assert not measure_all(grey(), face(), limits_of(("no",), UNUSED), frontal)[0]
    assert len(measure_all(grey(), face(), limits_of(("no",), UNUSED), frontal)[1]) == 6


def test_the_head_angles_are_told_one_by_one():
    (check,) = (
        c for c in measure_quality(grey(), face(), limits_of(("low",), UNUSED), frontal) if c.name == "headpose"
    )

    assert (check.value, dict(check.detail)) == (12, {"yaw": 5, "pitch": -5, "roll": 2})


def test_a_face_lit_from_one_side_is_told_by_its_halves():
    image = grey(40)
    image[:, 175:] = 200
    (check,) = (
        c for c in measure_quality(image, face(), limits_of(("middle",), UNUSED), frontal) if c.name == "brightness"
    )

    assert check.passed
    assert dict(check.detail) == {"left": 40, "right": 200}


def test_a_photo_decoded_smaller_is_measured_at_the_size_it_was_sent_in():
    reduced = Face(Box(100, 100, 70, 80), 0.9, NO_LANDMARKS, reduction=2)

    check = measure_quality(grey(), reduced, limits_of(("high",), UNUSED), frontal)[0]

    assert (check.name, check.value, check.passed) == ("face_size", 140, True)


def mask(image: Image, landmarks: np.ndarray = TEMPLATE) -> float:
    limits = QualityLimits(face_size_px=None, headpose_degrees=None, mask=1)
    (check,) = measure_quality(image, Face(Box(19, 18, 73, 95), 0.9, landmarks), limits_of(("custom",), limits), never)
    assert check.name == "mask"
    assert check.passed is (check.value >= 1)
    return check.value


def test_a_mouth_in_colour_or_in_grey_is_no_mask_and_a_cloth_before_it_is():
    bare = portrait()
    grey_one = np.asarray(cv2.cvtColor(cv2.cvtColor(bare, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR), np.uint8)
    assert mask(bare) >= 1
    assert mask(grey_one) >= 1
    assert mask(np.asarray(cv2.GaussianBlur(bare, (0, 0), 1.5), np.uint8)) >= 1
    for cloth in ((225, 190, 150), (30, 30, 30), (240, 240, 240), (140, 160, 200)):
        covered = bare.copy()
        covered[62:] = cloth
        assert mask(covered) < 1


def test_lips_as_light_as_the_skin_are_a_mouth_by_their_colour_alone():
    skin = portrait()
    skin[62:] = (140, 160, 200)
    lips = np.zeros((112, 112), np.uint8)
    cv2.ellipse(lips, (56, 92), (15, 6), 0, 0, 360, 1, -1)
    lab = np.asarray(cv2.cvtColor(skin, cv2.COLOR_BGR2LAB), np.uint8)
    lab[lips == 1, 1] += 15

    assert mask(skin) < 1
    assert mask(np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2BGR), np.uint8)) >= 1


def test_where_no_mouth_can_be_looked_for_none_is_told():
    assert mask(portrait(), NO_LANDMARKS) == 0


def test_the_score_rises_with_each_of_its_parts():
    def score(strength: float | None, confidence: float, image: Image) -> float:
        seen = Face(face().box, confidence, NO_LANDMARKS)
        return quality_score(image, seen, Embedding(np.ones(1, np.float32), 1.0, strength))

    assert score(1, 0.95, drawing()) == pytest.approx(1)
    assert score(0, 0.5, grey()) == pytest.approx(0)
    assert score(0.5, 0.9, drawing()) < score(0.9, 0.9, drawing())
    assert score(0.5, 0.7, drawing()) < score(0.5, 0.9, drawing())
    assert score(0.5, 0.9, grey()) < score(0.5, 0.9, drawing())


def test_the_score_does_without_a_strength_where_nobody_measured_the_embedders_norms():
    seen = Face(face().box, 0.95, NO_LANDMARKS)

    assert quality_score(drawing(), seen, Embedding(np.ones(1, np.float32), 1.0)) == pytest.approx(1)


def drawing(contrast: float = 1.0) -> Image:
    """Blobs of many sizes with sharp edges."""
    picture = np.full((400, 400), 128.0)
    random = np.random.default_rng(3)
    for _ in range(400):
        x, y, radius, shade = (
            random.integers(0, 400),
            random.integers(0, 400),
            random.integers(3, 20),
            random.integers(256),
        )
        cv2.circle(picture, (int(x), int(y)), int(radius), float(shade), -1)
    shaded = np.clip((picture - 128) * contrast + 128, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.repeat(shaded[:, :, np.newaxis], 3, axis=2))


def noisy(image: np.ndarray) -> Image:
    random = np.random.default_rng(4)
    return np.clip(image + random.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def portrait() -> Image:
    """Skin with two eyes and a red mouth at their places on the template."""
    picture = np.full((112, 112, 3), (140, 160, 200), np.uint8)
    for x in (38, 73):
        cv2.ellipse(picture, (x, 51), (9, 4), 0, 0, 360, (235, 235, 235), -1)
        cv2.circle(picture, (x, 51), 4, (40, 40, 40), -1)
    cv2.ellipse(picture, (56, 92), (15, 6), 0, 0, 360, (90, 80, 170), -1)
    cv2.line(picture, (42, 92), (70, 92), (40, 30, 60), 1)
    return picture
