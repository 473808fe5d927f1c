"""The system's clock is wrong: nothing is erased by it, and nothing outlives its retention for it."""

import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from broker.embedded import EmbeddedBroker
from broker.port import BrokerError, TopicSpec
from tests.contract.embedded_make import EmbeddedMake
from tests.contract.suites import read_all, record, values
from tests.support.commands import run

DAY_MS = 24 * 3600 * 1000
YEAR_MS = 365 * DAY_MS
REQUESTS = TopicSpec("requests", 1, retention_ms=7 * DAY_MS)
EVENTS = TopicSpec("events", 1, retention_ms=YEAR_MS)


@pytest.fixture
def make(tmp_path: Path) -> EmbeddedMake:
    return EmbeddedMake(tmp_path / "data")


async def write(broker: EmbeddedBroker, *contents: bytes) -> None:
    await broker.ensure_topics([REQUESTS, EVENTS])
    await broker.append([record("requests", content) for content in contents])


async def test_a_clock_one_year_ahead_for_a_minute_erases_nothing(
    make: EmbeddedMake, caplog: pytest.LogCaptureFixture
) -> None:
    async with make.open() as broker:
        await write(broker, b"a face")
        await broker.housekeep()
        make.set_clock(YEAR_MS)
        await broker.append([record("requests", b"during")])
        for _ in range(3):
            make.elapse(20_000)
            await broker.housekeep()
        make.set_clock(-YEAR_MS)
        await broker.housekeep()
        assert values(await read_all(broker, "requests")) == [b"a face", b"during"]
        told = [each.getMessage() for each in caplog.records if "clock" in each.getMessage()]
        assert len(told) == 2, told
        assert "365.0 days ahead" in told[0]
        assert "picturematch log accept-clock" in told[0]
        assert "trusted again" in told[1]
        make.elapse(8 * DAY_MS)
        await broker.housekeep()
        assert values(await read_all(broker, "requests")) == [], "what was written under the wrong clock outlives it"


async def test_a_clock_one_year_ahead_at_the_start_erases_nothing(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker, b"a face")
    make.set_clock(YEAR_MS)
    for _ in range(2):  # what is written under the wrong clock must not vouch for it at the next start
        async with make.open() as broker:
            await write(broker, b"during")
            await broker.housekeep()
            assert values(await read_all(broker, "requests"))[0] == b"a face"
            assert "365.0 days ahead" in (broker.condition().clock_doubt or "")


async def test_a_clock_one_year_back_is_told_and_its_records_are_not_erased_as_old_ones(
    make: EmbeddedMake, caplog: pytest.LogCaptureFixture
) -> None:
    async with make.open() as broker:
        await write(broker, b"before")
    make.set_clock(-YEAR_MS)
    async with make.open() as broker:
        await broker.append([record("requests", b"under the wrong clock")])
        await broker.housekeep()
        assert "365.0 days behind" in (broker.condition().clock_doubt or "")
        make.set_clock(YEAR_MS)
        make.elapse(60_000)
        await broker.housekeep()
        assert broker.condition().clock_doubt is None
        assert values(await read_all(broker, "requests")) == [b"before", b"under the wrong clock"]
        make.elapse(8 * DAY_MS)
        await broker.housekeep()
        assert values(await read_all(broker, "requests")) == []
    assert any("365.0 days behind" in each.getMessage() for each in caplog.records if each.levelno == logging.ERROR)


async def test_faces_do_not_outlive_their_retention_behind_records_from_the_future(make: EmbeddedMake) -> None:
    """More of them than one step of the sweep looks at."""
    async with make.open() as broker:
        await write(broker)
        make.set_clock(YEAR_MS)
        await write(broker, *[b"future"] * 1_300)
        make.set_clock(-YEAR_MS)
        await write(broker, *[b"a face"] * 3)
        make.elapse(8 * DAY_MS)
        await write(broker, b"young")
        await broker.housekeep()
        assert values(await read_all(broker, "requests")) == [b"young"]


async def test_times_that_the_disk_has_damaged_do_not_stop_retention(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker, *[b"damaged"] * 1_100, *[b"a face"] * 3)
        await broker.housekeep()
        make.elapse(DAY_MS)
        await write(broker, b"young")
        await broker.housekeep()
    with sqlite3.connect(make.folder / "log.sqlite") as stranger:
        stranger.execute("UPDATE record SET timestamp_ms = timestamp_ms * 2 WHERE value = ?", (b"damaged",))
        stranger.execute("UPDATE shard SET timed_offset = 2000, timed_ms = 0")
    stranger.close()
    make.elapse(6 * DAY_MS + 60_000)
    async with make.open() as broker:
        await broker.housekeep()
        assert b"a face" not in values(await read_all(broker, "requests"))
        assert b"young" in values(await read_all(broker, "requests"))
        make.elapse(2 * DAY_MS)
        await broker.housekeep()
        assert await read_all(broker, "requests") == [], "records of damaged times stay for good"


