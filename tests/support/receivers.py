"""Receivers of events over HTTP, for tests: one that answers as a test says, and hostile ones."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from aiohttp import web
from aiohttp.test_utils import TestServer
from multidict import CIMultiDictProxy


@dataclass(frozen=True)
class Upload:
    """One request. `files`: field of a multipart form -> file name, media type, bytes; `fields`: its other fields."""

    path: str
    headers: CIMultiDictProxy[str]
    body: bytes
    fields: dict[str, str]
    files: dict[str, tuple[str, str, bytes]]

    @property
    def json(self) -> dict[str, object]:
        found: dict[str, object] = orjson.loads(self.body)
        return found


Answer = Callable[[Upload], web.StreamResponse | Awaitable[web.StreamResponse]]


def ok(_: Upload) -> web.StreamResponse:
    """What the vendor's sample of a receiver answers."""
    return web.json_response({"message": "SUCCESS", "status": 0})


@dataclass
class Receiver:
    """A receiver that keeps what it gets. `answer`: what it answers to a request; `port`: where it listens."""

    answer: Answer = ok
    port: int = 0
    tried: list[Upload] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/events"

    async def take(self, request: web.Request) -> web.StreamResponse:
        fields: dict[str, str] = {}
        files: dict[str, tuple[str, str, bytes]] = {}
        body = b""
        if request.content_type.startswith("multipart/"):
            async for part in await request.multipart():
                data = bytes(await part.read())  # type: ignore[union-attr]
                name = str(part.name)  # type: ignore[union-attr]
                if part.filename is None:  # type: ignore[union-attr]
                    fields[name] = data.decode()
                else:
                    files[name] = (part.filename, part.headers["Content-Type"], data)  # type: ignore[union-attr]
        else:
            body = await request.read()
        upload = Upload(request.path_qs, request.headers, body, fields, files)
        self.tried.append(upload)
        answer = self.answer(upload)
        return await answer if isinstance(answer, Awaitable) else answer


@asynccontextmanager
async def receiving(answer: Answer = ok, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A running receiver at 127.0.0.1."""
    receiver = Receiver(answer)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_route("*", "/{path:.*}", receiver.take)
    server = TestServer(app)
    await server.start_server(ssl=tls, shutdown_timeout=0.1)
    receiver.port = server.port or 0
    try:
        yield receiver
    finally:
        await server.close()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[int]:
    """The port of a server at 127.0.0.1 that says to each connection what `talk` says."""

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read everything, and answer nothing."""
    while await reader.read(65536):
        pass


async def close_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close the connection before the request is read."""


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read the beginning of the request, and reset the connection."""
    await reader.readline()
    writer.transport.abort()


async def slow_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one byte in 50 ms, without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.05)


async def no_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer something that is not HTTP."""
    writer.write(b"\x00\xff" * 100 + b"\r\n\r\n")
    await writer.drain()


async def huge_answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer 200 with 64 MB."""
    await reader.readline()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n")
    for _ in range(64):
        writer.write(b" " * 1_048_576)
        await writer.drain()


async def huge_header(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer a header without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        writer.write(b"x" * 65536)
        await writer.drain()
