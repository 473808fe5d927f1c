"""`picturematch health` beside servers that are ready, that are not, and that are none."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from click.testing import CliRunner

from picturematch.__main__ import cli
from tests.support.commands import run


@asynccontextmanager
async def answering(status: int, text: str) -> AsyncIterator[tuple[str, list[tuple[str, str | None]]]]:
    """The address of a server that says this, and what it was asked: (path, key)."""
    asked: list[tuple[str, str | None]] = []

    async def handle(request: web.Request) -> web.Response:
        asked.append((request.path, request.headers.get("X-API-Key")))
        return web.Response(status=status, text=text)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}", asked
    finally:
        await runner.cleanup()


async def test_a_ready_server_is_ready() -> None:
    async with answering(200, '{"ready":true}') as (url, asked):
        done = await run("health", "--url", url, PICTUREMATCH_API_KEY="a-key-of-mine")
    assert (done.status, done.out, done.err) == (0, "ready\n", "")
    assert asked == [("/readyz", "a-key-of-mine")]


@pytest.mark.parametrize(
    ("status", "text", "told"),
    [
        (503, '{"error":{"code":50380,"message":"not ready: the log cannot be reached"}}', "the log cannot be reached"),
        (401, '{"error":{"code":40180,"message":"an API key is needed"}}', "an API key is needed"),
        (502, "<html>", "HTTP status 502"),
        (500, "[]", "HTTP status 500"),
    ],
)
async def test_a_server_that_is_not_ready_says_why(status: int, text: str, told: str) -> None:
    async with answering(status, text) as (url, asked):
        done = await run("health", "--url", url)
    assert (done.status, done.out) == (1, "")
    assert told in done.err
    assert asked == [("/readyz", None)]


async def test_without_a_server_it_is_not_ready(unused_port: int) -> None:
    done = await run("health", "--url", f"http://127.0.0.1:{unused_port}")
    assert (done.status, done.out) == (1, "")
    assert len(done.err.splitlines()) == 1


async def test_what_speaks_no_http_is_not_ready() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0\r\n")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        done = await run("health", "--url", f"http://127.0.0.1:{port}")
    assert done.status == 1
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("url", ["localhost:5555", "ftp://x", "http://"])
def test_an_address_that_is_none_is_told(url: str) -> None:
    assert CliRunner().invoke(cli, ["health", "--url", url]).exit_code == 2


def test_the_help_has_an_example() -> None:
    assert "picturematch health --url" in CliRunner().invoke(cli, ["health", "--help"]).output


@pytest.mark.parametrize("command", [("health",), ("keys", "list"), ("match", "README.md")])
async def test_a_file_without_certificates_is_told_in_one_sentence(command: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    file.write_text("no certificate")
    done = await run(*command, "--url", "https://127.0.0.1:1", "--ca-file", file)
    assert done.status == 2
    assert done.err == f"picturematch: {file} contains no certificate in PEM form (-----BEGIN CERTIFICATE-----)\n"
