"""What only the Kafka make promises: members that fence each other, transactions that fail, brokers that go away."""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Self

import pytest

from broker.kafka import lookup
from broker.kafka.broker import KafkaBroker, open_kafka
from broker.kafka.cluster import Cluster
from broker.kafka.config import KafkaConfig
from broker.kafka.member import KafkaMember
from broker.kafka.reader import KafkaReader
from broker.kafka.records import Checked
from broker.kafka.transactions import Writer
from broker.port import (
    BrokerError,
    BrokerUnavailable,
    CommitFailed,
    DeletionsKept,
    NewRecord,
    Position,
    Record,
    RecordTooLarge,
    Skip,
    Skipped,
    Start,
    TopicSpec,
    UnknownPartition,
)
from tests.contract.kafka_make import KafkaMake, config_of, until_visible
from tests.contract.suites import LONG_S, SOON_S, fetch_count, read_all, record, values
from tests.support.kafka_dev import DevBroker
from tests.support.plain_kafka import configs_of_topic, make_again, remove_before, set_configs
from tests.support.waiting import until

DAY_MS = 24 * 3600 * 1000


@pytest.fixture
def make(kafka_bootstrap: str) -> KafkaMake:
    return KafkaMake(kafka_bootstrap)


@asynccontextmanager
async def topics(make: KafkaMake, partitions: int = 1) -> AsyncIterator[tuple[KafkaBroker, str, str]]:
    """A log, its work and its events."""
    async with open_kafka(config_of(make.bootstrap)) as broker:
        work, events = make.topic("work"), make.topic("events")
        await broker.ensure_topics([TopicSpec(work, partitions), TopicSpec(events, partitions)])
        yield broker, work, events


class Worker:
    """Reads work and commits one event for each, as a processor does: ahead, and starting over after a failure."""

    def __init__(self, broker: KafkaBroker, work: str, events: str, pace_s: float = 0.0) -> None:
        self.member: KafkaMember = broker.member(work, f"group-{work}")
        self.events = events
        self.pace_s = pace_s
        self.failed = 0
        self._deals = 0
        self._committing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self.member.on_revoked(self._forget)
        await self.member.__aenter__()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()
        await self.member.__aexit__(None, None, None)

    async def _run(self) -> None:
        while True:
            records: Sequence[Record] = ()
            with suppress(BrokerUnavailable):
                records = await self.member.fetch(5, SOON_S)
            deal = self._deals
            for partition in {found.partition for found in records}:
                await self._work_on(deal, partition, [found for found in records if found.partition == partition])

    async def _work_on(self, deal: int, partition: int, records: Sequence[Record]) -> None:
        try:
            for found in records:
                await asyncio.sleep(self.pace_s)
                event = NewRecord(self.events, found.key, found.value, partition=partition)
                async with self._committing:
                    if deal != self._deals:
                        return None
                    await self.member.commit(partition, found.offset + 1, [event])
        except (CommitFailed, BrokerUnavailable):
            self.failed += 1
            while True:
                try:
                    return await self.member.rewind(partition)
                except BrokerUnavailable:
                    await asyncio.sleep(0.1)

    async def _forget(self, _: frozenset[int]) -> None:
        async with self._committing:
            self._deals += 1


async def all_events(broker: KafkaBroker, events: str, count: int, timeout_s: float = 60.0) -> list[bytes | None]:
    """Everything readable, once there are `count` different ones and nothing more comes."""
    found: list[Record] = []
    async with broker.reader(events) as reader, asyncio.timeout(timeout_s):
        while len(set(values(found))) < count:
            with suppress(BrokerUnavailable):
                found += await reader.fetch(1000, timeout_s=1.0)
        found += await reader.fetch(1000, timeout_s=1.0)
    return values(found)


def once_each(found: Sequence[bytes | None], count: int) -> None:
    assert Counter(found) == Counter({b"%d" % number: 1 for number in range(count)})


async def write(broker: KafkaBroker, topic: str, numbers: range, partitions: int) -> None:
    for number in numbers:
        await broker.append([record(topic, b"%d" % number, partition=number % partitions)])
        await asyncio.sleep(0.005)


# Fencing.


