"""From which gallery version on the people of then can be folded, compared with a model of compaction."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from contract.people.history import CLOCKS_APART_MS, TOMBSTONE_MS, History

HISTORY_MS = 10 * TOMBSTONE_MS
NOW_MS = 100 * TOMBSTONE_MS
OLD_MS = NOW_MS - HISTORY_MS
YOUNG_MS = NOW_MS - HISTORY_MS + 1
AGES_MS = st.integers(0, 3 * HISTORY_MS)


@dataclass(frozen=True)
class Past:
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None = b"value"


def first(records: list[Past], end: int | None = None, decided_ms: int = NOW_MS) -> int:
    behind = records[-1].offset + 1 if records else 0
    history = History(HISTORY_MS, NOW_MS)
    history.take(records)
    return history.foldable_from(behind if end is None else end, decided_ms)


def test_an_empty_topic_can_be_folded_from_its_beginning() -> None:
    assert first([]) == 0


def test_records_younger_than_the_history_hide_nothing() -> None:
    assert first([Past(0, YOUNG_MS, b"a"), Past(1, YOUNG_MS, b"a")]) == 0


def test_the_people_can_be_folded_from_behind_the_last_record_that_is_older_than_the_history() -> None:
    assert first([Past(0, OLD_MS, b"a"), Past(1, OLD_MS, b"a"), Past(2, YOUNG_MS, b"a")]) == 2
    assert first([Past(4, OLD_MS, b"a"), Past(9, YOUNG_MS, b"b")]) == 5, "decisions of then name version 5"


def test_a_gap_may_be_a_tombstone_that_is_gone_unless_the_decision_is_younger_than_it_would_be() -> None:
    records = [Past(4, OLD_MS, b"a"), Past(9, YOUNG_MS, b"b")]
    gone_ms = NOW_MS - HISTORY_MS - TOMBSTONE_MS + CLOCKS_APART_MS
    assert first(records, decided_ms=gone_ms) == 5
    assert first(records, decided_ms=gone_ms - 1) == 9
    assert first(records[:1], end=7, decided_ms=gone_ms - 1) == 7
    assert first(records[:1], end=7, decided_ms=gone_ms) == 5


def test_a_tombstone_without_an_earlier_record_is_the_trace_of_an_erasure() -> None:
    assert first([Past(0, YOUNG_MS, b"a"), Past(1, YOUNG_MS, b"b"), Past(2, YOUNG_MS, b"a", None)]) == 0
    assert first([Past(0, YOUNG_MS, b"a", None), Past(1, YOUNG_MS, b"b"), Past(2, YOUNG_MS, b"a", None)]) == 3


def test_a_record_without_a_key_hides_nobody() -> None:
    assert first([Past(0, YOUNG_MS, None, b"")]) == 0


def test_each_record_is_as_old_as_it_was_when_it_was_read() -> None:
    history = History(HISTORY_MS, NOW_MS)
    history.take([Past(0, NOW_MS, b"a")])
    history.read_at(NOW_MS + HISTORY_MS)
    assert history.foldable_from(1, NOW_MS) == 0, "it was young, so what it has replaced was read before it"
    history.take([Past(2, NOW_MS, b"b"), Past(3, NOW_MS + 1, b"c")])
    assert history.foldable_from(4, NOW_MS + HISTORY_MS) == 3


def test_a_gap_is_judged_by_the_time_at_which_the_record_behind_it_was_read() -> None:
    history = History(HISTORY_MS, NOW_MS)
    history.take([Past(4, OLD_MS, b"a")])
    assert history.foldable_from(9, OLD_MS) == 5
    history.read_at(NOW_MS + TOMBSTONE_MS)
    assert history.foldable_from(9, OLD_MS) == 9, "a tombstone in the gap is gone by now"
    history.take([Past(9, NOW_MS, b"b")])
    history.read_at(NOW_MS + 2 * HISTORY_MS)
    assert history.foldable_from(10, NOW_MS + CLOCKS_APART_MS) == 5, "later readings do not change the gap"


@given(
    st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c"]), st.booleans(), AGES_MS, st.integers(1, 3)), max_size=12),
    st.integers(0, 3 * HISTORY_MS),
)
def test_the_fold_of_what_compaction_leaves_is_the_fold_of_then(
    changes: list[tuple[bytes, bool, int, int]], decided_age_ms: int
) -> None:
    ages = sorted((age for _, _, age, _ in changes), reverse=True)
    whole: list[Past] = []
    offset = 0
    for (key, comes, _, gap), age in zip(changes, ages, strict=True):
        present = key in fold(whole, offset)
        if comes or present:  # nobody deletes what is not there
            whole.append(Past(offset, NOW_MS - age, key, b"%d" % offset if comes else None))
        offset += gap
    left = compacted(whole)
    decided_ms = NOW_MS - decided_age_ms
    begin = first(left, offset, decided_ms)
    for version in range(begin, offset + 1):
        if all(record.timestamp_ms >= decided_ms for record in whole if record.offset >= version):
            assert fold(left, version) == fold(whole, version)


def compacted(records: list[Past]) -> list[Past]:
    """Leave what the longest compaction leaves."""
    old = [record for record in records if record.timestamp_ms <= NOW_MS - HISTORY_MS]
    last = {record.key: record.offset for record in old}
    return [
        record
        for record in records
        if record.offset >= last.get(record.key, 0)
        and (record.value is not None or record.timestamp_ms >= NOW_MS - HISTORY_MS - TOMBSTONE_MS)
    ]


def fold(records: list[Past], version: int) -> dict[bytes | None, bytes]:
    people: dict[bytes | None, bytes] = {}
    for record in records:
        if record.offset < version:
            people.pop(record.key, None)
            if record.value is not None:
                people[record.key] = record.value
    return people
