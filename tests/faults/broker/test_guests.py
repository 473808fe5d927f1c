"""Guests in processes of their own: what they do, and what happens to them, never holds the owner up."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from broker.embedded import open_embedded
from broker.port import NewRecord
from tests.faults.broker.child import TOPICS, clock_ms

ROOT = Path(__file__).parents[3]
LONG_S = 30.0


@asynccontextmanager
async def child(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.faults.broker.child", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def hear(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(LONG_S):
        return (await process.stdout.readline()).decode().strip()


def loose(count: int, size: int = 1) -> list[NewRecord]:
    return [NewRecord("loose", None, bytes(size), partition=0) for _ in range(count)]


async def test_a_guest_in_another_process_reads_what_the_owner_writes_and_resumes_after_a_kill(tmp_path: Path) -> None:
    async with open_embedded(tmp_path, role="owner", clock_ms=clock_ms) as broker:
        await broker.ensure_topics(TOPICS)
        await broker.append(loose(2))
        async with child("follow", str(tmp_path)) as guest:
            assert await hear(guest) == "following"
            assert [await hear(guest) for _ in range(2)] == ["read 0 0", "read 0 1"]
            await broker.append(loose(1))
            assert await hear(guest) == "read 0 2"
            guest.kill()
            await guest.wait()
        await broker.append(loose(1))
        async with child("follow", str(tmp_path)) as guest:
            assert await hear(guest) == "following"
            assert await hear(guest) == "read 0 3"


async def test_a_stopped_guest_does_not_hold_up_writing_nor_housekeeping(tmp_path: Path) -> None:
    async with open_embedded(tmp_path, role="owner", clock_ms=clock_ms) as broker:
        await broker.ensure_topics(TOPICS)
        async with child("follow", str(tmp_path)) as guest:
            assert await hear(guest) == "following"
            await broker.append(loose(1))
            assert await hear(guest) == "read 0 0"
            guest.send_signal(signal.SIGSTOP)
            while psutil.Process(guest.pid).status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 - the kernel sets no event
                await asyncio.sleep(0.01)
            async with asyncio.timeout(LONG_S):
                for _ in range(20):
                    await broker.append([*loose(1, 200_000), NewRecord("brief", None, bytes(100_000))])
                await broker.housekeep()
                assert broker.available()
                await broker.append(loose(1))
            guest.send_signal(signal.SIGCONT)
            assert [await hear(guest) for _ in range(21)] == [f"read 0 {offset}" for offset in range(1, 22)]
    assert not (tmp_path / "log.sqlite-wal").exists() or (tmp_path / "log.sqlite-wal").stat().st_size == 0


async def test_the_owner_comes_and_goes_beside_a_guest(tmp_path: Path) -> None:
    async with open_embedded(tmp_path, role="owner", clock_ms=clock_ms) as broker:
        await broker.ensure_topics(TOPICS)
    async with child("follow", str(tmp_path)) as guest:
        assert await hear(guest) == "following"
        for offset in range(3):
            async with open_embedded(tmp_path, role="owner", clock_ms=clock_ms) as broker:
                await broker.append(loose(1))
            assert await hear(guest) == f"read 0 {offset}"


async def test_somebody_elses_log_is_refused_in_a_sentence(tmp_path: Path) -> None:
    async with open_embedded(tmp_path / "data", role="owner", clock_ms=clock_ms) as broker:
        await broker.ensure_topics(TOPICS)
    as_root = os.geteuid() == 0
    if not as_root:  # root reads everything, so it becomes nobody below; others just lose their rights
        (tmp_path / "data" / "log.sqlite").chmod(0)
    seen = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _LOOK, str(tmp_path / "data"), "65534" if as_root else ""],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    assert "BrokerError" in seen.stdout, seen.stderr
    assert "may not be opened: run the command as the user who owns the data folder" in seen.stdout


_LOOK = """
import asyncio, os, sys
from pathlib import Path
from tests.faults.broker.child import look
if sys.argv[2]:
    os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[2]))
asyncio.run(look(Path(sys.argv[1])))
"""
