"""The local copy of the people: when it is used, when it is not, and when it is written."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from broker.port import DELETIONS_KEPT_MS, Broker, BrokerUnavailable, DeletionsKept, NewRecord, Record, TopicSpec
from broker.table import TableFollower
from contract.codec import encode
from contract.people.keys import REMOVE_COPIES_KEY, face_key, person_key
from contract.people.records import FaceRecord, PersonRecord
from engine.gallery.packed import Packed
from engine.gallery.people import People
from engine.gallery.port import EVERYBODY
from picturematch import local_copy
from picturematch.local_copy import LocalCopy
from picturematch.people_topic import PeopleTopic
from tests.contract.embedded_make import EmbeddedMake
from tests.support.waiting import until

TOPIC, DIMENSION, EMBEDDER = "people", 16, "model+1"
DAY_S = 86_400.0
KEPT_S = DELETIONS_KEPT_MS / 1000


def unit(seed: int) -> np.ndarray:
    vector = np.random.default_rng(seed).normal(size=DIMENSION).astype(np.float32)
    return vector / np.linalg.norm(vector)


def stored(seed: int) -> bytes:
    """Return what a copy contains of an embedding."""
    return Packed.of(unit(seed)[np.newaxis]).numbers.tobytes()


def enrolled(who: str, seed: int, embedder: str = EMBEDDER) -> list[NewRecord]:
    face = FaceRecord(identity_id=who, number=0, embedder=embedder, templates={"whole": unit(seed).tobytes()})
    person = PersonRecord(identity_id=who, group_ids=("default_group",), info={"name": who}, faces=(0,), next_face=1)
    return [
        NewRecord(TOPIC, face_key(who, 0, embedder), encode(face)),
        NewRecord(TOPIC, person_key(who), encode(person)),
    ]


def deleted(who: str) -> list[NewRecord]:
    return [NewRecord(TOPIC, key, None) for key in (person_key(who), face_key(who, 0, EMBEDDER))]


@dataclass
class Running:
    """A process that follows the people topic with a copy. `read`: the offsets of the records that it has read."""

    log: Any
    people: People
    copy: LocalCopy
    follower: TableFollower
    read: list[int] = field(default_factory=list)

    async def write(self, records: list[NewRecord]) -> None:
        places = await self.log.append(records)
        assert await self.follower.reached(places[-1].offset + 1, 10.0)

    def names(self) -> set[str]:
        return {person.identity_id for person in self.people.everybody()}

    def nearest(self, seed: int) -> str | None:
        found = self.people.snapshot().gallery.best(unit(seed), EVERYBODY)
        return found[0].person.identity_id if found and found[0].cosine > 0.99 else None


class Machine:
    """A machine with a log and a copy in a folder, and a clock that the test sets."""

    def __init__(self, folder: Path) -> None:
        self.make = EmbeddedMake(folder / "log")
        self.path = folder / "people.copy"
        self.clock: Callable[[], float] = lambda: self.make.now_ms / 1000
        self.embedder, self.kept = EMBEDDER, True

    @property
    def half(self) -> Path:
        """The copy while it is being written."""
        return Path(f"{self.path}.half")

    def days_pass(self, days: float) -> None:
        self.make.elapse(int(days * DAY_S * 1000))

    @asynccontextmanager
    async def process(self, keep: bool = False) -> AsyncIterator[Running]:
        """A process, from its start until its people are read; `keep`: it writes copies meanwhile."""
        async with self.make.open() as log:
            await log.ensure_topics([TopicSpec(TOPIC, 1, compacted=True)])
            people, read = People(DIMENSION, self.embedder), list[int]()
            copy = LocalCopy(people, TOPIC, self.path, lambda: self.clock(), kept=self.kept)
            topic = PeopleTopic(people, TOPIC, copy.take)

            def take(records: list[Record]) -> None:
                read.extend(record.offset for record in records)
                topic.take(records)

            async with TableFollower(log, TOPIC, take, begin=partial(copy.restore, log)) as follower:
                async with asyncio.timeout(10):
                    await follower.caught_up()
                keeping = asyncio.create_task(copy.keep()) if keep else None
                yield Running(log, people, copy, follower, read)
                if keeping is not None:
                    keeping.cancel()
                    await asyncio.wait({keeping})

    async def with_copy_of(self, *who: str) -> None:
        """Enrol people and leave a copy of them."""
        async with self.process(keep=True) as running:
            for seed, name in enumerate(who):
                await running.write(enrolled(name, seed))
            running.copy._look.set()
            await until(self.path.exists)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(local_copy, "LEAST_FACES", 2)
    (tmp_path / "log").mkdir()
    return Machine(tmp_path)


async def test_a_process_starts_from_the_copy_and_reads_only_what_is_newer(machine: Machine) -> None:
    await machine.with_copy_of("ann", "bob")
    assert machine.path.stat().st_mode & 0o777 == 0o600
    async with machine.process() as running:
        assert running.read == []
        assert running.names() == {"ann", "bob"}
        await running.write([*enrolled("cy", 2), *deleted("ann")])
    async with machine.process() as running:
        assert running.read == [4, 5, 6, 7]
        assert running.names() == {"bob", "cy"}
        assert [running.nearest(seed) for seed in range(3)] == [None, "bob", "cy"]
        await running.write(enrolled("dan", 3))
        assert running.nearest(3) == "dan"


async def test_a_deleted_person_does_not_come_back_from_an_old_copy(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    await machine.with_copy_of("ann", "bob")
    kept = shutil.copy(machine.path, f"{machine.path}.kept")
    written_s = machine.clock()
    async with machine.process() as running:
        await running.write(deleted("ann"))
        machine.days_pass(31)
        await machine.make.tidy(running.log)
        assert (await running.log.deletions_kept(TOPIC)).complete_from == {0: 6}
    shutil.copy(kept, machine.path)
    machine.clock = lambda: written_s + 60  # the clock was put back, so the copy seems to be young
    async with machine.process() as running:
        assert running.names() == {"bob"}
        assert running.nearest(0) is None
    assert "read from the log: the log has removed deletions that are newer" in caplog.text
    assert not machine.path.exists()


@pytest.mark.parametrize(
    ("later_s", "said"),
    [
        (KEPT_S / 2 - 1, None),
        (KEPT_S / 2 + 1, "it is older than half of the time for which the topic people keeps deletions"),
        (-30.0, None),
        (-90.0, "it was written in the future, by the clock of this machine"),
    ],
)
async def test_a_copy_is_used_for_half_of_the_time_for_which_deletions_are_kept(
    machine: Machine, caplog: pytest.LogCaptureFixture, later_s: float, said: str | None
) -> None:
    await machine.with_copy_of("ann", "bob")
    written_s = machine.clock()
    machine.clock = lambda: written_s + later_s
    async with machine.process() as running:
        assert running.names() == {"ann", "bob"}
        assert running.read == ([] if said is None else [0, 1, 2, 3])
    assert (said or "") in caplog.text
    assert machine.path.exists() == (said is None)


async def test_a_topic_that_forgets_deletions_early_shortens_the_life_of_a_copy(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await machine.with_copy_of("ann", "bob")
    written_s = machine.clock()
    monkeypatch.setattr("broker.embedded.opening.DELETIONS_KEPT_MS", 1000 * 3600)
    machine.clock = lambda: written_s + 1900
    async with machine.process() as running:
        assert running.read == [0, 1, 2, 3]


async def test_a_topic_that_forgot_deletions_early_when_the_copy_was_written_shortens_its_life(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("broker.embedded.opening.DELETIONS_KEPT_MS", 1000 * 3600)
        await machine.with_copy_of("ann", "bob")
    written_s = machine.clock()
    machine.clock = lambda: written_s + 1900
    async with machine.process() as running:
        assert running.read == [0, 1, 2, 3]


async def test_a_copy_is_written_once_the_log_can_be_asked(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def away(topic: str) -> DeletionsKept:
        raise BrokerUnavailable("the log is away")

    async with machine.process(keep=True) as running:
        await running.write([*enrolled("ann", 0), *enrolled("bob", 1)])
        with monkeypatch.context() as patch:
            patch.setattr(running.log, "deletions_kept", away)
            running.copy._look.set()
            await until(lambda: "is written later: the log is away" in caplog.text)
        running.copy._look.set()
        await until(machine.path.exists)
    async with machine.process() as running:
        assert (running.read, running.names()) == ([], {"ann", "bob"})


async def test_a_copy_made_with_another_embedder_is_not_used(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    await machine.with_copy_of("ann", "bob")
    machine.embedder = "other+2"
    async with machine.process() as running:
        assert (running.people.own_faces, running.people.foreign_faces) == (0, 2)
    assert "it was made with another embedder" in caplog.text


async def test_a_copy_of_another_version_of_the_program_is_not_used(
    machine: Machine, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await machine.with_copy_of("ann", "bob")
    monkeypatch.setattr(local_copy, "version", lambda name: "99.0")
    async with machine.process() as running:
        assert running.read == [0, 1, 2, 3]
    assert "another version of the program has written it" in caplog.text


@pytest.mark.parametrize("others", [("eve",), ("eve", "fay"), ("eve", "fay", "gus")], ids=["shorter", "same", "longer"])
async def test_a_copy_of_another_log_is_not_used(
    machine: Machine, caplog: pytest.LogCaptureFixture, others: tuple[str, ...]
) -> None:
    await machine.with_copy_of("ann", "bob")
    shutil.rmtree(machine.make.folder)
    machine.make.folder.mkdir()
    kept = machine.path.rename(f"{machine.path}.kept")
    async with machine.process() as running:
        for seed, name in enumerate(others):
            await running.write(enrolled(name, seed))
    kept.rename(machine.path)
    async with machine.process() as running:
        assert running.names() == set(others)
    assert "does not have its last record any more, or is another log's" in caplog.text


@pytest.mark.parametrize("spoil", [lambda data: b"", lambda data: data[:-9], lambda data: b"x" * 9000])
async def test_a_damaged_copy_is_not_used(
    machine: Machine, caplog: pytest.LogCaptureFixture, spoil: Callable[[bytes], bytes]
) -> None:
    await machine.with_copy_of("ann", "bob")
    machine.path.write_bytes(spoil(machine.path.read_bytes()))
    async with machine.process() as running:
        assert running.names() == {"ann", "bob"}
    assert "all people are read from the log: it is damaged" in caplog.text
    assert not machine.path.exists()


async def test_a_copy_whose_vectors_are_damaged_is_not_used(machine: Machine) -> None:
    await machine.with_copy_of("ann", "bob")
    data = machine.path.read_bytes()
    place = data.index(stored(0))
    machine.path.write_bytes(data[:place] + b"\0" + data[place + 1 :])
    async with machine.process() as running:
        assert running.read == [0, 1, 2, 3]
        assert running.nearest(0) == "ann"


async def test_an_erasure_removes_the_copy_and_a_new_one_lacks_the_person(machine: Machine) -> None:
    await machine.with_copy_of("ann", "bob", "cy")
    linked = machine.path.with_suffix(".linked")
    linked.hardlink_to(machine.path)
    async with machine.process(keep=True) as running:
        await running.write(deleted("ann"))
        await asyncio.sleep(0.1)
        assert stored(0) in machine.path.read_bytes(), "a deletion alone waits for the next copy"
        await running.write([NewRecord(TOPIC, REMOVE_COPIES_KEY, None)])
        await until(lambda: set(linked.read_bytes()) == {0})
        await until(lambda: linked.stat().st_nlink == 1 and machine.path.exists())
    data = machine.path.read_bytes()
    assert stored(0) not in data
    assert stored(1) in data
    async with machine.process() as running:
        assert running.names() == {"bob", "cy"}


async def test_an_erasure_while_a_copy_is_written_abandons_that_copy(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_copy, "_PAUSE_S", 0.1)
    half = machine.half
    async with machine.process(keep=True) as running:
        await running.write([*enrolled("ann", 0), *enrolled("bob", 1), *enrolled("cy", 2)])
        running.copy._look.set()
        await until(lambda: half.exists() and stored(0) in half.read_bytes())
        monkeypatch.setattr(local_copy, "_PAUSE_S", 0.0)
        await running.write([*deleted("ann"), NewRecord(TOPIC, REMOVE_COPIES_KEY, None)])
        await until(machine.path.exists)
        assert stored(0) not in machine.path.read_bytes()
    assert not half.exists()


async def test_a_process_that_ends_while_it_writes_leaves_no_half_of_a_copy(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_copy, "_PAUSE_S", 0.1)
    async with machine.process(keep=True) as running:
        await running.write([*enrolled("ann", 0), *enrolled("bob", 1)])
        running.copy._look.set()
        await until(machine.half.exists)
        linked = machine.path.with_suffix(".linked")
        linked.hardlink_to(machine.half)
    await until(lambda: not machine.half.exists())
    assert not machine.path.exists()
    assert set(linked.read_bytes()) <= {0}, "what was written is overwritten"


async def test_too_few_faces_for_a_copy_remove_the_copy(machine: Machine) -> None:
    await machine.with_copy_of("ann", "bob")
    async with machine.process(keep=True) as running:
        await running.write(deleted("ann"))
        running.copy._look.set()
        await until(lambda: not machine.path.exists())
        assert running.names() == {"bob"}


async def test_a_copy_is_removed_where_none_is_kept_any_more(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    await machine.with_copy_of("ann", "bob")
    machine.kept = False
    async with machine.process(keep=True) as running:
        running.copy._look.set()
        assert running.read == [0, 1, 2, 3]
        assert not machine.path.exists()
    assert "read from the log: gallery.local_copy is off" in caplog.text
    assert not machine.path.exists()


async def test_a_half_of_a_copy_that_a_crash_left_is_removed_at_the_next_start(machine: Machine) -> None:
    machine.half.write_bytes(b"half")
    async with machine.process():
        assert not machine.half.exists()


async def test_a_copy_that_cannot_be_written_is_told_and_the_process_goes_on(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.path = machine.path.parent / "missing" / "people.copy"
    async with machine.process(keep=True) as running:
        await running.write([*enrolled("ann", 0), *enrolled("bob", 1)])
        running.copy._look.set()
        await until(lambda: "cannot be written (No such file or directory); the next try is in an hour" in caplog.text)
        await running.write(enrolled("cy", 2))
        assert running.nearest(2) == "cy"


async def test_people_with_an_unreadable_record_are_not_copied(machine: Machine) -> None:
    async with machine.process(keep=True) as running:
        await running.write([*enrolled("ann", 0), *enrolled("bob", 1), NewRecord(TOPIC, person_key("cy"), b"\xc1")])
        running.copy._look.set()
        await asyncio.sleep(0.2)
        assert not machine.path.exists()
        await running.write(enrolled("cy", 2))
        running.copy._look.set()
        await until(machine.path.exists)


@pytest.mark.parametrize(
    ("changes", "later_s", "due"),
    [
        (0, 3700.0, False),
        (1, 3500.0, False),
        (1, 3700.0, True),
        (6, 700.0, True),
        (6, 500.0, False),
        (0, KEPT_S / 4 + 1, True),
    ],
)
async def test_when_a_copy_is_written_anew(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, changes: int, later_s: float, due: bool
) -> None:
    monkeypatch.setattr(local_copy, "_MANY_CHANGES", 5)
    await machine.with_copy_of("ann", "bob")
    written_s = machine.clock()
    async with machine.process() as running:
        for _ in range(changes):
            await running.write(enrolled("ann", 0)[1:])
        machine.clock = lambda: written_s + later_s
        assert running.copy._is_due() == due


async def test_after_an_outage_of_the_log_the_copy_is_used(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    await machine.with_copy_of("ann", "bob")
    failures = [BrokerUnavailable("away"), BrokerUnavailable("away")]
    found = LocalCopy._doubt

    async def sometimes(copy: LocalCopy, broker: Broker, about: Any) -> str | None:
        if failures:
            raise failures.pop()
        return await found(copy, broker, about)

    monkeypatch.setattr(LocalCopy, "_doubt", sometimes)
    async with machine.process() as running:
        assert running.read == []
        assert running.names() == {"ann", "bob"}
