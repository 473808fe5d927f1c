"""Stopping by real signals: what is in flight is finished, and nothing but sentences is printed."""

import asyncio
import os
import re
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import aiohttp

from broker.embedded import open_embedded
from broker.embedded.store import LOG_FILE
from broker.port import Broker
from contract.topics import Topics
from tests.faults.test_serve import MATCH, USERS, all_requests, enrol_body, match_body, post, read_all, serving
from tests.support.commands import ROOT, environment, finish, start
from tests.support.waiting import until

TOPICS = Topics()
PATIENCE_S = 30.0


async def undecided(log: Broker) -> int:
    """How many requests have no event yet, as somebody beside the server reads it."""
    ends = [sum((await log.end_offsets(topic)).values()) for topic in (TOPICS.events, TOPICS.requests)]
    return ends[1] - ends[0]


@asynccontextmanager
async def on_terminal(folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, int, str]]:
    """A server that prints to a terminal, the terminal's other end, and where the server listens."""
    ours, theirs = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "picturematch", "serve", "--port", "0", "--data-folder", str(folder)),
        cwd=ROOT,
        env={**environment(), "PICTUREMATCH_MODELS__KIND": "stand-in"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said = b""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not (found := re.search(rb"listens on (http://127.0.0.1:\d+)", said)):
                said += await asyncio.to_thread(os.read, ours, 4096)
        yield process, ours, found[1].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_hang_up_is_a_signal_to_stop_like_any_other(tmp_path):
    async with serving(tmp_path) as server, aiohttp.ClientSession() as session:
        await post(session, server.url + USERS, enrol_body("anna", 1))
        in_flight = [
            asyncio.create_task(post(session, server.url + MATCH, match_body(1, f"10.0.0.{n}"))) for n in range(30)
        ]
        await until(lambda: any(task.done() for task in in_flight), PATIENCE_S, 0.001)
        server.process.send_signal(signal.SIGHUP)
        answers = await asyncio.gather(*in_flight, return_exceptions=True)
        async with asyncio.timeout(PATIENCE_S):
            await server.process.wait()
        assert server.process.returncode == 0
        assert "stopped" in await server.said()
    assert {answer[0] for answer in answers if isinstance(answer, tuple)} <= {200, 503}
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: 0) as broker:
        assert len(await read_all(broker, TOPICS.events)) == len(await all_requests(broker))


async def test_a_hang_up_because_the_terminal_is_gone_lets_calls_in_flight_finish(tmp_path):
    async with on_terminal(tmp_path) as (process, terminal, url), aiohttp.ClientSession() as session:
        await post(session, url + USERS, enrol_body("anna", 1))
        in_flight = [asyncio.create_task(post(session, url + MATCH, match_body(1, f"10.0.0.{n}"))) for n in range(30)]
        await until(lambda: any(task.done() for task in in_flight), PATIENCE_S, 0.001)
        os.close(terminal)
        process.send_signal(signal.SIGHUP)
        answers = await asyncio.gather(*in_flight, return_exceptions=True)
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
    assert {answer[0] for answer in answers if isinstance(answer, tuple)} <= {200, 503}
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: 0) as broker:
        assert len(await read_all(broker, TOPICS.events)) == len(await all_requests(broker))


async def test_a_second_hang_up_kills_at_once(tmp_path):
    async with serving(tmp_path, PICTUREMATCH_INGEST__DRAIN_S="60", PICTUREMATCH_INGEST__BODY_READ_S="60") as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST " + MATCH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        await writer.drain()
        server.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE_S):
            while b"a second signal kills" not in await server.process.stdout.readline():
                assert server.process.returncode is None
            server.process.send_signal(signal.SIGHUP)
            assert await server.process.wait() == -signal.SIGHUP
        writer.close()


async def test_a_server_that_was_started_to_outlive_its_terminal_ignores_a_hang_up(tmp_path):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what nohup does; a child inherits it
    try:
        async with serving(tmp_path) as server, aiohttp.ClientSession() as session:
            server.process.send_signal(signal.SIGHUP)
            status, _, _ = await post(session, server.url + USERS, enrol_body("anna", 1))
            assert status == 200
            server.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE_S):
                assert await server.process.wait() == 0
    finally:
        signal.signal(signal.SIGHUP, before)


async def test_a_hang_up_lets_a_sink_finish_what_is_in_hand(tmp_path):
    async with serving(tmp_path / "log") as server, aiohttp.ClientSession() as session:
        await post(session, server.url + USERS, enrol_body("anna", 1))
        sink = await start("sink", "jsonl", "--out", tmp_path / "out", "--data-folder", tmp_path / "log")
        try:
            await until(lambda: list((tmp_path / "out").glob("*.jsonl*")), PATIENCE_S)
            sink.send_signal(signal.SIGHUP)
        finally:
            ended = await finish(sink)
    assert (ended.status, ended.err) == (0, "")
    assert re.search(r"^1 event carried", ended.out, re.MULTILINE)


async def test_a_stop_that_takes_longer_than_its_limit_prints_no_stack_trace(tmp_path):
    """The lane cannot commit, since somebody else holds the log's write lock: a slow disk looks the same."""
    limits = {"PICTUREMATCH_INGEST__DEADLINE_MS": "1000", "PICTUREMATCH_INGEST__DRAIN_S": "1"}
    async with (
        serving(tmp_path, **limits) as server,
        aiohttp.ClientSession() as session,
        open_embedded(tmp_path, role="guest", clock_ms=lambda: 0) as beside,
    ):
        await post(session, server.url + USERS, enrol_body("anna", 1))
        posting: list[asyncio.Task[object]] = []
        with closing(sqlite3.connect(tmp_path / LOG_FILE, isolation_level=None)) as other:
            async with asyncio.timeout(PATIENCE_S):
                while True:  # the lock is to be taken between a request's append and the commit of its event
                    for number in range(8):
                        body = match_body(1, f"10.0.{len(posting)}.{number}")
                        posting.append(asyncio.create_task(post(session, server.url + MATCH, body)))
                    await asyncio.sleep(0.02)
                    other.execute("BEGIN IMMEDIATE")
                    if await undecided(beside):
                        break
                    other.execute("ROLLBACK")
            server.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(PATIENCE_S):
                while b"stopping" not in await server.process.stdout.readline():
                    assert server.process.returncode is None
            await asyncio.sleep(3)  # beyond the limit of the drain
            other.execute("ROLLBACK")
        await asyncio.gather(*posting, return_exceptions=True)
        async with asyncio.timeout(PATIENCE_S):
            printed = (await server.process.stderr.read()).decode()
            assert await server.process.wait() == 0
    assert not re.search(r"Traceback|never retrieved|Error:", printed), printed
