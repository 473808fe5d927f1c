"""The machine of a lane at the edges of what it decides; what always holds (test_lane_machine) is checked as well."""

import pytest

from processor import lane_events as ev
from tests.unit.processor.test_lane_machine import GATHER_S, MIB, World


def world(gather_s: float = 0.0) -> World:
    world = World()
    world.begin(gather_s)
    return world


def commit_of(world: World) -> ev.Commit:
    assert isinstance(world.asked, ev.Commit)
    return world.asked


@pytest.mark.parametrize("count", [63, 64, 65, 130])
def test_a_backlog_is_committed_64_at_a_time(count: int) -> None:
    there = world(GATHER_S)
    there.put(count)
    for number in reversed(list(there.lane)):
        there.finish(number)
    lengths = []
    while there.asked is not None:
        lengths.append(len(commit_of(there).numbers))
        there.answer()
    assert lengths == [min(64, count - done) for done in range(0, count, 64)]


@pytest.mark.parametrize(
    ("sizes", "lengths"),
    [
        ([8 * MIB, 8 * MIB, 1], [2, 1]),
        ([8 * MIB, 8 * MIB + 1, 1], [1, 2]),
        ([17 * MIB, 1], [1, 1]),
        ([1, 17 * MIB], [1, 1]),
    ],
    ids=["16 MiB", "one byte more", "a larger one first", "a larger one behind"],
)
def test_a_commit_has_16_mib_of_requests_or_one(sizes: list[int], lengths: list[int]) -> None:
    there = world()
    for size in sizes:
        there.put(size=size)
    for number in reversed(list(there.lane)):
        there.finish(number)
    found = []
    while there.asked is not None:
        found.append(len(commit_of(there).numbers))
        there.answer()
    assert found == lengths


def test_nothing_is_waited_for_that_would_not_fit() -> None:
    there = world(GATHER_S)
    there.put(size=8 * MIB)
    there.put(size=8 * MIB + 1)
    there.finish(1)
    assert commit_of(there).numbers == (1,)


def test_a_moment_ends_early_once_everything_behind_is_finished() -> None:
    there = world(GATHER_S)
    there.put(2)
    there.finish(1)
    assert there.timer == ev.Wait(1, GATHER_S)
    there.finish(2)
    assert commit_of(there).numbers == (1, 2)


def test_a_moment_that_ended_early_ends_no_later_one() -> None:
    there = world(GATHER_S)
    there.put(3)
    for number in (1, 2, 3):
        there.finish(number)
    there.answer()
    there.put(2)
    there.finish(4)
    assert there.timer == ev.Wait(2, GATHER_S)
    there.pass_time(1)
    assert there.asked is None


def test_each_pause_is_twice_as_long_up_to_two_seconds_until_a_commit_succeeds() -> None:
    there, pauses = world(), []
    for how in ["aborted"] * 8 + ["well", "aborted"]:
        there.put()
        there.finish(max(there.lane))
        there.answer(how)
        if there.timer is not None:
            pauses.append(there.timer.seconds)
            there.end_moment()
            there.answer()
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 0.05]


def test_a_log_that_cannot_be_rewound_yet_is_rewound_later() -> None:
    there = world()
    there.put()
    there.finish(1)
    there.answer("aborted")
    for _ in range(3):
        assert there.timer is not None
        there.pass_time(there.timer.step)
        assert there.asked == ev.Rewind()
        there.answer("lost")
        assert there.timer.seconds == 2.0
        assert there.lane


def test_a_log_that_can_never_be_rewound_stops_the_lane() -> None:
    there = world()
    there.put()
    there.finish(1)
    there.answer("aborted")
    there.end_moment()
    there.answer("final")
    assert there.stopped


def test_a_dead_letter_is_written_for_the_first_alone_and_the_others_go_on() -> None:
    there = world()
    there.put(2)
    there.put(1, dead=True)
    there.put(1)
    for number in (4, 3, 2, 1):
        there.finish(number)
    commits = []
    while there.asked is not None:
        commits.append((commit_of(there).numbers, commit_of(there).instead is not None))
        there.answer()
    assert commits == [
        ((1, 2, 3, 4), False),
        ((1,), False),
        ((2, 3, 4), False),
        ((2,), False),
        ((3, 4), False),
        ((3,), False),
        ((3,), True),
        ((4,), False),
    ]


def test_a_lane_whose_dead_letter_cannot_be_written_stops() -> None:
    there = world()
    there.put()
    there.finish(1)
    there.answer("unwritable")
    assert commit_of(there).instead is not None
    there.answer("unwritable")
    assert there.stopped


@pytest.mark.parametrize("gather_s", [0.0, GATHER_S])
def test_replies_are_left_out_of_one_commit_and_of_what_is_tried_instead(gather_s: float) -> None:
    there, found = world(gather_s), []
    there.put(4 if gather_s else 3)
    for number in (3, 2, 1):
        there.finish(number)
    there.end_moment()
    for how, partitions in [
        ("no reply partition", 3),
        ("no reply partition", 2),
        *[("unwritable", 0)] * 2,
        ("well", 0),
    ]:
        there.answer(how, partitions)
        there.end_moment()
        found.append(commit_of(there).reply_partitions)
    assert found == [3, 2, 2, 2, None]


def test_a_reply_that_is_missing_though_it_was_left_out_stops_the_lane() -> None:
    there = world()
    there.put()
    there.finish(1)
    there.answer("no reply partition", 2)
    there.answer("no reply partition", 2)
    assert there.stopped
