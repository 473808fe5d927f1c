"""Whether the system's clock is believed: pure decisions over readings."""

import pytest

from broker.embedded.clocks import TRIAL_MS, Reading, doubt, even_since

MINUTE_MS = 60_000
DAY_MS = 24 * 60 * MINUTE_MS
SHORTEST_MS = 10 * MINUTE_MS
WALL_MS = 1_800_000_000_000
UP_MS = 3 * DAY_MS
THEN = Reading(WALL_MS, UP_MS, "boot")


def later(wall_ms: int, boot_ms: int, boot: str = "boot") -> Reading:
    return Reading(WALL_MS + wall_ms, UP_MS + boot_ms, boot)


@pytest.mark.parametrize(
    ("now", "believed"),
    [
        (later(0, 0), True),
        (later(9 * DAY_MS, 9 * DAY_MS), True),  # the server was off, the machine was not
        (later(SHORTEST_MS, 0), True),
        (later(SHORTEST_MS + 1, 0), False),
        (later(-SHORTEST_MS, 0), True),
        (later(-SHORTEST_MS - 1, 0), False),
        (later(DAY_MS, 2 * DAY_MS), False),
        (later(365 * DAY_MS, MINUTE_MS), False),
    ],
)
def test_in_one_boot_the_clock_is_believed_as_far_as_it_goes_with_the_time_since_boot(
    now: Reading, believed: bool
) -> None:
    assert (doubt(now, THEN, None, now, SHORTEST_MS) is None) is believed


def test_nobody_doubts_a_clock_that_removes_nothing() -> None:
    assert doubt(later(365 * DAY_MS, 0), THEN, None, THEN, None) is None


def test_a_new_log_believes_the_clock() -> None:
    assert doubt(THEN, None, None, THEN, SHORTEST_MS) is None


@pytest.mark.parametrize("trusted", [THEN, None])
@pytest.mark.parametrize(
    ("ahead_ms", "even_ms", "believed"),
    [
        (MINUTE_MS, 0, True),
        (-MINUTE_MS, 0, True),
        (-DAY_MS, 0, False),
        (-DAY_MS, TRIAL_MS, False),
        (30 * DAY_MS, 0, False),
        (30 * DAY_MS, TRIAL_MS - 1, False),
        (30 * DAY_MS, TRIAL_MS, True),
    ],
)
def test_after_a_boot_a_clock_that_is_ahead_is_on_trial_and_one_that_is_behind_is_wrong(
    trusted: Reading | None, ahead_ms: int, even_ms: int, believed: bool
) -> None:
    started = Reading(WALL_MS + ahead_ms - even_ms, 5000, "another boot")
    now = Reading(WALL_MS + ahead_ms, 5000 + even_ms, "another boot")
    newest_ms = None if trusted else WALL_MS
    assert (doubt(now, trusted, newest_ms, started, SHORTEST_MS) is None) is believed


def test_a_quick_boot_needs_no_trial_however_long_ago_the_clocks_were_noted() -> None:
    up_ms = 2 * DAY_MS
    now = Reading(WALL_MS + up_ms + MINUTE_MS, up_ms, "another boot")
    assert doubt(now, THEN, None, now, SHORTEST_MS) is None


def test_where_boots_have_no_name_none_is_taken_for_another() -> None:
    now = Reading(WALL_MS + DAY_MS, UP_MS + DAY_MS)
    assert doubt(now, Reading(WALL_MS, UP_MS), None, now, SHORTEST_MS) is not None


def test_a_jump_begins_the_trial_anew() -> None:
    assert even_since(later(MINUTE_MS, MINUTE_MS), THEN, SHORTEST_MS) == THEN
    jumped = later(DAY_MS, MINUTE_MS)
    assert even_since(jumped, THEN, SHORTEST_MS) == jumped


def test_the_sentence_says_how_far_and_which_way() -> None:
    assert "365.0 days ahead" in (doubt(later(365 * DAY_MS, 0), THEN, None, THEN, SHORTEST_MS) or "")
    assert "2.0 hours behind" in (doubt(later(-120 * MINUTE_MS, 0), THEN, None, THEN, SHORTEST_MS) or "")
