"""Which of several faces is chosen, and which is its rival."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.vision.choosing import NEAR, NEARER, Traits, choose, choose_face, frontality, traits_of
from engine.vision.ports import Box, Face, Image

WIDTH, HEIGHT = 640, 480
PIXELS: Image = np.random.default_rng(5).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)

shares = st.floats(0.0, 1.0)
traits = st.builds(Traits, st.floats(20.0, 400.0), shares, shares, shares, shares, shares)


def face(x: float = 250.0, y: float = 150.0, side: float = 120.0, confidence: float = 0.9, turned: float = 0.0) -> Face:
    """A face whose nose is moved towards one eye by `turned` eye distances."""
    points = np.array([[0.3, 0.4], [0.7, 0.4], [0.5 + 0.4 * turned, 0.6], [0.35, 0.8], [0.65, 0.8]])
    return Face(Box(x, y, side, side), confidence, (points * side + (x, y)).astype(np.float32))


def mirrored(one: Face, width: int = WIDTH) -> Face:
    """The face in the mirror image of the picture."""
    box, landmarks = one.box, one.landmarks[[1, 0, 2, 4, 3]].copy()
    landmarks[:, 0] = width - landmarks[:, 0]
    return replace(one, box=Box(width - box.x - box.width, box.y, box.width, box.height), landmarks=landmarks)


def grown(one: Face, factor: int) -> Face:
    """The face in the picture at `factor` times its size."""
    box = one.box
    larger = Box(box.x * factor, box.y * factor, box.width * factor, box.height * factor)
    return replace(one, box=larger, landmarks=one.landmarks * factor)


faces = st.builds(
    face,
    st.floats(0.0, 400.0),
    st.floats(0.0, 250.0),
    st.floats(60.0, 200.0),
    st.floats(0.5, 1.0),
    st.floats(-0.5, 0.5),
)


def largest_first(several: list[Face]) -> list[Face]:
    return sorted(several, key=lambda one: -one.box.area)


@given(st.lists(traits, min_size=1, max_size=6))
def test_the_chosen_face_is_near_and_so_is_its_rival(seen: list[Traits]) -> None:
    choice, largest = choose(seen), max(one.side for one in seen)
    assert seen[choice.chosen].side >= NEAR * largest
    if choice.rival is not None:
        assert choice.rival != choice.chosen
        assert seen[choice.rival].side >= NEAR * largest
        assert seen[choice.chosen].side <= NEARER * seen[choice.rival].side


@given(st.lists(traits, max_size=5), st.floats(1.0001, 10.0))
def test_a_much_larger_face_always_wins_and_has_no_rival(others: list[Traits], times: float) -> None:
    side = max((one.side for one in others), default=50.0) / NEAR * times
    worst = Traits(side, 0.0, 0.0, 0.0, 0.0, 0.0)
    assert choose([*others, worst]) == (len(others), None)


@given(st.lists(traits, min_size=1, max_size=6), st.floats(0.1, 10.0))
def test_the_choice_does_not_depend_on_the_resolution(seen: list[Traits], factor: float) -> None:
    largest = max(one.side for one in seen)
    assume(all(abs(one.side / largest - NEAR) > 1e-9 for one in seen))
    weights = sorted(one.weight for one in seen)
    assume(all(b - a > 1e-6 for a, b in pairwise(weights)))
    before, after = choose(seen), choose([replace(one, side=one.side * factor) for one in seen])
    assert before.chosen == after.chosen


@given(st.lists(faces, min_size=2, max_size=4))
def test_a_mirrored_picture_has_the_mirrored_choice(several: list[Face]) -> None:
    several = largest_first(several)
    weights = sorted(traits_of(PIXELS, one).weight for one in several)
    # Faces overlap the pixels at other places in the mirror image, and the template is not quite symmetrical.
    assume(all(b > 1.02 * a for a, b in pairwise(weights)))
    image, other = PIXELS, np.ascontiguousarray(PIXELS[:, ::-1])
    chosen, _ = choose_face(image, several, "chosen")
    again, _ = choose_face(other, [mirrored(one) for one in several], "chosen")
    assert again.box == mirrored(chosen).box


@given(st.lists(faces, min_size=2, max_size=4))
def test_a_picture_of_twice_the_size_has_the_same_choice(several: list[Face]) -> None:
    several = largest_first(several)
    weights = sorted(traits_of(PIXELS, one).weight for one in several)
    assume(all(b > 1.3 * a for a, b in pairwise(weights)))  # the pixels are blurred by growing
    twice = np.ascontiguousarray(PIXELS.repeat(2, axis=0).repeat(2, axis=1))
    chosen, _ = choose_face(PIXELS, several, "chosen")
    again, _ = choose_face(twice, [grown(one, 2) for one in several], "chosen")
    assert again.box == grown(chosen, 2).box


def test_nothing_can_be_chosen_among_no_faces() -> None:
    with pytest.raises(ValueError, match="where there is one"):
        choose([])


@pytest.mark.parametrize(
    "worse",
    [
        face(x=0.0, y=0.0),  # in the corner
        face(confidence=0.55),
        face(turned=1.0),
        face(x=-60.0),  # cut off by the border
    ],
    ids=["place", "confidence", "pose", "cut off"],
)
def test_of_equally_large_faces_the_better_one_is_chosen(worse: Face) -> None:
    good = face(x=260.0, y=180.0)
    assert choose_face(PIXELS, [worse, good], "chosen") == (good, worse)


def test_of_equally_large_faces_the_sharp_one_is_chosen() -> None:
    assert choose([Traits(100.0, sharpness=0.2), Traits(100.0)]) == (1, 0)


def test_place_decides_among_faces_of_similar_size_only() -> None:
    corner, middle = face(x=0.0, y=0.0, side=120.0), face(x=270.0, y=190.0, side=100.0)
    assert choose_face(PIXELS, [corner, middle], "chosen")[0] is corner
    middle = face(x=270.0, y=190.0, side=115.0)
    assert choose_face(PIXELS, [corner, middle], "chosen")[0] is middle


def test_a_larger_chosen_face_has_no_rival() -> None:
    assert choose([Traits(111.0), Traits(100.0)]) == (0, None)
    assert choose([Traits(109.0), Traits(100.0)]) == (0, 1)
    assert choose([Traits(100.0), Traits(115.0, confidence=0.0)]) == (0, 1), "a rival may be larger"


def test_the_rule_largest_takes_the_first_face() -> None:
    corner, middle = face(x=0.0, y=0.0, side=121.0), face(x=260.0, y=180.0, side=120.0)
    assert choose_face(PIXELS, [corner, middle], "largest") == (corner, None)


def test_landmarks_in_one_point_are_no_frontal_face() -> None:
    flat = replace(face(), landmarks=np.full((5, 2), 30.0, np.float32))
    assert frontality(flat) == 0.0
    assert frontality(face()) == pytest.approx(1.0)
    assert frontality(face(turned=1.0)) == pytest.approx(0.5)
