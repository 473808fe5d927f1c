"""Copies of a log: their order, their gaps, and offsets found again in a copy that has others."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.backup import GroupOffset, Translation, copy_topics
from broker.embedded.check import look_over
from broker.embedded.logfile import LogFileReader, LogFileWriter
from broker.embedded.rows import deletions_from, load_topics
from broker.embedded.store import open_file
from broker.port import BrokerError, NewRecord, Record, TopicSpec
from tests.contract.embedded_make import EmbeddedMake

EVENTS = TopicSpec("events", 2)
PEOPLE = TopicSpec("people", 1, compacted=True)


def at(offset: int, topic: str = "events", partition: int = 0, **fields: object) -> Record:
    return Record(topic, partition, offset, 1_700_000_000_000 + offset, b"key", b"value %d" % offset, **fields)


def findings(path: Path) -> list[str]:
    with closing(open_file(path)) as connection:
        return [finding for looked_at in look_over(connection) for finding in looked_at.findings]


def test_a_copy_keeps_places_times_keys_and_headers_and_its_gaps_are_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "copy"
    events = [at(7), at(8, headers=(("id", b"1"),)), at(11), Record("events", 0, 14, 5, None, b"")]
    people = [at(3, "people"), at(9, "people")]
    with LogFileWriter(path) as copy:
        copy.add_topic(EVENTS, {0: 7, 1: 5})
        copy.write(events)
        copy.end_topic("events", {0: 16, 1: 6})
        copy.add_topic(PEOPLE, {0: 0})
        copy.write(people)
        copy.end_topic("people", {0: 10})
        copy.save_group_offset(GroupOffset("own", "events", 0, 11))
        copy.save_group_offset(GroupOffset("ahead", "events", 1, 60))
    assert findings(path) == []
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(open_file(path)) as connection:
        assert deletions_from(connection, load_topics(connection)["people"].shards) == {0: 10}
    with LogFileReader(path) as read:
        assert dict(read.specs) == {"events": EVENTS, "people": PEOPLE}
        assert [found for batch in read.records("events", 0) for found in batch] == events
        assert [found for batch in read.records("people", 0) for found in batch] == people
        assert list(read.records("events", 1)) == []
        assert set(read.group_offsets()) == {
            GroupOffset("own", "events", 0, 11),
            GroupOffset("ahead", "events", 1, 6),
        }


def test_a_record_that_is_taken_out_of_a_copy_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "copy"
    with LogFileWriter(path) as copy:
        copy.add_topic(EVENTS, {0: 0, 1: 0})
        copy.write([at(0), at(1), at(2)])
        copy.end_topic("events", {0: 3, 1: 0})
        copy._connection.execute("DELETE FROM record WHERE value = ?", (b"value 1",))
    assert any("offset 1 is damaged" in finding for finding in findings(path))


def test_a_copy_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "copy"
    path.write_text("mine")
    with pytest.raises(BrokerError, match="exists already"), LogFileWriter(path):
        pass
    assert path.read_text() == "mine"


class Kept:
    """A copy in memory. While its first topic is copied, `meanwhile` is written to the log."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self.meanwhile = meanwhile
        self.records: list[Record] = []
        self.ends: dict[str, Mapping[int, int]] = {}

    def add_topic(self, spec: TopicSpec, firsts: Mapping[int, int]) -> None:
        assert set(firsts) == set(range(spec.partitions))

    def write(self, records: Sequence[Record]) -> None:
        if not self.records:
            self.meanwhile()
        self.records += records

    def end_topic(self, topic: str, ends: Mapping[int, int]) -> None:
        self.ends[topic] = ends


async def test_what_is_written_while_a_topic_is_copied_is_not_in_its_copy_and_is_in_those_of_later_topics(
    tmp_path: Path,
) -> None:
    async with EmbeddedMake(tmp_path / "data").open() as log:
        loop = asyncio.get_running_loop()
        later = [NewRecord("events", None, b"later"), NewRecord("people", b"key", b"later")]
        copy = Kept(lambda: asyncio.run_coroutine_threadsafe(log.append(later), loop).result())
        await log.ensure_topics([EVENTS, PEOPLE])
        await log.append([NewRecord("events", None, b"first", partition=1)])
        counted: list[int] = []
        await copy_topics(log, [EVENTS, PEOPLE], copy, counted.append)
    assert [(found.topic, found.value) for found in copy.records] == [("events", b"first"), ("people", b"later")]
    assert copy.ends == {"events": {0: 0, 1: 1}, "people": {0: 1}}
    assert sum(counted) == 2


@given(st.sets(st.integers(0, 60)), st.sets(st.integers(0, 70)), st.integers(0, 1000))
def test_an_offset_lies_in_the_copy_where_the_first_record_at_it_or_behind_it_does(records, asked, start):
    translation = Translation(asked)
    places = {offset: start + 3 * number for number, offset in enumerate(sorted(records))}
    end = start + 3 * len(places)
    for offset, place in places.items():
        translation.copied(offset, place)
    expected = {
        offset: min((place for known, place in places.items() if known >= offset), default=end) for offset in asked
    }
    assert translation.ended(end) == expected
