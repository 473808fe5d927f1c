"""`picturematch sink websocket` as a process of its own: beside the owner of the log, killed, and two on Kafka."""

import asyncio
import json
import random
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp

from broker.embedded import open_embedded
from broker.kafka.broker import open_kafka
from contract.ids import device_id_at
from picturematch.settings import load_settings
from tests.integration.test_roles_on_kafka import create_topics, environment
from tests.support.commands import finish, run, start
from tests.support.ports import free_port
from tests.support.sinking import event, record_of, with_topics

ROUNDS = 4
PATIENCE_S = 60.0
DOOR = device_id_at("10.0.0.1")
CONFIGURATION = json.dumps({"event_list": [DOOR]})


@asynccontextmanager
async def connected(session: aiohttp.ClientSession, port: int) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A client whose configuration is in force; it connects as soon as the process listens."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                socket = await session.ws_connect(f"ws://127.0.0.1:{port}")
                break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)
    async with socket:
        await socket.send_str(CONFIGURATION)
        await socket.send_str("nonsense")
        assert "error" in json.loads((await socket.receive(PATIENCE_S)).data)  # what came before it is in force
        yield socket


async def names(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[str]:
    return [json.loads((await socket.receive(PATIENCE_S)).data)["event_id"] for _ in range(count)]


async def test_after_each_kill_a_client_that_connects_again_has_what_happens_from_then_on(tmp_path: Path) -> None:
    chance, data, port = random.Random(20), tmp_path / "data", free_port()
    number = 0
    async with (
        open_embedded(data, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log,
        aiohttp.ClientSession() as session,
    ):
        await with_topics(log)
        for _ in range(ROUNDS):
            process = await start("sink", "websocket", "--data-folder", data, "--port", port)
            async with connected(session, port) as socket:
                expected = [f"event-{number + n}" for n in range(20)]
                for _ in range(20):
                    await log.append([record_of(event(number))])
                    number += 1
                assert await names(socket, 20) == expected
                await asyncio.sleep(chance.uniform(0, 0.05))
                process.kill()
                assert (await finish(process, PATIENCE_S)).status == -signal.SIGKILL
                gone = await socket.receive(PATIENCE_S)
                assert gone.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
            await log.append([record_of(event(number))])  # nobody listens
            number += 1


async def test_the_first_signal_ends_it_and_says_how_many_events_there_were(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    async with (
        open_embedded(data, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log,
        aiohttp.ClientSession() as session,
    ):
        await with_topics(log)
        process = await start("sink", "websocket", "--data-folder", data, "--port", port)
        async with connected(session, port) as socket:
            await log.append([record_of(event(0))])
            await names(socket, 1)
            process.terminate()
            closed = await socket.receive(PATIENCE_S)
            assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.GOING_AWAY)
            ended = await finish(process, PATIENCE_S)
        assert (ended.status, ended.out) == (0, "1 event passed on by sink websocket\n")
        assert f"on http://127.0.0.1:{port}" in ended.err


async def test_a_port_that_is_taken_and_an_origin_that_is_none_are_one_sentence(tmp_path: Path) -> None:
    data = tmp_path / "data"
    async with open_embedded(data, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await with_topics(log)
        server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
        taken = server.sockets[0].getsockname()[1]
        refused = await run("sink", "websocket", "--data-folder", data, "--port", taken)
        server.close()
        assert refused.status == 2
        assert refused.err.startswith(f"picturematch: cannot listen on 127.0.0.1 port {taken}: ")
        refused = await run("sink", "websocket", "--data-folder", data, "--origin", "desk.example")
        assert (refused.status, refused.err.count("\n")) == (2, 1)
        assert "origins" in refused.err


async def test_two_processes_on_kafka_each_send_every_event_to_their_own_clients(kafka_bootstrap: str) -> None:
    given = environment(kafka_bootstrap)
    await create_topics(given)
    settings = load_settings(None, given)
    ports = (free_port(), free_port())
    processes = [await start("sink", "websocket", "--port", port, **given) for port in ports]
    try:
        async with (
            aiohttp.ClientSession() as session,
            open_kafka(settings.kafka_config, members_topic=settings.topics.members) as log,
            connected(session, ports[0]) as one,
            connected(session, ports[1]) as two,
        ):
            for number in range(10):
                await log.append([replace(record_of(event(number)), topic=settings.topics.events)])
            expected = [f"event-{number}" for number in range(10)]
            assert await names(one, 10) == expected
            assert await names(two, 10) == expected
    finally:
        for process in processes:
            process.terminate()
        ended = [await finish(process, PATIENCE_S) for process in processes]
    assert [one.status for one in ended] == [0, 0]
