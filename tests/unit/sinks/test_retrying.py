"""When a failed delivery is tried again, and what the tries of all lanes show about a receiver."""

import pytest

from sinks.retrying import Retrying
from sinks.standing import Standing


def test_the_wait_doubles_up_to_the_longest_one_and_chance_leaves_out_up_to_a_half() -> None:
    retrying = Retrying(max_tries=6, first_wait_s=1.0, longest_wait_s=5.0)
    assert [retrying.wait_s(failed, 0.0) for failed in range(1, 7)] == [1.0, 2.0, 4.0, 5.0, 5.0, None]
    assert retrying.wait_s(3, 1.0) == 2.0
    assert (retrying.probe_s(0.0), retrying.probe_s(1.0)) == (5.0, 2.5)


def test_the_receiver_may_ask_for_a_longer_wait_and_for_no_shorter_one() -> None:
    retrying = Retrying(first_wait_s=2.0, longest_wait_s=60.0)
    assert [retrying.wait_s(1, 0.0, asked) for asked in (None, 1.0, 30.0, 3600.0)] == [2.0, 2.0, 30.0, 60.0]


@pytest.mark.parametrize(
    ("retrying", "horizon_s"),
    [
        (Retrying(max_tries=4, first_wait_s=1.0, longest_wait_s=100.0, patience_s=0.0), 100.0),
        (Retrying(max_tries=12, first_wait_s=10.0, longest_wait_s=100.0, patience_s=0.0), 10 + 20 + 40 + 80 + 7 * 100),
        (Retrying(longest_wait_s=300.0, patience_s=86_400.0), 86_700.0),
        (Retrying(max_tries=10_000, longest_wait_s=1.0, patience_s=0.0), 9_999.0),
    ],
)
def test_the_horizon_is_the_longer_one_of_all_waits_and_the_patience(retrying: Retrying, horizon_s: float) -> None:
    assert retrying.horizon_s == pytest.approx(horizon_s)


def test_a_receiver_is_down_from_the_first_failure_after_what_it_has_taken_last() -> None:
    standing = Standing()
    assert standing.down_s(5.0) == 0.0
    standing.failed(10.0)
    standing.failed(20.0)
    assert standing.down_s(25.0) == 15.0
    assert not standing.has_taken_since(0.0)
    standing.taken(30.0)
    assert standing.down_s(35.0) == 0.0
    assert standing.has_taken_since(30.0)
    assert not standing.has_taken_since(30.1)
    standing.failed(40.0)
    assert standing.down_s(41.0) == 1.0