async def accepted(make: EmbeddedMake, broker: EmbeddedBroker) -> None:
    (make.folder / "clock.accepted").write_bytes(b"%d" % make.now_ms)
    await broker.housekeep()


async def test_a_time_looked_for_is_found_whatever_the_clock_did(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker, b"1")
        make.set_clock(YEAR_MS)
        await write(broker, b"2")
        make.set_clock(-YEAR_MS)
        make.elapse(60_000)
        since_s = make.now_ms / 1000
        await write(broker, b"3")
        assert values(await read_all(broker, "requests", since_s))[-1] == b"3"
        await broker.housekeep()
        assert values(await read_all(broker, "requests", since_s)) == [b"2", b"3"]


async def test_retention_by_bytes_and_compaction_go_on_while_the_clock_is_in_doubt(make: EmbeddedMake) -> None:
    sized, people = TopicSpec("sized", 1, retention_bytes=50_000), TopicSpec("people", 1, compacted=True)
    async with make.open() as broker:
        await write(broker, b"a face")
        await broker.ensure_topics([sized, people])
        await broker.housekeep()
        make.set_clock(YEAR_MS)
        await broker.append([record("sized", bytes(10_000)) for _ in range(9)])
        await broker.append([record("people", b"face", b"anna"), record("people", None, b"anna")])
        await broker.housekeep()
        assert broker.condition().clock_doubt is not None
        assert len(await read_all(broker, "sized")) == 5
        assert values(await read_all(broker, "people")) == [None]
        make.set_clock(-YEAR_MS)
        await broker.housekeep()
        make.elapse(31 * DAY_MS)
        await broker.housekeep()
        assert await read_all(broker, "people") == [], "a tombstone stamped in the future outlives its thirty days"


async def test_a_machine_that_was_off_is_believed_after_an_hour(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker, b"a face")
    make.reboot(off_ms=8 * DAY_MS)
    async with make.open() as broker:
        await broker.housekeep()
        assert values(await read_all(broker, "requests")) == [b"a face"]
        make.elapse(3600 * 1000)
        await broker.housekeep()
        assert await read_all(broker, "requests") == []
        assert broker.condition().clock_doubt is None


async def test_a_server_that_was_off_while_its_machine_ran_needs_no_trial(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker, b"a face")
    make.elapse(8 * DAY_MS)
    async with make.open() as broker:
        await broker.housekeep()
        assert await read_all(broker, "requests") == []


async def test_the_operators_word_ends_the_doubt(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker, b"a face")
        await broker.housekeep()
        make.set_clock(YEAR_MS)
        await broker.housekeep()
        assert broker.condition().clock_doubt is not None
        stale = make.now_ms - 2 * 3600 * 1000
        (make.folder / "clock.accepted").write_bytes(b"%d" % stale)
        await broker.housekeep()
        assert broker.condition().clock_doubt is not None, "somebody accepted another time"
        await accepted(make, broker)
        assert broker.condition().clock_doubt is None
        assert await read_all(broker, "requests") == []


async def test_the_command_accepts_the_clock_of_this_machine(tmp_path: Path) -> None:
    data = tmp_path / "data"
    make = EmbeddedMake(data)
    make.set_clock(int(time.time() * 1000) - make.now_ms - 8 * DAY_MS)
    async with make.open() as broker:
        await write(broker, b"a face")
        await broker.housekeep()
        make.set_clock(8 * DAY_MS)
        await broker.housekeep()
        assert broker.condition().clock_doubt is not None
        done = await run("log", "accept-clock", "--data-folder", data)
        assert (done.status, done.err) == (0, "")
        await broker.housekeep()
        assert await read_all(broker, "requests") == []


async def test_accepting_the_clock_where_there_is_no_folder_is_a_sentence(tmp_path: Path) -> None:
    done = await run("log", "accept-clock", "--data-folder", tmp_path / "none")
    assert done.status == 2
    assert "cannot be written" in done.err
    assert "Traceback" not in done.err


async def test_one_partition_that_cannot_be_swept_keeps_no_other_from_it(
    make: EmbeddedMake, zeroed: Callable[[Path, bytes], None]
) -> None:
    other = TopicSpec("replies", 1, retention_ms=7 * DAY_MS)
    async with make.open() as broker:
        await write(broker, *[b"MARK" + bytes(3000) for _ in range(40)])
        await broker.ensure_topics([other])
        await broker.append([record("replies", b"old")])
        await broker.housekeep()
    zeroed(make.folder / "log.sqlite", b"MARK")
    make.elapse(8 * DAY_MS)
    async with make.open() as broker:
        with pytest.raises(BrokerError, match="damaged"):
            await broker.housekeep()
        assert await read_all(broker, "replies") == []
        assert broker.available()
        await broker.append([record("replies", b"goes on")])
