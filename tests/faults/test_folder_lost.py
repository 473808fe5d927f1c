"""The data folder of a running server is moved, deleted, replaced, or opened a second time by another path."""

import asyncio
import shutil
import signal
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from broker.embedded import open_embedded
from broker.port import BrokerInUse, BrokerUnavailable, NewRecord, Position, TopicSpec
from contract.topics import Topics
from tests.contract.suites import fetch_count, read_all, record, values
from tests.faults.broker.child import clock_ms
from tests.faults.test_serve import MATCH, USERS, enrol_body, match_body, post, serving
from tests.support.commands import run
from tests.support.waiting import until

TOPICS = Topics()
LONG_S = 30.0
STAND_IN = {"PICTUREMATCH_MODELS__KIND": "stand-in"}


async def readiness(session: aiohttp.ClientSession, url: str) -> tuple[int, str]:
    async with session.get(f"{url}/readyz") as response:
        return response.status, await response.text()


async def until_ready_is(session: aiohttp.ClientSession, url: str, status: int) -> str:
    async with asyncio.timeout(LONG_S):
        while (found := await readiness(session, url))[0] != status:  # noqa: ASYNC110 - another process's doing
            await asyncio.sleep(0.05)
    return found[1]


def code_of(answer: dict[str, Any]) -> int:
    return int(answer["error"]["code"])


@pytest.mark.parametrize("loss", ["delete", "move", "replace"])
async def test_nothing_is_answered_with_success_once_the_folder_is_gone(tmp_path: Path, loss: str) -> None:
    data = tmp_path / "data"
    async with serving(data) as server, aiohttp.ClientSession() as session:
        assert (await post(session, server.url + USERS, enrol_body("anna", 1)))[0] == 200
        if loss == "delete":
            shutil.rmtree(data)
        else:
            data.rename(tmp_path / "elsewhere")
        if loss == "replace":
            shutil.copytree(tmp_path / "elsewhere", data)
        answers = [await post(session, server.url + MATCH, match_body(1))]
        answers.append(await post(session, server.url + USERS, enrol_body("berta", 2)))
        assert [status for status, _, _ in answers] == [503, 503], "told done, and it is gone"
        assert [code_of(answer) for _, _, answer in answers] == [50380, 50380]
        told = await until_ready_is(session, server.url, 503)
        assert str(data) in told
        assert "deleted, moved, replaced or unmounted" in told
        assert "put the same folder back" in told
        async with session.get(f"{server.url}/metrics") as response:
            assert "picturematch_log_unavailable 1.0" in await response.text()
        server.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LONG_S):
            await server.process.wait()


@pytest.mark.slow
async def test_under_load_nothing_answered_with_success_is_gone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    gone = asyncio.Event()
    answered: list[tuple[str, float]] = []
    loop = asyncio.get_running_loop()

    async def keep_posting(number: int) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                status, request_id, _ = await post(session, server.url + MATCH, match_body(1, f"10.0.0.{number}"))
                if status == 200:
                    answered.append((request_id, loop.time()))
                elif gone.is_set():
                    return

    async with serving(data, PICTUREMATCH_INGEST__DEADLINE_MS="20000") as server:
        async with aiohttp.ClientSession() as session:
            assert (await post(session, server.url + USERS, enrol_body("anna", 1)))[0] == 200
        load = [asyncio.create_task(keep_posting(number)) for number in range(6)]
        async with asyncio.timeout(LONG_S):
            while len(answered) < 12:  # noqa: ASYNC110 - a number of answers is no event
                await asyncio.sleep(0.01)
        data.rename(tmp_path / "gone")
        moved_s = loop.time()
        gone.set()
        async with asyncio.timeout(LONG_S):
            await asyncio.gather(*load)
        late = [at_s - moved_s for _, at_s in answered if at_s > moved_s]
        # An answer may be on its way when the folder goes; none comes from a commit behind it.
        assert len(late) <= 6, f"{len(late)} calls were answered with 200 after the folder was gone"
        server.process.kill()
        await server.process.wait()
    async with open_embedded(tmp_path / "gone", role="owner", clock_ms=clock_ms) as broker:
        events = {orjson.loads(found.value or b"")["id"] for found in await read_all(broker, TOPICS.events)}
    assert {request_id for request_id, _ in answered} <= events


async def test_a_server_that_has_nothing_to_write_notices_by_itself_that_its_folder_is_gone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with serving(data) as server, aiohttp.ClientSession() as session:
        await until_ready_is(session, server.url, 200)
        data.rename(tmp_path / "elsewhere")
        assert str(data) in await until_ready_is(session, server.url, 503)
        (tmp_path / "elsewhere").rename(data)
        assert str(data) not in await until_ready_is(session, server.url, 200)


async def test_the_same_folder_moved_back_is_a_recovery_without_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with serving(data) as server, aiohttp.ClientSession() as session:
        assert (await post(session, server.url + USERS, enrol_body("anna", 1)))[0] == 200
        data.rename(tmp_path / "elsewhere")
        assert (await post(session, server.url + MATCH, match_body(1)))[0] == 503
        (tmp_path / "elsewhere").rename(data)
        await until_ready_is(session, server.url, 200)
        async with asyncio.timeout(LONG_S):
            found = await post(session, server.url + MATCH, match_body(1))
            while found[0] != 200:
                found = await post(session, server.url + MATCH, match_body(1))
        assert found[2]["identity_id"] == "anna"
        server.process.kill()
        await server.process.wait()
    async with open_embedded(data, role="owner", clock_ms=clock_ms) as broker:
        ids = [orjson.loads(each.value or b"")["id"] for each in await read_all(broker, TOPICS.events)]
    assert found[1] in ids
    assert len(ids) == len(set(ids))


