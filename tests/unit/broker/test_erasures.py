"""Erasing the contents of single records: nothing of them stays on the disk, and readers notice no damage."""

import asyncio
import random
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from broker.embedded import (
    EmbeddedBroker,
    Erasure,
    check_log,
    eraser,
    file_erasure,
    refused,
    rewrite_log,
    upkeep,
)
from broker.embedded.store import LOG_FILE
from broker.port import ERASED, BrokerError, BrokerInUse, NewRecord, Position, Start, TopicSpec
from tests.contract.embedded_make import EmbeddedMake
from tests.contract.suites import read_all
from tests.support.waiting import until

EVENTS, PEOPLE = "events", "people"
SPECS = (TopicSpec(EVENTS, 1), TopicSpec(PEOPLE, 1, compacted=True, min_compaction_lag_ms=3_600_000))
NOTE = NewRecord(EVENTS, b"note", b"one record was erased")


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedMake:
    monkeypatch.setattr("broker.embedded.housekeeper._FILED_EVERY_S", 0.02)
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


async def erase(make: EmbeddedMake, erasure: Erasure) -> None:
    """File an erasure, and wait until the owner has carried it out."""
    path = file_erasure(make.folder, erasure, "test")
    await until(lambda: not path.exists())


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
            await erase(make, Erasure(tuple(places[5:10]), NewRecord(EVENTS, topic.encode(), b"erased")))
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
            await erase(make, Erasure((*places, missing, Position("other", 0, 0), Position(EVENTS, 7, 0)), NOTE))
        records = await read_all(broker, EVENTS)
        assert [r.key for r in records if not r.erased] == [b"note"]
    assert [found for part in check_log(make.folder, beside_server=False) for found in part.findings] == []


