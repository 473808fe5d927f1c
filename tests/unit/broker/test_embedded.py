"""What is the embedded make's own: files, locks, guests' limits, full disks, giving space back."""

import asyncio
import errno
import os
import shutil
import sqlite3
import stat
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from broker.embedded import EmbeddedBroker, open_embedded
from broker.embedded.groups import GuestOffsets
from broker.embedded.store import LOG_FILE
from broker.port import (
    BrokerError,
    BrokerInUse,
    BrokerUnavailable,
    Position,
    Skip,
    Skipped,
    Start,
    TopicSpec,
)
from tests.contract.embedded_make import EmbeddedMake
from tests.contract.suites import LONG_S, SOON_S, fetch_count, read_all, record, values
from tests.support.waiting import until, until_asked

TOPIC = "events"


@pytest.fixture
def make(tmp_path: Path) -> EmbeddedMake:
    return EmbeddedMake(tmp_path / "data")


async def write(broker: EmbeddedBroker, *contents: bytes) -> None:
    await broker.ensure_topics([TopicSpec(TOPIC, 1)])
    await broker.append([record(TOPIC, content) for content in contents])


async def test_only_the_owner_of_the_files_may_read_them(make: EmbeddedMake) -> None:
    before = os.umask(0)
    try:
        async with make.open() as broker:
            await write(broker, b"face")
            async with broker.member(TOPIC, "group"), make.guest() as guest, guest.member(TOPIC, "sink"):
                modes = {path: stat.S_IMODE(path.stat().st_mode) for path in [make.folder, *make.folder.rglob("*")]}
    finally:
        os.umask(before)
    assert len(modes) >= 7
    assert all(not mode & 0o077 for mode in modes.values()), modes


async def test_a_second_owner_is_told_which_folder_is_in_use(make: EmbeddedMake) -> None:
    async with make.open():
        with pytest.raises(BrokerInUse, match=f"{make.folder}.*{os.getpid()}.*stop"):
            async with make.open():
                pass
    async with make.open():
        pass


async def test_a_group_has_one_member_at_a_time(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker)
        async with broker.member(TOPIC, "group"):
            with pytest.raises(BrokerInUse, match="group"):
                async with broker.member(TOPIC, "group"):
                    pass
            async with make.guest() as guest:
                with pytest.raises(BrokerInUse, match="group"):
                    async with guest.member(TOPIC, "group"):
                        pass
        async with broker.member(TOPIC, "group"):
            pass


