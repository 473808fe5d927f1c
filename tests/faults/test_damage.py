"""The disk changes what was written, in the file or in the WAL: nothing of it is passed over in silence."""

import asyncio
import logging
import os
import random
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import aiohttp
import orjson
import pytest

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import BrokerError, NewRecord, Record, TopicSpec
from contract.people.inventory import Inventory
from contract.topics import Topics
from tests.contract.embedded_make import EmbeddedMake
from tests.contract.suites import DAY_MS, fetch_count, read_all, record, values
from tests.faults.broker.child import clock_ms
from tests.faults.test_serve import MATCH, USERS, enrol_body, match_body, post, serving
from tests.faults.test_serve import read_all as read_topic
from tests.support.commands import run
from tests.support.waiting import until

TOPICS = Topics()
LOG = "log.sqlite"
SEED = 8


def flip(path: Path, at: int, bit: int = 0x10) -> None:
    """Change one byte of the file."""
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ bit]))


def flip_in(path: Path, mark: bytes) -> None:
    """Change a byte of the only place where `mark` stands."""
    content = path.read_bytes()
    assert content.count(mark) == 1, f"{mark!r} stands {content.count(mark)} times in {path}"
    flip(path, content.index(mark) + len(mark) // 2)


@pytest.fixture
def make(tmp_path: Path) -> EmbeddedMake:
    return EmbeddedMake(tmp_path / "data")


def event(number: int) -> NewRecord:
    body = {"id": f"event-{number:04}", "kind": "match", "device_ip": "10.0.0.1"}
    return NewRecord(TOPICS.events, b"k%04d" % number, orjson.dumps(body))


async def write_events(make: EmbeddedMake, count: int) -> None:
    async with make.open() as broker:
        await broker.ensure_topics([TopicSpec(TOPICS.events, 1)])
        await broker.append([event(number) for number in range(count)])


async def test_the_events_command_counts_what_it_passes_over_and_says_so(make: EmbeddedMake) -> None:
    await write_events(make, 20)
    flip_in(make.folder / LOG, b"event-0007")
    done = await run("events", "--data-folder", make.folder)
    assert done.status == 1, f"status {done.status} with {len(done.out.splitlines())} of 20 events"
    assert len(done.out.splitlines()) == 19
    assert "event-0007" not in done.out
    assert "partition 0, offset 7 is damaged" in done.err
    assert "1 record skipped" in done.err
    assert "Traceback" not in done.err


async def test_the_events_command_counts_records_that_are_no_events(make: EmbeddedMake) -> None:
    await write_events(make, 3)
    async with make.open() as broker:
        await broker.append([NewRecord(TOPICS.events, None, b"{no json"), event(3)])
    done = await run("events", "--data-folder", make.folder)
    assert done.status == 1, f"status {done.status}: a record that cannot be read was passed over in silence"
    assert len(done.out.splitlines()) == 4
    assert "offset 3 is not a readable event" in done.err


async def test_any_flipped_byte_is_a_damaged_record_and_hides_no_other(make: EmbeddedMake) -> None:
    """Whatever byte of the file: each record is as it was written, or told as damaged, or reading is refused."""
    chance = random.Random(SEED)
    await write_events(make, 60)
    path = make.folder / LOG
    whole = path.read_bytes()
    pages = [at for at in range(0, len(whole), 4096) if b"event-00" in whole[at : at + 4096]]
    damaged = refused = 0
    for _ in range(150):
        at = chance.choice(pages) + chance.randrange(4096)
        flip(path, at, 1 << chance.randrange(8))
        try:
            async with make.guest() as guest:
                found = await read_all(guest, TOPICS.events)
        except BrokerError as error:
            refused += "damaged" in str(error)
        else:
            good = {each.offset: each.value for each in found if not each.damaged}
            told = {each.offset for each in found if each.damaged}
            assert good.items() <= {n: event(n).value for n in range(60)}.items(), f"seed {SEED}, byte {at}"
            assert {*good, *told} >= set(range(60)), f"seed {SEED}, byte {at}: lost {set(range(60)) - {*good, *told}}"
            damaged += bool(told)
        path.write_bytes(whole)
    assert damaged > 50, f"{damaged} damaged, {refused} refused: too few to tell anything"


async def test_a_page_that_is_gone_hides_nothing_behind_it(
    make: EmbeddedMake, zeroed: Callable[[Path, bytes], None]
) -> None:
    await write_events(make, 400)
    zeroed(make.folder / LOG, b"event-0")
    async with make.guest() as guest:
        found = await read_all(guest, TOPICS.events)
    assert [each.offset for each in found] == list(range(400))
    assert found[0].value == event(0).value
    assert found[-1].value == event(399).value
    assert sum(each.damaged for each in found) > 100


async def test_a_damaged_record_has_no_content_that_could_be_used(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await broker.ensure_topics([TopicSpec("events", 1)])
        await broker.append([NewRecord("events", b"key-of-it", b"content-of-it", (("name", b"header-of-it"),))])
    flip_in(make.folder / LOG, b"content-of-it")
    async with make.open() as broker:
        (found,) = await read_all(broker, "events")
        assert found == Record("events", 0, 0, 0, b"key-of-it", b"", (), damaged=True)
        assert await broker.read_at(found.position) == found
        assert broker.condition().damaged_records == 1


async def test_compaction_believes_no_damaged_key(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await broker.ensure_topics([TopicSpec("people", 1, compacted=True)])
        await broker.append([record("people", b"face of 0", b"person/000")])
        await broker.append([record("people", b"face of 1", b"person/001")])
    path = make.folder / LOG
    content = path.read_bytes()
    flip(path, content.index(b"person/001") + len(b"person/00"), 1)  # now it reads person/000
    async with make.open() as broker:
        await broker.housekeep()
        assert values(await read_all(broker, "people"))[0] == b"face of 0", "another person's record was removed"
        await broker.append([record("people", None, b"person/000")])
        await broker.housekeep()
        assert values(await read_all(broker, "people")) == [None], "the damaged record outlives its deletion"


async def test_a_damaged_request_becomes_a_dead_letter_and_holds_up_nothing(tmp_path: Path) -> None:
    async with open_embedded(tmp_path, role="owner", clock_ms=clock_ms) as broker:
        specs = [TopicSpec(TOPICS.requests, 8), TopicSpec(TOPICS.events, 8), TopicSpec(TOPICS.replies, 4)]
        specs += [TopicSpec(TOPICS.people, 1, compacted=True), TopicSpec(TOPICS.dead_letters, 1)]
        await broker.ensure_topics(specs)
        await broker.append([NewRecord(TOPICS.requests, b"10.0.0.1", b"REQUEST-THAT-IS-DAMAGED", partition=0)])
    flip_in(tmp_path / LOG, b"REQUEST-THAT-IS-DAMAGED")
    async with serving(tmp_path) as server:
        async with aiohttp.ClientSession() as session:
            assert (await post(session, server.url + USERS, enrol_body("anna", 1)))[0] == 200
            for number in range(9):  # every partition of the requests
                assert (await post(session, server.url + MATCH, match_body(1, f"10.0.0.{number}")))[0] == 200
        server.process.send_signal(signal.SIGTERM)
        said = (await server.process.communicate())[1].decode()
    assert "partition 0, offset 0 is damaged" in said
    async with open_embedded(tmp_path, role="owner", clock_ms=clock_ms) as broker:
        (letter,) = await read_topic(broker, TOPICS.dead_letters)
        assert b"damaged" in (letter.value or b"")
        ids = {orjson.loads(each.value)["id"] for each in await read_topic(broker, TOPICS.events)}
        assert f"{TOPICS.requests}-0-0" in ids


async def killed_with_a_wal(folder: Path, transactions: int) -> None:
    """Leave a WAL with so many transactions, as kill -9 does: files copied while the server has them open."""
    live = folder.with_name("live")
    make = EmbeddedMake(live)
    async with make.open() as broker:
        await broker.ensure_topics([TopicSpec("events", 1)])
        for number in range(transactions):
            await broker.append([record("events", b"transaction %04d " % number + bytes(3000))])
        copy_open_files(live, folder)


def copy_open_files(live: Path, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    for name in (LOG, f"{LOG}-wal"):
        (folder / name).write_bytes((live / name).read_bytes())


@pytest.mark.parametrize("hurt", ["page", "salt", "checksum"])
async def test_a_byte_flipped_in_the_wal_is_told_at_the_start_and_by_the_check(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, hurt: str
) -> None:
    data = tmp_path / "data"
    await killed_with_a_wal(data, 40)
    wal = data / f"{LOG}-wal"
    content = wal.read_bytes()
    frame = 32 + (content.index(b"transaction 0010") - 32) // 4120 * 4120
    flip(wal, frame + {"page": 24 + 1000, "salt": 8, "checksum": 16}[hurt])
    checked = await run("log", "check", "--data-folder", data)
    assert checked.status == 1
    assert "transactions" in checked.err
    async with open_embedded(data, role="owner", clock_ms=clock_ms) as broker:
        left = len(await read_all(broker, "events"))
        condition = broker.condition()
    assert left < 40
    (told,) = [each.getMessage() for each in caplog.records if "WAL" in each.getMessage()] or [None]
    assert told is not None, f"{40 - left} of 40 durable transactions were dropped without a word"
    assert 40 - left <= condition.lost_transactions <= 42 - left
    assert f"at most {condition.lost_transactions} transactions ({condition.lost_frames} frames)" in told


async def test_a_whole_wal_and_an_ordinary_torn_end_are_told_from_damage(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    await killed_with_a_wal(data, 10)
    async with open_embedded(data, role="owner", clock_ms=clock_ms) as broker:
        assert len(await read_all(broker, "events")) == 10
        assert broker.condition().lost_frames == 0
    assert not [each for each in caplog.records if "WAL" in each.getMessage()]

    torn = tmp_path / "torn"
    (tmp_path / "live").rename(tmp_path / "before")
    await killed_with_a_wal(torn, 10)
    wal = torn / f"{LOG}-wal"
    os.truncate(wal, wal.stat().st_size - 100)  # the last frame was on its way
    async with open_embedded(torn, role="owner", clock_ms=clock_ms) as broker:
        assert len(await read_all(broker, "events")) == 9
        assert broker.condition().lost_transactions == 0
    assert not [each for each in caplog.records if each.levelno >= logging.ERROR]


async def test_a_server_killed_under_load_whose_wal_loses_a_byte_says_what_is_gone(tmp_path: Path) -> None:

    async with serving(tmp_path) as server, aiohttp.ClientSession() as session:
        for number in range(8):
            assert (await post(session, server.url + USERS, enrol_body(f"p{number}", number)))[0] == 200
        server.process.kill()
        await server.process.wait()
    wal = tmp_path / f"{LOG}-wal"
    flip(wal, 32 + (wal.stat().st_size // 4120 // 2) * 4120 + 2000)
    async with serving(tmp_path) as server, aiohttp.ClientSession() as session:
        async with session.get(f"{server.url}/metrics") as response:
            metrics = await response.text()
        server.process.send_signal(signal.SIGTERM)
        said = (await server.process.communicate())[1].decode()
    assert "its WAL was damaged in the middle" in said
    assert "picturematch_log_lost_transactions 0.0" not in metrics


async def test_an_older_format_is_refused_in_a_sentence(make: EmbeddedMake) -> None:
    await write_events(make, 1)
    with sqlite3.connect(make.folder / LOG) as stranger:
        stranger.execute("PRAGMA user_version = 1")
    stranger.close()
    with pytest.raises(BrokerError, match=r"has format 1, this version reads format 3.*another data folder"):
        await make.open().__aenter__()


async def test_a_damaged_page_takes_no_neighbours_write_along(
    make: EmbeddedMake, zeroed: Callable[[Path, bytes], None]
) -> None:
    """The sweep meets the damaged page in the same transaction in which others append."""
    async with make.open() as broker:
        await broker.ensure_topics([TopicSpec("requests", 1, retention_ms=1000), TopicSpec("events", 1)])
        await broker.append([record("requests", b"MARK" + bytes(500)) for _ in range(1100)])
        await broker.append([record("events", b"0")])
        await broker.housekeep()  # the times of so many are noted as in order, so that the next sweep begins to remove
    zeroed(make.folder / LOG, b"MARK")
    make.elapse(5000)
    async with make.open() as broker:

        async def append(sweep: "asyncio.Task[None]", broker: EmbeddedBroker = broker) -> int:
            number = 0
            while not sweep.done() or number < 5:
                await broker.append([record("events", b"x")])
                number += 1
            return number

        sweep = asyncio.create_task(broker.housekeep())
        written = await asyncio.gather(*(append(sweep) for _ in range(32)))
        with pytest.raises(BrokerError, match="damaged"):
            await sweep
        assert broker.available()
        async with broker.member("events", "group") as member:
            assert len(await fetch_count(member, sum(written) + 1)) == sum(written) + 1


async def test_a_damaged_size_removes_no_other_records(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await broker.ensure_topics([TopicSpec("requests", 1, retention_bytes=1_000_000)])
        await broker.append([record("requests", b"%d" % number) for number in range(20)])
    with sqlite3.connect(make.folder / LOG) as stranger:
        stranger.execute("UPDATE record SET bytes = bytes | (1 << 50) WHERE value = ?", (b"7",))
    stranger.close()
    async with make.open() as broker:
        await broker.housekeep()
        assert len(await read_all(broker, "requests")) == 20


async def test_people_that_a_damaged_page_hides_are_named_at_the_start_and_by_the_check(
    make: EmbeddedMake, caplog: pytest.LogCaptureFixture
) -> None:
    """The page says that it holds fewer records than it does, which SQLite takes as it is."""
    async with make.open() as broker:
        await broker.ensure_topics([TopicSpec("people", 1, compacted=True)])
        await broker.append([record("people", b"face %d" % n, b"person/%03d" % n) for n in range(300)])
        await broker.housekeep()
    path = make.folder / LOG
    content = bytearray(path.read_bytes())
    page = content.index(b"face 150") // 4096 * 4096
    assert content[page] == 0x0D, "no leaf of a table"
    content[page + 4] -= 4
    path.write_bytes(content)
    checked = await run("log", "check", "--data-folder", make.folder)
    assert checked.status == 1
    async with make.open() as broker:
        hidden = {b"person/%03d" % n for n in range(300)} - {each.key for each in await read_all(broker, "people")}
        assert len(hidden) == 4
        await until(lambda: broker.condition().damaged_records >= 4, 30)
    for key in hidden:
        assert any(f"key '{key.decode()}'" in each.getMessage() for each in caplog.records)
        assert key.decode() in checked.err


async def test_a_person_who_is_missing_where_nothing_was_compacted_yet_is_damage(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await broker.ensure_topics([TopicSpec("people", 1, compacted=True, min_compaction_lag_ms=DAY_MS)])
        await broker.append([record("people", b"face %d" % n, b"person/%d" % n) for n in range(9)])
        await broker.housekeep()
    with sqlite3.connect(make.folder / LOG) as stranger:
        stranger.execute("DELETE FROM record WHERE value = ?", (b"face 4",))
    stranger.close()
    async with make.open() as broker:
        assert [(each.offset, each.damaged) for each in await read_all(broker, "people")][4] == (4, True)


async def test_a_person_without_a_key_who_was_looked_after_hides_nobody_again(make: EmbeddedMake) -> None:
    """Tombstones go after thirty days; the record that one of them is about must not come back with the next start."""
    async with make.open() as broker:
        await broker.ensure_topics([TopicSpec("people", 1, compacted=True)])
        await broker.append([record("people", b"face %d" % n, b"other/%d" % n) for n in range(3)])
        await broker.housekeep()
    with sqlite3.connect(make.folder / LOG) as stranger:
        stranger.execute("UPDATE record SET key = NULL WHERE value = ?", (b"face 1",))
    stranger.close()
    async with make.open() as broker:
        await broker.append([NewRecord("people", b"damaged/1", None)])
        await broker.housekeep()
        make.elapse(31 * DAY_MS)
        await broker.housekeep()
    async with make.open() as broker:
        inventory = Inventory()
        inventory.take(await read_all(broker, "people"))
        assert b"damaged/1" not in [hole.key for hole in inventory.unreadable()]
        assert broker.condition().damaged_records == 0
    assert (await run("log", "check", "--data-folder", make.folder)).status == 0
    assert b"face 1" not in (make.folder / LOG).read_bytes()
