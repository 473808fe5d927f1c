"""The weekly schedule of a permission."""

from typing import Any

import pytest

from contract.errors import Code, Refused
from contract.pass_times import MAX_SPANS, pass_times_of, permits, read_pass_times

MONDAY, TUESDAY, FRIDAY, SATURDAY, SUNDAY = 1, 2, 5, 6, 7


def span(days: Any = (1,), begin: Any = "08:00", end: Any = "18:00") -> dict[str, Any]:
    return {"days": list(days) if isinstance(days, tuple) else days, "from": begin, "to": end}


def at(clock: str) -> int:
    hours, minutes = clock.split(":")
    return 60 * int(hours) + int(minutes)


@pytest.mark.parametrize(
    ("clock", "open_"), [("07:59", False), ("08:00", True), ("17:59", True), ("18:00", False), ("00:00", False)]
)
def test_a_span_contains_its_first_minute_and_not_the_minute_at_which_it_ends(clock: str, open_: bool) -> None:
    times = read_pass_times([span()])
    assert permits(times, MONDAY, at(clock)) is open_
    assert not permits(times, TUESDAY, at(clock))


def test_a_span_over_midnight_belongs_to_the_day_on_which_it_begins() -> None:
    times = read_pass_times([span((FRIDAY,), "22:00", "06:00")])
    assert not permits(times, FRIDAY, at("05:59"))
    assert not permits(times, FRIDAY, at("21:59"))
    assert permits(times, FRIDAY, at("22:00"))
    assert permits(times, SATURDAY, at("05:59"))
    assert not permits(times, SATURDAY, at("06:00"))
    assert not permits(times, SATURDAY, at("22:00"))


def test_the_night_of_a_sunday_ends_on_monday() -> None:
    times = read_pass_times([span((SUNDAY,), "23:00", "01:00")])
    assert permits(times, MONDAY, at("00:59"))
    assert not permits(times, SUNDAY, at("00:59"))


def test_a_whole_day_ends_at_24_00_and_a_span_to_midnight_may_also_end_at_00_00() -> None:
    whole = read_pass_times([span((MONDAY,), "00:00", "24:00")])
    assert permits(whole, MONDAY, 0)
    assert permits(whole, MONDAY, at("23:59"))
    assert not permits(whole, TUESDAY, 0)
    evening = read_pass_times([span((MONDAY,), "20:00", "00:00")])
    assert permits(evening, MONDAY, at("23:59"))
    assert not permits(evening, TUESDAY, 0)


def test_any_of_several_spans_suffices() -> None:
    times = read_pass_times([span((1, 2, 3, 4, 5)), span((6,), "09:00", "12:00")])
    assert permits(times, FRIDAY, at("17:00"))
    assert permits(times, SATURDAY, at("09:00"))
    assert not permits(times, SATURDAY, at("17:00"))


def test_without_a_schedule_every_minute_is_permitted_and_with_a_damaged_one_none() -> None:
    assert permits(pass_times_of({}), MONDAY, 0)
    assert permits(pass_times_of({"pass_times": None}), MONDAY, 0)
    damaged = pass_times_of({"pass_times": "always"})
    assert not any(permits(damaged, day, minute) for day in range(1, 8) for minute in range(1440))


def test_json_numbers_with_a_zero_fraction_are_days() -> None:
    assert permits(read_pass_times([span([1.0])]), MONDAY, at("08:00"))


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("08:00-18:00", "info.pass_times must be a list"),
        ([], "info.pass_times must be a list of 1"),
        ([span()] * (MAX_SPANS + 1), "info.pass_times must be a list of 1 to 100"),
        ([span(), 5], "info.pass_times[1] must be an object"),
        ([{"days": [1], "from": "08:00"}], "info.pass_times[0] must be an object with days, from and to"),
        ([{**span(), "until": "19:00"}], "info.pass_times[0] must be an object with days, from and to"),
        ([span(())], "info.pass_times[0].days must be a list"),
        ([span((1,) * 8)], "info.pass_times[0].days must be a list"),
        ([span((0,))], "info.pass_times[0].days must be a list"),
        ([span((8,))], "info.pass_times[0].days must be a list"),
        ([span((1.5,))], "info.pass_times[0].days must be a list"),
        ([span((True,))], "info.pass_times[0].days must be a list"),
        ([span(("1",))], "info.pass_times[0].days must be a list"),
        ([span(1)], "info.pass_times[0].days must be a list"),
        ([span(begin="8:00")], "info.pass_times[0].from must be a time"),
        ([span(begin="24:00")], "info.pass_times[0].from must be a time"),
        ([span(begin=8)], "info.pass_times[0].from must be a time"),
        ([span(end="24:01")], "info.pass_times[0].to must be a time"),
        ([span(end="18:60")], "info.pass_times[0].to must be a time"),
        ([span(end="18:00\n")], "info.pass_times[0].to must be a time"),
        ([span(end="08:00")], "info.pass_times[0] begins and ends at the same time"),
    ],
)
def test_what_is_no_schedule_is_refused_by_name(value: Any, words: str) -> None:
    with pytest.raises(Refused) as refused:
        read_pass_times(value, "info.pass_times")
    assert refused.value.code is Code.PARAM_ERROR
    assert refused.value.message.startswith(words)
