"""Pages that somebody on the server's machine opens in a real browser: they enrol nobody, and read nothing.

The server is a `picturematch serve` as installed: it listens on loopback, and asks loopback for no key.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
from aiohttp import web

from tests.faults.test_serve import MATCH, USERS, Server, serving
from tests.support.chromium import browsing, chromium
from tests.support.commands import run
from tests.support.faces import photo

# Some sixty calls by a browser, on a machine that may be busy with other things.
pytestmark = pytest.mark.timeout(400)

CANARY = "c4n4ry"
NOTHING = {"read": [], "enrolled": [CANARY], "matched": []}

ATTACK = Path(__file__).with_name("hostile_page.js").read_text()


@asynccontextmanager
async def hostile_site(target: str) -> AsyncIterator[int]:
    """The port of a web server whose page is empty, and which sends whoever posts to /redirect on to `target`."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="<!doctype html><title>hostile</title><body></body>", content_type="text/html")

    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": target + request.query["to"]})

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_route("*", "/redirect", redirect)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        listener = web.TCPSite(runner, "127.0.0.1", 0)
        await listener.start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def enrol_victim(server: Server) -> None:
    body = {
        "identity_id": CANARY,
        "reg_photo": base64.b64encode(photo(1)).decode(),
        "info": {"name": CANARY, "home": CANARY},
    }
    async with aiohttp.ClientSession() as session, session.post(server.url + USERS, json=body) as answer:
        assert answer.status == 200


async def enrolled(server: Server) -> list[str]:
    """Everybody's identity_id."""
    async with aiohttp.ClientSession() as session, session.get(server.url + USERS + "?limit=1000") as answer:
        people = orjson.loads(await answer.read())["data"]["identities_list"]
    return sorted(person["identity_id"] for person in people)


async def devices(folder: Path) -> list[str]:
    """Whose matches were decided."""
    shown = await run("events", "--data-folder", folder, "--kind", "match")
    return [orjson.loads(line)["device_ip"] for line in shown.out.splitlines()]


def attack(target: str) -> str:
    """The script of the page, aimed at that address; its value lists what it tried and what it could read."""
    aimed = {
        "target": target,
        "users": USERS,
        "match": MATCH,
        "photo": base64.b64encode(photo(2)).decode(),
        "victim": CANARY,
    }
    return f"({ATTACK})({orjson.dumps(aimed).decode()})"


async def attacked(page_url: str, target: str, folder: Path, rules: list[str], server: Server) -> list[dict[str, Any]]:
    async with browsing(folder, rules) as page:
        await page.open(page_url)
        tried: list[dict[str, Any]] = await page.evaluate(attack(target))
    assert len(tried) > 20, "the script did not run to its end"
    assert [one["way"] for one in tried if one["failed"] == "the script"] == []
    return tried


async def done(tried: list[dict[str, Any]], server: Server, folder: Path) -> dict[str, list[str]]:
    """What a page has done: the ways by which it read faces, who is enrolled now, and whose pictures were matched."""
    await asyncio.sleep(1)  # a beacon may still be on its way
    read = [one["way"] for one in tried if CANARY in one["read"]]
    return {"read": read, "enrolled": await enrolled(server), "matched": await devices(folder)}


async def test_a_page_of_another_origin_enrols_nobody_and_reads_nothing(tmp_path: Path) -> None:
    chromium()
    async with serving(tmp_path / "data") as server, hostile_site(server.url) as port:
        await enrol_victim(server)
        rules = ["MAP hostile.test 127.0.0.1"]
        tried = await attacked(f"http://hostile.test:{port}/", server.url, tmp_path, rules, server)
        assert await done(tried, server, tmp_path / "data") == NOTHING


async def test_a_page_of_another_port_of_this_machine_enrols_nobody_and_reads_nothing(tmp_path: Path) -> None:
    chromium()
    async with serving(tmp_path / "data") as server, hostile_site(server.url) as port:
        await enrol_victim(server)
        tried = await attacked(f"http://127.0.0.1:{port}/", server.url, tmp_path, [], server)
        assert await done(tried, server, tmp_path / "data") == NOTHING


async def test_a_page_whose_name_was_led_to_the_server_enrols_nobody_and_reads_nothing(tmp_path: Path) -> None:
    """DNS rebinding: to the browser, page and server are of one origin, so the page may read every answer."""
    chromium()
    async with serving(tmp_path / "data") as server:
        await enrol_victim(server)
        origin = f"http://rebound.test:{server.port}"
        tried = await attacked(f"{origin}/healthz", origin, tmp_path, ["MAP rebound.test 127.0.0.1"], server)
        assert await done(tried, server, tmp_path / "data") == NOTHING


async def test_a_page_that_the_server_s_own_address_serves_may_call_it(tmp_path: Path) -> None:
    """An Origin equal to Host passes: the browser's own guard is not what kept the others out."""
    chromium()
    async with serving(tmp_path / "data") as server, browsing(tmp_path, []) as page:
        await enrol_victim(server)
        await page.open(f"{server.url}/healthz")
        tried: list[dict[str, Any]] = await page.evaluate(attack(server.url))
        assert any(one["way"] == "users: read by fetch" and CANARY in one["read"] for one in tried)
        assert "fetch-json" in await enrolled(server)
