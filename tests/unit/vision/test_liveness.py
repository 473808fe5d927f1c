"""The rule of liveness, and the checks on the colour picture as functions of made pictures."""

from itertools import product

import cv2
import numpy as np
import pytest

from engine.policy import LivenessLimits, Policy
from engine.vision.liveness import Liveness, check_liveness
from engine.vision.liveness.frame import frame_closure
from engine.vision.liveness.moire import moire_peak
from engine.vision.networks.standin import detect, draw_face, draw_scene, stand_in_models
from engine.vision.ports import Box, Check, Image

MODELS = stand_in_models()
LIMITS = LivenessLimits()


def verdict(required: tuple[bool, ...], votes: tuple[bool, ...]) -> Liveness:
    checks = [Check(f"must{i}", 0.0, 0.0, passed) for i, passed in enumerate(required)]
    checks += [Check(f"vote{i}", 0.0, 0.0, passed, vote=True) for i, passed in enumerate(votes)]
    return Liveness("liveness_rgb_ir", tuple(checks))


T, F = True, False


@pytest.mark.parametrize(
    ("required", "votes", "live"),
    [
        ((), (), F),
        ((), (T, T), F),
        ((T,), (), T),
        ((F,), (), F),
        ((T, T), (), T),
        ((T, F), (), F),
        ((T,), (T,), T),
        ((T,), (F,), F),
        ((F,), (T,), F),
        ((T,), (T, F), T),
        ((T,), (F, F), F),
        ((T,), (T, T), T),
        ((T,), (T, F, F), F),
        ((T,), (T, T, F), T),
        ((T, F), (T, T, T), F),
    ],
)
def test_live_is_who_passes_all_that_is_required_and_half_of_the_votes(required, votes, live):
    assert verdict(required, votes).passed is live


def test_a_verdict_against_names_its_reasons_and_one_in_favour_names_none():
    every = [tuple(c) for n in range(4) for c in product((T, F), repeat=n)]
    for required, votes in product(every[1:], every):
        liveness = verdict(required, votes)
        assert bool(liveness.failed) is not liveness.passed
    assert verdict((T, F), (T, F)).failed == ["must1"]
    assert verdict((T,), (T, F, F)).failed == ["vote1", "vote2"]


def test_a_check_that_cannot_be_measured_has_not_passed():
    tiny = draw_scene(60, 60, [(draw_face(1, 48), 4, 4)])
    face = detect(tiny)[0]
    liveness = check_liveness(tiny, face, None, lambda: MODELS.embedder(tiny, face), MODELS, Policy())

    moire = next(check for check in liveness.checks if check.name == "rgb_moire")
    assert (moire.passed, moire.value, dict(moire.detail)) == (False, LIMITS.rgb_moire, {"measured": 0.0})
    assert liveness.failed == ["rgb_moire"]


def test_a_value_that_is_no_number_has_not_passed():
    scene = draw_scene(640, 480, [(draw_face(1, 160), 200, 100)])
    broken = stand_in_models()
    object.__setattr__(broken, "liveness", lambda image, face: float("nan"))

    assert check_liveness(scene, detect(scene)[0], None, pytest.fail, broken, Policy()).failed == ["rgb_live"]


def skin(rows: int = 240, columns: int = 240, seed: int = 3) -> Image:
    """Broad-band texture, as faces have."""
    chance = np.random.default_rng(seed)
    rough = sum(cv2.GaussianBlur(chance.normal(0, 40, (rows, columns, 3)), (0, 0), s) * s for s in (1, 2, 4))
    return np.clip(140 + rough, 0, 255).astype(np.uint8)


def stripes(image: Image, period: float, degrees: float, strength: float) -> Image:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    turn = np.deg2rad(degrees)
    wave = strength * np.sin(2 * np.pi * (x * np.cos(turn) + y * np.sin(turn)) / period)
    return np.clip(image + wave[:, :, np.newaxis], 0, 255).astype(np.uint8)


WHOLE = Box(40, 40, 160, 160)


def test_texture_without_a_period_is_no_moire():
    for seed in range(6):
        assert moire_peak(skin(seed=seed), WHOLE) < LIMITS.rgb_moire
    assert moire_peak(np.full((99, 99, 3), 128, np.uint8), Box(20, 20, 60, 60)) < LIMITS.rgb_moire


