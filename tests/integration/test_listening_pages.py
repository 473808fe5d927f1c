"""Web pages in a real browser that listen to the events of a `picturematch serve`: those that may, and those that must
not. The server listens on loopback, and asks loopback for no key."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from contract.ids import device_id_at
from tests.faults.test_serve import MATCH, Server, match_body, post, serving
from tests.integration.test_hostile_pages import enrol_victim, hostile_site
from tests.support.chromium import Page, browsing, chromium
from tests.support.ports import free_port
from tests.support.waiting import until_asked

PATIENCE_S = 30.0
DOOR = device_id_at("10.0.0.1")
LISTEN = """
(url, device) => {
  const heard = window.heard = {opened: [], socket: [], stream: [], failed: []};
  const socket = new WebSocket(url.replace("http", "ws"));
  socket.onopen = () => {
    heard.opened.push("socket");
    socket.send(JSON.stringify({event_list: [device]}));
  };
  socket.onmessage = (message) => heard.socket.push(JSON.parse(message.data).event_id);
  socket.onclose = () => heard.failed.push("socket");
  const stream = window.stream = new EventSource(url + "/events");
  stream.onopen = () => heard.opened.push("stream");
  stream.onmessage = (message) => heard.stream.push([message.lastEventId, JSON.parse(message.data).id]);
  stream.onerror = () => { heard.failed.push("stream"); };
  return fetch(url + "/events", {mode: "no-cors"}).then((answer) => answer.type, String);
}
"""


@asynccontextmanager
async def serving_events(folder: Path, *origins: str, port: int | None = None) -> AsyncIterator[tuple[Server, str]]:
    """A server, and the URL of its websocket sink."""
    port = port or free_port()
    allowed = ", ".join(f'"{origin}"' for origin in origins)
    sinks = f'[{{kind = "websocket", name = "live", port = {port}, origins = [{allowed}]}}]'
    async with serving(folder, PICTUREMATCH_SINKS=sinks) as server:
        url = f"http://127.0.0.1:{port}"
        await enrol_victim(server)
        async with aiohttp.ClientSession() as session, asyncio.timeout(30):
            while True:
                try:
                    async with session.get(f"{url}/events") as answer:
                        assert answer.status == 200
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.05)
        yield server, url


async def passage(server: Server) -> str:
    """A match at the door; the id of its event."""
    async with aiohttp.ClientSession() as session:
        _, event_id, _ = await post(session, server.url + MATCH, match_body(1))
    return event_id


async def heard(page: Page) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = await page.evaluate("window.heard")
    return found


async def until_both(page: Page, what: str) -> None:
    """Wait until the socket and the stream of a page have opened, or have failed."""

    async def both() -> bool:
        return set((await heard(page))[what]) == {"socket", "stream"}

    try:
        await until_asked(both, PATIENCE_S)
    except TimeoutError:
        pytest.fail(f"{what}: {await heard(page)}")


async def heard_both(page: Page) -> bool:
    found = await heard(page)
    return bool(found["socket"] and found["stream"])


async def test_a_page_of_an_allowed_origin_hears_events_by_both_ways(tmp_path: Path) -> None:
    chromium()
    async with hostile_site("") as port:
        origin = f"http://desk.test:{port}"
        async with (
            serving_events(tmp_path / "data", origin) as (server, url),
            browsing(tmp_path, ["MAP desk.test 127.0.0.1"]) as page,
        ):
            await page.open(f"{origin}/")
            await page.evaluate(f"({LISTEN})({url!r}, {DOOR!r}) && 0")
            await until_both(page, "opened")
            await asyncio.sleep(0.3)  # the configuration is on its way
            event_id = await passage(server)
            await until_asked(lambda: heard_both(page), PATIENCE_S)
            found = await heard(page)
        assert found["socket"] == [event_id]
        assert found["stream"] == [[event_id, event_id]]


@pytest.mark.parametrize("name", ["hostile.test", "127.0.0.1"])
async def test_a_page_of_another_origin_hears_nothing(tmp_path: Path, name: str) -> None:
    chromium()
    async with (
        hostile_site("") as port,
        serving_events(tmp_path / "data", "http://desk.test") as (server, url),
        browsing(tmp_path, ["MAP hostile.test 127.0.0.1"]) as page,
    ):
        await page.open(f"http://{name}:{port}/")
        await page.evaluate(f"({LISTEN})({url!r}, {DOOR!r}) && 0")
        await until_both(page, "failed")
        await passage(server)
        await asyncio.sleep(1)
        found = await heard(page)
    assert (found["opened"], found["socket"], found["stream"]) == ([], [], [])


async def test_a_page_whose_name_was_led_to_the_server_hears_nothing(tmp_path: Path) -> None:
    """DNS rebinding: the page came from a server of the attacker at the same port, so it is of one origin with ours."""
    chromium()
    async with browsing(tmp_path, ["MAP rebound.test 127.0.0.1"]) as page:
        async with hostile_site("") as port:
            origin = f"http://rebound.test:{port}"
            await page.open(f"{origin}/")
        async with serving_events(tmp_path / "data", port=port) as (server, _):
            await page.evaluate(f"({LISTEN})({origin!r}, {DOOR!r}) && 0")
            await until_both(page, "failed")
            await passage(server)
            await asyncio.sleep(1)
            found = await heard(page)
    assert (found["opened"], found["socket"], found["stream"]) == ([], [], [])


async def test_a_page_of_the_port_itself_may_listen(tmp_path: Path) -> None:
    """An Origin equal to Host passes: the browser's own guard is not what kept the others out."""
    chromium()
    async with serving_events(tmp_path / "data") as (_, url), browsing(tmp_path, []) as page:
        await page.open(f"{url}/nothing")
        await page.evaluate(f"({LISTEN})({url!r}, {DOOR!r}) && 0")
        await until_both(page, "opened")
        assert (await heard(page))["failed"] == []
