import cv2
import numpy as np
import pytest

from engine.policy import QualityLimits
from engine.vision.ports import Box, Face, HeadPose, Image
from engine.vision.quality import clarity, measure_quality, share_outside
from tests.support import pictures

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
    assert list(measure_quality(grey(), face(), "no", UNUSED, never)) == []


@pytest.mark.parametrize(("level", "size"), [("high", 112), ("middle", 80), ("low", 60)])
def test_a_face_must_be_larger_than_its_levels_limit(level, size: int):
    def passed(side: float) -> bool:
        checks = {c.name: c for c in measure_quality(grey(), face(width=side, height=200), level, UNUSED, frontal)}
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

        return next(c for c in measure_quality(grey(), face(), level, UNUSED, pose) if c.name == "headpose").passed

    assert passed(degrees)
    assert not passed(degrees + 1)


def test_each_level_measures_what_the_wire_lists():
    names = {
        level: {c.name for c in measure_quality(grey(), face(), level, UNUSED, frontal)}
        for level in ("high", "middle", "low")
    }

    assert names["high"] == names["middle"] == {"face_size", "headpose", "partial", "brightness"}
    assert names["low"] == {"face_size", "headpose"}


def test_a_face_cut_by_the_border_is_told_by_its_share_outside():
    assert share_outside(grey(), Box(0, 0, 400, 400)) == 0
    assert share_outside(grey(), Box(-50, 0, 100, 100)) == pytest.approx(0.5)
    assert share_outside(grey(), Box(350, 350, 100, 100)) == pytest.approx(0.75)
    assert share_outside(grey(), Box(900, 900, 10, 10)) == 1
    cut = measure_quality(grey(), face(x=-40), "middle", UNUSED, frontal)
    assert [c.name for c in cut if not c.passed] == ["partial"]


@pytest.mark.parametrize(("value", "limit", "passed"), [(5, 30, False), (180, 235, True), (250, 235, False)])
def test_brightness_is_held_against_the_limit_it_is_nearer_to(value: int, limit: float, passed: bool):
    check = next(c for c in measure_quality(grey(value), face(), "high", UNUSED, frontal) if c.name == "brightness")

    assert (check.value, check.limit, check.passed) == (value, limit, passed)


def test_a_blurred_face_is_less_clear():
    sharp = pictures.busy(400, 400)
    blurred = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 6), np.uint8)

    assert clarity(sharp, face().box) > 10 * clarity(blurred, face().box)


def test_custom_limits_come_from_the_settings_and_nothing_else_is_measured():
    limits = QualityLimits(face_size_px=None, headpose_degrees=None, clarity=1e9)
    checks = measure_quality(grey(), face(), "custom", limits, never)

    assert [(c.name, c.passed) for c in checks] == [("clarity", False)]
