"""`picturematch log`: check, backup and restore, beside a running server and without one."""

import asyncio
import sqlite3
import stat
from pathlib import Path

import orjson
import pytest

from broker.embedded import EmbeddedBroker, open_embedded
from broker.port import BrokerError, NewRecord, TopicSpec
from contract.audit import LOG_OPERATOR
from contract.topics import Topics
from tests.contract.embedded_make import EmbeddedMake
from tests.contract.suites import fetch_count, read_all, record, values
from tests.faults.broker.child import clock_ms
from tests.support.commands import Finished, run

TOPICS = Topics()
LOG = "log.sqlite"


def event(number: int) -> NewRecord:
    body = {"id": f"event-{number:04}", "kind": "match", "device_ip": "10.0.0.1"}
    return NewRecord(TOPICS.events, None, orjson.dumps(body))


@pytest.fixture
def make(tmp_path: Path) -> EmbeddedMake:
    return EmbeddedMake(tmp_path / "data")


async def write(broker: EmbeddedBroker, numbers: range) -> None:
    await broker.ensure_topics([TopicSpec(TOPICS.events, 1)])
    await broker.append([event(number) for number in numbers])


def sentence(done: Finished) -> str:
    """What a command that could not be done said."""
    assert done.status == 2
    assert "Traceback" not in done.err
    return done.err


async def test_a_whole_log_is_found_whole_beside_its_server_and_without(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker, range(500))
        beside = await run("log", "check", "--data-folder", make.folder)
    without = await run("log", "check", "--data-folder", make.folder)
    for done in (beside, without):
        assert (done.status, done.err) == (0, "")
        assert done.out == "500 records checked, 0 findings\n"


async def test_every_kind_of_damage_is_named_and_ends_with_status_1(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker, range(300))
    with sqlite3.connect(make.folder / LOG) as stranger:
        stranger.execute("UPDATE record SET value = ? WHERE id & 1023 = 7", (b"changed",))
        stranger.execute("DELETE FROM record WHERE id & 1023 BETWEEN 20 AND 24")
    stranger.close()
    done = await run("log", "check", "--data-folder", make.folder, "--limit", 3)
    assert done.status == 1
    assert "offset 7 is damaged" in done.err
    assert "offset 20 is damaged" in done.err
    assert "and 3 findings more" in done.err
    assert "6 findings" in done.out


async def test_a_file_that_sqlite_finds_damaged_is_told(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker, range(300))
    path = make.folder / LOG
    content = bytearray(path.read_bytes())
    at = content.index(b"event-0150") // 4096 * 4096
    content[at : at + 8] = bytes(8)
    path.write_bytes(content)
    done = await run("log", "check", "--data-folder", make.folder)
    assert done.status == 1
    assert "the file is damaged" in done.err
    assert "Traceback" not in done.err


async def test_there_is_nothing_to_check_where_there_is_no_log(tmp_path: Path) -> None:
    assert "there is no log" in sentence(await run("log", "check", "--data-folder", tmp_path))


async def test_a_log_on_kafka_is_not_ours_to_check(tmp_path: Path) -> None:
    done = await run("log", "check", PICTUREMATCH_BROKER="kafka://localhost:9092")
    assert "Kafka's own tools" in sentence(done)


