"""A server whose calls about people, groups, permissions and devices answer what a test says."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.scripted_server import Answer

Fields = dict[str, Any]
Script = Mapping[tuple[str, str], Callable[[Fields], Answer | Fields]]
"""(method, path) -> a function of the call's fields that returns the `data` of a success, or status and document."""


@dataclass
class ScriptedSite:
    """`url`, and the calls that came: method, path and fields; those of a GET are the text of its query."""

    url: str = ""
    calls: list[tuple[str, str, Fields]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)

    def changes(self) -> list[tuple[str, str, Fields]]:
        """The calls that are no GET."""
        return [call for call in self.calls if call[0] != "GET"]


@asynccontextmanager
async def scripted_site(script: Script) -> AsyncIterator[ScriptedSite]:
    """Serve on a free port; a call that is not in the script fails the test with its 500."""
    server = ScriptedSite()

    async def handle(request: web.Request) -> web.Response:
        fields = dict(request.query) if request.method == "GET" else await request.json()
        server.calls.append((request.method, request.path, fields))
        server.keys.add(request.headers.get("X-API-Key"))
        given = script[request.method, request.path](fields)
        status, content = given if isinstance(given, tuple) else (200, {"data": given})
        return web.json_response(content, status=status)

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield server
    finally:
        await runner.cleanup()
