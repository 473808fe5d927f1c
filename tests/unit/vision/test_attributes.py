import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest

from contract.findings import Attributes
from engine.vision.attributes import age_class, measure_attributes
from engine.vision.networks.arcface import TEMPLATE
from engine.vision.networks.ssrnet import SsrNet, stagewise
from engine.vision.networks.standin import draw_face, draw_scene, stand_in_models
from engine.vision.ports import Box, Face
from models.manifest import InputSpec, NetworkEntry, default_manifest
from tests.support import pictures

MANIFEST = default_manifest()
ANY_FACE = Face(Box(40, 40, 50, 60), 0.9, TEMPLATE + 20)


def answer(*stages: tuple[list[float], float, list[float]]) -> tuple[np.ndarray, ...]:
    """A network's outputs from (probabilities, stretch, shifts) of each stage."""
    bins, stretches, shifts = zip(*stages, strict=True)
    return tuple(np.array([row], np.float32) for row in (*bins, *([s] for s in stretches), *shifts))


LEVEL = ([1.0, 0.0, 0.0], 0.0, [0.0, 0.0, 0.0])


def test_each_stage_refines_the_one_before():
    middle = ([0.0, 1.0, 0.0], 0.0, [0.0, 0.0, 0.0])

    assert stagewise(answer(LEVEL, LEVEL, LEVEL)) == 0
    assert stagewise(answer(middle, LEVEL, LEVEL)) == pytest.approx(1 / 3)
    assert stagewise(answer(middle, middle, LEVEL)) == pytest.approx(1 / 3 + 1 / 9)
    assert stagewise(answer(middle, middle, middle)) == pytest.approx(1 / 3 + 1 / 9 + 1 / 27)


def test_a_stretch_narrows_its_stage_and_those_below_and_a_shift_moves_its_bin():
    spread = ([0.5, 0.25, 0.25], 1.0, [0.0, 0.5, 0.0])

    # 0.25 * (1 + 0.5) + 0.25 * 2 bins, each a sixth wide
    assert stagewise(answer(spread, LEVEL, LEVEL)) == pytest.approx(0.875 / 6)
    assert stagewise(answer(spread, spread, LEVEL)) == pytest.approx(0.875 / 6 + 0.875 / 36)


