"""That an event was not written is known only at an end of the log that was taken later."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import pytest

from broker.port import Position, Record
from capture.recording.decisions import Decisions
from capture.recording.join import Join, Pending
from contract.events import RequestPlace, encode_event
from tests.support.records import event_of, match_request

NOW_S = 100.0


class Events:
    """An events topic of two partitions. `others`: how many events of partition 1 a fetch returns; `at` and `ends`:
    position and end of both."""

    def __init__(self, at: int, ends: int, others: int = 0) -> None:
        self.at, self.others = {0: at, 1: 0}, others
        self.ends = {0: ends, 1: 1_000_000}
        self.looked_up = 0

    def reader(self, *_: Any) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def end_offsets(self, topic: str) -> Mapping[int, int]:
        self.looked_up += 1
        return dict(self.ends)

    def positions(self) -> Mapping[int, int]:
        return dict(self.at)

    async def fetch(self, max_records: int, timeout_s: float) -> Sequence[Record]:
        records = []
        for _ in range(self.others):
            place = Position("requests", 1, self.at[1])
            value = encode_event(event_of(match_request(place.offset), place))
            records.append(Record("events", 1, self.at[1], 1000, b"k", value))
            self.at[1] += 1
        return records


def waiting(give_up_s: float) -> Join:
    join = Join()
    place = RequestPlace(topic="requests", partition=0, offset=3)
    join.take(Pending(match_request(3), place, give_up_s - 10, give_up_s))
    join.pass_by(0, 3)
    return join


async def known(topic: Events, join: Join, reads: int = 5) -> Sequence[float | None]:
    log: Any = topic
    async with Decisions(log, "events", 0.0, lambda: NOW_S) as decisions:
        await decisions.begin(together=True)
        return [await decisions.read(join, [0]) for _ in range(reads)]


async def test_nothing_fetched_says_nothing_before_the_end_is_reached() -> None:
    assert await known(Events(at=3, ends=4), waiting(NOW_S)) == [None] * 5
    assert NOW_S in await known(Events(at=4, ends=4), waiting(NOW_S))


async def test_a_request_that_may_still_be_decided_in_time_costs_no_look_at_the_end() -> None:
    topic = Events(at=4, ends=4)
    assert await known(topic, waiting(NOW_S + 1)) == [None] * 5
    assert topic.looked_up == 0


async def test_events_of_others_that_keep_coming_do_not_hide_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capture.recording.decisions._ASK_S", 3600.0)
    topic = Events(at=4, ends=4, others=1)
    assert NOW_S in await known(topic, waiting(NOW_S))
    assert topic.looked_up == 1, "and it is looked up once in a while, not for each fetch"


async def test_an_end_of_an_earlier_question_does_not_count() -> None:
    """Between two batches of requests the log may have grown."""
    topic: Any = Events(at=3, ends=4)
    async with Decisions(topic, "events", 0.0, lambda: NOW_S) as decisions:
        await decisions.begin(together=True)
        assert await decisions.read(waiting(NOW_S), [0]) is None
        topic.at[0], topic.ends[0] = 4, 5
        await decisions.begin(together=True)
        assert await decisions.read(waiting(NOW_S), [0]) is None
