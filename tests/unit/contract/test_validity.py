"""When a person is valid."""

import pytest

from contract.people.validity import is_ordered, is_valid_at


@pytest.mark.parametrize(
    ("info", "valid_at", "not_valid_at"),
    [
        ({}, [0.0, 4e9], []),
        ({"valid_from": 10}, [10.0, 11.0], [9.999]),
        ({"valid_until": 20.5}, [0.0, 20.5], [20.501]),
        ({"valid_from": 10, "valid_until": 20}, [10.0, 15.0, 20.0], [9.9, 20.1]),
        ({"valid_from": 10, "valid_until": 10}, [10.0], [9.9, 10.1]),
        ({"valid_from": None, "valid_until": None}, [0.0, 4e9], []),
    ],
)
def test_both_ends_belong_to_the_validity_and_an_absent_end_is_no_limit(info, valid_at, not_valid_at):
    assert [is_valid_at(info, time_s) for time_s in valid_at] == [True] * len(valid_at)
    assert [is_valid_at(info, time_s) for time_s in not_valid_at] == [False] * len(not_valid_at)


@pytest.mark.parametrize("info", [{"valid_from": "2024"}, {"valid_until": []}, {"valid_until": True}])
def test_an_end_that_is_not_a_number_leaves_no_valid_time(info):
    assert not any(is_valid_at(info, time_s) for time_s in (0.0, 1.0, 4e9))


def test_a_validity_that_ends_before_it_begins_is_noticed():
    assert is_ordered({})
    assert is_ordered({"valid_from": 5, "valid_until": 5})
    assert not is_ordered({"valid_from": 5, "valid_until": 4.9})
