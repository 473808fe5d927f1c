"""The two scales of a score."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.score import to_wire


@pytest.mark.parametrize(
    ("cosine", "shown"), [(-0.3, 0.0), (0.0, 0.0), (0.24, 41.0), (0.48, 82.0), (0.74, 91.0), (1.0, 100.0)]
)
def test_percent_is_piecewise_linear_through_the_threshold(cosine, shown):
    assert to_wire(cosine, 0.48, "percent") == pytest.approx(shown)


def test_raw_is_the_cosine():
    assert to_wire(-0.123456789, 0.48, "raw") == -0.123457


@given(st.floats(-1, 1), st.floats(-1, 1), st.floats(0.05, 0.95), st.sampled_from(["raw", "percent"]))
def test_a_higher_cosine_never_gets_a_lower_score(one, other, threshold, scale):
    low, high = sorted((one, other))
    assert to_wire(low, threshold, scale) <= to_wire(high, threshold, scale)
