from typing import Any

import pytest

from contract.calls.rules import MOMENT
from contract.errors import Code, Refused


@pytest.mark.parametrize("sent", [1e18, 1e14, "1e18", -1, -0.5, True, "yesterday", []])
def test_a_time_that_is_none_is_answered_with_both_bounds(sent: Any) -> None:
    with pytest.raises(Refused) as refused:
        MOMENT.check(sent, "compare_time")
    assert refused.value.code is Code.PARAM_ERROR
    assert refused.value.message == (
        "compare_time must be seconds since the epoch, a number from 0 to below 1e+11 (or milliseconds, below 1e+14)"
    )


def test_the_bounds_are_those_of_the_message() -> None:
    assert MOMENT.check(0, "compare_time") == (0.0, None)
    assert MOMENT.check(99_999_999_999.5, "compare_time") == (99_999_999_999.5, None)
    assert MOMENT.check(99_999_999_999_999, "compare_time") == (99_999_999_999.999, "99999999999999")
