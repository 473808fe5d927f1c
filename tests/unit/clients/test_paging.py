"""A list of a box is read to its end, whatever the box makes of skip_num and limit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clients.migration.paging import MIN_LIMIT, Pages

LIMIT = 5
CALLS = 100


def page_of(whole: list[str], habit: str, skip: int, limit: int) -> list[str]:
    first = {"entries": skip, "pages": skip * limit, "ignored": 0, "truncated": 0}[habit]
    return whole if habit == "ignored" else whole[first : first + limit]


def read(whole: list[str], habit: str, limit: int = LIMIT) -> tuple[list[str], int]:
    pages, found, calls = Pages(limit), dict[str, None](), 0
    while not pages.done:
        page = page_of(whole, habit, pages.skip, limit)
        found |= dict.fromkeys(page)
        pages.take(page)
        calls += 1
        assert calls < CALLS
    return list(found), calls


@given(st.integers(0, 60), st.sampled_from(["entries", "pages", "ignored"]), st.integers(MIN_LIMIT, 12))
def test_every_entry_is_read(count: int, habit: str, limit: int) -> None:
    whole = [f"p{number}" for number in range(count)]
    found, calls = read(whole, habit, limit)
    assert found == whole
    assert calls <= count // limit + 4


def test_a_box_that_answers_the_first_page_for_ever_is_left() -> None:
    whole = [f"p{number}" for number in range(20)]
    found, calls = read(whole, "truncated")
    assert (found, calls) == (whole[:LIMIT], 3)


@pytest.mark.parametrize("step", [1, LIMIT])
def test_a_box_that_repeats_a_later_page_is_left_and_known_to_repeat(step: int) -> None:
    pages = Pages(LIMIT, 10, step)
    pages.take(list("abcde"))
    assert (pages.done, pages.repeats, pages.skip) == (False, False, 10 + step)
    pages.take(list("abcde"))
    assert (pages.done, pages.repeats) == (True, True)


@pytest.mark.parametrize("habit", ["entries", "pages"])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_somebody_who_joins_at_the_front_meanwhile_makes_nobody_else_lost(habit: str, after: int) -> None:
    whole = [f"p{number}" for number in range(30)]
    pages, found, calls = Pages(LIMIT), set[str](), 0
    while not pages.done:
        page = page_of(["new"] * (calls >= after) + whole, habit, pages.skip, LIMIT)
        found.update(page)
        pages.take(page)
        calls += 1
    assert found >= set(whole)


def test_unreadable_entries_count_for_the_length_of_a_page() -> None:
    pages = Pages(LIMIT)
    pages.take(list("abc"), unreadable=2)
    assert not pages.done
    pages.take(list("ghijk"))
    assert (pages.done, pages.skip) == (False, 2)


def test_a_page_too_small_for_telling_entries_from_pages_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        Pages(MIN_LIMIT - 1)
