import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.going_on import (
    CLOCKS_APART_MS,
    Committed,
    GoingOn,
    Span,
    going_on,
    needs_worked_on,
    time_of_commit,
    without_wrong_time,
)
from broker.port import Skip


@pytest.mark.parametrize(
    ("committed", "span", "worked_on", "found"),
    [
        # Never committed, or the offset is lost.
        (Committed(), Span(0, 0), None, GoingOn(0)),
        (Committed(), Span(3, 9), None, GoingOn(3)),
        (Committed(), Span(3, 9), 3, GoingOn(3)),
        (Committed(), Span(3, 9), 7, GoingOn(7, Skip.WORKED_ON, range(3, 7))),
        (Committed(), Span(3, 9), 9, GoingOn(9, Skip.WORKED_ON, range(3, 9))),
        # As it should be.
        (Committed(5, 10), Span(3, 9, 5), None, GoingOn(5)),
        (Committed(5, 10), Span(3, 9, 7), None, GoingOn(5)),
        (Committed(9, 10), Span(3, 9, 9), None, GoingOn(9)),
        (Committed(5), Span(3, 9), None, GoingOn(5)),
        # Removed before they were read.
        (Committed(1, 10), Span(3, 9, 3), None, GoingOn(3, Skip.REMOVED, range(1, 3))),
        (Committed(1, 10), Span(9, 9, 9), None, GoingOn(9, Skip.REMOVED, range(1, 9))),
        # Another log: it ends before, or what lies below is newer.
        (Committed(40, 10), Span(0, 36, 0), None, GoingOn(0, Skip.OTHER_LOG, range(0))),
        (Committed(40, 10), Span(0, 36, 30), None, GoingOn(30, Skip.OTHER_LOG, range(30))),
        (Committed(40, 10), Span(0, 36, 36), None, GoingOn(36, Skip.OTHER_LOG, range(36))),
        (Committed(40, 10), Span(0, 36, 0), 12, GoingOn(12, Skip.OTHER_LOG, range(12))),
        (Committed(40), Span(2, 36), None, GoingOn(2, Skip.OTHER_LOG, range(2, 2))),
        (Committed(40, 10), Span(0, 60, 0), None, GoingOn(0, Skip.OTHER_LOG, range(0))),
        (Committed(40, 10), Span(0, 60, 25), 40, GoingOn(40, Skip.OTHER_LOG, range(40))),
    ],
)
def test_where_a_group_goes_on(committed: Committed, span: Span, worked_on: int | None, found: GoingOn) -> None:
    assert going_on(committed, span, worked_on) == found


def test_work_is_asked_for_only_where_the_offset_does_not_tell_and_there_are_records() -> None:
    assert needs_worked_on(Committed(), Span(0, 1))
    assert needs_worked_on(Committed(40, 10), Span(0, 36, 0))
    assert not needs_worked_on(Committed(), Span(4, 4))
    assert not needs_worked_on(Committed(3, 10), Span(0, 9, 5))
    assert not needs_worked_on(Committed(1, 10), Span(3, 9, 3))


offsets = st.integers(0, 50)


@given(offsets | st.none(), offsets, offsets, offsets | st.none(), offsets | st.none())
def test_the_place_is_in_the_log_and_nothing_undecided_is_skipped_untold(
    committed: int | None, first: int, length: int, newer: int | None, worked_on: int | None
) -> None:
    end = first + length
    span = Span(first, end, None if newer is None else min(end, first + newer))
    found = going_on(Committed(committed, None if newer is None else 1), span, worked_on)
    assert first <= found.offset <= end
    if found.skip is None:
        assert found.offset == (first if committed is None else committed)
    else:
        assert found.skipped.stop == found.offset


times = st.integers(0, 10**13)


@given(times, times | st.none(), times | st.none())
def test_no_delivered_record_is_newer_than_its_commit(now: int, newest: int | None, former: int | None) -> None:
    written_down = time_of_commit(now, newest, former)
    assert all(time is None or time <= written_down for time in (now, newest, former))


def test_a_time_that_a_wrong_clock_wrote_tells_nothing() -> None:
    assert without_wrong_time(Committed(4, 1000 + CLOCKS_APART_MS), 1000) == Committed(4, 1000 + CLOCKS_APART_MS)
    assert without_wrong_time(Committed(4, 1001 + CLOCKS_APART_MS), 1000) == Committed(4)
    assert without_wrong_time(Committed(4), 1000) == Committed(4)
