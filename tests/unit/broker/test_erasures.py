"""Erasing the contents of single records: nothing of them stays on the disk, and readers notice no damage."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from broker.embedded import EmbeddedBroker, Erasure, check_log, file_erasure, refused, upkeep
from broker.embedded.store import LOG_FILE
from broker.port import BrokerError, BrokerUnavailable, NewRecord, Position, Start, TopicSpec
from tests.contract.embedded_make import EmbeddedMake
from tests.contract.suites import read_all
from tests.support.waiting import until

EVENTS, PEOPLE = "events", "people"
SPECS = (TopicSpec(EVENTS, 1), TopicSpec(PEOPLE, 1, compacted=True, min_compaction_lag_ms=3_600_000))
NOTE = NewRecord(EVENTS, b"note", b"one record was erased")


@pytest.fixture
def make(tmp_path: Path) -> EmbeddedMake:
    return EmbeddedMake(tmp_path / "data")


def secret(number: int, length: int) -> bytes:
    """Bytes that no other test and no page of SQLite contains."""
    return random.Random(number).randbytes(length)


def left_on_disk(folder: Path, value: bytes) -> int:
    """How many of up to 60 pieces of 16 bytes, spread over the value, are in any file of the folder."""
    disk = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    last = len(value) - 16
    return sum(value[at : at + 16] in disk for at in range(0, last + 1, max(16, last // 60)))


async def write(broker: EmbeddedBroker, topic: str, *values: bytes) -> list[Position]:
    return list(await broker.append([NewRecord(topic, b"key %d" % n, value) for n, value in enumerate(values)]))


@pytest.mark.parametrize("length", [40, 2_048, 4_000, 100_000])
async def test_no_piece_of_an_erased_value_stays_on_the_disk_while_the_log_is_open(
    make: EmbeddedMake, length: int
) -> None:
    values = [secret(n, length + 37 * n) for n in range(12)]
    async with make.open() as broker:
        await broker.ensure_topics(SPECS)
        for topic in (EVENTS, PEOPLE):
            places = await write(broker, topic, *values)
            assert left_on_disk(make.folder, values[7]) > 0
            await broker.erase(Erasure(tuple(places[5:10]), NOTE))
        assert [n for n in range(5, 10) if left_on_disk(make.folder, values[n])] == []
        records = await read_all(broker, PEOPLE)
        assert [r.value for r in records] == [*values[:5], *[None] * 5, *values[10:]]
        assert [r.erased for r in records] == [5 <= n < 10 for n in range(12)]
        assert not any(r.damaged for r in records)
        assert broker.condition().damaged_records == 0


async def test_the_erasure_s_own_record_is_written_with_it_once_and_the_log_is_whole(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await broker.ensure_topics(SPECS)
        places = await write(broker, EVENTS, *[secret(n, 500) for n in range(50)])
        missing = Position(EVENTS, 0, 999)
        for _ in range(2):
            await broker.erase(Erasure((*places, missing, Position("other", 0, 0), Position(EVENTS, 7, 0)), NOTE))
        records = await read_all(broker, EVENTS)
        assert [r.key for r in records if not r.erased] == [b"note"]
    assert [found for part in check_log(make.folder, beside_server=False) for found in part.findings] == []


async def test_what_readers_keep_in_memory_is_erased_too(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await broker.ensure_topics(SPECS)
        (place,) = await write(broker, EVENTS, b"a face")
        await broker.erase(Erasure((place,), NOTE))
        found = await broker.read_at(place)
        assert found is not None
        assert found.erased
        async with broker.reader(EVENTS, Start.EARLIEST) as reader:
            assert [record.value for record in await reader.fetch(1, 1)] == [None]


async def test_the_owner_carries_out_what_another_process_filed_and_deletes_the_file(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await broker.ensure_topics(SPECS)
        (place,) = await write(broker, EVENTS, b"a face of which nothing may stay")
        path = file_erasure(make.folder, Erasure((place,), NOTE), "anna")
        await until(lambda: not path.exists())
        assert left_on_disk(make.folder, b"a face of which nothing may stay") == 0
        assert [record.value for record in await read_all(broker, EVENTS)] == [None, NOTE.value]


async def test_an_erasure_that_was_filed_while_no_owner_ran_is_carried_out_at_the_next_start(
    make: EmbeddedMake,
) -> None:
    async with make.open() as broker:
        await broker.ensure_topics(SPECS)
        (place,) = await write(broker, EVENTS, b"a face")
    path = file_erasure(make.folder, Erasure((place,), NOTE), "anna")
    async with make.open() as broker:
        await until(lambda: not path.exists())
        assert [record.value for record in await read_all(broker, EVENTS)] == [None, NOTE.value]


async def test_a_file_that_is_no_erasure_is_moved_aside_and_housekeeping_goes_on(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await broker.ensure_topics(SPECS)
        (place,) = await write(broker, EVENTS, b"a face")
        path = make.folder / "erase-a.request"
        path.write_bytes(b"nonsense")
        await until(refused(path).exists)
        other = file_erasure(make.folder, Erasure((place,), NOTE), "b")
        await until(lambda: not other.exists())
        assert not path.exists()


async def test_a_guest_erases_nothing(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await broker.ensure_topics(SPECS)
        (place,) = await write(broker, EVENTS, b"a face")
        async with make.guest() as guest:
            with pytest.raises(BrokerError, match="owns the folder"):
                await guest.erase(Erasure((place,), NOTE))
        assert [record.value for record in await read_all(broker, EVENTS)] == [b"a face"]


async def test_an_erasure_does_not_end_before_the_wal_is_empty(
    make: EmbeddedMake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("broker.embedded.housekeeper._TRUNCATE_TRIES", 2)
    monkeypatch.setattr("broker.embedded.housekeeper._TRUNCATE_AGAIN_S", 0.01)
    value = secret(1, 300)
    async with make.open() as broker:
        await broker.ensure_topics(SPECS)
        (place,) = await write(broker, EVENTS, value)
        with closing(sqlite3.connect(make.folder / LOG_FILE, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM record").fetchone() == (1,)
            with pytest.raises(BrokerUnavailable, match="another program reads the log"):
                await broker.erase(Erasure((place,), NOTE))
            assert left_on_disk(make.folder, value) > 0
        await broker.erase(Erasure((place,), NOTE))
        assert left_on_disk(make.folder, value) == 0


def test_a_file_is_written_anew_unless_it_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(tmp_path / "file", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, value BLOB)")
        connection.executemany("INSERT INTO t (value) VALUES (?)", [(bytes(5000),)] * 20)
        connection.execute("DELETE FROM t WHERE id < 20")
        monkeypatch.setattr(upkeep, "REWRITTEN_BYTES", 4096)
        assert not upkeep.rewrite(connection)
        assert connection.execute("PRAGMA freelist_count").fetchone()[0] > 0
        monkeypatch.setattr(upkeep, "REWRITTEN_BYTES", 1_000_000)
        assert upkeep.rewrite(connection)
        assert connection.execute("PRAGMA freelist_count").fetchone()[0] == 0
        assert connection.execute("SELECT id FROM t").fetchall() == [(20,)]
