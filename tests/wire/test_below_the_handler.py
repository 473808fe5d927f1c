"""Faults below any handler, driven byte by byte: each ends in the JSON error with a request id, and soon."""

import asyncio

import orjson
import pytest

from contract.http import MATCH_PATH, USERS_PATH
from tests.support.waiting import until
from tests.wire.harness import HttpReply, Serving, Site, parse_replies

MATCH = MATCH_PATH.encode()
HEAD = b"POST " + MATCH + b" HTTP/1.1\r\nHost: x\r\n"


def post(body: bytes, *lines: bytes, version: bytes = b"1.1") -> bytes:
    """A whole request."""
    head = b"POST " + MATCH + b" HTTP/" + version + b"\r\nHost: x\r\nContent-Length: %d\r\n" % len(body)
    return head + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\x00\x01\x02\x03\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET / FTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: x\r\n\r\n",
        b"GET /\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"FROBNICATE / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad\x01Name: y\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nName: a\x00b\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nLong: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"Many: a\r\n" * 1000 + b"\r\n",
        HEAD + b"Content-Length: x\r\n\r\n",
        HEAD + b"Content-Length: -1\r\n\r\n",
        HEAD + b"Content-Length: 1.5\r\n\r\n",
        HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
        HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: frob\r\n\r\n{}",
        HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}garbage",
        HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        post(b"{}", b"Content-Encoding: gzip"),
        post(b"{}", b"Content-Encoding: frob"),
        post(b"{}", b"Content-Encoding: gzip, br"),
        post(b"{}", b"Expect: 200-ok"),
        post(b"{}", b"Expect: c4n4ry"),
    ],
    ids=range(34),
)
async def test_what_is_not_http_that_we_serve_gets_the_json_error(
    site: Site, request_bytes: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reply = (await site.raw(request_bytes, half_close=True))[-1]
    assert reply.code == 40000
    assert reply.version in {"HTTP/1.0", "HTTP/1.1"}
    assert reply.headers["content-type"] == "application/json"
    assert b"c4n4ry" not in reply.body
    assert not [record for record in caplog.records if record.levelname in {"ERROR", "CRITICAL"}]
    assert site.requests == []


@pytest.mark.parametrize("bad_chunk", [b"zz\r\n", b"2\r\n{}xx\r\n"])
async def test_a_chunk_that_breaks_while_the_body_is_read_is_refused_at_once(site: Site, bad_chunk: bytes) -> None:
    head = HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
    async with asyncio.timeout(3):
        replies = await site.raw(head, bad_chunk, pause_s=0.1)
    assert replies[0].code == 40000


async def test_a_head_that_stalls_is_refused_in_time(serving: Serving) -> None:
    async with serving(header_read_s=0.2) as site:
        for part in (b"P", b"POST /", HEAD, HEAD + b"Content-Le"):
            (reply,) = await site.raw(part)
            assert reply.code == 40000


async def test_a_head_that_trickles_is_refused_in_time(serving: Serving) -> None:
    async with serving(header_read_s=0.3) as site, asyncio.timeout(5):
        (reply,) = await site.raw(*(bytes([byte]) for byte in b"GET /healthz HTTP/1.1" * 2), pause_s=0.05)
        assert reply.code == 40000


async def test_a_connection_that_says_nothing_is_closed(serving: Serving) -> None:
    async with serving(header_read_s=0.2) as site:
        assert await site.raw() == []


async def test_a_head_that_is_cut_off_is_refused(site: Site) -> None:
    (reply,) = await site.raw(HEAD, half_close=True, pause_s=0.05)
    assert reply.code == 40000


async def test_a_body_that_stalls_is_refused_in_time(serving: Serving) -> None:
    async with serving(body_read_s=0.2) as site:
        for part in (HEAD + b"Content-Length: 100\r\n\r\n{", HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhe"):
            (reply,) = await site.raw(part)
            assert reply.code == 40000
            assert "0.2 s" in reply.json["error"]["message"]


async def test_a_body_that_is_cut_off_is_refused(site: Site) -> None:
    whole = orjson.dumps(site.body())
    for part in (
        post(whole)[:-1],
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(whole), whole),
        HEAD + b"Content-Length: 10\r\n\r\n",
    ):
        (reply,) = await site.raw(part, half_close=True, pause_s=0.05)
        assert reply.code == 40000
    assert site.requests == []


async def test_a_client_that_half_closes_after_its_request_gets_its_answer(site: Site) -> None:
    (reply,) = await site.raw(post(orjson.dumps(site.body())), half_close=True)
    assert reply.code == 200


async def test_a_chunked_body_is_served(site: Site) -> None:
    body = orjson.dumps(site.body())
    chunks = [b"%x;ext=1\r\n%s\r\n" % (len(body[i : i + 100]), body[i : i + 100]) for i in range(0, len(body), 100)]
    (reply,) = await site.raw(HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n", *chunks, b"0\r\n\r\n")
    assert reply.code == 200


async def test_http_1_0_is_served_and_closed(site: Site) -> None:
    (reply,) = await site.raw(post(orjson.dumps(site.body()), version=b"1.0"))
    assert reply.code == 200


async def test_a_connection_is_kept_for_the_next_request(site: Site) -> None:
    request = post(orjson.dumps(site.body()))
    replies = await site.raw(request, request, post(b"{}"), pause_s=0.1, half_close=True)
    assert [reply.code for reply in replies] == [200, 200, 40071]
    assert len({reply.headers["x-request-id"] for reply in replies}) == 3


async def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    good, bad = post(orjson.dumps(site.body())), post(b"[]")
    replies = await site.raw(good + bad + good + bad + good, half_close=True)
    assert [reply.code for reply in replies] == [200, 40000, 200, 40000, 200]


async def test_garbage_behind_a_request_gets_its_own_answer(site: Site) -> None:
    replies = await site.raw(post(orjson.dumps(site.body())), b"garbage\r\n\r\n", pause_s=0.1)
    assert [reply.code for reply in replies] == [200, 40000]


async def test_a_client_that_waits_for_it_is_told_to_go_on(site: Site) -> None:
    body = orjson.dumps(site.body())
    reader, writer = await asyncio.open_connection("127.0.0.1", site.ingress.port)
    async with asyncio.timeout(5):
        writer.write(HEAD + b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
        assert await reader.readline() == b"HTTP/1.1 100 Continue\r\n"
        writer.write(body)
        (reply,) = parse_replies((await reader.read()).removeprefix(b"\r\n"))
    writer.close()
    assert reply.code == 200


async def test_a_client_that_waits_is_not_told_to_send_what_will_be_refused(site: Site) -> None:
    (reply,) = await site.raw(HEAD + b"Expect: 100-continue\r\nContent-Length: 999999999\r\n\r\n", half_close=True)
    assert reply.code == 41300


async def test_an_unknown_url_is_not_found(site: Site) -> None:
    for path in ("/", "/nowhere", MATCH_PATH + "/", MATCH_PATH.lower(), "/SophonMatch/api/../api/PictureMatch2"):
        assert (await site.call("POST", path, json={})).code == 40400
    (star,) = await site.raw(b"OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert star.code == 40400
    (connect,) = await site.raw(b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", half_close=True)
    assert connect.code == 40400


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (MATCH_PATH, "POST"),
        (USERS_PATH, "POST, GET, PUT, DELETE"),
        ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/metrics", "GET, HEAD"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(site: Site, path: str, allowed: str) -> None:
    for method in ("GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        if method in allowed:
            continue
        reply = await site.call(method, path)
        assert reply.code == 40580
        assert reply.headers["allow"] == allowed


async def test_an_upgrade_is_declined_by_serving_the_request(site: Site) -> None:
    upgrade = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
    replies = await site.raw(upgrade, half_close=True)
    assert [reply.code for reply in replies] == [200]


async def test_a_large_unread_body_does_not_reach_the_next_request(serving: Serving) -> None:
    async with serving(max_body_bytes=1000) as site:
        body = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 100
        replies = await site.raw(post(body), half_close=True)
        assert [reply.code for reply in replies] == [41300]


async def test_too_many_connections_are_turned_away(serving: Serving) -> None:
    async with serving(max_connections=1) as site:
        _, writer = await asyncio.open_connection("127.0.0.1", site.ingress.port)
        # One that is busy: an idle one would make way.
        writer.write(post(b" " * 1000)[:-1])
        await until(lambda: site.metric("picturematch_http_held_bytes") == 999)
        for sent in (b"", post(b" " * 1_000_000)):
            (reply,) = await site.raw(sent)
            assert reply.code == 50380
            assert reply.headers["retry-after"] == "1"
        writer.close()
        await until(lambda: site.metric("picturematch_http_connections") == 0)
        assert (await site.match()).code == 200


async def test_no_answer_names_the_software_behind_it(site: Site) -> None:
    replies: list[HttpReply] = [await site.match(), *await site.raw(b"x\r\n\r\n"), await site.call("GET", "/x")]
    for reply in replies:
        assert reply.headers["server"] == "PictureMatch"
        assert "aiohttp" not in str(reply.headers).lower()
