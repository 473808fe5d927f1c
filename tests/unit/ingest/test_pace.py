"""What is learnt of the processors: in a simulation of threads, queues and answers."""

import heapq
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.pace import Pace, Sent


class Simulated:
    """`threads` that take `work_s` for each request, and `more_s` beside it for the way there and back; there is
    always more work than is let in, unless `offered` says how many requests there are at a time."""

    def __init__(self, pace: Pace, threads: int, work_s: float, more_s: float, *, told: bool, seed: int = 7) -> None:
        self.pace, self.work_s, self.more_s, self.told = pace, work_s, more_s, told
        self.free_at = [0.0] * threads
        self.chance = random.Random(seed)
        self.now = 0.0
        self.under_way: list[tuple[float, int, Sent, float]] = []
        self.number = 0
        self.busy_s = 0.0

    def send(self, *, had_waited: bool) -> None:
        begins = max(self.now + self.more_s / 2, heapq.heappop(self.free_at))
        worked_s = self.work_s * self.chance.uniform(0.7, 1.3)
        heapq.heappush(self.free_at, begins + worked_s)
        self.busy_s += worked_s
        self.number += 1
        waited_s = begins - self.now - self.more_s / 2
        ends = begins + worked_s + self.more_s / 2
        heapq.heappush(self.under_way, (ends, self.number, self.pace.sent(self.now, had_waited=had_waited), waited_s))

    def run(self, answers: int, offered: int | None = None) -> float:
        """The share of the threads' time in which they worked."""
        began, busy = self.now, self.busy_s
        for _ in range(answers):
            most = self.pace.limit if offered is None else min(offered, self.pace.limit)
            while len(self.under_way) < most:
                self.send(had_waited=offered is None and bool(self.number))
            self.now, _, sent, waited_s = heapq.heappop(self.under_way)
            told_s = waited_s if self.told else None
            self.pace.answered(sent, self.now, contended=offered is None, waited_s=told_s)
        return (self.busy_s - busy) / (self.now - began) / len(self.free_at)


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("threads", [1, 2, 8])
@pytest.mark.parametrize(("work_s", "more_s"), [(0.2, 0.01), (0.05, 0.03)])
def test_the_processors_stay_busy_and_little_waits_in_the_log(
    threads: int, work_s: float, more_s: float, told: bool
) -> None:
    pace = Pace(200)
    system = Simulated(pace, threads, work_s, more_s, told=told)
    system.run(60 * threads)
    assert system.run(60 * threads) > 0.93
    assert pace.limit <= 6 * threads * (work_s + more_s) / work_s
    assert pace.interval_s == pytest.approx(work_s / threads, rel=0.35)


def test_the_limit_follows_when_processors_come_and_go() -> None:
    pace = Pace(200)
    system = Simulated(pace, 16, 0.2, 0.01, told=True)
    system.run(1000)
    many = pace.limit
    system.free_at = system.free_at[:2]
    system.run(400)
    assert 3 <= pace.limit <= 10 < 24 <= many
    assert pace.interval_s == pytest.approx(0.1, rel=0.35)


def test_at_idle_nothing_is_learnt_but_that_so_much_is_possible() -> None:
    pace = Pace(64)
    system = Simulated(pace, 2, 0.2, 0.01, told=True)
    system.run(200)
    limit, interval_s = pace.limit, pace.interval_s
    for _ in range(200):
        system.now += 30.0  # nobody comes for half a minute
        system.free_at = [system.now] * 2
        system.run(1, offered=1)
    assert pace.limit == limit
    assert pace.interval_s <= interval_s


def test_what_the_first_to_come_took_says_nothing_about_how_much_can_be_done() -> None:
    pace = Pace(64)
    sent = [pace.sent(0.0, had_waited=False) for _ in range(8)]
    pace.answered(sent[0], 1.0, contended=True)
    assert pace.interval_s == 0, "one answer after a second, but seven more may be under way"


def test_where_the_time_goes_elsewhere_the_limit_does_not_fall() -> None:
    pace = Pace(64)
    limit = pace.limit
    for _ in range(50):
        # Enrolments by feature: next to nothing is done in a matching thread, and the commit takes most of the time.
        pace.answered(pace.sent(0.0, had_waited=True), 0.05, contended=True, waited_s=0.001)
    assert pace.limit > limit


def test_a_first_slow_answer_is_soon_put_right() -> None:
    pace = Pace(64)
    pace.answered(pace.sent(0.0, had_waited=True), 3.0, contended=True)
    assert pace.interval_s == 3.0
    system = Simulated(pace, 2, 0.1, 0.01, told=True)
    system.run(60, offered=1)
    assert pace.interval_s < 0.2


def test_what_is_not_answered_lowers_the_limit_to_one_at_a_time_and_answers_raise_it_again() -> None:
    pace = Pace(64)
    for _ in range(50):
        pace.unanswered(pace.sent(0.0, had_waited=True), 3.0)
    assert pace.limit == 1
    system = Simulated(pace, 4, 0.1, 0.01, told=True)
    system.run(200)
    assert pace.limit >= 6


@given(st.integers(1, 100), st.lists(st.tuples(st.floats(0, 50), st.floats(0, 60), st.booleans())))
def test_the_limit_is_never_below_one_nor_above_the_most(most: int, answers: list[tuple[float, float, bool]]) -> None:
    pace = Pace(most)
    for spent_s, waited_s, contended in answers:
        pace.answered(pace.sent(0.0, had_waited=True), spent_s, contended=contended, waited_s=waited_s)
        if spent_s > 40:
            pace.unanswered(pace.sent(0.0, had_waited=True), spent_s)
        assert 1 <= pace.limit <= most
        assert pace.interval_s >= 0