@pytest.mark.parametrize("role", ["owner", "guest"])
async def test_a_lock_on_a_full_disk_says_so(make: EmbeddedMake, role: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with make.open() as broker:
        await write(broker)
        async with make.guest() as guest:
            member = (guest if role == "guest" else broker).member(TOPIC, "group")
            with monkeypatch.context() as patch:
                patch.setattr("broker.embedded.locks.os.pwrite", full)
                with pytest.raises(
                    BrokerError, match=r"group@\w+\.lock cannot be written: No space .* free some space"
                ):
                    await member.__aenter__()
            async with member:
                assert await member.committed(0) is None


async def test_offsets_of_a_guest_on_a_full_disk_are_not_to_be_deleted(
    make: EmbeddedMake, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> sqlite3.Connection:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL
        raise error

    async with make.open() as broker:
        await write(broker)
        async with make.guest() as guest:
            monkeypatch.setattr("broker.embedded.groups.sqlite3.connect", full)
            with pytest.raises(BrokerUnavailable, match="free some space"):
                await guest.member(TOPIC, "group").__aenter__()
            monkeypatch.undo()


async def test_a_group_may_have_any_name(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker, b"one")
        for name in ("../../escape", "..", "a/b\\c", "größe 1", "@"):
            async with broker.member(TOPIC, name) as member:
                await member.commit(0, 1)
                assert await member.committed(0) == 1
    assert {path.parent for path in make.folder.rglob("*.lock")} == {make.folder, make.folder / "groups"}


async def test_a_commit_beyond_the_end_is_refused(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker, b"one")
        async with broker.member(TOPIC, "group") as member:
            with pytest.raises(BrokerError, match="ends at 1"):
                await member.commit(0, 2)
            assert await member.committed(0) is None


async def test_a_log_that_is_not_closed_warns(make: EmbeddedMake) -> None:
    broker = make.open()
    await broker.__aenter__()
    log = broker._log
    held = [broker]
    del broker
    with pytest.warns(ResourceWarning) as warned:
        held.clear()
    await log.close()
    assert [str(warning.message) for warning in warned] == [f"the log in {make.folder} was not closed"]


async def test_closing_writes_what_was_submitted(make: EmbeddedMake) -> None:
    broker = await make.open().__aenter__()
    await write(broker)
    waiting = [asyncio.create_task(broker.append([record(TOPIC, b"%d" % number)])) for number in range(20)]
    await asyncio.sleep(0)
    await broker.close()
    assert len(await asyncio.gather(*waiting)) == 20
    assert not (make.folder / f"{LOG_FILE}-wal").exists()
    async with make.open() as broker:
        assert len(await read_all(broker, TOPIC)) == 20


async def test_closing_ends_a_waiting_fetch_with_a_sentence(make: EmbeddedMake) -> None:
    broker = await make.open().__aenter__()
    await write(broker)
    async with broker.reader(TOPIC) as reader:
        waiting = asyncio.create_task(reader.fetch())
        await asyncio.sleep(0.01)
        await broker.close()
        with pytest.raises(BrokerError, match="closed"):
            await waiting


async def test_a_cancelled_append_may_still_be_written_and_harms_nobody(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker)
        cancelled = asyncio.create_task(broker.append([record(TOPIC, b"perhaps")]))
        await asyncio.sleep(0)
        cancelled.cancel()
        await broker.append([record(TOPIC, b"surely")])
        assert cancelled.cancelled()
        assert values(await read_all(broker, TOPIC))[-1] == b"surely"


async def test_a_cancelled_commit_is_known_to_its_member_once_it_is_written(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker, b"one", b"two")
        async with broker.member(TOPIC, "group") as member:
            cancelled = asyncio.create_task(member.commit(0, 1))
            await asyncio.sleep(0)
            cancelled.cancel()
            await broker.append([record(TOPIC)])
            assert await member.committed(0) == 1


class TestFaults:
    async def test_a_full_disk_makes_the_log_unavailable_and_it_recovers_by_itself(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await write(broker, b"kept")
            writer = broker._log._writer
            writer._probe_s = 0.02
            async with broker.member(TOPIC, "group") as member:
                await fetch_count(member, 1)
                await writer.submit_alone(lambda connection: connection.execute("PRAGMA max_page_count = 1"))
                big = [record(TOPIC, bytes(500_000))]
                outcomes = await asyncio.gather(*(broker.append(big) for _ in range(3)), return_exceptions=True)
                assert {type(outcome) for outcome in outcomes} == {BrokerUnavailable}
                assert "full" in str(outcomes[0])
                assert not broker.available()
                with pytest.raises(BrokerUnavailable):
                    await member.commit(0, 1, big)
                await member.rewind(0)
                assert values(await fetch_count(member, 1)) == [b"kept"]
                assert values(await read_all(broker, TOPIC)) == [b"kept"]
                await asyncio.sleep(0.1)
                assert not broker.available()
                await writer.submit_alone(lambda connection: connection.execute("PRAGMA max_page_count = 1000000"))
                await until(broker.available, LONG_S)
                await member.commit(0, 1, [record(TOPIC, b"after")])
            assert values(await read_all(broker, TOPIC)) == [b"kept", b"after"]

    async def test_a_stranger_holding_the_file_is_an_unavailable_log(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await write(broker, b"kept")
            await broker._log._writer.submit_alone(lambda connection: connection.execute("PRAGMA busy_timeout = 0"))
            stranger = sqlite3.connect(make.folder / LOG_FILE, isolation_level=None)
            stranger.execute("BEGIN IMMEDIATE")
            with pytest.raises(BrokerUnavailable):
                await broker.append([record(TOPIC, b"lost")])
            stranger.close()
            await broker.append([record(TOPIC, b"after")])
            assert values(await read_all(broker, TOPIC)) == [b"kept", b"after"]

    @pytest.mark.parametrize("role", ["owner", "guest"])
    async def test_a_damaged_log_is_named_and_a_way_out_too(self, make: EmbeddedMake, role: str) -> None:
        make.folder.mkdir()
        (make.folder / LOG_FILE).write_bytes(b"no database at all. " * 500)
        with pytest.raises(BrokerError, match=rf"{make.folder}.*damaged.*restore"):
            async with make.open() if role == "owner" else make.guest():
                pass

    async def test_pages_damaged_while_running_are_a_sentence_too(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await write(broker, *[bytes(3000) for _ in range(200)])
        path = make.folder / LOG_FILE
        content = bytearray(path.read_bytes())
        content[20_000:-20_000] = b"\xff" * (len(content) - 40_000)
        path.write_bytes(content)
        with pytest.raises(BrokerError, match="damaged"):
            async with make.open() as broker:
                await read_all(broker, TOPIC)

    @pytest.mark.parametrize("role", ["owner", "guest"])
    async def test_another_programs_file_is_left_alone(self, make: EmbeddedMake, role: str) -> None:
        make.folder.mkdir()
        with sqlite3.connect(make.folder / LOG_FILE) as other:
            other.execute("CREATE TABLE theirs (x)")
        other.close()
        before = (make.folder / LOG_FILE).read_bytes()
        with pytest.raises(BrokerError, match="not a log of this program"):
            async with make.open() if role == "owner" else make.guest():
                pass
        assert (make.folder / LOG_FILE).read_bytes() == before

    async def test_a_log_of_a_newer_format_is_refused(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await write(broker)
        with sqlite3.connect(make.folder / LOG_FILE) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
        for opened in (make.open(), make.guest()):
            with pytest.raises(BrokerError, match="format 99"):
                async with opened:
                    pass

    async def test_a_folder_that_cannot_be_made_is_a_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a folder")
        for folder in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(BrokerError, match="choose another"):
                async with EmbeddedMake(folder).open():
                    pass
            with pytest.raises(BrokerError, match=str(folder)):
                async with EmbeddedMake(folder).guest():
                    pass

    async def test_a_failed_opening_leaves_the_folder_free(self, make: EmbeddedMake) -> None:
        make.folder.mkdir()
        (make.folder / LOG_FILE).write_bytes(b"no database at all. " * 500)
        with pytest.raises(BrokerError):
            async with make.open():
                pass
        (make.folder / LOG_FILE).unlink()
        async with make.open():
            pass


class TestHousekeeping:
    async def test_deleted_contents_are_gone_from_the_files_and_their_space_is_given_back(
        self, make: EmbeddedMake
    ) -> None:
        face = b"a face that must not stay behind "
        async with make.open() as broker:
            await broker.ensure_topics([TopicSpec("requests", 1, retention_ms=1000)])
            for _ in range(30):
                await broker.append([record("requests", face * 30_000)])
            make.elapse(2000)
            await broker.append([record("requests", b"young")])
            assert face in _bytes_on_disk(make.folder)
            await broker.housekeep()
            assert face not in _bytes_on_disk(make.folder)
            assert len(_bytes_on_disk(make.folder)) < 16_000_000
            assert values(await read_all(broker, "requests")) == [b"young"]

    async def test_a_reader_that_stands_still_in_the_file_holds_nobody_up(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await broker.ensure_topics([TopicSpec("requests", 1, retention_ms=1000)])
            await broker.append([record("requests", b"old")])
            stranger = sqlite3.connect(make.folder / LOG_FILE, isolation_level=None)
            stranger.execute("BEGIN")
            assert stranger.execute("SELECT count(*) FROM record").fetchone() == (1,)
            make.elapse(2000)
            async with asyncio.timeout(LONG_S):
                await broker.append([record("requests", b"young")])
                await broker.housekeep()
                await broker.append([record("requests", b"younger")])
            assert stranger.execute("SELECT count(*) FROM record").fetchone() == (1,)
            stranger.close()
            assert broker.available()
            assert values(await read_all(broker, "requests")) == [b"young", b"younger"]

    async def test_records_stamped_in_the_future_neither_keep_older_ones_nor_outlive_them(
        self, make: EmbeddedMake
    ) -> None:
        async with make.open() as broker:
            await broker.ensure_topics([TopicSpec("requests", 1, retention_ms=1000)])
            make.set_clock(10_000_000)
            await broker.append([record("requests", b"future")])
            make.set_clock(-10_000_000)
            await broker.append([record("requests", b"past")])
            make.elapse(5000)
            await broker.append([record("requests", b"young")])
            await broker.housekeep()
            assert values(await read_all(broker, "requests")) == [b"young"]

    async def test_appends_go_on_during_housekeeping_of_much(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await broker.ensure_topics([TopicSpec("requests", 1, retention_ms=1000), TopicSpec(TOPIC, 1)])
            for _ in range(20):
                await broker.append([record("requests", bytes(100_000))] * 20)
            make.elapse(2000)
            keeping = asyncio.create_task(broker.housekeep())
            between = 0
            while not keeping.done():
                await broker.append([record(TOPIC, b"%d" % between)])
                between += 1
            await keeping
            assert between > 5
            assert values(await read_all(broker, TOPIC)) == [b"%d" % number for number in range(between)]
            assert await read_all(broker, "requests") == []

    async def test_the_wal_is_copied_away_while_much_is_written(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await write(broker)
            for _ in range(60):
                await broker.append([record(TOPIC, bytes(1_000_000))])
                await asyncio.sleep(0.002)
            await until(lambda: (make.folder / LOG_FILE).stat().st_size > 30_000_000, LONG_S)
            assert broker.available()
            assert [len(value or b"") for value in values(await read_all(broker, TOPIC))] == [1_000_000] * 60

    async def test_housekeeping_comes_round_by_itself(self, make: EmbeddedMake) -> None:
        opened = open_embedded(make.folder, role="owner", clock_ms=lambda: time.time_ns() // 10**6, housekeeping_s=0.05)
        async with opened as broker:
            await broker.ensure_topics([TopicSpec("requests", 1, retention_ms=10)])
            await broker.append([record("requests")])
            await until(lambda: broker._log._recent.since(1, 0, 1, 1) is None, LONG_S)
            assert await broker.read_at(Position("requests", 0, 0)) is None


async def _values_are(broker: EmbeddedBroker, topic: str, expected: Sequence[bytes]) -> bool:
    return values(await read_all(broker, topic)) == expected


class TestGuests:
    async def test_a_guest_before_any_owner_is_told_what_to_do(self, make: EmbeddedMake) -> None:
        for prepare in (lambda: None, make.folder.mkdir):
            prepare()
            with pytest.raises(BrokerError, match=f"no log in {make.folder} yet: start the server"):
                async with make.guest():
                    pass
        assert list(make.folder.iterdir()) == []

    async def test_a_guest_reads_beside_the_owner_and_follows_it(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await write(broker, b"0", b"1")
            async with make.guest() as guest, guest.reader(TOPIC) as reader, guest.reader(TOPIC, Start.LATEST) as late:
                assert values(await fetch_count(reader, 2)) == [b"0", b"1"]
                await broker.append([record(TOPIC, b"2")])
                assert values(await fetch_count(reader, 1)) == [b"2"]
                assert values(await fetch_count(late, 1)) == [b"2"]
                assert await guest.end_offsets(TOPIC) == {0: 3}
                assert guest.available()

    async def test_a_guest_sees_topics_made_after_it_came(self, make: EmbeddedMake) -> None:
        async with make.open() as broker, make.guest() as guest:
            await broker.ensure_topics([TopicSpec("later", 2)])
            assert await guest.end_offsets("later") == {0: 0, 1: 0}
            await guest.ensure_topics([TopicSpec("later", 2)])

    async def test_a_guest_reads_without_an_owner_and_sees_the_next_one(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await write(broker, b"0")
        assert not (make.folder / f"{LOG_FILE}-wal").exists()
        async with make.guest() as guest, guest.reader(TOPIC) as reader:
            assert values(await fetch_count(reader, 1)) == [b"0"]
            for content in (b"1", b"2"):
                async with make.open() as broker:
                    await broker.append([record(TOPIC, content)])
                assert values(await fetch_count(reader, 1)) == [content]

    async def test_a_guests_offsets_outlast_it(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await write(broker, b"0", b"1", b"2")
            async with make.guest() as guest, guest.member(TOPIC, "sink") as member:
                assert values(await fetch_count(member, 3)) == [b"0", b"1", b"2"]
                assert await member.committed(0) is None
                await member.commit(0, 2)
        async with make.guest() as guest, guest.member(TOPIC, "sink") as member:
            assert await member.committed(0) == 2
            assert values(await fetch_count(member, 1)) == [b"2"]
            with pytest.raises(BrokerError, match="ends at 3"):
                await member.commit(0, 4)

    async def test_a_guest_that_leaves_lets_a_cancelled_commit_end_first(
        self, make: EmbeddedMake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, may_end = threading.Event(), threading.Event()
        save = GuestOffsets.save

        def slow_save(*args: Any) -> None:
            begun.set()
            may_end.wait(LONG_S)
            save(*args)

        async with make.open() as broker:
            await write(broker, b"0", b"1")
        async with make.guest() as guest:
            member = guest.member(TOPIC, "sink")
            await member.__aenter__()
            monkeypatch.setattr(GuestOffsets, "save", slow_save)
            committing = asyncio.create_task(member.commit(0, 1))
            await until(begun.is_set, LONG_S)
            committing.cancel()
            await asyncio.wait({committing})
            leaving = asyncio.create_task(member.__aexit__(None, None, None))
            await asyncio.sleep(0.05)
            assert not leaving.done()
            may_end.set()
            await asyncio.wait_for(leaving, LONG_S)
            async with guest.member(TOPIC, "sink") as next_member:
                assert await next_member.committed(0) == 1

    async def test_a_guest_goes_on_behind_its_last_commit_in_a_log_that_was_replaced(self, make: EmbeddedMake) -> None:
        """As when a backup takes the place of the log: the guest's offset lies beyond its end."""
        async with make.open() as broker:
            await write(broker, b"0", b"1")
        shutil.copy(make.folder / LOG_FILE, make.folder / "backup")
        async with make.open() as broker:
            await write(broker, b"2", b"3", b"4")
            async with make.guest() as guest, guest.member(TOPIC, "sink") as member:
                assert values(await fetch_count(member, 5)) == [b"0", b"1", b"2", b"3", b"4"]
                await member.commit(0, 5)
        shutil.copy(make.folder / "backup", make.folder / LOG_FILE)
        make.elapse(600_000)
        async with make.open() as broker:
            await write(broker, b"new")
        skipped: list[Skipped] = []
        async with make.guest() as guest, guest.member(TOPIC, "sink", None, skipped.append) as member:
            assert values(await fetch_count(member, 1)) == [b"new"]
        assert [(s.reason, s.count) for s in skipped] == [(Skip.OTHER_LOG, 2)]

    async def test_a_guest_goes_on_where_the_group_was_as_the_owners(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await write(broker, b"0", b"1")
            async with broker.member(TOPIC, "sink") as member:
                await member.commit(0, 1)
        async with make.guest() as guest, guest.member(TOPIC, "sink") as member:
            assert values(await fetch_count(member, 1)) == [b"1"]

    async def test_a_guest_writes_no_record(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await write(broker, b"0")
            async with make.guest() as guest, guest.member(TOPIC, "sink") as member:
                with pytest.raises(BrokerError, match="only reads"):
                    await guest.append([record(TOPIC)])
                with pytest.raises(BrokerError, match="only reads"):
                    await member.commit(0, 1, [record(TOPIC)], lambda _: [record(TOPIC)])
                with pytest.raises(BrokerError, match="owns the folder"):
                    await guest.housekeep()
                with pytest.raises(BrokerError, match="missing"):
                    await guest.ensure_topics([TopicSpec("missing", 1)])
                assert await member.committed(0) is None
            assert values(await read_all(broker, TOPIC)) == [b"0"]

    async def test_the_owner_appends_what_a_guests_commit_files(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await broker.ensure_topics([TopicSpec("letters", 1)])
            await write(broker, b"0", b"1")
            async with make.guest() as guest, guest.member(TOPIC, "sink") as member:
                assert await member.commit(0, 1, [record("letters", b"a"), record("letters", b"b")]) == ()
                assert await member.committed(0) == 1
            await until_asked(lambda: _values_are(broker, "letters", [b"a", b"b"]), LONG_S)
            assert not list(make.folder.glob("append-*"))

    async def test_what_a_guest_files_waits_for_the_next_owner_and_is_appended_once(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await broker.ensure_topics([TopicSpec("letters", 1)])
            await write(broker, b"0")
        async with make.guest() as guest, guest.member(TOPIC, "sink") as member:
            await member.commit(0, 1, [record("letters", b"a")])
            await member.commit(0, 1, [record("letters", b"a")])  # as after a process that was killed in between
        async with make.open() as broker:
            await until_asked(lambda: _values_are(broker, "letters", [b"a"]), LONG_S)
            assert values(await read_all(broker, "letters")) == [b"a"]

    async def test_what_the_log_refuses_of_a_guest_is_moved_aside(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await write(broker, b"0")
            async with make.guest() as guest, guest.member(TOPIC, "sink") as member:
                await member.commit(0, 1, [record("no-such-topic", b"a")])
            (make.folder / "append-damaged.request").write_bytes(b"no records")
            await until(lambda: len(list(make.folder.glob("append-*.refused"))) == 2, LONG_S)
            assert not list(make.folder.glob("append-*.request"))

    async def test_a_guest_waits_no_longer_than_it_was_told(self, make: EmbeddedMake) -> None:
        async with make.open() as broker:
            await write(broker)
            async with make.guest() as guest, guest.reader(TOPIC) as reader:
                async with asyncio.timeout(LONG_S):
                    assert await reader.fetch(timeout_s=SOON_S) == ()


def _bytes_on_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def test_a_rewind_waits_for_a_commit_that_was_cancelled_and_is_written_all_the_same(make: EmbeddedMake) -> None:
    async with make.open() as broker:
        await write(broker, b"one")
        async with broker.member(TOPIC, "group") as member:
            assert values(await fetch_count(member, 1)) == [b"one"]
            other = sqlite3.connect(make.folder / LOG_FILE, isolation_level=None)
            try:
                other.execute("BEGIN IMMEDIATE")
                committing = asyncio.create_task(member.commit(0, 1))
                await asyncio.sleep(0.1)
                committing.cancel()
                await asyncio.wait((committing,))
                rewinding = asyncio.create_task(member.rewind(0))
                await asyncio.sleep(0.1)
                other.execute("ROLLBACK")
            finally:
                other.close()
            await rewinding
            assert await member.committed(0) == 1
            assert not await member.fetch(1, SOON_S)