async def test_a_write_into_a_folder_that_goes_is_refused_and_comes_back_with_it(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with open_embedded(data, role="owner", clock_ms=clock_ms) as broker:
        await broker.ensure_topics([TopicSpec("events", 1), TopicSpec("work", 1)])
        await broker.append([record("work", b"1"), record("work", b"2")])

        def follow_up(_: object) -> list[NewRecord]:
            data.rename(tmp_path / "elsewhere")  # in the writing thread, between the look before and the sync
            return []

        async with broker.member("work", "group") as member, broker.reader("events") as reader:
            with pytest.raises(BrokerUnavailable, match="moved"):
                await member.commit(0, 1, [record("events", b"done")], follow_up)
            assert not broker.available()
            assert await reader.fetch(timeout_s=0.2) == (), "a reader was shown what no path leads to"
            with pytest.raises(BrokerUnavailable, match="moved"):
                await broker.append([record("events", b"refused")])
            (tmp_path / "elsewhere").rename(data)
            await until(broker.available, LONG_S)
            await member.rewind(0)
            assert await member.committed(0) == 1, "it was written, so it must not be done again"
            assert values(await reader.fetch()) == [b"done"]
            await member.commit(0, 2, [record("events", b"next")])
    async with open_embedded(data, role="owner", clock_ms=clock_ms) as broker:
        assert values(await read_all(broker, "events")) == [b"done", b"next"]


async def test_partitions_that_are_rewound_at_once_each_find_what_was_written(tmp_path: Path) -> None:
    """Two commits in one transaction, written into a folder that goes before they are told."""
    data, away = tmp_path / "data", tmp_path / "elsewhere"
    begun, may_end = threading.Event(), threading.Event()

    def hold(_: Sequence[Position]) -> Sequence[NewRecord]:
        begun.set()
        assert may_end.wait(LONG_S)
        return ()

    def move(_: Sequence[Position]) -> Sequence[NewRecord]:
        data.rename(away)
        return ()

    async with open_embedded(data, role="owner", clock_ms=clock_ms) as broker:
        await broker.ensure_topics([TopicSpec("work", 3)])
        await broker.append([record("work", b"%d" % n, partition=n % 3) for n in range(6)])
        async with broker.member("work", "group") as member:
            holding = asyncio.create_task(member.commit(2, 1, (), hold))
            await asyncio.to_thread(begun.wait, LONG_S)
            commits = [asyncio.create_task(member.commit(0, 1, (), move)), asyncio.create_task(member.commit(1, 1))]
            await asyncio.sleep(0)
            may_end.set()
            await holding
            told = await asyncio.gather(*commits, return_exceptions=True)
            assert [type(error) for error in told] == [BrokerUnavailable] * 2
            away.rename(data)
            await until(broker.available, LONG_S)
            await asyncio.gather(*map(member.rewind, range(3)))
            found = await fetch_count(member, 3)
            assert sorted(values(found), key=bytes) == [b"3", b"4", b"5"], "what was committed was delivered again"


@pytest.mark.parametrize("name", ["log.sqlite", "log.sqlite-wal"])
async def test_a_file_of_the_log_that_is_deleted_is_noticed(tmp_path: Path, name: str) -> None:
    async with open_embedded(tmp_path, role="owner", clock_ms=clock_ms) as broker:
        await broker.ensure_topics([TopicSpec("events", 1)])
        (tmp_path / name).rename(tmp_path / "aside")
        with pytest.raises(BrokerUnavailable, match=name):
            await broker.append([record("events")])
        (tmp_path / "aside").rename(tmp_path / name)
        await until(broker.available, LONG_S)
        await broker.append([record("events", b"again")])


async def test_a_guest_says_that_its_folder_is_gone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with open_embedded(data, role="owner", clock_ms=clock_ms) as broker:
        await broker.ensure_topics([TopicSpec("events", 1)])
        async with open_embedded(data, role="guest", clock_ms=clock_ms) as guest, guest.reader("events") as reader:
            data.rename(tmp_path / "elsewhere")
            with pytest.raises(BrokerUnavailable, match="moved"):
                await reader.fetch(timeout_s=LONG_S)
            (tmp_path / "elsewhere").rename(data)
            assert await reader.fetch(timeout_s=0.2) == ()


async def test_a_second_server_is_refused_whatever_happened_to_the_folder_or_its_lock(tmp_path: Path) -> None:
    data, link = tmp_path / "data", tmp_path / "link"
    async with serving(data):
        link.symlink_to(data)
        linked = tmp_path / "hard"
        linked.mkdir(mode=0o700)
        (linked / "log.sqlite").hardlink_to(data / "log.sqlite")
        (data / "log.lock").unlink()
        for folder in (data, link, linked):
            second = await run("serve", "--data-folder", folder, "--port", 0, **STAND_IN)
            assert second.status == 2, f"{folder.name}: a second server started"
            assert "in use by another server" in second.err
        data.rename(tmp_path / "elsewhere")
        for folder in (data, tmp_path / "elsewhere"):
            second = await run("serve", "--data-folder", folder, "--port", 0, **STAND_IN)
            assert second.status == 2, f"{folder.name}: a second server started"
            assert "in use by another server" in second.err


async def test_a_deleted_lock_file_is_made_again(tmp_path: Path) -> None:
    async with open_embedded(tmp_path, role="owner", clock_ms=clock_ms) as broker:
        (tmp_path / "log.lock").unlink()
        await until((tmp_path / "log.lock").exists, LONG_S)
        assert broker.available()
        with pytest.raises(BrokerInUse):
            await open_embedded(tmp_path, role="owner", clock_ms=clock_ms).__aenter__()