async def test_a_member_whose_partition_was_taken_over_cannot_commit_and_each_record_counts_once(
    make: KafkaMake,
) -> None:
    """The zombie: silent past its session timeout, it wakes with work done and does not know that it was given up."""
    async with topics(make) as (broker, work, events):
        await broker.append([record(work, b"0"), record(work, b"1")])
        group = f"group-{work}"
        async with broker.member(work, group) as zombie:
            held = await fetch_count(zombie, 2)
            silence(zombie)
            async with broker.member(work, group) as heir:
                async with asyncio.timeout(LONG_S):
                    while not heir.assignment():  # noqa: ASYNC110 - the group deals anew after the zombie's time
                        await asyncio.sleep(0.05)
                inherited = await fetch_count(heir, 2)
                assert values(inherited) == values(held)
                with pytest.raises(CommitFailed):
                    await zombie.commit(0, held[0].offset + 1, [record(events, b"from the dead")])
                for found in inherited:
                    await heir.commit(0, found.offset + 1, [record(events, found.value)])
                with pytest.raises(CommitFailed):
                    await zombie.commit(0, held[1].offset + 1, [record(events, b"from the dead")])
                assert await heir.committed(0) == inherited[1].offset + 1
        assert await all_events(broker, events, 2) == [b"0", b"1"]


def silence(member: KafkaMember) -> None:
    """What SIGSTOP does to its heartbeats."""

    async def nothing() -> bool:
        await asyncio.sleep(3600)
        return False

    member._consumer._coordinator._do_heartbeat = nothing


async def test_a_zombie_that_wakes_notices_and_does_not_take_the_partition_back(make: KafkaMake) -> None:
    async with topics(make) as (broker, work, events):
        await broker.append([record(work, b"%d" % number) for number in range(3)])
        group = f"group-{work}"
        async with broker.member(work, group) as zombie:
            told: list[frozenset[int]] = []

            async def forget(partitions: frozenset[int]) -> None:
                told.append(partitions)

            zombie.on_revoked(forget)
            await fetch_count(zombie, 3)
            coordinator = zombie._consumer._coordinator
            silence(zombie)
            async with broker.member(work, group) as heir:
                found = await fetch_count(heir, 3)
                with pytest.raises(CommitFailed):
                    await zombie.commit(0, 1, [record(events, b"from the dead")])
                del coordinator._do_heartbeat
                await zombie.rewind(0)
                await heir.commit(0, found[0].offset + 1, [record(events, b"0")])
                await until(lambda: told == [frozenset({0})], LONG_S)
            rest = await fetch_count(zombie, 2)
            assert values(rest) == [b"1", b"2"]
            await zombie.commit(0, rest[-1].offset + 1, [record(events, b"1"), record(events, b"2")])
        once_each(await all_events(broker, events, 3), 3)


async def test_a_commit_is_refused_once_its_partition_is_another_members(make: KafkaMake) -> None:
    async with topics(make, 2) as (broker, work, _), broker.member(work, f"group-{work}") as one:
        assert one.assignment() == {0, 1}
        async with broker.member(work, f"group-{work}") as two:
            await until(lambda: len(one.assignment()) == len(two.assignment()) == 1, LONG_S)
            assert one.assignment() | two.assignment() == {0, 1}
            (lost,) = two.assignment()
            with pytest.raises(CommitFailed):
                await one.commit(lost, 1)
            one.pause(lost)
            await one.rewind(lost)
            one.resume(lost)
        await until(lambda: one.assignment() == {0, 1}, LONG_S)


# Dealing partitions anew.


async def test_members_that_come_and_go_under_load_lose_and_double_nothing(make: KafkaMake) -> None:
    count, partitions = 400, 4
    async with topics(make, partitions) as (broker, work, events):
        async with Worker(broker, work, events):
            writing = asyncio.create_task(write(broker, work, range(count), partitions))
            async with Worker(broker, work, events, 0.002):
                await asyncio.sleep(0.5)
                async with Worker(broker, work, events, 0.001):
                    await asyncio.sleep(0.5)
            await writing
            found = await all_events(broker, events, count)
        once_each(found, count)
        async with broker.member(work, f"group-{work}") as member:
            assert await member.fetch(timeout_s=SOON_S) == ()


async def test_work_on_a_revoked_partition_may_still_be_committed_while_it_is_handed_over(make: KafkaMake) -> None:
    async with topics(make) as (broker, work, events):
        await broker.append([record(work, b"0"), record(work, b"1")])
        async with broker.member(work, f"group-{work}") as one:
            found = await fetch_count(one, 2)

            async def finish(partitions: frozenset[int]) -> None:
                assert partitions == {0}
                await asyncio.sleep(0.2)
                await one.commit(0, found[0].offset + 1, [record(events, b"0")])

            one.on_revoked(finish)
            joining = broker.member(work, f"group-{work}")
            async with joining as two:
                await until(lambda: len(one.assignment() | two.assignment()) == 1, LONG_S)
                owner = one if one.assignment() else two
                assert await owner.committed(0) == found[0].offset + 1
                assert values(await fetch_count(owner, 1)) == [b"1"]
        assert await all_events(broker, events, 1) == [b"0"]


