"""Pass times as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.pass_times import read_pass_times
from picturematch.pass_times_text import parse_pass_time, pass_times_text


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("mon-fri 08:00-18:00", [1, 2, 3, 4, 5]),
        ("MON 08:00-18:00", [1]),
        ("sat,sun 08:00 - 18:00", [6, 7]),
        ("fri-mon 08:00-18:00", [1, 5, 6, 7]),
        ("mon,wed-thu,sun 08:00-18:00", [1, 3, 4, 7]),
        ("  daily  08:00-18:00 ", [1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_days_are_names_runs_and_lists_of_them(text: str, days: list[int]) -> None:
    assert parse_pass_time(text) == {"days": days, "from": "08:00", "to": "18:00"}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "write days and times"),
        ("08:00-18:00", "write days and times"),
        ("monday 08:00-18:00", "write days and times"),
        ("mon- 08:00-18:00", "write days and times"),
        ("-mon 08:00-18:00", "write days and times"),
        ("mon, 08:00-18:00", "write days and times"),
        ("mon 8:00-18:00", "write days and times"),
        ("mon 08:00-24:30", "the pass time.to must be a time"),
        ("mon 08:00-08:00", "begins and ends at the same time"),
    ],
)
def test_anything_else_is_refused_with_the_accepted_forms(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_pass_time(text)


DAYS = st.sets(st.integers(1, 7), min_size=1).map(sorted)
TIMES = st.tuples(st.integers(0, 1439), st.integers(0, 1439)).filter(lambda pair: pair[0] != pair[1])


@given(DAYS, TIMES)
def test_a_schedule_is_written_as_it_is_read(days: list[int], times: tuple[int, int]) -> None:
    begin, end = (f"{minute // 60:02}:{minute % 60:02}" for minute in times)
    span = {"days": days, "from": begin, "to": end}
    assert parse_pass_time(pass_times_text([span])) == span
    assert read_pass_times([span])


def test_no_schedule_is_always_and_several_spans_are_separated() -> None:
    assert pass_times_text(None) == "always"
    spans = [parse_pass_time("mon-fri 08:00-18:00"), parse_pass_time("sat,sun 22:00-06:00")]
    assert pass_times_text(spans) == "mon-fri 08:00-18:00; sat,sun 22:00-06:00"
