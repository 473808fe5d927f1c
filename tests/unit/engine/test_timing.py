"""How the time of a decision is told, stage by stage."""

import pytest

from engine.timing import StageTimer


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now_s = 5.0

    def __call__(self) -> float:
        return self.now_s

    def pass_ms(self, spent_ms: float) -> None:
        self.now_s += spent_ms / 1000.0


def test_a_stage_timed_twice_adds_up() -> None:
    clock = Clock()
    timer = StageTimer(clock)
    for spent_ms in (2, 3):
        with timer.stage("decode"):
            clock.pass_ms(spent_ms)
        clock.pass_ms(100)
    assert timer.timings_ms == {"decode": 5}


def test_each_millisecond_counts_once_however_stages_lie_in_each_other() -> None:
    clock = Clock()
    timer = StageTimer(clock)
    with timer.stage("liveness"):
        clock.pass_ms(10)
        with timer.stage("embed"):
            clock.pass_ms(20)
            with timer.stage("decode"):
                clock.pass_ms(3)
        clock.pass_ms(1)
        with timer.stage("embed"):
            clock.pass_ms(4)
        clock.pass_ms(2)
    with timer.stage("search"):
        clock.pass_ms(7)
    assert timer.timings_ms == {"liveness": 13, "embed": 24, "decode": 3, "search": 7}


def test_a_stage_that_fails_is_timed_and_taken_from_the_one_around_it() -> None:
    clock = Clock()
    timer = StageTimer(clock)

    def fail() -> None:
        with timer.stage("liveness"):
            clock.pass_ms(10)
            with timer.stage("embed"):
                clock.pass_ms(20)
                raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    with timer.stage("search"):
        clock.pass_ms(7)
    assert timer.timings_ms == {"liveness": 10, "embed": 20, "search": 7}