# Transactions that fail.


async def test_a_record_that_the_broker_refuses_aborts_its_whole_transaction(make: KafkaMake) -> None:
    async with topics(make) as (broker, work, events):
        await broker.append([record(work)])
        async with broker.member(work, f"group-{work}") as member:
            (found,) = await fetch_count(member, 1)
            await shrink(make, broker, events)
            with pytest.raises(RecordTooLarge):
                await member.commit(0, found.offset + 1, [record(work, b"lost"), record(events, bytes(500_000))])
            with pytest.raises(CommitFailed):
                await member.commit(0, found.offset + 1)
            await member.rewind(0)
            assert await fetch_count(member, 1) == [found]
            await member.commit(0, found.offset + 1, [record(events, b"kept")])
        assert await all_events(broker, events, 1) == [b"kept"]
        assert values(await read_all(broker, work)) == [b"v"]


async def test_a_limit_that_was_lowered_is_found_before_the_next_try_is_sent(make: KafkaMake) -> None:
    async with topics(make) as (broker, work, events):
        await broker.append([record(work)])
        async with broker.member(work, f"group-{work}") as member:
            (found,) = await fetch_count(member, 1)
            await shrink(make, broker, events)
            large = [record(events, bytes(500_000))]
            with pytest.raises(RecordTooLarge, match=r"max\.message\.bytes"):
                await member.commit(0, found.offset + 1, large)
            await member.rewind(0)
            with pytest.raises(RecordTooLarge, match="a record of 500000 bytes"):
                await member.commit(0, found.offset + 1, large)
            await member.commit(0, found.offset + 1, [record(events, b"instead")])
        assert await all_events(broker, events, 1) == [b"instead"]


@pytest.mark.parametrize("beside", [0, 1], ids=["alone", "in_a_transaction"])
async def test_an_append_that_the_broker_refuses_does_not_hurt_the_next_one(make: KafkaMake, beside: int) -> None:
    async with topics(make) as (broker, work, events):
        await shrink(make, broker, events)
        refused = [record(work, b"lost")] * beside + [record(events, bytes(500_000))]
        with pytest.raises(RecordTooLarge, match=r"max\.message\.bytes"):
            await broker.append(refused)
        with pytest.raises(RecordTooLarge, match="a record of 500000 bytes"):
            await broker.append(refused)
        await until_visible(broker, await broker.append([record(events, b"1"), record(work, b"2")]))
        assert values(await read_all(broker, events)) == [b"1"]
        assert values(await read_all(broker, work)) == [b"2"]


async def shrink(make: KafkaMake, broker: KafkaBroker, topic: str) -> None:
    """Lower the limit behind the log's back, which remembers the old one and so does not see what is coming."""
    await broker.partitions(topic)
    async with open_kafka(config_of(make.bootstrap)) as other:
        await other.ensure_topics([TopicSpec(topic, 1, max_record_bytes=100_000)])


async def test_a_cancelled_commit_is_wholly_there_or_not_at_all(make: KafkaMake) -> None:
    count = 40
    async with topics(make) as (broker, work, events):
        await broker.append([record(work, b"%d" % number) for number in range(count)])
        async with broker.member(work, f"group-{work}") as member:
            cancelled = 0
            while (await member.committed(0) or 0) < await end_of(broker, work) - 1:
                member.pause(0)
                await member.rewind(0)
                member.resume(0)
                for found in await member.fetch(1, SOON_S):
                    committing = member.commit(0, found.offset + 1, [record(events, found.value)])
                    try:
                        async with asyncio.timeout(0.001 * (cancelled % 9)):
                            await committing
                    except TimeoutError:
                        cancelled += 1
        assert cancelled > 0
        once_each(await all_events(broker, events, count), count)


