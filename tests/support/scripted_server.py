"""A server that answers what a test tells it to, and remembers what it was asked."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Body = dict[str, Any]
Answer = tuple[int, Any]
"""HTTP status, and the JSON of the answer (text as it stands)."""


def refusal(code: int, message: str = "because", status: str = "STATUS") -> Answer:
    return code // 100, {"error": {"code": code, "message": message, "status": status}}


class Scripted:
    """`url`, and what came: (path, body) each, and the headers of the last."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.calls: list[tuple[str, Body]] = []
        self.headers: dict[str, str] = {}

    @property
    def bodies(self) -> list[Body]:
        return [body for _, body in self.calls]


@asynccontextmanager
async def scripted_server(
    answer: Callable[[Body], Answer | Awaitable[Answer | None] | None],
) -> AsyncIterator[Scripted]:
    """Serve on a free port. `answer` None breaks the connection instead."""

    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.json()
        server.calls.append((request.path, body))
        server.headers = dict(request.headers)
        given = answer(body)
        if isinstance(given, Awaitable):
            given = await given
        if given is None:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        status, content = given
        if isinstance(content, str):
            return web.Response(status=status, text=content)
        return web.json_response(content, status=status)

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        server = Scripted(f"http://127.0.0.1:{port}")
        yield server
    finally:
        await runner.cleanup()
