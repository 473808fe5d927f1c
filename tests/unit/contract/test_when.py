import doctest

import pytest

import contract.when
from contract.when import parse_span, parse_when

NOW_S = 1_700_000_000.0


def test_the_examples_hold() -> None:
    result = doctest.testmod(contract.when)
    assert (result.failed, result.attempted > 3) == (0, True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1700000000", 1_700_000_000.0),
        ("0", 0.0),
        ("10m", NOW_S - 600),
        ("1.5 h ago", NOW_S - 5400),
        ("30s", NOW_S - 30),
        ("2d", NOW_S - 172_800),
        ("2023-11-14", 1_699_920_000.0),
        ("2023-11-14T22:13:20", 1_700_000_000.0),
        ("2023-11-15T00:13:20+02:00", 1_700_000_000.0),
        ("2023-11-14T22:13:20.5Z", 1_700_000_000.5),
    ],
)
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert parse_when(text, NOW_S) == seconds


@pytest.mark.parametrize("text", ["", "soon", "10x", "-5", "nan", "inf", "1e300", "2023-13-01", "1700000000000", "m"])
def test_what_is_no_time_is_refused_with_what_is_understood(text: str) -> None:
    with pytest.raises(ValueError, match="not a time; write epoch seconds"):
        parse_when(text, NOW_S)


def test_without_a_clock_nothing_is_a_while_ago() -> None:
    with pytest.raises(ValueError, match="not a time"):
        parse_when("10m")


def test_a_span_needs_a_number() -> None:
    assert parse_span("0.5") == 0.5
    for text in ("", "m", "-1", "1y"):
        with pytest.raises(ValueError, match="not a span of time"):
            parse_span(text)