async def test_what_was_committed_lies_below_the_end_though_another_transaction_is_open(make: KafkaMake) -> None:
    async with topics(make) as (broker, _, events):
        begun, may_end = asyncio.Event(), asyncio.Event()

        async def follow_up(_: Sequence[Position]) -> Sequence[Checked]:
            begun.set()
            await may_end.wait()
            return ()

        writer = await Writer.start(config_of(make.bootstrap), make.topic("writer"))
        open_transaction = asyncio.create_task(writer.write([Checked(record(events, b"1"), 0)], [follow_up]))
        try:
            await asyncio.wait_for(begun.wait(), LONG_S)
            (position,) = await broker.append([record(events, b"2")])
            end = await end_of(broker, events)
            async with broker.reader(events) as reader:
                assert await reader.fetch(timeout_s=SOON_S) == ()
                assert reader.positions()[0] <= position.offset < end
                may_end.set()
                found: list[Record] = []
                async with asyncio.timeout(LONG_S):
                    while reader.positions()[0] < end:
                        found += await reader.fetch(timeout_s=SOON_S)
                assert values(found) == [b"1", b"2"]
        finally:
            may_end.set()
            await open_transaction
            await writer.close()


async def end_of(broker: KafkaBroker, topic: str) -> int:
    return (await broker.end_offsets(topic))[0]


async def test_a_reader_that_nobody_asks_asks_the_brokers_for_nothing_and_misses_nothing(make: KafkaMake) -> None:
    async with topics(make) as (broker, work, _), broker.reader(work) as reader:
        assert isinstance(reader, KafkaReader)
        for number in range(3):
            if number:
                assert values(await fetch_count(reader, 1)) == [b"%d" % (number - 1)]
            else:
                assert await reader.fetch(timeout_s=SOON_S) == ()
            consumer = reader._consumer
            await until(consumer.paused, LONG_S)
            await until(lambda consumer=consumer: not consumer.requests.under_way, LONG_S)
            await broker.append([record(work, b"%d" % number)])


async def test_a_reader_hands_over_at_once_what_all_partitions_have(make: KafkaMake) -> None:
    async with topics(make, partitions=4) as (broker, work, _), broker.reader(work) as reader:
        assert isinstance(reader, KafkaReader)
        consumer = reader._consumer
        await until(lambda: consumer.paused() and not consumer.requests.under_way, LONG_S)
        for partition in range(4):
            await broker.append([record(work, b"%d" % partition, partition=partition)])
        assert len(await reader.fetch(3, LONG_S)) == 3, "no more than was asked for"
        assert len(await reader.fetch(3, LONG_S)) == 1


# Records that are gone, and times.


async def test_readers_and_groups_go_on_behind_records_that_were_removed(make: KafkaMake) -> None:
    async with topics(make) as (broker, work, _):
        async with broker.reader(work) as reader, broker.member(work, f"group-{work}") as member:
            places = [(await broker.append([record(work, b"gone")]))[0] for _ in range(5)]
            await member.commit(0, places[1].offset)
        await remove_before(make.bootstrap, places[-1].topic, places[-1].offset + 1)
        (kept,) = await broker.append([record(work, b"there")])
        assert kept.offset > places[-1].offset
        assert await broker.read_at(places[2]) is None
        assert await broker.read_at(kept) is not None
        async with broker.reader(work, {0: places[2].offset}) as reader:
            assert values(await fetch_count(reader, 1)) == [b"there"]
        async with broker.member(work, f"group-{work}") as member:
            assert values(await fetch_count(member, 1)) == [b"there"]


async def test_a_reader_passes_over_records_that_are_removed_while_it_reads(make: KafkaMake) -> None:
    async with topics(make) as (broker, work, _):
        places = [(await broker.append([record(work, bytes(100_000))]))[0] for _ in range(200)]
        async with broker.reader(work) as reader:
            first = await fetch_count(reader, 1)
            await remove_before(make.bootstrap, work, places[-2].offset)
            found = first
            while found[-1].offset < places[-1].offset:
                found += await reader.fetch(1, LONG_S)
            assert [each.offset for each in found] == sorted({each.offset for each in found})


@pytest.mark.slow
async def test_a_member_that_searches_long_for_its_place_lets_its_partition_go_at_once(make: KafkaMake) -> None:
    asked, never = asyncio.Event(), asyncio.Event()

    async def search(partition: int, first: int, end: int) -> int | None:
        asked.set()
        await never.wait()
        return None

    async with topics(make) as (broker, work, _):
        await broker.append([record(work, b"0")])
        slow = broker.member(work, f"group-{work}", search)
        entering = asyncio.create_task(slow.__aenter__())
        async with asyncio.timeout(LONG_S):
            await asked.wait()
            await asyncio.sleep(2 * config_of(make.bootstrap).session_timeout_ms / 1000)
            async with broker.member(work, f"group-{work}") as other:  # it joins beside: the group knows both
                await entering
                await slow.__aexit__(None, None, None)
                assert values(await fetch_count(other, 1)) == [b"0"]


