"""The event stream of the websocket sink, /events, with a real client of Server-Sent Events."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from contract.ids import device_id_at
from tests.support.realtime import Sink, live_sink
from tests.support.sinking import event
from tests.support.waiting import until


@asynccontextmanager
async def stream(sink: Sink, query: str = "", **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """A stream whose client is known to the sink."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    async with sink.session.get(f"{sink.url}/events{query}", headers=sent) as answer:
        assert answer.status == 200
        assert await answer.content.readuntil(b"\n\n") == b"retry: 3000\n\n"
        yield answer


async def events(answer: aiohttp.ClientResponse, count: int) -> list[tuple[str, dict[str, object]]]:
    """The next events: id and data."""
    found = []
    async with asyncio.timeout(10):
        while len(found) < count:
            chunk = (await answer.content.readuntil(b"\n\n")).decode().splitlines()
            fields = dict(line.split(": ", 1) for line in chunk if line and not line.startswith(":"))
            if fields:
                found.append((fields["id"], json.loads(fields["data"])))
    return found


async def test_a_page_gets_every_event_as_the_log_has_it(tmp_path: Path) -> None:
    async with live_sink(tmp_path) as sink, stream(sink) as answer:
        assert answer.content_type == "text/event-stream"
        assert (answer.headers["Cache-Control"], answer.headers["X-Accel-Buffering"]) == ("no-store", "no")
        await sink.append(event(0), event(2, outcome="no_face", retcode=None, identity_id=""))
        (first, body), (second, other) = await events(answer, 2)
        assert (first, second) == ("event-0", "event-2")
        assert (body["id"], body["device_ip"], other["outcome"]) == ("event-0", "10.0.0.1", "no_face")


async def test_the_query_chooses_devices_kinds_and_outcomes(tmp_path: Path) -> None:
    query = f"?devices={device_id_at('10.0.0.1')}&devices=10.0.0.2&kinds=match&outcomes=matched,stranger"
    async with live_sink(tmp_path) as sink, stream(sink, query) as answer:
        await sink.append(
            event(0),
            event(2, device_ip="10.0.0.2", outcome="stranger"),
            event(4, device_ip="10.0.0.3"),
            event(6, outcome="spoof"),
            event(8, kind="compare"),
            event(10),
        )
        assert [name for name, _ in await events(answer, 3)] == ["event-0", "event-2", "event-10"]


async def test_a_page_that_comes_back_goes_on_after_its_last_event(tmp_path: Path) -> None:
    async with live_sink(tmp_path) as sink:
        async with stream(sink) as answer:
            await sink.append(event(0))
            await events(answer, 1)
        await sink.append(event(2), event(4, kind="compare"), event(6))
        async with stream(sink, "?kinds=match", Last_Event_ID="event-0") as watched:
            # the sink may still be reading what was appended while nobody listened
            assert [name for name, _ in await events(watched, 2)] == ["event-2", "event-6"]
            await sink.append(event(8))
            assert [name for name, _ in await events(watched, 1)] == ["event-8"]
        async with stream(sink, Last_Event_ID="unknown") as answer:
            await sink.append(event(10))
            assert [name for name, _ in await events(answer, 1)] == ["event-10"]


async def test_a_quiet_stream_has_heartbeats_and_a_client_that_goes_is_forgotten(tmp_path: Path) -> None:
    async with live_sink(tmp_path, ping_s=1.0) as sink:
        async with stream(sink) as answer:
            for _ in range(2):
                assert await asyncio.wait_for(answer.content.readuntil(b"\n\n"), 5) == b":\n\n"
            assert sink.metric("clients") == 1
        await until(lambda: sink.metric("clients") == 0, 5.0)


async def test_a_stream_that_nobody_reads_is_cut_off(tmp_path: Path) -> None:
    async with live_sink(tmp_path, max_held_bytes=1024 * 1024) as sink, stream(sink) as reader:
        port = int(sink.url.rpartition(":")[2])
        hanging = socket.create_connection(("127.0.0.1", port))
        hanging.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        hanging.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        await until(lambda: sink.metric("clients") == 2)
        large = {"grab_fiqa_info": {"more": "x" * 200_000}}
        for number in range(80):
            await sink.append(event(2 * number, **large))
            ((name, _),) = await events(reader, 1)
            assert name == f"event-{2 * number}"
        await until(lambda: sink.metric("clients") == 1)
        assert sink.metric("clients_dropped_total") == 1
        hanging.close()


async def test_the_stop_of_the_sink_ends_a_stream_completely(tmp_path: Path) -> None:
    async with live_sink(tmp_path) as sink, stream(sink) as answer:
        sink.stop.set()
        assert await asyncio.wait_for(answer.content.read(), 5) == b""
