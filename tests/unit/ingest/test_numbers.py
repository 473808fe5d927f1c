from typing import Any

import pytest

from contract.errors import Code, Refused
from ingest.numbers import compare_time


@pytest.mark.parametrize("sent", [1e18, 1e14, "1e18", -1, -0.5, True, "yesterday", []])
def test_a_time_that_is_none_is_answered_with_both_bounds(sent: Any) -> None:
    with pytest.raises(Refused) as refused:
        compare_time(sent, 1_700_000_000.0)
    assert refused.value.code is Code.PARAM_ERROR
    assert refused.value.message == (
        "compare_time must be seconds since the epoch, a number from 0 to below 1e+11 (or milliseconds, below 1e+14)"
    )


def test_the_bounds_are_those_of_the_message() -> None:
    assert compare_time(0, 5.0) == (0.0, None)
    assert compare_time(99_999_999_999.5, 5.0) == (99_999_999_999.5, None)
    assert compare_time(99_999_999_999_999, 5.0) == (99_999_999_999.999, "99999999999999")
