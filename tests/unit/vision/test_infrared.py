"""The infrared checks, each as a function of made pictures."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from contract.errors import PictureUnreadable
from engine.policy import LivenessLimits
from engine.threshold import threshold_at
from engine.vision.liveness.colour_spread import colour_spread
from engine.vision.liveness.grey_copy import likeness
from engine.vision.liveness.infrared import (
    LOOSE_FMR,
    LOOSE_SHARE,
    contrasts,
    infrared_checks,
    matching_face,
    overlap,
    size_ratio,
)
from engine.vision.liveness.infrared_picture import InfraredImage
from engine.vision.networks.standin import StandInEmbedder, detect, draw_face, draw_scene, stand_in_models
from engine.vision.ports import Box, Check, Embedding, Face, Image, ModelSet
from models.manifest import FmrPoint
from tests.support import pictures

MODELS = stand_in_models()
COLOUR = draw_scene(640, 480, [(draw_face(1, 160), 200, 150)])
FACE = detect(COLOUR)[0]


def checks(
    infrared: Image, models: ModelSet = MODELS, limits: LivenessLimits | None = None, image: Image = COLOUR
) -> dict[str, Check]:
    other = InfraredImage(infrared, models.detector)
    made = infrared_checks(image, FACE, other, lambda: MODELS.embedder(image, FACE), models, limits or LivenessLimits())
    assert len({check.name for check in made}) == len(made)
    return {check.name: check for check in made}


def seen(seed: int = 1, left: int = 200, top: int = 150, side: int = 160, **drawn) -> Image:
    return draw_scene(640, 480, [(draw_face(seed, side, infrared=True, **drawn), left, top)])


def failed(made: dict[str, Check]) -> set[str]:
    return {name for name, check in made.items() if not check.passed and not check.vote}


def test_a_live_pair_passes_every_check():
    made = checks(seen(left=215, top=145, side=170))

    assert all(check.passed for check in made.values())
    assert [name for name, check in made.items() if check.vote] == ["ir_contrast", "ir_live"]


@pytest.mark.parametrize(
    ("infrared", "why"),
    [
        (draw_scene(640, 480), {"ir_face"}),
        (seen(left=440, top=300), {"ir_face"}),
        (seen(side=90, left=220, top=170), {"ir_size"}),
        (seen(2), {"ir_same_person"}),
        (COLOUR, {"ir_copy"}),
    ],
    ids=["no face", "a face elsewhere", "a much smaller face", "another person", "a copy"],
)
def test_what_is_wrong_with_a_pair_is_told_by_name(infrared: Image, why: set[str]):
    assert failed(checks(infrared)) == why


def test_without_a_face_the_checks_that_need_one_are_not_made():
    assert list(checks(draw_scene(640, 480))) == ["ir_monochrome", "ir_face"]


def test_the_infrared_picture_may_have_another_size():
    half = np.ascontiguousarray(cv2.resize(seen(), (320, 240), interpolation=cv2.INTER_AREA))

    assert failed(checks(half)) == set()


def test_of_several_infrared_faces_the_one_in_the_right_place_counts():
    other = draw_scene(640, 480, [(draw_face(2, 200), 420, 200), (draw_face(1, 150), 205, 150)])
    found, share = matching_face(COLOUR, FACE, other, detect(other))

    assert found is not None
    assert found.box.x < 300
    assert share > 0.8


def test_a_coloured_picture_is_no_infrared_one_and_an_evenly_tinted_one_may_be():
    grey = pictures.busy().mean(axis=2)
    tinted = np.stack([grey * 0.9, grey * 0.8 + 5, grey], axis=2).astype(np.uint8)

    assert colour_spread(pictures.colours()) > 50
    assert colour_spread(tinted) < 3
    assert colour_spread(np.zeros((64, 64, 3), np.uint8)) == 0
    lamp = tinted.copy()
    lamp[:6, :6] = (0, 0, 255)
    assert colour_spread(lamp) < 6


def test_overlap_is_intersection_over_union():
    assert overlap(Box(0, 0, 2, 2), Box(1, 0, 2, 2)) == pytest.approx(1 / 3)
    assert overlap(Box(0, 0, 1, 1), Box(5, 5, 1, 1)) == 0
    assert overlap(Box(0, 0, 0, 0), Box(0, 0, 0, 0)) == 0
    assert np.isfinite(overlap(Box(-1, -1, 3, 3), Box(0, 0, 1, 1)))


def test_sizes_are_compared_by_height():
    assert size_ratio(Box(0, 0, 9, 2), Box(5, 5, 1, 4)) == size_ratio(Box(5, 5, 1, 4), Box(0, 0, 9, 2)) == 0.5
    assert size_ratio(Box(0, 0, 0, 0), Box(0, 0, 0, 0)) == 0


def test_contrast_is_that_of_the_face_to_its_background_and_in_itself():
    lit = np.full((200, 200, 3), 40, np.uint8)
    lit[60:140, 60:140] = 120
    box = Box(60, 60, 80, 80)

    assert contrasts(lit, box) == pytest.approx((0.5, 0.0), abs=0.01)
    lit[60:140:2, 60:140] = 80
    assert contrasts(lit, box)[1] == pytest.approx(0.2, abs=0.01)
    assert contrasts(np.zeros((90, 90, 3), np.uint8), Box(-20, -20, 200, 200)) == (0.0, 0.0)


@pytest.mark.parametrize(
    "altered",
    [
        lambda image: image,
        lambda image: cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR),
        lambda image: pictures_after(image, 40),
        lambda image: cv2.convertScaleAbs(image, alpha=0.6, beta=40),
        lambda image: ((image / 255.0) ** 1.8 * 255).astype(np.uint8),
        lambda image: cv2.GaussianBlur(image, (0, 0), 1.2),
        lambda image: cv2.resize(cv2.resize(image, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA), (640, 480)),
        lambda image: 255 - image,
        lambda image: cv2.warpAffine(image, np.float32([[1, 0, 3], [0, 1, -2]]), (640, 480)),
    ],
    ids=["same", "grey", "jpeg", "contrast", "gamma", "blur", "resized", "negative", "moved"],
)
def test_a_copy_is_told_from_its_original_whatever_was_done_to_it(altered):
    found = likeness(COLOUR, FACE, np.ascontiguousarray(altered(COLOUR)), FACE)

    assert found.detail * found.tone > LivenessLimits().ir_copy


def pictures_after(image: Image, quality: int) -> Image:
    return np.asarray(cv2.imdecode(np.frombuffer(pictures.jpeg(image, quality), np.uint8), cv2.IMREAD_COLOR), np.uint8)


def test_a_copy_of_a_large_face_is_told_although_its_landmarks_are_a_little_off():
    noise = np.random.default_rng(4).normal(0, 120, (2400, 3200, 1))
    large = np.clip(cv2.resize(COLOUR, (3200, 2400), interpolation=cv2.INTER_CUBIC) + noise, 0, 255).astype(np.uint8)
    face, off = (replace(FACE, box=Box(1000, 750, 800, 800), landmarks=FACE.landmarks * 5 + d) for d in (0, 7))
    found = likeness(large, face, large, off)

    assert found.detail * found.tone > LivenessLimits().ir_copy


def test_another_picture_is_not_told():
    other = seen()
    found = likeness(COLOUR, FACE, other, detect(other)[0])

    assert found.detail * found.tone < 0.95
    blank = likeness(COLOUR, FACE, np.full_like(COLOUR, 90), FACE)
    assert (blank.detail, blank.tone) == (0, 0)


def test_how_alike_the_persons_must_be_comes_from_the_setting_else_the_curve_else_the_threshold():
    curve = (FmrPoint(fmr=1e-1, threshold=0.1), FmrPoint(fmr=1e-3, threshold=0.3))
    embedder = StandInEmbedder()
    embedder.fmr_curve = curve

    assert checks(seen())["ir_same_person"].limit == LOOSE_SHARE * MODELS.embedder.threshold
    by_curve = checks(seen(), replace(MODELS, embedder=embedder))["ir_same_person"]
    assert by_curve.limit == pytest.approx(threshold_at(curve, LOOSE_FMR))
    assert checks(seen(), limits=LivenessLimits(ir_same_person=0.99))["ir_same_person"].passed is False


class NoFeatures(StandInEmbedder):
    def __call__(self, image: Image, face: Face) -> Embedding:
        raise PictureUnreadable("the face in the picture gives no usable features")


def test_an_infrared_face_that_gives_no_embedding_or_cannot_be_aligned_fails():
    assert "ir_same_person" in failed(checks(seen(), replace(MODELS, embedder=NoFeatures())))

    def without_landmarks(image: Image) -> list[Face]:
        return [replace(face, landmarks=np.zeros((5, 2), np.float32)) for face in detect(image)]

    assert "ir_copy" in failed(checks(seen(), replace(MODELS, detector=without_landmarks)))


def test_a_network_made_for_infrared_decides_where_the_colour_one_only_votes():
    assert checks(seen(live=False))["ir_live"].vote
    own = checks(seen(), replace(MODELS, infrared_liveness=lambda image, face: 0.3))["ir_live"]
    assert (own.value, own.passed, own.vote) == (0.3, False, False)


def test_every_limit_is_a_setting():
    strict = LivenessLimits(
        ir_monochrome=0, ir_face=1, ir_size=1, ir_same_person=1, ir_copy=0, ir_contrast=1, ir_live=1
    )
    infrared = seen(left=215, top=145, side=170)
    infrared[:] = cv2.add(infrared, np.asarray(pictures.busy(640, 480) // 3))

    made = checks(infrared, limits=strict)

    assert {check.limit for check in made.values()} == {0, 1}
    assert not any(check.passed for name, check in made.items() if name != "ir_live")
