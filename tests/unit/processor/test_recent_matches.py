"""The first matches of the last moments, in memory and from the events topic."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import processor.recent_matches
from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import NewRecord
from contract.events import Event
from contract.repeats import as_repeat
from processor.recent_matches import Draft, RecentMatches
from tests.support.sinking import NOW_S, TOPICS, event, record_of, with_topics

WINDOW_S = 60.0


@pytest.fixture
async def log(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    """A log whose clock shows when the last of the events arrived."""
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: int(1000 * NOW_S)) as log:
        await with_topics(log)
        yield log


def repeats(draft: Draft, *events: Event) -> list[str | None]:
    """What each of the events repeats."""
    return [draft.marked(one, WINDOW_S).repeat_of for one in events]


async def test_later_matches_of_a_transaction_and_of_later_ones_repeat_the_first(log: EmbeddedBroker) -> None:
    recent = RecentMatches(log, TOPICS.events, 0)
    draft = await recent.draft(NOW_S, WINDOW_S)
    assert repeats(draft, event(0), event(1), event(2, identity_id="8")) == [None, "event-0", None]
    recent.committed(draft)
    draft = await recent.draft(NOW_S, WINDOW_S)
    assert repeats(draft, event(3), event(4, identity_id="8")) == ["event-0", "event-2"]


async def test_a_window_that_is_over_begins_anew_and_does_not_move_meanwhile(log: EmbeddedBroker) -> None:
    recent = RecentMatches(log, TOPICS.events, 0)
    draft = await recent.draft(NOW_S, WINDOW_S)
    assert repeats(draft, *map(event, (0, 40, 59, 60, 61))) == [None, "event-0", "event-0", None, "event-60"]


async def test_nothing_of_a_transaction_that_was_not_written_counts(log: EmbeddedBroker) -> None:
    recent = RecentMatches(log, TOPICS.events, 0)
    assert repeats(await recent.draft(NOW_S, WINDOW_S), event(0)) == [None]
    assert repeats(await recent.draft(NOW_S, WINDOW_S), event(1)) == [None]


async def test_the_first_matches_are_read_from_the_partition_after_a_start_and_after_a_failure(
    log: EmbeddedBroker,
) -> None:
    later = as_repeat(event(2), "event-1")
    nonsense = NewRecord(TOPICS.events, b"10.0.0.1", b"nonsense", (), 1)
    other_partition = event(3, identity_id="8")
    await log.append([record_of(event(1), 1), nonsense, record_of(later, 1), record_of(other_partition, 0)])
    recent = RecentMatches(log, TOPICS.events, 1)
    assert repeats(await recent.draft(NOW_S, WINDOW_S), event(4), event(5, identity_id="8")) == ["event-1", None]
    await log.append([record_of(event(6, identity_id="9"), 1)])
    assert repeats(await recent.draft(NOW_S, WINDOW_S), event(7, identity_id="9")) == [None], "it wrote none itself"
    recent.forget()
    assert repeats(await recent.draft(NOW_S, WINDOW_S), event(7, identity_id="9")) == ["event-6"]


async def test_a_longer_window_is_read_from_the_log(log: EmbeddedBroker) -> None:
    await log.append([record_of(event(1), 0)])
    recent = RecentMatches(log, TOPICS.events, 0)
    draft = await recent.draft(NOW_S + 1000, 1.0)
    assert draft.marked(event(1000), 1.0).repeat_of is None
    assert (await recent.draft(NOW_S + 1000, 2000.0)).marked(event(1000), 2000.0).repeat_of == "event-1"


async def test_without_a_window_no_match_is_a_repeat(log: EmbeddedBroker) -> None:
    draft = await RecentMatches(log, TOPICS.events, 0).draft(NOW_S, WINDOW_S)
    assert [draft.marked(event(number), 0).repeat_of for number in (1, 2)] == [None, None]
    assert draft.added == {}


async def test_memory_is_bounded_by_number_and_by_age(log: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor.recent_matches, "MOST_PASSAGES", 10)
    recent = RecentMatches(log, TOPICS.events, 0)
    for number in range(20):
        draft = await recent.draft(NOW_S, WINDOW_S)
        draft.marked(event(0, id=f"event-{number}", identity_id=str(number)), WINDOW_S)
        recent.committed(draft)
    draft = await recent.draft(NOW_S, WINDOW_S)
    assert repeats(draft, event(30, identity_id="19"), event(31, identity_id="3")) == ["event-19", None]
    recent.committed(draft)
    draft = await recent.draft(NOW_S, WINDOW_S)
    assert repeats(draft, event(10_000, identity_id="5")) == [None]
    recent.committed(draft)
    draft = await recent.draft(NOW_S, WINDOW_S)
    assert repeats(draft, event(10_001, identity_id="19"), event(10_002, identity_id="5")) == [None, "event-10000"]


async def test_as_many_are_kept_of_what_is_read_as_of_what_was_decided_here(
    log: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor.recent_matches, "MOST_PASSAGES", 3)
    events = [event(number, identity_id=str(number)) for number in range(5)]
    await log.append([record_of(one, 0) for one in events])
    recent = RecentMatches(log, TOPICS.events, 0)
    again = [event(10 + number, identity_id=str(number)) for number in range(5)]
    assert repeats(await recent.draft(NOW_S, WINDOW_S), *again) == [None, None, "event-2", "event-3", "event-4"]
