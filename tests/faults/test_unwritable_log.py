"""A log that cannot be written, as on a full disk: told in few lines however long it lasts, and over by itself."""

import asyncio
import logging
import os
import resource
import stat
from pathlib import Path

import aiohttp
import pytest

from broker.embedded import open_embedded
from broker.outages import OutageLog
from broker.port import BrokerError, TopicSpec
from tests.contract.suites import record
from tests.faults.broker.child import clock_ms
from tests.faults.test_serve import MATCH, USERS, enrol_body, match_body, post, serving
from tests.support.programs import needs_root

LONG_S = 60.0


async def test_the_log_lines_of_an_unwritable_log_are_few(tmp_path: Path) -> None:
    """The system refuses every write of the running server (a limit on the size of files), with requests in hand."""
    async with (
        serving(tmp_path, PICTUREMATCH_INGEST__DEADLINE_MS="60000") as server,
        aiohttp.ClientSession() as session,
    ):
        assert (await post(session, server.url + USERS, enrol_body("anna", 1)))[0] == 200
        calls = [
            asyncio.create_task(post(session, server.url + MATCH, match_body(1, f"10.0.0.{number}")))
            for number in range(48)
        ]
        await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        await asyncio.sleep(8)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, before)
        async with asyncio.timeout(LONG_S):
            answers = await asyncio.gather(*calls)
            while (await post(session, server.url + MATCH, match_body(1)))[0] != 200:
                pass
        assert {status for status, _, _ in answers} <= {200, 503}
        server.process.terminate()
        said = (await server.process.communicate())[1].decode()
    lines = [line for line in said.splitlines() if " WARNING " in line or " ERROR " in line]
    failing = [line for line in lines if "again" not in line.split(": ", 1)[-1] or "trying again" in line]
    assert failing, "the outage was not told"
    assert len(failing) <= 6, f"{len(failing)} lines in 8 seconds:\n" + "\n".join(lines[:20])
    assert any("can be written again" in line for line in lines)


def test_an_outage_is_told_first_then_once_a_minute_with_a_count_and_once_at_its_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_s = [0.0]
    outages = OutageLog(logging.getLogger("test"), clock_s=lambda: now_s[0])
    for second in range(150):
        now_s[0] = float(second)
        outages.failed("it fails")
    outages.recovered("it works")
    outages.recovered("it works")
    assert [each.getMessage() for each in caplog.records] == [
        "it fails",
        "it fails (59 more failures since the last line about it)",
        "it fails (59 more failures since the last line about it)",
        "it works",
    ]


def test_an_outage_that_comes_and_goes_is_told_no_oftener(caplog: pytest.LogCaptureFixture) -> None:
    now_s = [0.0]
    outages = OutageLog(logging.getLogger("test"), clock_s=lambda: now_s[0])
    for second in range(120):
        now_s[0] = float(second)
        outages.failed("it fails")
        outages.recovered("it works")
    assert len(caplog.records) == 4


async def test_a_folder_that_is_open_to_others_is_closed_with_all_that_is_in_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = tmp_path / "data"
    async with open_embedded(data, role="owner", clock_ms=clock_ms) as broker:
        await broker.ensure_topics([TopicSpec("events", 1)])
        await broker.append([record("events")])
        async with broker.member("events", "group") as member:
            await member.commit(0, 1)
    for path in [data, *data.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    async with open_embedded(data, role="owner", clock_ms=clock_ms):
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [data, *data.rglob("*")]}
    assert not {name: oct(mode) for name, mode in modes.items() if mode & 0o077}
    assert any("was open to others (mode 0755)" in each.getMessage() for each in caplog.records)


async def test_an_empty_folder_that_is_open_to_others_is_closed(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o755)
    async with open_embedded(data, role="owner", clock_ms=clock_ms):
        assert stat.S_IMODE(data.stat().st_mode) == 0o700


async def test_a_folder_with_other_things_in_it_is_left_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "home"
    data.mkdir()
    data.chmod(0o755)
    (data / "letter").write_text("mine")
    with pytest.raises(BrokerError, match=r"contains other files.*use a folder for the log alone"):
        await open_embedded(data, role="owner", clock_ms=clock_ms).__aenter__()
    assert stat.S_IMODE(data.stat().st_mode) == 0o755
    assert [path.name for path in data.iterdir()] == ["letter"]


@needs_root("only root can give a folder away")
async def test_a_folder_of_somebody_else_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o777)
    os.chown(data, 12345, -1)
    with pytest.raises(BrokerError, match=r"belongs to user 12345.*use a folder of your own"):
        await open_embedded(data, role="owner", clock_ms=clock_ms).__aenter__()
