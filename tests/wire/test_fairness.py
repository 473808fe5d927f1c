"""Overload and greedy callers: what one address does takes nobody else's answers, and what cannot be done in time is
refused at once. Peers are told apart by addresses of this machine's loopback network."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import orjson
import pytest

from contract.answers import Answer
from contract.http import MATCH_PATH
from contract.requests import Request
from tests.support.waiting import until
from tests.wire.harness import HttpReply, Serving, Site, answer_well, parse_replies

GREEDY, HONEST = "127.0.0.2", "127.0.0.3"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


class Workers:
    """A processor that takes a while: `count` threads, `seconds` for each request, in order of arrival, and like the
    real one not a moment sooner for requests that nobody waits for any more."""

    def __init__(self, count: int = 2, seconds: float = 0.05) -> None:
        self._free = asyncio.Semaphore(count)
        self._seconds = seconds
        self.done = 0

    async def __call__(self, request: Request) -> Answer | None:
        async with self._free:
            await asyncio.sleep(self._seconds)
            self.done += 1
        return await answer_well(request)


class Caller:
    """Calls one after the other on a connection from an address of its own, and counts the codes of the answers."""

    def __init__(self, site: Site, address: str, **headers: str) -> None:
        self._site, self._address = site, address
        body = orjson.dumps(site.body())
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"POST {MATCH_PATH} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: {len(body)}\r\n\r\n"
        self._call = head.encode() + body
        self.codes: Counter[int] = Counter()

    async def once(self) -> int:
        async with connected(self._site, self._address) as (reader, writer):
            code = (await exchange(reader, writer, self._call)).code
        self.codes[code] += 1
        return code

    async def for_ever(self) -> None:
        """As fast as it is answered, but for a breath after a refusal: it shares a core with the server."""
        while True:
            if await self.once() != 200:
                await asyncio.sleep(0.25)


@asynccontextmanager
async def connected(site: Site, address: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.ingress.port, local_addr=(address, 0))
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, sent: bytes) -> HttpReply:
    """The answer to what is sent."""
    writer.write(sent)
    async with asyncio.timeout(30):
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if b"content-length" in line]
        (reply,) = parse_replies(head + await reader.readexactly(length))
    return reply


@asynccontextmanager
async def busy_with(callers: list[Callable[[], Awaitable[None]]]) -> AsyncIterator[None]:
    """All of them call, all the time."""
    tasks = [asyncio.ensure_future(call()) for call in callers]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def matches_of(caller: Caller, count: int) -> int:
    for _ in range(count):
        await caller.once()
        await asyncio.sleep(0.02)
    return caller.codes[200]


async def test_one_address_with_seventy_connections_takes_nobody_elses_answers(serving: Serving) -> None:
    async with serving(Workers()) as site:
        greedy, honest = Caller(site, GREEDY), Caller(site, HONEST)
        async with busy_with([greedy.for_ever] * 70):
            await until(lambda: greedy.codes.total() >= 20, 30)
            assert await matches_of(honest, 20) >= 19, f"honest: {honest.codes}, greedy: {greedy.codes}"
        assert greedy.codes[200] > 20, "what others leave is the greedy one's"


async def test_a_peer_alone_gets_everything(serving: Serving) -> None:
    workers = Workers()
    async with serving(workers) as site:
        caller = Caller(site, HONEST)
        async with busy_with([caller.for_ever] * 12):
            await until(lambda: workers.done >= 60, 60)
        assert caller.codes[200] >= 48
        assert set(caller.codes) == {200}, "twelve at a time can all be answered in time"


async def test_what_would_come_too_late_is_refused_instead_of_done_in_vain(serving: Serving) -> None:
    workers = Workers(count=2, seconds=0.1)
    async with serving(workers, deadline_ms=2500) as site:
        callers = [Caller(site, f"127.0.1.{number}") for number in range(1, 65)]
        async with busy_with([caller.for_ever for caller in callers]):
            await until(lambda: workers.done >= 120, 60)
        codes = sum((caller.codes for caller in callers), Counter[int]())
        # Without a limit on what waits, nearly everything is done for callers who have been told TIMEOUT.
        assert codes[50480] <= 0.25 * workers.done, f"answers: {codes}, done by the processor: {workers.done}"
        assert codes[200] >= 0.6 * workers.done, f"answers: {codes}, done by the processor: {workers.done}"
        assert codes[50380] > codes[200], "the rest is refused"


async def test_a_refusal_for_load_comes_before_the_body_and_says_when_to_try_again(serving: Serving) -> None:
    async with serving(Workers(count=1, seconds=0.3), deadline_ms=1000) as site:
        greedy = Caller(site, GREEDY)
        assert await greedy.once() == 200
        async with busy_with([greedy.for_ever] * 20):
            await until(lambda: site.metric("picturematch_http_shed_total", reason="wait") > 0)
            head = f"POST {MATCH_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".encode()
            for _ in range(50):
                async with connected(site, GREEDY) as (reader, writer):
                    writer.write(head)
                    try:
                        async with asyncio.timeout(0.5):
                            first = await reader.readuntil(b"\r\n\r\n")
                    except TimeoutError:
                        continue
                assert b" 503 " in first.split(b"\r\n")[0]
                assert b"retry-after: 1" in first.lower()
                return
        pytest.fail("no head was refused before its body")


# Behind a proxy.


async def test_what_a_peer_claims_about_itself_counts_for_nothing(serving: Serving) -> None:
    async with serving(Workers()) as site:
        liars = [Caller(site, GREEDY, X_Forwarded_For=f"192.0.2.{number}") for number in range(70)]
        honest = Caller(site, HONEST)
        async with busy_with([liar.for_ever for liar in liars]):
            await until(lambda: sum(liar.codes.total() for liar in liars) >= 20, 30)
            assert await matches_of(honest, 10) >= 9, f"honest: {honest.codes}"


@pytest.mark.parametrize("header", ["X_Forwarded_For", "Forwarded"])
async def test_behind_a_trusted_proxy_the_peer_is_the_client_that_it_names(serving: Serving, header: str) -> None:
    name = "for={}" if header == "Forwarded" else "{}"
    async with serving(Workers(), trusted_proxies=("127.0.0.0/30",)) as site:
        greedy = [
            Caller(site, GREEDY, **{header: name.format(f"203.0.113.{n}") + ", " + name.format("192.0.2.1")})
            for n in range(70)
        ]
        honest = Caller(site, GREEDY, **{header: name.format("192.0.2.2")})
        async with busy_with([one.for_ever for one in greedy]):
            await until(lambda: sum(one.codes.total() for one in greedy) >= 20, 30)
            assert await matches_of(honest, 10) >= 9, f"honest: {honest.codes}"


# Memory and connections.


async def test_one_address_cannot_take_the_memory_of_others_with_slow_bodies(serving: Serving) -> None:
    async with serving(max_body_memory_bytes=100_000) as site, AsyncExitStack() as stack:
        head = f"POST {MATCH_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 10000\r\n\r\n".encode()
        for _ in range(10):
            _, writer = await stack.enter_async_context(connected(site, GREEDY))
            writer.write(head + b" " * 9_990)
        shed, held = "picturematch_http_shed_total", "picturematch_http_held_bytes"
        await until(lambda: site.metric(shed, reason="memory") > 0 or site.metric(held) == 99_900)
        honest = Caller(site, HONEST)
        assert await honest.once() == 200


def beginnings() -> dict[str, bytes]:
    head = f"POST {MATCH_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n".encode()
    return {"nothing": b"", "half a head": head[:40], "half a body": head + b" " * 10}


@pytest.mark.parametrize("sent", beginnings().values(), ids=beginnings())
async def test_one_address_cannot_take_all_connections(serving: Serving, sent: bytes) -> None:
    async with serving(max_connections=40) as site, AsyncExitStack() as stack:
        for _ in range(60):
            reader, writer = await stack.enter_async_context(connected(site, GREEDY))
            if site.metric("picturematch_http_connections") < 40:
                assert (await exchange(reader, writer, HEALTH)).code == 200
            writer.write(sent)
        honest = Caller(site, HONEST)
        for _ in range(5):
            assert await honest.once() == 200
        assert site.metric("picturematch_http_connections") <= 41


async def test_who_makes_way_in_the_middle_of_a_request_is_told_why(serving: Serving) -> None:
    async with serving(max_connections=3) as site, AsyncExitStack() as stack:
        half = f"POST {MATCH_PATH} HTTP/1.1\r\nHo".encode()
        readers = []
        for number in range(3):
            reader, writer = await stack.enter_async_context(connected(site, GREEDY))
            writer.write(half)
            readers.append(reader)
            await until(lambda: site.metric("picturematch_http_connections") == number + 1)  # noqa: B023
        assert await Caller(site, HONEST).once() == 200
        async with asyncio.timeout(10):
            (told,) = parse_replies(await readers[0].read())
        assert told.code == 50380
        assert told.headers["connection"] == "close"
        assert site.metric("picturematch_http_shed_total", reason="connections") == 1


async def test_the_connections_of_others_stay(serving: Serving) -> None:
    async with serving(max_connections=10) as site, AsyncExitStack() as stack:
        reader, writer = await stack.enter_async_context(connected(site, HONEST))
        assert (await exchange(reader, writer, HEALTH)).code == 200
        for _ in range(30):
            await stack.enter_async_context(connected(site, GREEDY))
        assert (await exchange(reader, writer, HEALTH)).code == 200


async def test_a_request_that_is_being_served_is_not_cut_off_for_room(serving: Serving) -> None:
    async with serving(Workers(seconds=1.0), max_connections=5) as site, AsyncExitStack() as stack:
        honest = Caller(site, GREEDY)
        call = asyncio.create_task(honest.once())
        await until(lambda: len(site.requests) == 1)
        for _ in range(20):
            await stack.enter_async_context(connected(site, GREEDY))
        assert await call == 200