async def test_what_readers_keep_in_memory_is_erased_too(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await broker.ensure_topics(SPECS)
        (place,) = await write(broker, EVENTS, b"a face")
        await erase(make, Erasure((place,), NOTE))
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


@contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Read the log as another program that keeps its WAL."""
    with closing(sqlite3.connect(folder / LOG_FILE, isolation_level=None, check_same_thread=False)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM record").fetchone()
        yield


@pytest.fixture
def rewrites(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """An entry for each time that the file was written anew."""
    done: list[bool] = []
    real = upkeep.rewrite

    def counted(connection: sqlite3.Connection) -> bool:
        done.append(real(connection))
        return done[-1]

    monkeypatch.setattr(upkeep, "rewrite", counted)
    return done


async def test_while_another_program_keeps_the_wal_the_file_is_not_written_anew_and_one_line_says_why(
    make: EmbeddedMake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, rewrites: list[bool]
) -> None:
    monkeypatch.setattr(eraser, "_FIRST_WAIT_S", 0.02)
    value = secret(1, 300)
    async with make.open() as broker:
        await broker.ensure_topics(SPECS)
        (place,) = await write(broker, EVENTS, value)
        with reading(make.folder):
            path = file_erasure(make.folder, Erasure((place,), NOTE), "a")
            await asyncio.sleep(0.7)
            assert path.exists(), "the erasure does not end before the WAL is empty"
            assert [record.value for record in await read_all(broker, EVENTS)] == [None, NOTE.value]
            assert left_on_disk(make.folder, value) > 0
            assert rewrites == []
        await until(lambda: not path.exists())
        assert left_on_disk(make.folder, value) == 0
        assert rewrites == [True]
    said = [record.message for record in caplog.records if "another program reads the log" in record.message]
    assert len(said) == 1


async def test_a_reader_that_comes_after_the_file_was_written_anew_does_not_have_it_written_again(
    make: EmbeddedMake, monkeypatch: pytest.MonkeyPatch, rewrites: list[bool]
) -> None:
    monkeypatch.setattr(eraser, "_FIRST_WAIT_S", 0.02)
    counted, readers = upkeep.rewrite, ExitStack()

    def then_read(connection: sqlite3.Connection) -> bool:
        done = counted(connection)
        readers.enter_context(reading(make.folder))
        return done

    monkeypatch.setattr(upkeep, "rewrite", then_read)
    value = secret(1, 300)
    async with make.open() as broker:
        await broker.ensure_topics(SPECS)
        (place,) = await write(broker, EVENTS, value)
        path = file_erasure(make.folder, Erasure((place,), NOTE), "a")
        await until(lambda: rewrites)
        await asyncio.sleep(0.5)
        assert path.exists()
        readers.close()
        await until(lambda: not path.exists())
        assert left_on_disk(make.folder, value) == 0
    assert rewrites == [True]


async def test_the_wal_is_tried_again_at_growing_intervals(make: EmbeddedMake, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, tries = 0.0, []

    class Writing:
        async def submit(self, run: Any) -> bool:
            return True

        async def submit_alone(self, run: Any) -> bool:
            tries.append(now_s)
            return False

    async def checkpoint() -> None:
        pass

    make.folder.mkdir()
    file_erasure(make.folder, Erasure((), NOTE), "a")
    erasing = eraser.Eraser(make.folder, Writing(), checkpoint, lambda: now_s)  # type: ignore[arg-type]
    for second in range(400):
        now_s = float(second)
        await erasing.carry_out()
    assert tries[:7] == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert {later - earlier for earlier, later in pairwise(tries[7:])} == {60.0}


async def test_an_erasure_that_was_broken_off_goes_on_with_all_its_places_and_is_documented_once(
    make: EmbeddedMake, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [secret(n, 400) for n in range(50)]
    erased = 0
    real = eraser.erase_records

    def broken_off(*arguments: Any) -> int:
        nonlocal erased
        erased += 1
        if erased > 2:
            raise BrokerError("the process was killed here")
        return real(*arguments)

    monkeypatch.setattr(eraser, "erase_records", broken_off)
    async with make.open() as broker:
        await broker.ensure_topics(SPECS)
        places = await write(broker, EVENTS, *values)
        path = file_erasure(make.folder, Erasure(tuple(places), NOTE), "a")
        await until(lambda: erased > 2)
    assert path.exists()
    monkeypatch.setattr(eraser, "erase_records", real)
    async with make.open() as broker:
        await until(lambda: not path.exists())
        assert [n for n in range(50) if left_on_disk(make.folder, values[n])] == []
        records = await read_all(broker, EVENTS)
        assert [record.key for record in records if not record.erased] == [b"note"]
        assert {record.header(ERASED) for record in records if record.erased} == {b"note"}


async def test_an_erasure_is_documented_where_only_its_last_places_still_have_records(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await broker.ensure_topics(SPECS)
        places = await write(broker, EVENTS, *[secret(n, 50) for n in range(45)])
        await erase(make, Erasure(tuple(places[:40]), NewRecord(EVENTS, b"first", b"forty")))
        await erase(make, Erasure(tuple(places), NOTE))
        records = await read_all(broker, EVENTS)
        assert [record.key for record in records if not record.erased] == [b"first", b"note"]


async def test_a_log_that_is_too_large_is_rewritten_by_a_function_while_the_server_is_stopped(
    make: EmbeddedMake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upkeep, "REWRITTEN_BYTES", 0)
    async with make.open() as broker:
        await broker.ensure_topics(SPECS)
        places = await write(broker, EVENTS, *[secret(n, 3_000) for n in range(100)])
        await erase(make, Erasure(tuple(places[:99]), NOTE))
        kept = await read_all(broker, EVENTS)
        with pytest.raises(BrokerInUse, match="stop it"):
            rewrite_log(make.folder)
    assert "run `picturematch log rewrite`" in caplog.text
    before = (make.folder / LOG_FILE).stat()
    with reading(make.folder), pytest.raises(BrokerError, match="another program reads the log"):
        rewrite_log(make.folder)
    rewrite_log(make.folder)
    after = (make.folder / LOG_FILE).stat()
    assert after.st_size < before.st_size
    assert stat.S_IMODE(after.st_mode) == 0o600
    assert [path.name for path in make.folder.glob(f"{LOG_FILE}*")] == [LOG_FILE]
    async with make.open() as broker:
        assert await read_all(broker, EVENTS) == kept
        await write(broker, EVENTS, b"goes on")
    assert [found for part in check_log(make.folder, beside_server=False) for found in part.findings] == []


def test_there_is_nothing_to_rewrite_where_there_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match="there is no log"):
        rewrite_log(tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_the_copy_of_a_rewrite_that_was_broken_off_is_deleted_by_the_next_server(make: EmbeddedMake) -> None:
    make.folder.mkdir(mode=0o700)
    copy = make.folder / f"{LOG_FILE}-rewritten"
    copy.write_bytes(b"faces")
    async with make.open():
        assert not copy.exists()


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
