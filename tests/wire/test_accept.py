"""A process that may open no more files says so, and goes on when it may again."""

import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support.waiting import until
from tests.wire.harness import Site


@contextmanager
def no_more_files() -> Iterator[None]:
    lowest_free = os.dup(0)
    os.close(lowest_free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_clients_that_cannot_be_accepted_are_one_line_and_are_served_later(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    loop = asyncio.get_running_loop()
    clients = [socket.socket() for _ in range(20)]
    for client in clients:
        client.setblocking(False)
    with no_more_files():
        await asyncio.gather(*(loop.sock_connect(client, ("127.0.0.1", site.ingress.port)) for client in clients))
        await until(lambda: bool(caplog.records))
    (line,) = caplog.records
    assert line.name == "ingest.accept"
    assert "Too many open files; raise the limit" in line.getMessage()
    async with asyncio.timeout(5):
        for client in clients:
            await loop.sock_sendall(client, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b" 200 OK" in await loop.sock_recv(client, 1000)
            client.close()


async def test_other_troubles_of_the_loop_are_told_as_ever(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": "something else", "exception": OSError(24, "files")})
    (line,) = caplog.records
    assert (line.name, "something else" in line.getMessage()) == ("asyncio", True)


async def test_the_loop_gets_its_handler_back(site: Site) -> None:
    loop = asyncio.get_running_loop()
    assert loop.get_exception_handler() is not None
    await site.ingress.drain()
    assert loop.get_exception_handler() is None
