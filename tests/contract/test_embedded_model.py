"""The embedded log against a model of it in memory: hypothesis does things to both and compares."""

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from broker.embedded import EmbeddedBroker
from broker.partitioner import partition_of
from broker.port import NewRecord, Position, Record, RecordTooLarge, TopicSpec
from tests.contract.embedded_make import EmbeddedMake
from tests.contract.suites import read_all

LOG, TABLE = "log", "table"
PARTITIONS = 2
AGE_MS = 10_000
DAY_MS = 24 * 3600 * 1000
MOST_BYTES = 1000

keys = st.sampled_from([b"a", b"b", b"c", b"d"])
contents = st.binary(max_size=40)
logged = st.builds(NewRecord, st.just(LOG), st.one_of(st.none(), keys), contents)
tabled = st.builds(NewRecord, st.just(TABLE), keys, st.one_of(st.none(), contents))
batches = st.lists(st.one_of(logged, tabled), min_size=1, max_size=5)


@dataclass
class Model:
    """What the log should hold."""

    now_ms: int = 0
    records: dict[Position, tuple[int, NewRecord]] = field(default_factory=dict)
    ends: dict[tuple[str, int], int] = field(default_factory=dict)
    committed: int = 0

    def append(self, news: list[NewRecord]) -> list[Position]:
        places = []
        for new in news:
            partition = 0 if new.key is None else partition_of(new.key, PARTITIONS)
            offset = self.ends.get((new.topic, partition), 0)
            self.ends[new.topic, partition] = offset + 1
            places.append(Position(new.topic, partition, offset))
            self.records[places[-1]] = (self.now_ms, new)
        return places

    def tidy(self) -> None:
        newest: dict[tuple[int, bytes | None], int] = {}
        for place, (_, new) in self.records.items():
            if place.topic == TABLE:
                newest[place.partition, new.key] = max(newest.get((place.partition, new.key), 0), place.offset)
        for place, (written_ms, new) in list(self.records.items()):
            if place.topic == LOG:
                gone = written_ms < self.now_ms - AGE_MS
            else:
                superseded = newest[place.partition, new.key] > place.offset
                gone = superseded or (new.value is None and written_ms + DAY_MS <= self.now_ms)
            if gone:
                del self.records[place]


class EmbeddedLog(RuleBasedStateMachine):
    """Does the same to the log and to the model."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.make = EmbeddedMake(Path(self.folder.name))
        self.runner = asyncio.Runner()
        self.model = Model()
        self.broker: EmbeddedBroker

    @initialize()
    def open(self) -> None:
        self.runner.run(self._open())

    async def _open(self) -> None:
        self.broker = await self.make.open().__aenter__()
        await self.broker.ensure_topics(
            [
                TopicSpec(LOG, PARTITIONS, retention_ms=AGE_MS, max_record_bytes=MOST_BYTES),
                TopicSpec(TABLE, PARTITIONS, compacted=True),
            ]
        )

    def teardown(self) -> None:
        if hasattr(self, "broker"):
            self.runner.run(self.broker.close())
        self.runner.close()
        self.folder.cleanup()

    @rule(batch=batches)
    def append(self, batch: list[NewRecord]) -> None:
        assert self.runner.run(self.broker.append(batch)) == self.model.append(batch)

    @rule(groups=st.lists(batches, min_size=2, max_size=4))
    def append_together(self, groups: list[list[NewRecord]]) -> None:
        async def run() -> list[object]:
            return list(await asyncio.gather(*(self.broker.append(batch) for batch in groups)))

        assert self.runner.run(run()) == [self.model.append(batch) for batch in groups]

    @rule(batch=batches)
    def fail_to_append(self, batch: list[NewRecord]) -> None:
        too_large = NewRecord(LOG, None, bytes(MOST_BYTES + 1))
        with pytest.raises(RecordTooLarge):
            self.runner.run(self.broker.append([*batch, too_large]))

    @rule(batch=batches, back=st.integers(0, 3))
    def commit(self, batch: list[NewRecord], back: int) -> None:
        next_offset = max(0, self.model.ends.get((LOG, 0), 0) - back)

        async def run() -> object:
            async with self.broker.member(LOG, "group") as member:
                places = await member.commit(0, next_offset, batch[:1], lambda _: batch[1:])
                assert await member.committed(0) == next_offset
                return places

        assert self.runner.run(run()) == self.model.append(batch)
        self.model.committed = next_offset

    @rule(batch=batches)
    def fail_to_commit(self, batch: list[NewRecord]) -> None:
        too_large = NewRecord(LOG, None, bytes(MOST_BYTES + 1))

        async def run() -> None:
            async with self.broker.member(LOG, "group") as member:
                await member.commit(0, 0, batch, lambda _: [too_large])

        with pytest.raises(RecordTooLarge):
            self.runner.run(run())

    @rule(elapsed_ms=st.sampled_from([1, AGE_MS // 2, AGE_MS + 1, DAY_MS]))
    def elapse(self, elapsed_ms: int) -> None:
        self.make.elapse(elapsed_ms)
        self.model.now_ms += elapsed_ms

    @rule()
    def tidy(self) -> None:
        self.runner.run(self.broker.housekeep())
        self.model.tidy()

    @rule()
    def reopen(self) -> None:
        self.runner.run(self.broker.close())
        self.runner.run(self._open())

    @precondition(lambda self: self.model.ends)
    @rule(data=st.data())
    def look_up(self, data: st.DataObject) -> None:
        topic, partition = data.draw(st.sampled_from(sorted(self.model.ends)))
        place = Position(topic, partition, data.draw(st.integers(0, self.model.ends[topic, partition])))
        found = self.runner.run(self.broker.read_at(place))
        kept = self.model.records.get(place)
        if kept is None:
            assert found is None
        else:
            assert found is not None
            assert (found.key, found.value) == (kept[1].key, kept[1].value)

    @invariant()
    def both_hold_the_same(self) -> None:
        if not hasattr(self, "broker"):
            return
        for topic in (LOG, TABLE):
            ends = self.runner.run(self.broker.end_offsets(topic))
            assert ends == {partition: self.model.ends.get((topic, partition), 0) for partition in range(PARTITIONS)}
            found = self.runner.run(read_all(self.broker, topic))
            expected = {place: new for place, (_, new) in self.model.records.items() if place.topic == topic}
            assert {each.position: _written(each) for each in found} == expected
            for partition in range(PARTITIONS):
                offsets = [each.offset for each in found if each.partition == partition]
                assert offsets == sorted(set(offsets))

    @invariant()
    def the_group_goes_on_where_it_was(self) -> None:
        if not hasattr(self, "broker"):
            return

        async def run() -> int | None:
            async with self.broker.member(LOG, "group") as member:
                return await member.committed(0)

        assert (self.runner.run(run()) or 0) == self.model.committed


def _written(found: Record) -> NewRecord:
    return NewRecord(found.topic, found.key, found.value, found.headers)


TestEmbeddedLog = EmbeddedLog.TestCase
TestEmbeddedLog.settings = settings(
    max_examples=30,
    stateful_step_count=20,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    phases=[Phase.generate],  # shrinking a failure takes minutes of opening and closing logs
)