async def test_records_that_are_removed_while_a_member_sleeps_are_told_with_their_number(make, caplog) -> None:
    skipped: list[Skipped] = []
    async with topics(make) as (broker, work, _):
        async with broker.member(work, f"group-{work}", None, skipped.append) as member:
            member.pause(0)
            for _ in range(30):
                await broker.append([record(work, b"gone")])
            await remove_before(make.bootstrap, work, 30)
            await broker.append([record(work, b"there")])
            member.resume(0)
            found = await fetch_count(member, 1)
            while found[-1].value != b"there":  # a poll that was under way may have brought some
                found += await fetch_count(member, 1)
            count = 30 - (len(found) - 1)
            assert [(s.reason, s.count) for s in skipped] == [(Skip.REMOVED, count)]
            assert [line for line in caplog.messages if f"{count} records" in line]
            await member.commit(0, 31)
        async with broker.member(work, f"group-{work}", None, skipped.append):
            assert len(skipped) == 1, "they are told once"


async def test_a_member_goes_on_in_a_topic_that_was_made_again_beside_it(make, caplog) -> None:
    async with topics(make) as (broker, work, _), broker.member(work, f"group-{work}") as member:
        for number in range(9):
            await broker.append([record(work, b"old %d" % number)])
        await fetch_count(member, 9)
        await member.commit(0, 5)
        await make_again(make.bootstrap, work, 1)
        for number in range(4):
            await broker.append([record(work, b"new %d" % number)])
        found: list[bytes | None] = []
        async with asyncio.timeout(LONG_S):
            while len(found) < 4:
                found += values(await member.fetch(100, SOON_S))
        assert found == [b"new %d" % number for number in range(4)]
        assert [line for line in caplog.messages if "is not of this log" in line]


async def test_a_member_that_searches_for_its_place_delivers_nothing_before_it_has_one(make: KafkaMake) -> None:
    """Whoever works ahead pauses and resumes all the time; that must not begin a second search, which would go back."""
    searching, told = asyncio.Event(), list[Skipped]()

    async def search(partition: int, first: int, end: int) -> int | None:
        searching.set()
        await asyncio.sleep(1.0)
        return None

    async with topics(make) as (broker, work, _), broker.member(work, f"group-{work}", search, told.append) as member:
        for number in range(9):
            await broker.append([record(work, b"old %d" % number)])
        await fetch_count(member, 9)
        await member.commit(0, 5)
        await make_again(make.bootstrap, work, 1)
        for number in range(4):
            await broker.append([record(work, b"new %d" % number)])
        async with asyncio.timeout(LONG_S):
            while not searching.is_set():
                assert await member.fetch(100, SOON_S) == ()
        member.pause(0)
        member.resume(0)
        found: list[bytes | None] = []
        for _ in range(20):
            found += values(await member.fetch(100, SOON_S))
        assert found == [b"new %d" % number for number in range(4)]
        assert len(told) == 1, "what is skipped is told once"


async def test_a_take_over_that_fails_again_and_again_is_told_at_its_beginning_and_its_end(make, caplog) -> None:
    asked = 0

    async def search(partition: int, first: int, end: int) -> int | None:
        nonlocal asked
        asked += 1
        if asked < 10:
            raise BrokerUnavailable("the events cannot be read now")
        return None

    async with topics(make) as (broker, work, _):
        await broker.append([record(work, b"0")])
        async with broker.member(work, f"group-{work}", search) as member:
            assert values(await fetch_count(member, 1)) == [b"0"]
    lines = [line for line in caplog.messages if "taken over" in line]
    assert len(lines) == 2, f"{len(lines)} lines of {asked - 1} failures"
    assert "the events cannot be read now" in lines[0]
    assert "again" in lines[1]


async def test_look_ups_at_the_same_time_find_each_its_own_record(make: KafkaMake) -> None:
    async with topics(make) as (broker, work, events):
        records = [record(topic, b"%d" % number) for number in range(12) for topic in (work, events)]
        places = await broker.append(records)
        for _ in range(2):
            found = await asyncio.gather(*map(broker.read_at, places), broker.end_offsets(work))
            assert [one.value for one in found[:-1]] == [one.value for one in records]
            assert sum(found[-1].values()) >= 12
        assert len(broker._lookup._consumers) <= 2 * lookup._AT_A_TIME


