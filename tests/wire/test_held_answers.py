"""Answers cost memory until they are sent; all of them together have a bound."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson

from contract.answers import Answer, MatchAnswer
from contract.http import MATCH_PATH
from contract.requests import MatchRequest, Request
from ingest.answer import _Sliced
from tests.support.waiting import until
from tests.wire.harness import Serving, Site, answer_well, parse_replies

PHOTO_BYTES = 12_000_000
"""More than the system takes off the server's hands for a client that does not read."""
ANSWER_BYTES = PHOTO_BYTES * 4 // 3


async def answer_with_a_photo(request: Request) -> Answer | None:
    if isinstance(request, MatchRequest) and request.need_register_photo:
        photo = bytes(PHOTO_BYTES)
        return MatchAnswer(retcode="1", identity_id="1", name="", score=0.5, identity_info={}, reg_pic=photo)
    return await answer_well(request)


@asynccontextmanager
async def deaf_client(site: Site) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A client that has asked for a photo and does not read the answer yet."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    await asyncio.get_running_loop().sock_connect(client, ("127.0.0.1", site.ingress.port))
    reader, writer = await asyncio.open_connection(sock=client, limit=4096)
    body = orjson.dumps(site.body(need_register_photo=True))
    head = f"POST {MATCH_PATH} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await until(lambda: held(site) > ANSWER_BYTES)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


def held(site: Site) -> float:
    return site.metric("picturematch_http_held_bytes")


async def test_an_answer_is_held_until_it_is_read_and_there_is_no_room_for_another(serving: Serving) -> None:
    async with serving(answer_with_a_photo, max_body_memory_bytes=2 * ANSWER_BYTES) as site:
        async with deaf_client(site) as (reader, _):
            refused = await site.match(need_register_photo=True)
            assert refused.code == 50380
            assert refused.headers["retry-after"] == "1"
            assert site.metric("picturematch_http_shed_total", reason="memory") == 1
            assert (await site.match()).code == 200, "small answers are sent all the same"
            (late,) = parse_replies(await reader.read())
            assert len(late.json["reg_pic"]) == ANSWER_BYTES
        await until(lambda: held(site) == 0)
        assert (await site.match(need_register_photo=True)).code == 200


async def test_the_answer_of_a_client_that_goes_away_is_held_no_more(serving: Serving) -> None:
    async with serving(answer_with_a_photo) as site:
        async with deaf_client(site):
            assert held(site) > ANSWER_BYTES
        await until(lambda: held(site) == 0)


async def test_the_answer_of_a_client_that_never_reads_is_given_up(serving: Serving) -> None:
    async with serving(answer_with_a_photo, write_s=0.3) as site, deaf_client(site):
        await until(lambda: site.metric("picturematch_http_connections") == 0)
        await until(lambda: held(site) == 0)
        assert site.metric("picturematch_http_connections") == 0


async def test_a_connection_that_stays_open_keeps_nothing_of_its_last_answer(serving: Serving) -> None:
    async with serving(answer_with_a_photo) as site:
        assert (await site.match(need_register_photo=True)).code == 200
        assert site.metric("picturematch_http_connections") == 1
        await until(lambda: held(site) == 0)
        kept = [len(body._value) for body in gc.get_objects() if isinstance(body, _Sliced)]
        assert kept
        assert max(kept) < ANSWER_BYTES
