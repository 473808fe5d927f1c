"""What every make of the log promises, as test classes written once against the port.

A make's own test module subclasses them and provides the fixture `make`; see `Make`.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import pytest

from broker.port import (
    DELETIONS_KEPT_MS,
    Broker,
    BrokerError,
    DeletionsKept,
    NewRecord,
    Position,
    Reader,
    Record,
    RecordTooLarge,
    Skip,
    Skipped,
    Start,
    TopicSpec,
    UnknownPartition,
    UnknownTopic,
)

SOON_S = 0.2  # long enough for whatever is there to arrive; only ever ends a wait for what must not come
LONG_S = 20.0  # a wait that only a failure lasts

DAY_MS = 24 * 3600 * 1000


class Make(Protocol):
    """One make of the log under test."""

    def open(self) -> AbstractAsyncContextManager[Broker]:
        """Open the test's log; again after closing, the same log."""
        ...

    def topic(self, name: str) -> str:
        """A topic name that no other test uses."""
        ...


class KeepingMake(Make, Protocol):
    """A make whose clock and housekeeping the test can drive."""

    def elapse(self, ms: int) -> None:
        """Let the log's clock go on."""
        ...

    async def tidy(self, broker: Broker) -> None:
        """Have retention and compaction done."""
        ...


class HistoryMake(Make, Protocol):
    """A make under which time can pass with compaction at its end."""

    async def let_pass(self, broker: Broker, topic: str, ms: int) -> None:
        """Let so much time pass; then compaction has had its turn. May write records of other keys than the test's."""
        ...


def record(topic: str, value: bytes | None = b"v", key: bytes | None = None, partition: int | None = None) -> NewRecord:
    return NewRecord(topic, key, value, partition=partition)


async def read_all(
    broker: Broker, topic: str, start: Start | Mapping[int, int] | float = Start.EARLIEST
) -> list[Record]:
    """Everything up to the ends of now."""
    ends = await broker.end_offsets(topic)
    found: list[Record] = []
    async with broker.reader(topic, start) as reader:
        while any(reader.positions()[partition] < end for partition, end in ends.items()):
            found += await reader.fetch(timeout_s=SOON_S)
    return found


async def fetch_count(reader: Reader, count: int, max_records: int = 100) -> list[Record]:
    """The next `count` records, or a TimeoutError."""
    found: list[Record] = []
    async with asyncio.timeout(LONG_S):
        while len(found) < count:
            found += await reader.fetch(min(max_records, count - len(found)))
    return found


def values(records: Sequence[Record]) -> list[bytes | None]:
    return [found.value for found in records]


