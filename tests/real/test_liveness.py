"""Attacks made from the sample portrait are refused by the real networks and checks, and the live ones pass."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from bench.attacks import camera_view, pasted, printed, recompressed, screen, screen_closeup
from bench.infrared_attacks import INFRARED_ATTACKS, disguised_copy, simulated_infrared
from engine.policy import Policy
from engine.vision.liveness import InfraredImage, Liveness, check_liveness
from engine.vision.ports import Box, Face, Image, ModelSet

SEEDS = range(4)


def face_of(models: ModelSet, image: Image) -> Face:
    faces = models.detector(image)
    assert faces, "an attack without a face tests nothing"
    return faces[0]


def judged(models: ModelSet, image: Image, infrared: Image | None = None) -> Liveness:
    face = face_of(models, image)
    other = None if infrared is None else InfraredImage(infrared, models.detector)
    return check_liveness(image, face, other, lambda: models.embedder(image, face), models, Policy())


def verdict(liveness: Liveness, name: str) -> bool:
    return next(check.passed for check in liveness.checks if check.name == name)


@pytest.mark.parametrize(
    "variant",
    [
        lambda image: image,
        lambda image: image[:, ::-1],
        lambda image: cv2.convertScaleAbs(image, alpha=0.75),
        lambda image: cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
        lambda image: recompressed(image, 75),
        lambda image: camera_view(image, Box(182, 62, 88, 115), np.random.default_rng(1)),
    ],
    ids=["as it is", "mirrored", "darker", "twice as large", "recompressed", "nearer"],
)
def test_the_sample_and_its_mild_variants_are_live(models: ModelSet, astronaut: Image, variant):
    liveness = judged(models, np.ascontiguousarray(variant(astronaut), np.uint8))

    assert liveness.failed == []


@pytest.mark.parametrize(
    ("make", "told_by"),
    [(printed, "rgb_frame"), (screen, "rgb_frame"), (screen, "rgb_moire"), (screen_closeup, "rgb_moire")],
    ids=["a print", "a screen's frame", "a screen's moire", "a screen that fills the picture"],
)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_picture_held_before_the_camera_is_refused_and_by_the_check_made_for_it(
    models: ModelSet, astronaut: Image, make: Callable[[Image, Box, int], Image], told_by: str, seed: int
):
    liveness = judged(models, make(astronaut, face_of(models, astronaut).box, seed))

    assert not liveness.passed
    assert not verdict(liveness, told_by)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_photo_pasted_into_a_scene_is_refused(models: ModelSet, astronaut: Image, seed: int):
    assert not judged(models, pasted(astronaut, face_of(models, astronaut).box, seed)).passed


@pytest.mark.parametrize("seed", SEEDS)
def test_a_simulated_infrared_picture_of_the_live_face_passes(models: ModelSet, astronaut: Image, seed: int):
    liveness = judged(models, astronaut, simulated_infrared(astronaut, face_of(models, astronaut), seed))

    assert liveness.failed == []
    assert len(liveness.checks) == 10


@pytest.mark.parametrize(
    ("kind", "told_by"),
    [("ir_no_face", "ir_face"), ("ir_colour", "ir_monochrome"), ("ir_grey", "ir_copy"), ("ir_disguised", "ir_copy")],
)
def test_an_infrared_picture_that_is_none_of_the_live_face_is_refused(
    models: ModelSet, astronaut: Image, kind: str, told_by: str
):
    for seed in SEEDS:
        infrared = INFRARED_ATTACKS[kind](astronaut, face_of(models, astronaut), seed)
        liveness = judged(models, astronaut, infrared)
        assert told_by in liveness.failed


@pytest.mark.parametrize("quality", [50, 70, 90])
@pytest.mark.parametrize("scale", [0.6, 1.5])
def test_a_grey_copy_is_known_after_recompression_and_resizing(
    models: ModelSet, astronaut: Image, quality: int, scale: float
):
    grey = cv2.cvtColor(cv2.cvtColor(astronaut, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    sent = np.asarray(cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)

    assert judged(models, astronaut, recompressed(sent, quality)).failed == ["ir_copy"]


def test_somebody_else_in_the_infrared_picture_is_refused(models: ModelSet, astronaut: Image):
    # Only one freely usable face is at hand, so the other one is made of it: stretched until it is nobody's.
    face = face_of(models, astronaut)
    infrared = stretched(simulated_infrared(astronaut, face, 1), face)
    cosine = next(c for c in judged(models, astronaut, infrared).checks if c.name == "ir_same_person")

    assert not cosine.passed
    assert cosine.value < cosine.limit


def stretched(image: Image, face: Face) -> Image:
    """The lower face widened and the eyes moved apart, in the same place."""
    rows, columns = image.shape[:2]
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    box = face.box
    u, v = (x - box.x - box.width / 2) / box.width, (y - box.y - box.height / 2) / box.height
    inside = np.exp(-((u / 0.7) ** 4 + (v / 0.7) ** 4))
    from_x = x + inside * box.width * (0.3 * u * (np.abs(u) - 0.5) * 2 + 0.25 * np.sin(5 * v) * u)
    from_y = y + inside * box.height * (0.1 * np.sin(6 * v))
    warped = cv2.remap(image, from_x.astype(np.float32), from_y.astype(np.float32), cv2.INTER_LINEAR)
    return np.asarray(warped, np.uint8)


def test_disguised_copies_differ_from_each_other(astronaut: Image, models: ModelSet):
    face = face_of(models, astronaut)
    assert len({disguised_copy(astronaut, face, seed).tobytes() for seed in SEEDS}) == len(SEEDS)
