import numpy as np
import pytest

from engine.evidence import Attributes
from engine.vision.arcface import TEMPLATE
from engine.vision.attributes import age_class, measure_attributes
from engine.vision.ports import Box, Face
from engine.vision.ssrnet import SsrNet, stagewise
from engine.vision.standin import draw_face, draw_scene, stand_in_models
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
