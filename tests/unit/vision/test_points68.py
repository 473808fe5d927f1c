import numpy as np
import pytest

from engine.vision.networks.points68 import POINTS, SixtyEightPoints
from engine.vision.ports import Box
from models.manifest import default_manifest

ENTRY = default_manifest().network("landmarks")


def shares(**at: tuple[float, float]) -> np.ndarray:
    """The network's answer: all points at the middle, but those that are named."""
    places = np.full((POINTS, 2), 0.5, np.float32)
    for name, place in at.items():
        places[{"eye": slice(36, 42), "other": slice(42, 48), "nose": 30, "left": 48, "right": 54}[name]] = place
    return places.reshape(1, -1)


def test_the_five_points_lie_where_their_shares_of_the_box_say():
    answer = shares(eye=(0.25, 0.4), other=(0.75, 0.4), nose=(0.5, 0.6), left=(0.3, 0.8), right=(0.7, 0.8))
    network = SixtyEightPoints(lambda _: (answer,), ENTRY)

    points = network(np.zeros((100, 120, 3), np.uint8), Box(20, 10, 40, 60))

    assert np.allclose(points, [[30, 34], [50, 34], [40, 46], [32, 58], [48, 58]], atol=1e-4)


def test_a_box_over_the_border_is_read_in_what_lies_in_the_picture():
    network = SixtyEightPoints(lambda _: (shares(eye=(0.0, 0.0), right=(1.0, 1.0)),), ENTRY)

    points = network(np.zeros((100, 120, 3), np.uint8), Box(-4, 0, 64, 50))

    assert (points[0].tolist(), points[4].tolist()) == ([0, 0], [60, 50])


def test_the_network_sees_the_grey_face_at_its_own_size():
    seen: list[np.ndarray] = []

    def run(tensor: np.ndarray) -> tuple[np.ndarray, ...]:
        seen.append(tensor)
        return (shares(),)

    SixtyEightPoints(run, ENTRY)(np.full((90, 90, 3), 128, np.uint8), Box(5, 5, 70, 80))

    assert seen[0].shape == (1, 1, 64, 64)
    assert np.allclose(seen[0], 0.5)


@pytest.mark.parametrize("box", [Box(500, 500, 10, 10), Box(-80, 5, 40, 40), Box(10, 10, 0, 0)])
def test_of_a_box_outside_the_picture_nothing_is_said(box: Box):
    assert SixtyEightPoints(lambda _: (shares(),), ENTRY)(np.zeros((100, 120, 3), np.uint8), box) is None


def test_a_network_that_tells_another_number_of_points_is_refused():
    network = SixtyEightPoints(lambda _: (np.zeros((1, 10), np.float32),), ENTRY)
    with pytest.raises(ValueError, match="10 numbers, not 136"):
        network(np.zeros((100, 120, 3), np.uint8), Box(5, 5, 50, 50))