def test_the_number_is_the_mean_of_the_face_and_its_mirror_image_within_the_range():
    seen: list[np.ndarray] = []

    def run(tensor: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(tensor)
        return answer(([0.0, 0.0, 1.0] if len(seen) == 1 else [0.0, 1.0, 0.0], 0.0, [0.0] * 3), LEVEL, LEVEL)

    years = SsrNet(run, MANIFEST.network("age"), 101.0)(pictures.busy(), ANY_FACE)

    assert years == pytest.approx(101 / 2)
    assert [tensor.shape for tensor in seen] == [(1, 3, 64, 64)] * 2
    assert np.array_equal(seen[0][..., ::-1], seen[1])
    assert not np.array_equal(seen[0], seen[1])

    beyond = answer(([0.0, 0.0, 1.0], 0.0, [0.0, 0.0, 5.0]), LEVEL, LEVEL)
    assert SsrNet(lambda _: beyond, MANIFEST.network("sex"), 1.0)(pictures.busy(), ANY_FACE) == 1


@pytest.mark.parametrize("scale", [1.0, 1.25, 2.0])
def test_the_network_sees_as_much_around_the_face_as_its_manifest_says(scale: float):
    seen: list[np.ndarray] = []

    def run(tensor: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(tensor)
        return answer(LEVEL, LEVEL, LEVEL)

    side = 112
    picture = np.zeros((3 * side, 3 * side, 3), np.uint8)
    picture[side : 2 * side, side : 2 * side] = 255
    spec = InputSpec(colour="rgb", width=64, height=64, box_scale=scale)
    entry = msgspec.structs.replace(MANIFEST.network("age"), input=spec)
    SsrNet(run, entry, 1.0)(picture, Face(Box(side, side, side, side), 0.9, TEMPLATE + np.float32(side)))

    # Of what is seen, the template's own square is white.
    assert [tensor.mean() / 255 for tensor in seen] == [pytest.approx(1 / scale**2, abs=0.03)] * 2


@pytest.mark.parametrize(
    "outputs",
    [
        answer(([1.0, 0.0, 0.0], -1.0, [0.0] * 3), LEVEL, LEVEL),
        answer(([math.inf, 0.0, 0.0], 0.0, [0.0] * 3), LEVEL, LEVEL),
        answer(LEVEL, LEVEL, ([1.0, 0.0, 0.0], math.nan, [0.0] * 3)),
    ],
    ids=["a stage of no width", "infinite", "no number"],
)
def test_outputs_that_make_no_number_are_not_taken_for_one(outputs: tuple[np.ndarray, ...]):
    assert math.isnan(stagewise(outputs))
    assert math.isnan(SsrNet(lambda _: outputs, MANIFEST.network("age"), 101.0)(pictures.busy(), ANY_FACE))


def test_a_network_with_other_outputs_is_refused():
    entry = NetworkEntry(
        role="age", name="a", licence="x", input=InputSpec(colour="rgb", width=64, height=64), outputs=("one",)
    )
    with pytest.raises(ValueError, match="9 outputs"):
        SsrNet(lambda _: (), entry, 1.0)


@pytest.mark.parametrize(
    ("years", "name"),
    [(0, "child"), (12.9, "child"), (13, "youth"), (24.9, "youth"), (25, "adult"), (59.9, "adult"), (60, "senior")],
)
def test_ages_fall_into_classes(years: float, name: str):
    assert age_class(years) == name


def test_what_no_network_tells_is_not_told():
    models = stand_in_models()
    without = type(models)(models.detector, models.embedder, models.liveness, models.pose, models.identities)
    scene = draw_scene(300, 300, [(draw_face(1), 60, 60)])

    told = measure_attributes(scene, models.detector(scene)[0], without)

    assert told == Attributes(mask=told.mask)
    assert told.mask is not None


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_what_is_no_finite_number_is_not_told(number: float):
    models = replace(stand_in_models(), age=lambda *_: number, sex=lambda *_: number)
    scene = draw_scene(300, 300, [(draw_face(1), 60, 60)])

    told = measure_attributes(scene, models.detector(scene)[0], models)

    assert told == Attributes(mask=told.mask)


@pytest.mark.parametrize("failure", [ValueError, IndexError, ZeroDivisionError])
def test_a_network_that_fails_leaves_its_attribute_unknown(failure: type[Exception]):
    def failing(*_: object) -> float:
        raise failure

    models = replace(stand_in_models(), age=failing, sex=lambda *_: 0.9)
    scene = draw_scene(300, 300, [(draw_face(1), 60, 60)])

    told = measure_attributes(scene, models.detector(scene)[0], models)

    assert (told.age_years, told.sex) == (None, "male")


def test_of_a_face_whose_landmarks_fall_together_no_mask_is_told():
    nowhere = Face(Box(40, 40, 50, 60), 0.9, np.zeros((5, 2), np.float32))

    assert measure_attributes(pictures.busy(), nowhere, replace(stand_in_models(), age=None, sex=None)) == Attributes()


def test_the_stand_ins_tell_an_age_and_a_sex_by_the_drawing():
    models = stand_in_models()
    told = []
    for seed in range(30):
        scene = draw_scene(300, 300, [(draw_face(seed), 60, 60)])
        told.append(measure_attributes(scene, models.detector(scene)[0], models))

    assert {attributes.sex for attributes in told} == {"male", "female"}
    assert len({attributes.age_class for attributes in told}) > 1
    for attributes in told:
        assert attributes.age_years is not None
        assert attributes.age_class == age_class(attributes.age_years)