@pytest.mark.parametrize("question", ["end_offsets", "read_at"])
async def test_questions_to_a_topic_that_was_made_again_with_fewer_partitions_are_answered_again(
    make, question
) -> None:
    async with open_kafka(config_of(make.bootstrap, request_timeout_ms=1000)) as broker:
        work = make.topic("work")
        await broker.ensure_topics([TopicSpec(work, 3)])
        (place,) = await broker.append([record(work, b"old", partition=2)])
        await make_again(make.bootstrap, work, 1)
        asked = [await told(broker.end_offsets(work) if question == "end_offsets" else broker.read_at(place))]
        asked += [await told(broker.end_offsets(work)), await told(broker.read_at(place))]
        assert asked[1:] == [{0: 0}, UnknownPartition], f"the first answer was {asked[0]}"


async def told(question: Awaitable[object]) -> object:
    """The answer, or the kind of error."""
    try:
        return await question
    except BrokerError as error:
        return type(error)


async def test_readers_say_how_many_records_were_removed_before_they_read_them(make, caplog) -> None:
    async with topics(make) as (broker, work, _), broker.reader(work) as reader:
        await broker.append([record(work, b"read")])
        assert values(await fetch_count(reader, 1)) == [b"read"]
        async with asyncio.timeout(LONG_S):
            for _ in range(400):
                await broker.append([record(work, bytes(100_000))])
            await remove_before(make.bootstrap, work, 401)
        (kept,) = await broker.append([record(work, b"there")])
        found = [await fetch_count(reader, 1)]
        while found[-1][-1].offset != kept.offset:
            found.append(await fetch_count(reader, 1))
        (line,) = [line for line in caplog.messages if "were removed before they were read" in line]
        assert f"{400 - (sum(map(len, found)) - 1)} records" in line


async def test_a_reader_from_a_time_begins_at_the_first_record_since(make: KafkaMake) -> None:
    async with topics(make, 2) as (broker, work, _):
        for number in range(4):
            await broker.append([record(work, b"%d" % number, partition=number % 2)])
            await asyncio.sleep(0.01)
        written = {each.value: each.timestamp_ms / 1000 for each in await read_all(broker, work)}
        assert len(set(written.values())) == 4
        assert sorted(values(await read_all(broker, work, written[b"2"])), key=bytes) == [b"2", b"3"]  # type: ignore[arg-type]
        async with broker.reader(work, time.time() + 1000) as reader:
            assert reader.positions() == await broker.end_offsets(work)


# How topics are kept.


async def test_topics_are_created_as_they_are_to_be_kept_and_differences_are_told(make: KafkaMake) -> None:
    async with open_kafka(config_of(make.bootstrap)) as broker:
        log, table = make.topic("log"), make.topic("table")
        specs = [
            TopicSpec(log, 3, 7 * DAY_MS, 2 * 1024**3, max_record_bytes=8_000_000),
            TopicSpec(table, 1, compacted=True),
        ]
        missing = await broker.check_topics(specs)
        assert len(missing) == 2
        assert all("does not exist" in sentence for sentence in missing)
        await broker.ensure_topics(specs)
        assert await broker.check_topics(specs) == []
        state, compacted = await broker.describe_topics([log, table])
        assert (state.partitions, state.retention_ms, state.retention_bytes) == (3, 7 * DAY_MS, 2 * 1024**3)
        assert (state.compacted, state.max_record_bytes, compacted.compacted) == (False, 8_000_000, True)
        other = [TopicSpec(log, 4, DAY_MS, max_record_bytes=9_000_000), TopicSpec(table, 1)]
        sentences = await broker.check_topics(other)
        for fragment in ("3 partitions", "max.message.bytes to 9065536", "retention.ms", "cleanup.policy=compact"):
            assert any(fragment in sentence for sentence in sentences), fragment
        shorter = [TopicSpec(log, 3, DAY_MS, 2 * 1024**3, max_record_bytes=8_000_000), specs[1]]
        assert len(await broker.check_topics(shorter)) == 1
        assert await broker.topic_losses(shorter) == [], "what is kept for longer than wanted is no loss"
        assert len(await broker.topic_losses(other)) == len(sentences) - 1


