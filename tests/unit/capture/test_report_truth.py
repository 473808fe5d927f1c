from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from capture.reporting.truth import Badge, Passage, Truth, join_badges, passages_of, read_badges
from contract.captures.values import CapturedRequest, CaptureError, CaptureLine


def joined(badges: list[tuple[float, str]], passages: list[float], window_s: float = 10.0) -> Truth:
    """Badges (time, identity) and passages (time) at one door."""
    return join_badges(
        [Badge("gate", time, who) for time, who in badges],
        [Passage(number, "gate", time) for number, time in enumerate(passages, start=1)],
        window_s,
    )


def known(truth: Truth) -> dict[int, str]:
    return {number: badge.identity_id for number, badge in truth.passages.items()}


def test_a_badge_names_the_nearest_passage_at_its_door_before_or_after_it():
    truth = joined([(100, "a"), (200, "b")], [97, 104, 203])
    assert known(truth) == {1: "a", 3: "b"}
    assert truth.counts.matched_badges == 2
    assert truth.counts.unmatched_passages == 1, "the second picture of a passage"


def test_a_badge_at_another_door_names_nobody():
    truth = join_badges([Badge("gate", 100, "a")], [Passage(1, "garage", 100)], 10)
    assert known(truth) == {}
    assert (truth.counts.unmatched_badges, truth.counts.unmatched_passages) == (1, 1)


def test_the_window_is_the_longest_time_between_both_and_belongs_to_it():
    assert known(joined([(100, "a")], [110.0])) == {1: "a"}
    assert known(joined([(100, "a")], [90.0])) == {1: "a"}
    assert known(joined([(100, "a")], [110.001])) == {}


def test_two_people_who_pass_one_after_the_other_are_told_apart_by_time():
    assert known(joined([(100, "a"), (103, "b")], [101, 104])) == {1: "a", 2: "b"}
    assert known(joined([(100, "a"), (101.9, "b")], [101, 102])) == {1: "a", 2: "b"}


def test_a_passage_with_badges_of_two_people_is_ambiguous():
    truth = joined([(100, "a"), (103, "b")], [101])
    assert known(truth) == {}
    counts = truth.counts
    assert (counts.ambiguous_passages, counts.ambiguous_badges, counts.unmatched_passages) == (1, 2, 0)


def test_a_person_who_shows_the_badge_twice_passes_once():
    truth = joined([(100, "a"), (102, "a")], [101])
    assert known(truth) == {1: "a"}
    assert (truth.counts.matched_badges, truth.counts.matched_passages) == (2, 1)


def test_of_two_passages_equally_near_the_first_line_counts():
    assert known(joined([(100, "a")], [98, 102])) == {1: "a"}
    assert known(joined([(100, "a")], [102, 98])) == {1: "a"}


PEOPLE = st.tuples(st.integers(0, 60), st.sampled_from(["a", "b", ""]))


@given(st.lists(PEOPLE, max_size=12), st.lists(st.integers(0, 60), max_size=12), st.integers(0, 15))
def test_every_badge_and_every_passage_is_counted_once(badges, passages, window_s):
    truth = joined(badges, passages, window_s)
    counts = truth.counts
    assert counts.badges == len(badges) == counts.matched_badges + counts.ambiguous_badges + counts.unmatched_badges
    parts = counts.matched_passages + counts.ambiguous_passages + counts.unmatched_passages
    assert counts.passages == len(passages) == parts
    assert counts.matched_passages == len(truth.passages) <= counts.matched_badges
    for number, badge in truth.passages.items():
        assert abs(passages[number - 1] - badge.time) <= window_s


@given(st.lists(PEOPLE, max_size=8, unique_by=lambda one: one[0]), st.permutations(range(0, 60, 7)))
def test_neither_the_order_of_the_badges_nor_of_the_passages_matters(badges, order):
    passages = [Passage(number, "gate", time) for number, time in enumerate(range(0, 60, 7))]
    both = [Badge("gate", time, who) for time, who in badges]
    first = join_badges(both, passages, 5)
    second = join_badges(both[::-1], [passages[i // 7] for i in order], 5)
    assert first == second


def test_the_time_of_a_passage_is_that_of_its_arrival_else_of_its_comparison():
    def line(received: float | None, compared: float | None, device: str | None = "gate") -> CaptureLine:
        request = CapturedRequest(picture="0" * 64, device_ip=device, compare_time=compared)
        return CaptureLine(request_id="r", request=request, received_time=received)

    lines = [line(5, 1), line(None, 2), line(None, None), line(4, 4, None)]
    assert list(passages_of(enumerate(lines, start=1))) == [Passage(1, "gate", 5), Passage(2, "gate", 2)]


def written(folder: Path, text: str) -> Path:
    file = folder / "badges.csv"
    file.write_text(text, encoding="utf-8-sig")
    return file


def test_a_badge_log_is_a_csv_file_with_a_group_where_it_has_one(tmp_path: Path):
    file = written(
        tmp_path,
        "time,reader,identity_id,device_ip,group\n"
        "2023-11-14T22:13:20Z,7,Zoë,10.0.0.1, night shift \n1700000001,7,-,10.0.0.2,\n",
    )
    assert read_badges(file) == [
        Badge("10.0.0.1", 1_700_000_000.0, "Zoë", "night shift"),
        Badge("10.0.0.2", 1_700_000_001.0, "", None),
    ]
    assert read_badges(written(tmp_path, "device_ip,time,identity_id\ng,1,a\n")) == [Badge("g", 1.0, "a")]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("device_ip,time\ng,1\n", "needs a first line with the columns device_ip, time, identity_id, group"),
        ("", "needs a first line"),
        ("device_ip,time,identity_id\ng,soon,a\n", "line 2 of .*: time is not a time"),
        ("device_ip,time,identity_id\ng,1\n", "line 2 of .*: device_ip or identity_id is empty"),
        ("device_ip,time,identity_id\n,1,a\n", "line 2 of .*: device_ip or identity_id is empty"),
        ('device_ip,time,identity_id\n"g"x,1,a\n', "is not a CSV file in UTF-8"),
    ],
)
def test_a_badge_log_that_cannot_be_used_is_refused_with_the_line(tmp_path: Path, text: str, sentence: str):
    with pytest.raises(CaptureError, match=sentence):
        read_badges(written(tmp_path, text))


def test_a_badge_log_that_is_no_text_is_refused(tmp_path: Path):
    file = tmp_path / "badges.csv"
    file.write_bytes(b"device_ip,time,identity_id\n\xff\xfe,1,a\n")
    with pytest.raises(CaptureError, match="is not a CSV file in UTF-8"):
        read_badges(file)


def test_a_door_has_one_spelling_in_the_badge_log_and_in_the_capture(tmp_path: Path) -> None:
    badges = read_badges(written(tmp_path, "device_ip,time,identity_id\nGate-1.Local,100,a\n::ffff:10.0.0.1,100,b\n"))
    doors = ["gate-1.LOCAL", "10.0.0.1"]
    lines = [
        CaptureLine(request_id=door, received_time=100.0, request=CapturedRequest(picture="0" * 64, device_ip=door))
        for door in doors
    ]
    assert known(join_badges(badges, passages_of(enumerate(lines, start=1)), 10)) == {1: "a", 2: "b"}