class LogContract:
    """Topics, appending and looking records up."""

    async def test_a_record_is_read_back_as_it_was_written(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("records")
            await broker.ensure_topics([TopicSpec(topic, 2)])
            before_ms = time.time() * 1000
            new = NewRecord(topic, b"key", b"\x00value", (("a", b"1"), ("b", b"2")), partition=1)
            (position,) = await broker.append([new])
            (found,) = await read_all(broker, topic)
            assert found.position == position
            assert (found.topic, found.partition, found.key, found.value) == (topic, 1, b"key", b"\x00value")
            assert found.headers == (("a", b"1"), ("b", b"2"))
            assert before_ms - 60_000 < found.timestamp_ms < before_ms + 60_000
            assert await broker.read_at(position) == found

    async def test_headers_keep_their_order_their_repeats_and_any_bytes(self, make: Make) -> None:
        headers = (("z", b""), ("a", b"\xff\x00"), ("z", b"second"), ("ümlaut", b"1"), ("", b"nameless"))
        async with make.open() as broker:
            topic = make.topic("headers")
            await broker.ensure_topics([TopicSpec(topic, 1)])
            await broker.append([NewRecord(topic, None, b"", headers), record(topic)])
            first, second = await read_all(broker, topic)
            assert first.headers == headers
            assert first.header("z") == b"second"
            assert second.headers == ()
            assert second.header("z") is None

    async def test_an_empty_value_and_an_empty_key_are_not_absent_ones(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("empties")
            await broker.ensure_topics([TopicSpec(topic, 1)])
            await broker.append(
                [NewRecord(topic, b"", b""), NewRecord(topic, b"k", None), NewRecord(topic, None, b"v")]
            )
            found = await read_all(broker, topic)
            assert [(each.key, each.value) for each in found] == [(b"", b""), (b"k", None), (None, b"v")]

    async def test_records_of_one_key_stay_in_one_partition_and_in_order(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("keyed")
            await broker.ensure_topics([TopicSpec(topic, 4)])
            keys = [f"10.0.0.{number}".encode() for number in range(12)]
            for turn in range(3):
                await broker.append([record(topic, b"%d" % turn, key) for key in keys])
            found = await read_all(broker, topic)
            assert len(found) == 36
            for key in keys:
                of_key = [each for each in found if each.key == key]
                assert len({each.partition for each in of_key}) == 1
                assert values(of_key) == [b"0", b"1", b"2"]
            assert len({each.partition for each in found}) > 1

    async def test_a_key_goes_to_the_partition_that_kafkas_clients_choose(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("murmur")
            await broker.ensure_topics([TopicSpec(topic, 16)])
            known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536}
            for key, digest in known.items():
                (position,) = await broker.append([record(topic, key=key)])
                assert position.partition == (digest & 0x7FFFFFFF) % 16

    async def test_a_record_without_a_key_goes_to_partition_zero(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("keyless")
            await broker.ensure_topics([TopicSpec(topic, 8)])
            positions = await broker.append([record(topic)] * 5)
            assert {position.partition for position in positions} == {0}

    async def test_offsets_grow_and_the_end_is_behind_the_last(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("offsets")
            await broker.ensure_topics([TopicSpec(topic, 2)])
            assert await broker.end_offsets(topic) == {0: 0, 1: 0}
            positions = [*await broker.append([record(topic)] * 3), *await broker.append([record(topic)] * 2)]
            assert positions == sorted(set(positions))
            ends = await broker.end_offsets(topic)
            assert ends[0] > positions[-1].offset
            assert ends[1] == 0

    async def test_there_is_no_record_beyond_the_end(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("beyond")
            await broker.ensure_topics([TopicSpec(topic, 1)])
            (position,) = await broker.append([record(topic)])
            assert await broker.read_at(Position(topic, 0, position.offset + 100)) is None

    async def test_an_append_is_all_or_none(self, make: Make) -> None:
        async with make.open() as broker:
            topic, small = make.topic("whole"), make.topic("small")
            await broker.ensure_topics([TopicSpec(topic, 1), TopicSpec(small, 1, max_record_bytes=2000)])
            with pytest.raises(RecordTooLarge, match=small):
                await broker.append([record(topic, b"lost"), record(small, b"x" * 5000)])
            missing = make.topic("missing")
            with pytest.raises(UnknownTopic, match=missing):
                await broker.append([record(topic, b"lost"), record(missing)])
            await broker.append([record(topic, b"kept")])
            assert values(await read_all(broker, topic)) == [b"kept"]

    async def test_a_refused_append_does_not_hurt_its_neighbours(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("neighbours")
            await broker.ensure_topics([TopicSpec(topic, 1, max_record_bytes=2000)])
            sizes = [10, 5000, 20, 5000, 30]
            outcomes = await asyncio.gather(
                *(broker.append([record(topic, b"x" * size)]) for size in sizes), return_exceptions=True
            )
            assert [isinstance(outcome, RecordTooLarge) for outcome in outcomes] == [size > 2000 for size in sizes]
            assert sorted(len(each.value or b"") for each in await read_all(broker, topic)) == [10, 20, 30]

    async def test_a_partition_that_does_not_exist_is_refused(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("partitions")
            await broker.ensure_topics([TopicSpec(topic, 2)])
            with pytest.raises(UnknownPartition) as refused:
                await broker.append([record(topic, partition=2)])
            assert (refused.value.topic, refused.value.partitions) == (topic, 2)
            assert await read_all(broker, topic) == []

    async def test_appends_at_the_same_time_all_get_their_own_place(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("crowd")
            await broker.ensure_topics([TopicSpec(topic, 1)])
            answers = await asyncio.gather(*(broker.append([record(topic, b"%d" % number)]) for number in range(50)))
            places = {answer[0].offset: b"%d" % number for number, answer in enumerate(answers)}
            assert len(places) == 50
            assert {each.offset: each.value for each in await read_all(broker, topic)} == places

    async def test_ensuring_topics_twice_changes_nothing(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("ensured")
            spec = TopicSpec(topic, 3, retention_ms=DAY_MS)
            await broker.ensure_topics([spec])
            await broker.append([record(topic)])
            await broker.ensure_topics([spec, TopicSpec(topic, 3, retention_ms=2 * DAY_MS)])
            assert await broker.partitions(topic) == 3
            assert len(await read_all(broker, topic)) == 1

    async def test_a_topic_keeps_its_partitions_and_its_kind(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("fixed")
            await broker.ensure_topics([TopicSpec(topic, 3)])
            with pytest.raises(BrokerError, match=topic):
                await broker.ensure_topics([TopicSpec(topic, 4)])
            with pytest.raises(BrokerError, match=topic):
                await broker.ensure_topics([TopicSpec(topic, 3, compacted=True)])
            assert await broker.partitions(topic) == 3

    async def test_a_topic_that_does_not_exist_is_named(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("nowhere")
            with pytest.raises(UnknownTopic, match=topic):
                await broker.partitions(topic)
            with pytest.raises(UnknownTopic, match=topic):
                await broker.end_offsets(topic)
            with pytest.raises(UnknownTopic, match=topic):
                await broker.read_at(Position(topic, 0, 0))
            with pytest.raises(UnknownTopic, match=topic):
                async with broker.reader(topic):
                    pass
            with pytest.raises(UnknownTopic, match=topic):
                async with broker.member(topic, "group"):
                    pass

    async def test_a_record_in_a_compacted_topic_needs_a_key(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("keys-only")
            await broker.ensure_topics([TopicSpec(topic, 1, compacted=True)])
            with pytest.raises(BrokerError):
                await broker.append([record(topic)])

    async def test_records_survive_closing_and_offsets_go_on(self, make: Make) -> None:
        topic = make.topic("durable")
        async with make.open() as broker:
            await broker.ensure_topics([TopicSpec(topic, 2)])
            before = await broker.append([record(topic, b"%d" % number, b"key") for number in range(3)])
        async with make.open() as broker:
            assert await broker.partitions(topic) == 2
            (after,) = await broker.append([record(topic, b"3", b"key")])
            assert after > before[-1]
            assert values(await read_all(broker, topic)) == [b"0", b"1", b"2", b"3"]

    async def test_the_log_says_that_it_is_available_while_it_is_open(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("available")
            await broker.ensure_topics([TopicSpec(topic, 1)])
            assert broker.available()
        assert not broker.available()

    async def test_a_closed_log_refuses_in_a_sentence(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("closed")
            await broker.ensure_topics([TopicSpec(topic, 1)])
        with pytest.raises(BrokerError, match="not open"):
            await broker.append([record(topic)])


class ReaderContract:
    """Readers by themselves."""

    async def test_a_reader_begins_at_the_earliest_record(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("earliest")
            await broker.ensure_topics([TopicSpec(topic, 1)])
            await broker.append([record(topic, b"%d" % number) for number in range(5)])
            async with broker.reader(topic) as reader:
                assert values(await fetch_count(reader, 5)) == [b"0", b"1", b"2", b"3", b"4"]

    async def test_a_reader_from_the_latest_sees_only_what_comes_after_it_was_entered(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("latest")
            await broker.ensure_topics([TopicSpec(topic, 2)])
            await broker.append([record(topic, b"before", partition=number) for number in (0, 1)])
            async with broker.reader(topic, Start.LATEST) as reader:
                assert reader.positions() == await broker.end_offsets(topic)
                await broker.append([record(topic, b"after", partition=number) for number in (1, 0)])
                assert values(await fetch_count(reader, 2)) == [b"after", b"after"]

    async def test_a_reader_begins_at_the_offsets_it_is_given(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("mapping")
            await broker.ensure_topics([TopicSpec(topic, 2)])
            places = await broker.append([record(topic, b"%d" % number, partition=0) for number in range(4)])
            await broker.append([record(topic, b"other", partition=1)])
            async with broker.reader(topic, {0: places[2].offset}, partitions=[0]) as reader:
                assert values(await fetch_count(reader, 2)) == [b"2", b"3"]
                assert await reader.fetch(timeout_s=SOON_S) == ()

    async def test_a_reader_of_some_partitions_leaves_the_others(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("some")
            await broker.ensure_topics([TopicSpec(topic, 3)])
            await broker.append([record(topic, b"%d" % number, partition=number) for number in range(3)])
            async with broker.reader(topic, partitions=[2]) as reader:
                assert set(reader.positions()) == {2}
                assert values(await fetch_count(reader, 1)) == [b"2"]
                assert await reader.fetch(timeout_s=SOON_S) == ()

    async def test_a_reader_sees_only_committed_records(self, make: Make) -> None:
        async with make.open() as broker:
            source, topic = make.topic("source"), make.topic("sink")
            await broker.ensure_topics([TopicSpec(source, 1), TopicSpec(topic, 1)])
            await broker.append([record(source)])

            def fails(_: Sequence[Position]) -> Sequence[NewRecord]:
                raise ValueError("no second output")

            async with broker.reader(topic) as reader, broker.member(source, "group") as member:
                await fetch_count(member, 1)
                with pytest.raises(ValueError, match="no second output"):
                    await member.commit(0, 1, [record(topic, b"aborted")], fails)
                await broker.append([record(topic, b"committed")])
                assert values(await fetch_count(reader, 1)) == [b"committed"]

    async def test_a_waiting_reader_is_woken_by_an_append(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("waking")
            await broker.ensure_topics([TopicSpec(topic, 4)])
            async with broker.reader(topic) as reader:
                for partition in (3, 0, 3, 2):
                    waiting = asyncio.create_task(reader.fetch())
                    await asyncio.sleep(0.01)
                    assert not waiting.done()
                    await broker.append([record(topic, b"%d" % partition, partition=partition)])
                    async with asyncio.timeout(LONG_S):
                        assert values(await waiting) == [b"%d" % partition]

    async def test_an_empty_answer_means_that_the_reader_stands_at_the_ends(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("ends")
            await broker.ensure_topics([TopicSpec(topic, 2)])
            await broker.append([record(topic, partition=number % 2) for number in range(5)])
            async with broker.reader(topic) as reader:
                await fetch_count(reader, 5)
                assert await reader.fetch(timeout_s=SOON_S) == ()
                assert reader.positions() == await broker.end_offsets(topic)

    async def test_a_fetch_brings_no_more_than_it_was_asked_for(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("bounded")
            await broker.ensure_topics([TopicSpec(topic, 1)])
            await broker.append([record(topic, b"%d" % number) for number in range(10)])
            async with broker.reader(topic) as reader:
                found: list[Record] = []
                while len(found) < 10:
                    batch = await reader.fetch(3, timeout_s=LONG_S)
                    assert 1 <= len(batch) <= 3
                    found += batch
                    assert reader.positions()[0] > batch[-1].offset
                assert values(found) == [b"%d" % number for number in range(10)]

    async def test_a_cancelled_fetch_loses_no_record(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("cancelled")
            await broker.ensure_topics([TopicSpec(topic, 2)])
            total = 200

            async def write() -> None:
                for number in range(total):
                    await broker.append([record(topic, b"%d" % number, partition=number % 2)])

            cancelled = 0
            found: list[Record] = []
            async with broker.reader(topic) as reader, asyncio.timeout(LONG_S):
                writing = asyncio.create_task(write())
                while len(found) < total:
                    patience_s = LONG_S if cancelled > 500 else 0.0005 * (len(found) % 3)
                    try:
                        async with asyncio.timeout(patience_s):
                            found += await reader.fetch(7)
                    except TimeoutError:
                        cancelled += 1
                        await asyncio.sleep(0)
                await writing
            assert cancelled > 0
            for partition in (0, 1):
                of_partition = [each for each in found if each.partition == partition]
                assert values(of_partition) == [b"%d" % number for number in range(partition, total, 2)]

    async def test_a_busy_partition_does_not_starve_another(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("fair")
            await broker.ensure_topics([TopicSpec(topic, 2)])
            await broker.append([record(topic, partition=0)] * 60)
            await broker.append([record(topic, b"quiet", partition=1)])
            async with broker.reader(topic) as reader:
                found = await fetch_count(reader, 41, max_records=10)
                assert b"quiet" in values(found)

    async def test_a_reader_far_behind_gets_everything_in_order(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("behind")
            await broker.ensure_topics([TopicSpec(topic, 1)])
            big = 512 * 1024
            for number in range(40):
                await broker.append([record(topic, b"%d " % number + bytes(big))])
            async with broker.reader(topic) as reader:
                found = await fetch_count(reader, 40, max_records=9)
            assert [(each.value or b"").split(b" ")[0] for each in found] == [b"%d" % number for number in range(40)]


class GroupContract:
    """Members of groups and their transactions."""

    async def test_a_new_group_begins_at_the_earliest_record(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("work")
            await broker.ensure_topics([TopicSpec(topic, 2)])
            await broker.append([record(topic, b"%d" % number, partition=number % 2) for number in range(4)])
            async with broker.member(topic, "group") as member:
                found = await fetch_count(member, 4)
                assert sorted(each.value or b"" for each in found) == [b"0", b"1", b"2", b"3"]
                assert member.assignment() == {0, 1}
                assert await member.committed(0) is None

    async def test_a_group_goes_on_where_it_committed(self, make: Make) -> None:
        topic = make.topic("work")
        async with make.open() as broker:
            await broker.ensure_topics([TopicSpec(topic, 1)])
            await broker.append([record(topic, b"%d" % number) for number in range(5)])
            async with broker.member(topic, "group") as member:
                found = await fetch_count(member, 4)
                await member.commit(0, found[1].offset + 1)
                assert await member.committed(0) == found[1].offset + 1
        async with make.open() as broker, broker.member(topic, "group") as member:
            assert await member.committed(0) == found[1].offset + 1
            assert values(await fetch_count(member, 3)) == [b"2", b"3", b"4"]

    async def test_groups_do_not_know_of_each_other(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("work")
            await broker.ensure_topics([TopicSpec(topic, 1)])
            await broker.append([record(topic, b"%d" % number) for number in range(3)])
            async with broker.member(topic, "one") as one, broker.member(topic, "two") as two:
                found = await fetch_count(one, 3)
                await one.commit(0, found[-1].offset + 1)
                assert await two.committed(0) is None
                assert values(await fetch_count(two, 3)) == [b"0", b"1", b"2"]

    async def test_a_commit_writes_outputs_and_offset_together(self, make: Make) -> None:
        async with make.open() as broker:
            topic, events, replies = make.topic("work"), make.topic("events"), make.topic("replies")
            await broker.ensure_topics([TopicSpec(topic, 1), TopicSpec(events, 4), TopicSpec(replies, 2)])
            await broker.append([record(topic)])
            async with broker.member(topic, "group") as member:
                (work,) = await fetch_count(member, 1)
                places = await member.commit(
                    0, work.offset + 1, [record(events, b"e", b"key"), record(replies, b"r", partition=1)]
                )
                assert [place.topic for place in places] == [events, replies]
                assert values(await read_all(broker, events)) == [b"e"]
                assert values(await read_all(broker, replies)) == [b"r"]
                found = [await broker.read_at(place) for place in places]
                assert [each.value for each in found if each] == [b"e", b"r"]
                assert await member.committed(0) == work.offset + 1

    async def test_a_follow_up_learns_where_the_outputs_stand(self, make: Make) -> None:
        async with make.open() as broker:
            topic, people, replies = make.topic("work"), make.topic("people"), make.topic("replies")
            await broker.ensure_topics([TopicSpec(topic, 1), TopicSpec(people, 1), TopicSpec(replies, 1)])
            await broker.append([record(topic)])
            async with broker.member(topic, "group") as member:
                (work,) = await fetch_count(member, 1)

                def follow(positions: Sequence[Position]) -> Sequence[NewRecord]:
                    return [record(replies, b"version %d" % (positions[-1].offset + 1))]

                places = await member.commit(0, work.offset + 1, [record(people), record(people)], follow)
                assert [place.topic for place in places] == [people, people, replies]
                assert values(await read_all(broker, replies)) == [b"version %d" % (places[1].offset + 1)]

    async def test_each_step_of_a_commit_learns_where_the_step_before_it_stands(self, make: Make) -> None:
        async with make.open() as broker:
            topic, photos, people, replies = (make.topic(name) for name in ("work", "photos", "people", "replies"))
            await broker.ensure_topics([TopicSpec(name, 1) for name in (topic, photos, people, replies)])
            await broker.append([record(topic), record(people)])
            async with broker.member(topic, "group") as member:
                (work,) = await fetch_count(member, 1)

                def person(positions: Sequence[Position]) -> Sequence[NewRecord]:
                    assert [place.topic for place in positions] == [photos]
                    return [record(people, b"photo at %d" % positions[0].offset)]

                def reply(positions: Sequence[Position]) -> Sequence[NewRecord]:
                    assert [place.topic for place in positions] == [people]
                    return [record(replies, b"version %d" % (positions[0].offset + 1))]

                places = await member.commit(0, work.offset + 1, [record(photos)], person, reply)
                assert [place.topic for place in places] == [photos, people, replies]
                assert values(await read_all(broker, people))[1:] == [b"photo at %d" % places[0].offset]
                assert values(await read_all(broker, replies)) == [b"version %d" % (places[1].offset + 1)]

    async def test_a_step_that_fails_leaves_nothing_of_the_steps_before_it(self, make: Make) -> None:
        async with make.open() as broker:
            topic, people = make.topic("work"), make.topic("people")
            await broker.ensure_topics([TopicSpec(topic, 1), TopicSpec(people, 1)])
            await broker.append([record(topic)])
            async with broker.member(topic, "group") as member:
                (work,) = await fetch_count(member, 1)

                def fail(_: Sequence[Position]) -> Sequence[NewRecord]:
                    raise LookupError

                with pytest.raises(LookupError):
                    await member.commit(0, work.offset + 1, [record(people)], lambda _: [record(people)], fail)
                await member.commit(0, work.offset + 1, [record(people, b"only")])
                assert values(await read_all(broker, people)) == [b"only"]

    async def test_a_refused_commit_leaves_nothing_behind(self, make: Make) -> None:
        async with make.open() as broker:
            topic, events, small = make.topic("work"), make.topic("events"), make.topic("small")
            await broker.ensure_topics(
                [TopicSpec(topic, 1), TopicSpec(events, 1), TopicSpec(small, 1, max_record_bytes=2000)]
            )
            await broker.append([record(topic)])
            async with broker.member(topic, "group") as member:
                (work,) = await fetch_count(member, 1)
                after = work.offset + 1
                with pytest.raises(RecordTooLarge):
                    await member.commit(0, after, [record(events, b"lost"), record(small, b"x" * 5000)])
                with pytest.raises(RecordTooLarge):
                    await member.commit(0, after, [record(events, b"lost")], lambda _: [record(small, b"x" * 5000)])
                assert await member.committed(0) is None
                assert await read_all(broker, events) == []
                await member.commit(0, after, [record(events, b"instead")])
                assert values(await read_all(broker, events)) == [b"instead"]

    async def test_delivery_goes_back_to_the_committed_offset_only_when_asked_to(self, make: Make) -> None:
        async with make.open() as broker:
            topic, small = make.topic("work"), make.topic("small")
            await broker.ensure_topics([TopicSpec(topic, 2), TopicSpec(small, 1, max_record_bytes=2000)])
            await broker.append([record(topic, b"%d" % number, partition=0) for number in range(4)])
            await broker.append([record(topic, b"other", partition=1)])
            async with broker.member(topic, "group") as member:
                found = [r for r in await fetch_count(member, 5) if r.partition == 0]
                await member.commit(0, found[1].offset)
                with pytest.raises(RecordTooLarge):
                    await member.commit(0, found[2].offset, [record(small, b"x" * 5000)])
                assert await member.fetch(timeout_s=SOON_S) == ()
                await member.rewind(0)
                assert values(await fetch_count(member, 3)) == [b"1", b"2", b"3"]
                await member.rewind(1)
                assert values(await fetch_count(member, 1)) == [b"other"]

    async def test_a_paused_partition_is_rewound_and_stays_silent_until_it_is_resumed(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("work")
            await broker.ensure_topics([TopicSpec(topic, 1)])
            await broker.append([record(topic, b"%d" % number) for number in range(2)])
            async with broker.member(topic, "group") as member:
                await fetch_count(member, 2)
                member.pause(0)
                await member.rewind(0)
                assert await member.fetch(timeout_s=SOON_S) == ()
                member.resume(0)
                assert values(await fetch_count(member, 2)) == [b"0", b"1"]

    async def test_a_group_without_an_offset_goes_on_behind_what_was_worked_on(self, make: Make) -> None:
        topic = make.topic("log")
        asked: list[tuple[int, int, int]] = []
        skipped: list[Skipped] = []

        async def worked_on(partition: int, first: int, end: int) -> int | None:
            asked.append((partition, first, end))
            return places[3].offset if partition == 0 else None

        async with make.open() as broker:
            await broker.ensure_topics([TopicSpec(topic, 3)])
            places = [(await broker.append([record(topic, b"%d" % number, partition=0)]))[0] for number in range(5)]
            await broker.append([record(topic, b"other", partition=1)])
            async with broker.member(topic, "group", worked_on, skipped.append) as member:
                found = await fetch_count(member, 3)
                assert sorted(values(found), key=str) == [b"3", b"4", b"other"]
                assert {partition for partition, _, _ in asked} == {0, 1}, "an empty partition is not asked about"
                assert [(s.partition, s.reason, s.count) for s in skipped] == [(0, Skip.WORKED_ON, 3)]
                await member.rewind(0)
                assert values(await fetch_count(member, 2)) == [b"3", b"4"]
                await member.commit(0, places[4].offset)
                await member.commit(1, 1)
            asked.clear()
            async with broker.member(topic, "group", worked_on, skipped.append) as member:
                assert values(await fetch_count(member, 1)) == [b"4"]
            assert not asked, "nobody is asked where the group has an offset"
            assert len(skipped) == 1

    async def test_a_group_may_be_sent_back(self, make: Make) -> None:
        topic = make.topic("work")
        async with make.open() as broker:
            await broker.ensure_topics([TopicSpec(topic, 1)])
            await broker.append([record(topic, b"%d" % number) for number in range(3)])
            async with broker.member(topic, "group") as member:
                found = await fetch_count(member, 3)
                await member.commit(0, found[2].offset + 1)
                await member.commit(0, found[1].offset)
        async with make.open() as broker, broker.member(topic, "group") as member:
            assert values(await fetch_count(member, 2)) == [b"1", b"2"]

    async def test_what_was_not_committed_is_delivered_again(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("work")
            await broker.ensure_topics([TopicSpec(topic, 1)])
            await broker.append([record(topic, b"again")])
            for _ in range(2):
                async with broker.member(topic, "group") as member:
                    assert values(await fetch_count(member, 1)) == [b"again"]

    async def test_a_paused_partition_waits_for_its_resumption(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("work")
            await broker.ensure_topics([TopicSpec(topic, 2)])
            async with broker.member(topic, "group") as member:
                assert await member.fetch(timeout_s=SOON_S) == ()
                member.pause(0)
                await broker.append([record(topic, b"%d" % number, partition=number) for number in (0, 1)])
                assert values(await fetch_count(member, 1)) == [b"1"]
                waiting = asyncio.create_task(member.fetch())
                await asyncio.sleep(SOON_S)
                assert not waiting.done()
                member.resume(0)
                async with asyncio.timeout(LONG_S):
                    assert values(await waiting) == [b"0"]

    async def test_a_member_that_is_closed_refuses(self, make: Make) -> None:
        async with make.open() as broker:
            topic = make.topic("work")
            await broker.ensure_topics([TopicSpec(topic, 1)])
            async with broker.member(topic, "group") as member:
                pass
            with pytest.raises(BrokerError):
                await member.commit(0, 0)
            with pytest.raises(BrokerError):
                await member.fetch()


class HistoryContract:
    """What a newer record of its key replaced, in a compacted topic with a lag."""

    async def test_what_was_replaced_is_readable_within_the_lag_and_goes_after_it(self, make: HistoryMake) -> None:
        lag_ms = 12_000
        topic = make.topic("history")
        async with make.open() as broker:
            await broker.ensure_topics([TopicSpec(topic, 1, compacted=True, min_compaction_lag_ms=lag_ms)])
            for key, value in ((b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None)):
                await broker.append([record(topic, value, key)])
            await make.let_pass(broker, topic, lag_ms // 3)
            history = [(found.key, found.value) for found in await read_all(broker, topic)]
            assert history[:4] == [(b"a", b"1"), (b"b", b"1"), (b"a", b"2"), (b"b", None)]
            await make.let_pass(broker, topic, lag_ms)
            async with asyncio.timeout(3 * LONG_S):  # a compaction may have begun just before
                while (history := [(each.key, each.value) for each in await read_all(broker, topic)])[0] == (
                    b"a",
                    b"1",
                ):
                    await make.let_pass(broker, topic, 0)
            assert history[:2] == [(b"a", b"2"), (b"b", None)]


class KeepingContract:
    """Retention and compaction, for makes whose clock and housekeeping a test can drive."""

    async def test_records_past_their_age_vanish(self, make: KeepingMake) -> None:
        async with make.open() as broker:
            topic = make.topic("aged")
            await broker.ensure_topics([TopicSpec(topic, 1, retention_ms=1000)])
            await broker.append([record(topic, b"old")])
            make.elapse(600)
            await broker.append([record(topic, b"young")])
            make.elapse(600)
            await make.tidy(broker)
            assert values(await read_all(broker, topic)) == [b"young"]
            assert await broker.read_at(Position(topic, 0, 0)) is None

    async def test_the_oldest_records_vanish_beyond_the_bytes_to_keep(self, make: KeepingMake) -> None:
        async with make.open() as broker:
            topic = make.topic("sized")
            await broker.ensure_topics([TopicSpec(topic, 2, retention_bytes=50_000)])
            await broker.append([record(topic, b"%d" % number + bytes(9_998), partition=0) for number in range(9)])
            await broker.append([record(topic, b"small", partition=1)])
            await make.tidy(broker)
            found = await read_all(broker, topic)
            kept = [(each.value or b"").rstrip(b"\x00") for each in found if each.partition == 0]
            assert kept == [b"4", b"5", b"6", b"7", b"8"]
            assert [each.value for each in found if each.partition == 1] == [b"small"]

    async def test_without_retention_records_stay_for_ever(self, make: KeepingMake) -> None:
        async with make.open() as broker:
            topic = make.topic("kept")
            await broker.ensure_topics([TopicSpec(topic, 1)])
            await broker.append([record(topic)])
            make.elapse(10_000 * DAY_MS)
            await make.tidy(broker)
            assert len(await read_all(broker, topic)) == 1

    async def test_changed_retention_is_taken_over(self, make: KeepingMake) -> None:
        async with make.open() as broker:
            topic = make.topic("changed")
            await broker.ensure_topics([TopicSpec(topic, 1)])
            await broker.append([record(topic)])
            make.elapse(5000)
            await broker.ensure_topics([TopicSpec(topic, 1, retention_ms=1000)])
            await make.tidy(broker)
            assert await read_all(broker, topic) == []

    async def test_offsets_of_an_emptied_partition_are_not_used_again(self, make: KeepingMake) -> None:
        topic = make.topic("emptied")
        async with make.open() as broker:
            await broker.ensure_topics([TopicSpec(topic, 1, retention_ms=1000)])
            before = await broker.append([record(topic)] * 3)
            make.elapse(2000)
            await make.tidy(broker)
            assert await read_all(broker, topic) == []
            ends = await broker.end_offsets(topic)
            assert ends[0] > before[-1].offset
        async with make.open() as broker:
            assert await broker.end_offsets(topic) == ends
            (after,) = await broker.append([record(topic)])
            assert after.offset >= ends[0]

    async def test_a_reader_passes_over_a_gap(self, make: KeepingMake) -> None:
        async with make.open() as broker:
            topic = make.topic("gap")
            await broker.ensure_topics([TopicSpec(topic, 1, retention_ms=1000)])
            async with broker.reader(topic) as reader:
                await broker.append([record(topic, b"gone")] * 3)
                make.elapse(2000)
                await make.tidy(broker)
                assert await reader.fetch(timeout_s=SOON_S) == ()
                assert reader.positions() == await broker.end_offsets(topic)
                await broker.append([record(topic, b"there")])
                assert values(await fetch_count(reader, 1)) == [b"there"]

    async def test_a_group_that_was_left_behind_goes_on_at_the_earliest_record(self, make: KeepingMake) -> None:
        topic = make.topic("late")
        async with make.open() as broker:
            await broker.ensure_topics([TopicSpec(topic, 1, retention_ms=1000)])
            places = await broker.append([record(topic, b"gone")] * 5)
            async with broker.member(topic, "group") as member:
                await member.commit(0, places[1].offset)
            make.elapse(2000)
            await make.tidy(broker)
            await broker.append([record(topic, b"there")])
            skipped: list[Skipped] = []
            async with broker.member(topic, "group", None, skipped.append) as member:
                assert values(await fetch_count(member, 1)) == [b"there"]
            assert [(s.partition, s.reason, s.count) for s in skipped] == [(0, Skip.REMOVED, 4)]

    async def test_a_reader_from_a_time_begins_at_the_first_record_since(self, make: KeepingMake) -> None:
        async with make.open() as broker:
            topic = make.topic("since")
            await broker.ensure_topics([TopicSpec(topic, 2)])
            for number in range(6):
                await broker.append([record(topic, b"%d" % number, partition=number % 2)])
                make.elapse(1000)
            written = {each.value: each.timestamp_ms for each in await read_all(broker, topic)}
            since_s = written[b"3"] / 1000
            assert sorted(values(await read_all(broker, topic, since_s)), key=bytes) == [b"3", b"4", b"5"]  # type: ignore[arg-type]
            assert sorted(values(await read_all(broker, topic, since_s - 0.5)), key=bytes) == [b"3", b"4", b"5"]  # type: ignore[arg-type]
            async with broker.reader(topic, since_s + 1000) as reader:
                assert reader.positions() == await broker.end_offsets(topic)

    async def test_compaction_leaves_the_latest_value_of_each_key(self, make: KeepingMake) -> None:
        async with make.open() as broker:
            topic = make.topic("table")
            await broker.ensure_topics([TopicSpec(topic, 1, compacted=True, retention_ms=1000)])
            for turn in range(3):
                await broker.append([record(topic, b"%d" % turn, key) for key in (b"a", b"b", b"c")])
                make.elapse(100 * DAY_MS)
                await make.tidy(broker)
            await broker.append([record(topic, b"3", b"a")])
            await make.tidy(broker)
            found = await read_all(broker, topic)
            assert [(each.key, each.value) for each in found] == [(b"b", b"2"), (b"c", b"2"), (b"a", b"3")]
            assert await broker.read_at(Position(topic, 0, 0)) is None

    async def test_a_tombstone_stays_for_thirty_days_and_then_vanishes(self, make: KeepingMake) -> None:
        topic = make.topic("tombstones")
        async with make.open() as broker:
            await broker.ensure_topics([TopicSpec(topic, 1, compacted=True)])
            await broker.append([record(topic, b"1", b"a"), record(topic, b"1", b"b"), record(topic, None, b"b")])
            await make.tidy(broker)
            make.elapse(30 * DAY_MS - 60_000)
            await make.tidy(broker)
            assert [(each.key, each.value) for each in await read_all(broker, topic)] == [(b"a", b"1"), (b"b", None)]
            make.elapse(2 * 60_000)
            await make.tidy(broker)
            assert [(each.key, each.value) for each in await read_all(broker, topic)] == [(b"a", b"1")]
            ends = await broker.end_offsets(topic)
            assert ends[0] >= 3
        async with make.open() as broker:
            assert await broker.end_offsets(topic) == ends
            await broker.append([record(topic, b"2", b"b")])
            await make.tidy(broker)
            assert [(each.key, each.value) for each in await read_all(broker, topic)] == [(b"a", b"1"), (b"b", b"2")]

    async def test_the_log_tells_from_where_on_it_has_every_deletion(self, make: KeepingMake) -> None:
        topic = make.topic("deletions")
        async with make.open() as broker:
            await broker.ensure_topics([TopicSpec(topic, 1, compacted=True)])
            await broker.append([record(topic, b"1", b"a"), record(topic, None, b"a"), record(topic, None, b"c")])
            make.elapse(2 * DAY_MS)
            await broker.append([record(topic, None, b"d"), record(topic, b"1", b"b")])
            await make.tidy(broker)
            assert await broker.deletions_kept(topic) == DeletionsKept(DELETIONS_KEPT_MS, {0: 0})
            make.elapse(29 * DAY_MS)
            await make.tidy(broker)
            assert await broker.deletions_kept(topic) == DeletionsKept(DELETIONS_KEPT_MS, {0: 3})
        async with make.open() as broker:
            assert (await broker.deletions_kept(topic)).complete_from == {0: 3}

    async def test_the_lag_counts_from_the_record_that_replaced(self, make: KeepingMake) -> None:
        async with make.open() as broker:
            topic = make.topic("replaced-late")
            await broker.ensure_topics([TopicSpec(topic, 1, compacted=True, min_compaction_lag_ms=DAY_MS)])
            await broker.append([record(topic, b"1", b"a")])
            make.elapse(10 * DAY_MS)
            await make.tidy(broker)
            await broker.append([record(topic, b"2", b"a")])
            make.elapse(DAY_MS - 1)
            await make.tidy(broker)
            assert values(await read_all(broker, topic)) == [b"1", b"2"]
            make.elapse(1)
            await make.tidy(broker)
            assert values(await read_all(broker, topic)) == [b"2"]

    async def test_a_tombstone_outlives_what_it_deletes_by_thirty_days(self, make: KeepingMake) -> None:
        async with make.open() as broker:
            topic = make.topic("tombstones-late")
            await broker.ensure_topics([TopicSpec(topic, 1, compacted=True, min_compaction_lag_ms=7 * DAY_MS)])
            await broker.append([record(topic, b"1", b"a"), record(topic, None, b"a")])
            for days, left in ((6, [b"1", None]), (1, [None]), (29, [None]), (1, [])):
                make.elapse(days * DAY_MS)
                await make.tidy(broker)
                assert values(await read_all(broker, topic)) == left

    async def test_a_changed_lag_is_taken_over(self, make: KeepingMake) -> None:
        async with make.open() as broker:
            topic = make.topic("lag-changed")
            await broker.ensure_topics([TopicSpec(topic, 1, compacted=True, min_compaction_lag_ms=7 * DAY_MS)])
            await broker.append([record(topic, b"1", b"a"), record(topic, b"2", b"a")])
            await make.tidy(broker)
            assert values(await read_all(broker, topic)) == [b"1", b"2"]
            await broker.ensure_topics([TopicSpec(topic, 1, compacted=True)])
            await make.tidy(broker)
            assert values(await read_all(broker, topic)) == [b"2"]

    async def test_a_slow_follower_still_ends_with_the_right_table(self, make: KeepingMake) -> None:
        async with make.open() as broker:
            topic = make.topic("slow")
            await broker.ensure_topics([TopicSpec(topic, 1, compacted=True)])
            await broker.append([record(topic, b"0", b"%d" % number) for number in range(10)])
            expected = {b"%d" % number: b"0" for number in range(10)}
            table: dict[bytes | None, bytes | None] = {}
            async with broker.reader(topic) as reader:
                for turn in range(8):
                    for found in await reader.fetch(2, timeout_s=LONG_S):
                        table[found.key] = found.value
                    gone, changed = b"%d" % turn, b"%d" % (turn + 1)
                    await broker.append([record(topic, None, gone), record(topic, b"%d" % turn, changed)])
                    expected.pop(gone, None)
                    expected[changed] = b"%d" % turn
                    make.elapse(31 * DAY_MS)
                    await make.tidy(broker)
                while found_now := await reader.fetch(2, timeout_s=SOON_S):
                    for found in found_now:
                        table[found.key] = found.value
            assert {key: value for key, value in table.items() if value is not None} == expected