async def test_changed_retention_and_limits_are_taken_over_and_settings_of_others_stay(make: KafkaMake) -> None:
    async with open_kafka(config_of(make.bootstrap)) as broker:
        topic = make.topic("changed")
        await broker.ensure_topics([TopicSpec(topic, 1, DAY_MS)])
        await set_configs(make.bootstrap, topic, {"retention.ms": str(DAY_MS), "max.compaction.lag.ms": "777000"})
        await broker.ensure_topics([TopicSpec(topic, 1, 2 * DAY_MS, max_record_bytes=5_000_000)])
        (state,) = await broker.describe_topics([topic])
        assert (state.retention_ms, state.max_record_bytes) == (2 * DAY_MS, 5_000_000)
        assert (await configs_of_topic(make.bootstrap, topic))["max.compaction.lag.ms"] == "777000"


async def test_a_compaction_lag_is_checked_and_given_to_a_topic_that_exists(make: KafkaMake) -> None:
    async with open_kafka(config_of(make.bootstrap)) as broker:
        topic = make.topic("lag")
        await broker.ensure_topics([TopicSpec(topic, 1, compacted=True)])
        wanted = [TopicSpec(topic, 1, compacted=True, min_compaction_lag_ms=7 * DAY_MS)]
        (told,) = await broker.topic_losses(wanted)
        assert f"min.compaction.lag.ms=0: set it to {7 * DAY_MS}" in told
        await broker.ensure_topics(wanted)
        assert await broker.check_topics(wanted) == []
        await broker.ensure_topics([TopicSpec(topic, 1, compacted=True)])
        assert await broker.check_topics([TopicSpec(topic, 1, compacted=True)]) == []


async def test_a_topic_that_forgets_deletions_after_a_day_is_told_and_put_right(make: KafkaMake) -> None:
    async with open_kafka(config_of(make.bootstrap)) as broker:
        spec = TopicSpec(make.topic("deletions"), 1, compacted=True)
        await broker.ensure_topics([spec])
        assert (await configs_of_topic(make.bootstrap, spec.name))["delete.retention.ms"] == str(30 * DAY_MS)
        former = await configs_of_topic(make.bootstrap, spec.name)
        await set_configs(make.bootstrap, spec.name, former | {"delete.retention.ms": str(DAY_MS)})
        (told,) = await broker.check_topics([spec])
        assert f"delete.retention.ms={DAY_MS}: set it to {30 * DAY_MS}" in told
        assert await broker.deletions_kept(spec.name) == DeletionsKept(DAY_MS, {})
        assert await broker.topic_losses([spec]) == [], "a server starts with the topics of an earlier version"
        await broker.ensure_topics([spec])
        assert await broker.check_topics([spec]) == []


async def test_min_insync_replicas_is_set_told_and_put_right(make: KafkaMake) -> None:
    async with open_kafka(config_of(make.bootstrap)) as broker:
        spec = TopicSpec(make.topic("in-sync"), 1, DAY_MS)
        await broker.ensure_topics([spec])
        assert (await configs_of_topic(make.bootstrap, spec.name))["min.insync.replicas"] == "1"
        assert await broker.check_topics([spec]) == []
        await set_configs(make.bootstrap, spec.name, {"retention.ms": str(DAY_MS), "min.insync.replicas": "2"})
        told = [sentence for sentence in await broker.check_topics([spec]) if "min.insync.replicas" in sentence]
        assert len(told) == 1
        assert [s for s in await broker.topic_losses([spec]) if "min.insync.replicas" in s] == told
        await broker.ensure_topics([spec])
        assert await broker.check_topics([spec]) == []


async def test_a_record_at_the_limit_passes(make: KafkaMake) -> None:
    async with topics(make) as (broker, work, events):
        big = make.topic("big")
        size = 12 * 1024 * 1024
        await broker.ensure_topics([TopicSpec(big, 1, max_record_bytes=size)])
        (place,) = await broker.append([record(big, bytes(size))])
        with pytest.raises(RecordTooLarge, match=big):
            await broker.append([record(big, bytes(size + 1))])
        found = await broker.read_at(place)
        assert found is not None
        assert len(found.value or b"") == size
        async with broker.member(big, f"group-{big}") as member:
            (got,) = await fetch_count(member, 1)
            await member.commit(0, got.offset + 1, [record(big, bytes(size)), record(events, b"e")])
        assert await all_events(broker, events, 1) == [b"e"]
        assert values(await read_all(broker, work)) == []


# Brokers out of reach.


async def test_brokers_that_cannot_be_reached_are_told_in_a_sentence_within_bounds() -> None:
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:9 cannot be reached"):
        async with open_kafka(config_of("127.0.0.1:9", request_timeout_ms=1000)):
            pass
    assert time.monotonic() - started < LONG_S


