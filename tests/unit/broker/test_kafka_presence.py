"""Who is missed, from the beats in a members topic; the times are made up."""

import random

import pytest

from broker.kafka.presence import BEAT_S, Beat, Presence, decode_beat, encode_beat

GROUP, OWN, OTHER = "processors", "own", "other"


class Topic:
    """Beats of several members in the order of their times, heard by the first of them."""

    def __init__(self) -> None:
        self.presence = Presence(OWN)
        self.now_s = 100.0

    def beats(self, *instances: str, seconds: float, every_s: float = BEAT_S, serves: tuple[int, ...] = (0,)) -> None:
        ends_s = self.now_s + seconds
        while self.now_s < ends_s:
            self.now_s += every_s
            for instance in instances:
                self.presence.note(Beat(GROUP, instance, serves), self.now_s, self.now_s)

    def silent(self) -> frozenset[str]:
        return self.presence.silent(GROUP, self.now_s)


@pytest.fixture
def topic() -> Topic:
    return Topic()


def test_a_member_that_beats_is_not_missed(topic):
    topic.beats(OWN, OTHER, seconds=30)
    assert topic.silent() == frozenset()


def test_a_member_that_stopped_is_missed_within_a_second_and_a_half(topic):
    topic.beats(OWN, OTHER, seconds=10)
    topic.beats(OWN, seconds=1.5)
    assert topic.silent() == {OTHER}


def test_a_member_is_not_missed_after_a_few_lost_beats(topic):
    topic.beats(OWN, OTHER, seconds=10)
    topic.beats(OWN, seconds=0.75)
    assert topic.silent() == frozenset()


def test_whoever_cannot_hear_itself_misses_nobody(topic):
    topic.beats(OWN, OTHER, seconds=10)
    topic.now_s += 60
    assert topic.silent() == frozenset()


def test_after_the_topic_could_not_be_read_silence_counts_anew(topic):
    topic.beats(OWN, OTHER, seconds=10)
    topic.beats(OWN, seconds=0.75)
    topic.presence.excuse(topic.now_s)
    topic.beats(OWN, seconds=0.75)
    assert topic.silent() == frozenset()
    topic.beats(OWN, seconds=1.0)
    assert topic.silent() == {OTHER}


def test_a_member_whose_beats_come_irregularly_is_given_more_time(topic):
    for _ in range(10):
        topic.beats(OWN, seconds=0.5)
        topic.beats(OWN, OTHER, seconds=0.25)
    topic.beats(OWN, seconds=1.5)
    assert topic.silent() == frozenset()
    topic.beats(OWN, seconds=2.0)
    assert topic.silent() == {OTHER}


def test_a_member_that_left_is_not_missed_and_serves_no_more(topic):
    topic.beats(OTHER, seconds=1)
    topic.presence.note(Beat(GROUP, OTHER, (), leaves=True), topic.now_s, topic.now_s)
    topic.beats(OWN, seconds=5, serves=())
    assert topic.silent() == frozenset()
    assert not topic.presence.served(GROUP, topic.now_s, 60.0)


def test_a_member_that_was_silent_for_long_before_the_observer_came_is_missed_after_two_beats(topic):
    topic.presence.note(Beat(GROUP, OTHER, (0,)), topic.now_s, topic.now_s - 10)
    topic.beats(OWN, seconds=BEAT_S)
    assert topic.silent() == frozenset()
    topic.beats(OWN, seconds=BEAT_S)
    assert topic.silent() == {OTHER}


def test_a_member_whose_clock_is_late_is_not_missed_while_it_beats(topic):
    for _ in range(40):
        topic.now_s += BEAT_S
        topic.presence.note(Beat(GROUP, OTHER, (0,)), topic.now_s, topic.now_s - 3600)
        topic.presence.note(Beat(GROUP, OWN, (1,)), topic.now_s, topic.now_s)
        assert topic.silent() == frozenset()


def test_members_of_other_groups_are_not_missed_and_serve_nothing_here(topic):
    topic.presence.note(Beat("sinks", OTHER, (0,)), topic.now_s, topic.now_s)
    topic.beats(OWN, seconds=5, serves=())
    assert topic.silent() == frozenset()
    assert not topic.presence.served(GROUP, topic.now_s, 60.0)


def test_somebody_serves_until_the_last_beat_with_partitions_is_too_old(topic):
    assert not topic.presence.served(GROUP, topic.now_s, 2.0)
    topic.beats(OTHER, seconds=1)
    topic.beats(OTHER, seconds=1, serves=())
    assert topic.presence.served(GROUP, topic.now_s, 2.0)
    topic.beats(OTHER, seconds=1.5, serves=())
    assert not topic.presence.served(GROUP, topic.now_s, 2.0)


def test_one_that_was_taken_out_and_beats_again_is_known_again(topic):
    topic.beats(OWN, OTHER, seconds=2)
    topic.beats(OWN, seconds=2)
    topic.presence.forget(GROUP, {OTHER})
    assert topic.silent() == frozenset()
    topic.beats(OWN, OTHER, seconds=1)
    topic.beats(OWN, seconds=2)
    assert topic.silent() == {OTHER}


@pytest.mark.parametrize("seed", range(20))
def test_whatever_the_delays_a_living_member_is_not_missed_and_a_dead_one_is(seed):
    chance = random.Random(seed)
    presence, now_s = Presence(OWN), 0.0
    moments = [(number * BEAT_S + chance.uniform(0, 0.5), name) for number in range(200) for name in (OWN, OTHER)]
    for now_s, name in sorted(moments):
        presence.note(Beat(GROUP, name, (0,)), now_s, now_s)
        assert presence.silent(GROUP, now_s) == frozenset()
    for number in range(1, 40):
        presence.note(Beat(GROUP, OWN, (0,)), now_s + number * BEAT_S, now_s + number * BEAT_S)
    assert presence.silent(GROUP, now_s + 10.0) == {OTHER}


def test_a_beat_is_read_as_it_was_written():
    beat = Beat(GROUP, OTHER, (1, 5), leaves=True)
    assert decode_beat(encode_beat(beat)) == beat


@pytest.mark.parametrize("value", [None, b"", b"\xc1", b"\x93\x01\x02\x03", b"{}"])
def test_what_is_no_beat_is_none(value):
    assert decode_beat(value) is None