async def test_a_backup_beside_a_writing_server_is_a_whole_log_of_one_moment(
    make: EmbeddedMake, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.sqlite"
    written = 0

    async def keep_writing(broker: EmbeddedBroker) -> None:
        nonlocal written
        while True:
            await broker.append([event(written)])
            written += 1

    async with make.open() as broker:
        await write(broker, range(0))
        await broker.append([event(n) for n in range(2000)])
        written = 2000
        writing = asyncio.create_task(keep_writing(broker))
        before = written
        done = await run("log", "backup", copy, "--data-folder", make.folder)
        writing.cancel()
        assert (done.status, done.err) == (0, "")
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert not copy.with_name("copy.sqlite-wal").exists()
    (tmp_path / "restored").mkdir(mode=0o700)
    done = await run("log", "restore", copy, "--data-folder", tmp_path / "restored")
    assert (done.status, done.err) == (0, "")
    async with open_embedded(tmp_path / "restored", role="owner", clock_ms=clock_ms) as broker:
        ids = [orjson.loads(found.value or b"")["id"] for found in await read_all(broker, TOPICS.events)]
    audited = await run("audit", "--kind", "restore", "--json", "--data-folder", tmp_path / "restored")
    (change,) = map(orjson.loads, audited.out.splitlines())
    assert (change["actor"], change["objects"], change["outcome"]) == (LOG_OPERATOR, [copy.name], "restored")
    assert ids == [f"event-{number:04}" for number in range(len(ids))]
    assert before <= len(ids) <= written


async def test_a_backup_overwrites_nothing(make: EmbeddedMake, tmp_path: Path) -> None:
    async with make.open() as broker:
        await write(broker, range(1))
    target = tmp_path / "there"
    target.write_text("mine")
    assert "exists already" in sentence(await run("log", "backup", target, "--data-folder", make.folder))
    assert target.read_text() == "mine"
    nowhere = tmp_path / "none" / "copy"
    assert "cannot be written" in sentence(await run("log", "backup", nowhere, "--data-folder", make.folder))


async def test_a_restored_log_reuses_no_offset_so_no_reader_passes_over_a_new_record(
    make: EmbeddedMake, tmp_path: Path
) -> None:
    copy, out = tmp_path / "copy.sqlite", tmp_path / "out"
    async with make.open() as broker:
        await write(broker, range(5))
        assert (await run("log", "backup", copy, "--data-folder", make.folder)).status == 0
        await write(broker, range(5, 20))
        carried = await run("sink", "jsonl", "--data-folder", make.folder, "--out", out, "--idle-exit", "1s")
        assert "20 events carried" in carried.out
        async with broker.member(TOPICS.events, "own") as member:
            await fetch_count(member, 20)
            await member.commit(0, 20)
        running = await run("log", "restore", copy, "--data-folder", make.folder, "--replace")
        assert "stop" in sentence(running)
    assert "--replace" in sentence(await run("log", "restore", copy, "--data-folder", make.folder))
    done = await run("log", "restore", copy, "--data-folder", make.folder, "--replace")
    assert (done.status, done.err) == (0, "")
    (aside,) = make.folder.glob("replaced-*")
    assert (aside / LOG).exists()
    assert stat.S_IMODE(aside.stat().st_mode) == 0o700
    async with make.open() as broker:
        await write(broker, range(100, 130))  # more than were lost, so that a reused offset would be passed over
        assert len(await read_all(broker, TOPICS.events)) == 35
        carried = await run("sink", "jsonl", "--data-folder", make.folder, "--out", out, "--idle-exit", "1s")
        assert "30 events carried" in carried.out, carried.err
        checked = await run("log", "check", "--data-folder", make.folder)
        assert (checked.status, checked.err) == (0, "")
    lines = b"".join(path.read_bytes() for path in sorted(out.glob("*.jsonl"))).splitlines()
    ids = [orjson.loads(line)["id"] for line in lines]
    assert ids == [f"event-{number:04}" for number in (*range(20), *range(100, 130))]


async def test_a_damaged_or_strange_backup_replaces_nothing(make: EmbeddedMake, tmp_path: Path) -> None:
    copy, strange = tmp_path / "copy.sqlite", tmp_path / "strange"
    async with make.open() as broker:
        await write(broker, range(300))
        assert (await run("log", "backup", copy, "--data-folder", make.folder)).status == 0
    content = bytearray(copy.read_bytes())
    at = content.index(b"event-0150") // 4096 * 4096
    content[at : at + 8] = bytes(8)
    copy.write_bytes(content)
    strange.write_bytes(b"no log at all " * 1000)
    for source in (copy, strange):
        assert str(source) in sentence(await run("log", "restore", source, "--data-folder", make.folder, "--replace"))
    assert not list(make.folder.glob("replaced-*"))
    async with make.open() as broker:
        assert len(await read_all(broker, TOPICS.events)) == 300


async def test_a_backup_whose_records_are_damaged_is_refused(make: EmbeddedMake, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    async with make.open() as broker:
        await broker.ensure_topics([TopicSpec("people", 1, compacted=True)])
        await broker.append([record("people", b"FACE-OF-ANNA", b"anna")])
        assert (await run("log", "backup", copy, "--data-folder", make.folder)).status == 0
    content = copy.read_bytes()
    copy.write_bytes(content.replace(b"FACE-OF-ANNA", b"FACE-OF-ANNO"))
    told = sentence(await run("log", "restore", copy, "--data-folder", make.folder, "--replace"))
    assert "damaged" in told
    async with make.open() as broker:
        assert values(await read_all(broker, "people")) == [b"FACE-OF-ANNA"]
    done = await run("log", "restore", copy, "--data-folder", make.folder, "--replace", "--accept-damage")
    assert (done.status, done.err) == (0, "")
    async with make.open() as broker:
        assert [found.damaged for found in await read_all(broker, "people")] == [True]


async def test_a_restore_that_was_broken_off_begins_no_empty_log(make: EmbeddedMake, tmp_path: Path) -> None:
    copy = tmp_path / "copy.sqlite"
    async with make.open() as broker:
        await write(broker, range(3))
        assert (await run("log", "backup", copy, "--data-folder", make.folder)).status == 0
    (make.folder / LOG).rename(make.folder / f"{LOG}-restored")  # as far as a power cut may leave it
    started = make.open()
    with pytest.raises(BrokerError, match="was broken off"):
        await started.__aenter__()
    assert (await run("log", "restore", copy, "--data-folder", make.folder)).status == 0
    async with make.open() as broker:
        assert len(await read_all(broker, TOPICS.events)) == 3


async def test_a_rewrite_leaves_a_whole_log_and_is_refused_beside_a_server(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker, range(300))
        beside = await run("log", "rewrite", "--data-folder", make.folder)
    assert "stop it, rewrite the log, and start it again" in sentence(beside)
    done = await run("log", "rewrite", "--data-folder", make.folder)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith(f"the log in {make.folder} is written anew (")
    checked = await run("log", "check", "--data-folder", make.folder)
    assert checked.out == "300 records checked, 0 findings\n"
    assert "Kafka's own tools" in sentence(await run("log", "rewrite", PICTUREMATCH_BROKER="kafka://localhost:9092"))