@pytest.mark.parametrize(("level", "logged"), [("critical", False), ("error", True)])
async def test_the_client_library_logs_its_own_lines_from_the_level_that_is_set(
    level: str, logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BrokerUnavailable):
        async with open_kafka(config_of("127.0.0.1:9", request_timeout_ms=1000, client_log_level=level)):
            pass
    assert any(record.name.startswith("aiokafka") for record in caplog.records) == logged


async def test_a_password_is_needed_where_it_is_asked_for_and_is_never_shown() -> None:
    config = KafkaConfig(bootstrap="127.0.0.1:9", security_protocol="SASL_SSL", username="anna", password="secret word")  # noqa: S106
    assert "secret word" not in repr(config)
    assert "secret word" not in str(Cluster(config).__dict__)
    with pytest.raises(BrokerError, match="password"):
        KafkaConfig(bootstrap="127.0.0.1:9", security_protocol="SASL_PLAINTEXT").connection()
    with pytest.raises(BrokerError, match="certificates"):
        KafkaConfig(bootstrap="127.0.0.1:9", security_protocol="SSL", ca_file=__file__).connection()  # type: ignore[arg-type]


async def test_a_lost_broker_is_noticed_at_once_and_everything_goes_on_when_it_is_back(
    kafka_to_break: DevBroker,
) -> None:
    make = KafkaMake(kafka_to_break.bootstrap)
    async with topics(make) as (broker, work, events):
        async with Worker(broker, work, events), broker.reader(events, Start.LATEST) as reader:
            await broker.append([record(work, b"0")])
            assert values(await fetch_count(reader, 1)) == [b"0"]
            await asyncio.to_thread(kafka_to_break.kill)
            await until(lambda: not broker.available(), 5)
            for refused in (
                broker.append([record(work, b"lost")]),
                broker.append([record(work, b"lost"), record(events, b"lost")]),
                broker.end_offsets(work),
                broker.read_at(Position(work, 0, 0)),
                reader.fetch(),
            ):
                async with asyncio.timeout(2):
                    with pytest.raises(BrokerUnavailable):
                        await refused
            with pytest.raises(BrokerUnavailable):
                async with broker.reader(work):
                    pass
            await asyncio.to_thread(kafka_to_break.start)
            await until(broker.available, 30)
            await broker.append([record(work, b"1")])
            await broker.append([record(work, b"2")])
            async with asyncio.timeout(60):
                found: list[Record] = []
                while len(found) < 2:
                    with suppress(BrokerUnavailable):
                        found += await reader.fetch(10, 1.0)
        assert values(found) == [b"1", b"2"]
        once_each(await all_events(broker, events, 3), 3)


@pytest.mark.slow
async def test_restarts_of_the_broker_under_load_lose_and_double_nothing(kafka_to_break: DevBroker) -> None:
    make = KafkaMake(kafka_to_break.bootstrap)
    accepted: list[bytes] = []
    async with topics(make, 2) as (broker, work, events):
        stop = asyncio.Event()

        async def write_on() -> None:
            number = 0
            while not stop.is_set():
                number += 1
                with suppress(BrokerUnavailable):
                    await broker.append([record(work, b"%d" % number, partition=number % 2)])
                    accepted.append(b"%d" % number)
                await asyncio.sleep(0.01)

        async with Worker(broker, work, events), Worker(broker, work, events):
            writing = asyncio.create_task(write_on())
            await asyncio.sleep(1)
            await asyncio.to_thread(kafka_to_break.stop)
            await asyncio.sleep(1)
            await asyncio.to_thread(kafka_to_break.start)
            await until(broker.available, 30)
            await asyncio.sleep(2)
            stop.set()
            await writing
            present = values(await read_all(broker, work))
            found = await all_events(broker, events, len(present))
        assert set(accepted) <= set(present)
        assert Counter(found) == Counter(present) == Counter(set(present))


async def test_a_member_goes_on_beating_whatever_a_beat_failed_of(make: KafkaMake) -> None:
    failures: list[Exception] = [RuntimeError("odd"), AssertionError("unrecognised")]

    def serves() -> tuple[int, ...]:
        if failures:
            raise failures.pop()
        return (0,)

    async with open_kafka(config_of(make.bootstrap)) as broker:
        topic = f"members-{uuid.uuid4().hex}"
        await broker.ensure_topics([TopicSpec(topic, 1)])
    async with (
        open_kafka(config_of(make.bootstrap), members_topic=topic) as broker,
        broker._beats(topic, "group", serves),
        broker.watch("group") as watch,
    ):
        await until(lambda: watch.served() is True, LONG_S)
    assert not failures