@pytest.mark.parametrize("period", [2.3, 3.1, 4.7, 6.9])
@pytest.mark.parametrize("degrees", [10, 40, 80, 130])
def test_a_fine_pattern_over_the_whole_face_is_moire(period: float, degrees: float):
    assert moire_peak(stripes(skin(), period, degrees, 8), WHOLE) > LIMITS.rgb_moire


def test_a_pattern_beside_the_face_is_not_its_moire():
    shirt = skin(480)
    shirt[260:] = stripes(shirt, 4.7, 40, 40)[260:]

    assert moire_peak(shirt, Box(40, 20, 160, 180)) < LIMITS.rgb_moire
    assert moire_peak(shirt, Box(40, 280, 160, 180)) > LIMITS.rgb_moire


def test_wherever_the_box_lies_moire_is_measured_without_a_crash():
    for box in (Box(-90, -90, 100, 100), Box(230, 230, 90, 90), Box(-50, -50, 900, 900), Box(5, 5, 0, 0)):
        assert np.isfinite(moire_peak(skin(), box))
    assert moire_peak(skin(63, 200), Box(0, 0, 60, 60)) is None


FACE = Box(270, 150, 100, 130)


def room(width: int = 640, height: int = 640) -> Image:
    slope = np.linspace(90, 160, width)[np.newaxis, :, np.newaxis] + np.zeros((height, 1, 3))
    return np.asarray(slope, np.uint8)


def person(scene: Image) -> Image:
    """Head, neck and body, hiding what is behind."""
    cv2.ellipse(scene, (320, 215), (52, 68), 0, 0, 360, (120, 150, 200), -1)
    cv2.rectangle(scene, (290, 260), (350, 330), (110, 140, 190), -1)
    cv2.ellipse(scene, (320, 520), (170, 230), 0, 0, 360, (90, 60, 50), -1)
    return scene


def framed(scene: Image, left: int, top: int, right: int, bottom: int, grey: int = 20, wide: int = 8) -> Image:
    cv2.rectangle(scene, (left, top), (right, bottom), (grey, grey, grey), wide)
    return scene


def test_a_frame_held_before_the_body_is_closed():
    held = framed(person(room()), 210, 80, 430, 360)
    assert frame_closure(held, FACE) > 0.95


@pytest.mark.parametrize("degrees", [-12, -5, 5, 12])
def test_a_frame_may_be_turned_and_have_any_size(degrees: float):
    held = framed(person(room()), 210, 80, 430, 360)
    matrix = cv2.getRotationMatrix2D((320, 220), degrees, 1.0)
    turned = np.asarray(cv2.warpAffine(held, matrix, (640, 640), borderMode=cv2.BORDER_REPLICATE), np.uint8)
    twice = np.asarray(cv2.resize(turned, None, fx=2, fy=2), np.uint8)

    assert frame_closure(turned, FACE) > LIMITS.rgb_frame
    assert frame_closure(twice, Box(540, 300, 200, 260)) > LIMITS.rgb_frame


def test_a_door_or_a_picture_behind_a_person_is_no_frame_because_the_body_hides_its_lower_side():
    assert frame_closure(person(framed(room(), 180, 40, 460, 600)), FACE) < LIMITS.rgb_frame
    assert frame_closure(person(framed(room(), 150, 60, 490, 420)), FACE) < LIMITS.rgb_frame
    window = room()
    for x in range(0, 640, 90):
        cv2.line(window, (x, 0), (x, 639), (30, 30, 30), 6)
    for y in range(50, 640, 90):
        cv2.line(window, (0, y), (639, y), (30, 30, 30), 6)
    assert frame_closure(person(window), FACE) < LIMITS.rgb_frame


def test_three_sides_a_picture_beside_the_head_and_a_plain_wall_are_no_frame():
    open_below = framed(person(room()), 210, 80, 430, 700)
    beside = framed(person(room()), 420, 60, 600, 380)

    assert frame_closure(open_below, FACE) < LIMITS.rgb_frame
    assert frame_closure(beside, FACE) < LIMITS.rgb_frame
    assert frame_closure(person(room()), FACE) < LIMITS.rgb_frame


def test_wherever_the_box_lies_a_frame_is_looked_for_without_a_crash():
    for box in (Box(-80, -80, 100, 100), Box(600, 600, 90, 90), Box(-50, -50, 900, 900), Box(5, 5, 0, 0)):
        assert 0 <= frame_closure(framed(room(), 210, 80, 430, 360), box) <= 1
    assert frame_closure(np.zeros((8, 8, 3), np.uint8), Box(1, 1, 4, 4)) == 0
