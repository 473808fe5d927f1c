"""Posting to receivers over HTTP: good ones, hostile ones, and addresses that are never reached."""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from sinks import outward
from sinks.outward import MOST_ANSWER_BYTES, Outward, Unreached, never_allowed
from sinks.port import SinkError
from tests.support.certificates import make_pair, needs_openssl
from tests.support.receivers import (
    Talk,
    close_at_once,
    hang,
    huge_answer,
    huge_header,
    no_http,
    receiving,
    reset,
    slow_bytes,
    talking,
)
from tests.support.waiting import until

BODY = b"{}"


def anybody(_: object) -> bool:
    return True


async def test_the_status_the_beginning_of_the_body_and_retry_after_are_returned() -> None:
    def answer(_: object) -> web.Response:
        return web.Response(status=429, body=b"x" * (MOST_ANSWER_BYTES + 1), headers={"Retry-After": "7"})

    async with receiving(answer) as receiver, Outward(anybody, 5.0) as client:
        found = await client.post(receiver.url, BODY, {"A": "b"})
        again = await client.post(receiver.url, BODY, {})
    assert (found.status, len(found.body), found.retry_after_s) == (429, MOST_ANSWER_BYTES, 7.0)
    assert again.status == 429
    assert receiver.tried[0].headers["A"] == "b"


@pytest.mark.parametrize(
    ("text", "least_s", "most_s"),
    [
        ("0", 0, 0),
        ("99999999999", 86_400, 86_400),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
    ],
    ids=["now", "never", "before"],
)
async def test_retry_after_is_a_number_of_seconds_or_a_date(text: str, least_s: float, most_s: float) -> None:
    answer = web.Response(status=503, headers={"Retry-After": text})
    async with receiving(lambda _: answer) as receiver, Outward(anybody, 5.0) as client:
        wait_s = (await client.post(receiver.url, BODY, {})).retry_after_s
    assert wait_s is not None
    assert least_s <= wait_s <= most_s


async def test_retry_after_is_a_date_of_the_future() -> None:
    answer = web.Response(status=503)
    answer.headers["Retry-After"] = format_datetime(datetime.now(UTC) + timedelta(seconds=3000), usegmt=True)
    async with receiving(lambda _: answer) as receiver, Outward(anybody, 5.0) as client:
        wait_s = (await client.post(receiver.url, BODY, {})).retry_after_s
    assert wait_s is not None
    assert 2000 <= wait_s <= 3000


@pytest.mark.parametrize("text", ["soon", "-5", "1.5", "Wed, 99 Oct 2015 07:28:00 GMT", "\u0663"])
async def test_a_retry_after_that_is_neither_has_no_effect(text: str) -> None:
    answer = web.Response(status=503, headers={"Retry-After": text})
    async with receiving(lambda _: answer) as receiver, Outward(anybody, 5.0) as client:
        assert (await client.post(receiver.url, BODY, {})).retry_after_s is None


async def test_redirects_are_not_followed_and_cookies_are_not_kept() -> None:
    async with receiving() as elsewhere, Outward(anybody, 5.0) as client:

        def answer(_: object) -> web.Response:
            response = web.Response(status=307, headers={"Location": elsewhere.url})
            response.set_cookie("who", "me")
            return response

        async with receiving(answer) as receiver:
            assert (await client.post(receiver.url, BODY, {})).status == 307
            await client.post(receiver.url, BODY, {})
    assert elsewhere.tried == []
    assert "Cookie" not in receiver.tried[1].headers


@pytest.mark.parametrize(
    ("talk", "reason"),
    [
        (hang, "no answer within 0.5 s"),
        (slow_bytes, "no answer within 0.5 s"),
        (close_at_once, "closed the connection"),
        (reset, "closed the connection|reset"),
        (no_http, "its answer is not HTTP"),
        (huge_header, "its answer is not HTTP"),
    ],
)
async def test_a_hostile_receiver_is_given_up_within_the_time_limit(talk: Talk, reason: str) -> None:
    async with talking(talk) as port, Outward(anybody, 0.5) as client, asyncio.timeout(5):
        with pytest.raises(Unreached, match=reason):
            await client.post(f"http://127.0.0.1:{port}/secret?token=1", BODY, {})


async def test_of_an_answer_of_64_mb_the_beginning_is_read_and_the_connection_is_closed() -> None:
    ended: list[BaseException | None] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await huge_answer(reader, writer)
            ended.append(None)
        except (ConnectionError, asyncio.CancelledError) as error:
            ended.append(error)
            raise

    async with talking(talk) as port, Outward(anybody, 5.0) as client:
        answer = await client.post(f"http://127.0.0.1:{port}/", BODY, {})
        assert (answer.status, len(answer.body)) == (200, MOST_ANSWER_BYTES)
        await until(lambda: ended)
    assert isinstance(ended[0], ConnectionError), "the rest was not taken"


async def test_no_receiver_and_an_unknown_name_are_told_without_the_url() -> None:
    async with Outward(anybody, 5.0) as client:
        with pytest.raises(Unreached) as closed:
            await client.post("http://127.0.0.1:9/secret", BODY, {})
        with pytest.raises(Unreached, match="its name cannot be resolved"):
            await client.post("http://no-such-host.invalid/secret", BODY, {})
    assert "secret" not in str(closed.value)


@needs_openssl
async def test_tls_is_checked(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.cert, pair.key)
    async with receiving(tls=context) as receiver:
        url = receiver.url.replace("http://", "https://")
        async with Outward(anybody, 5.0) as client:
            with pytest.raises(Unreached, match="its certificate or its TLS is not accepted"):
                await client.post(url, BODY, {})
        async with Outward(anybody, 5.0, pair.cert) as client:
            assert (await client.post(url, BODY, {})).status == 200
    assert len(receiver.tried) == 1
    async with talking(no_http) as port, Outward(anybody, 5.0, pair.cert) as client:
        with pytest.raises(Unreached, match="its certificate or its TLS is not accepted"):
            await client.post(f"https://127.0.0.1:{port}/", BODY, {})
    with pytest.raises(SinkError, match="cannot be read"):
        await Outward(anybody, 5.0, tmp_path / "absent.pem").__aenter__()


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "224.0.0.1", "0.0.0.0", "240.0.0.1", "255.255.255.255"),  # noqa: S104 - none is bound to
        *("fe80::1", "ff02::1", "::", "::ffff:169.254.169.254", "::ffff:224.0.0.1", "64:ff9b::a9fe:a9fe"),
        *("2002:a9fe:a9fe::1", "::169.254.169.254", "::ffff:0:169.254.169.254"),  # 6to4, compatible, translated
        *("2001:0:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:5601:5601"),  # Teredo: its server, and its client
        *("64:ff9b:1::a9fe:a9fe", "64:ff9b:1:a9fe:a9:fe00::", "64:ff9b:1:a9:fe:a9fe::", "64:ff9b:1:0:a9:fea9:fe00::"),
        *("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "64:ff9b::6464:64c8"),
    ],
)
def test_link_local_multicast_reserved_and_metadata_addresses_are_never_allowed(address: str) -> None:
    assert never_allowed(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "93.184.216.34", "::1", "fd00::1", "2a00:1450::1", "::ffff:10.0.0.1"),
        *("64:ff9b::a00:1", "64:ff9b:1::a00:1", "64:ff9b:1:e000::a00:1", "2001:0:4136:e378:8000:63bf:3fff:fdd2"),
    ],
)
def test_other_addresses_can_be_allowed(address: str) -> None:
    assert not never_allowed(ip_address(address))


class Resolving(AbstractResolver):
    """A resolver to which a name stands for these addresses."""

    addresses: tuple[str, ...] = ()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self.addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def resolves(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let every name resolve to some addresses."""
    connector = aiohttp.TCPConnector
    resolver = Resolving()
    monkeypatch.setattr(
        outward.aiohttp, "TCPConnector", lambda **given: connector(resolver=resolver, use_dns_cache=False, **given)
    )

    def to(*addresses: str) -> None:
        Resolving.addresses = addresses

    return to


async def test_a_name_that_resolves_to_a_forbidden_address_is_not_reached_there(
    resolves: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    connected: list[str] = []
    loop = asyncio.get_running_loop()
    connect: Callable[..., Awaitable[None]] = loop.sock_connect

    async def noting(sock: socket.socket, address: tuple[str, int]) -> None:
        connected.append(address[0])
        await connect(sock, address)

    monkeypatch.setattr(loop, "sock_connect", noting)
    async with receiving() as receiver, Outward(anybody, 2.0) as client:
        url = f"http://gate.test:{receiver.port}/"
        for addresses in (("169.254.169.254",), ("fe80::1", "224.0.0.1"), ("::ffff:169.254.169.254",)):
            resolves(*addresses)
            with pytest.raises(Unreached, match="is not allowed"):
                await client.post(url, BODY, {})
        assert connected == []
        resolves("127.0.0.1")
        assert (await client.post(url, BODY, {"Connection": "close"})).status == 200
        # The name resolves to another address now, as a hostile name server can arrange.
        resolves("169.254.169.254")
        with pytest.raises(Unreached, match="is not allowed"):
            await client.post(url, BODY, {})
        resolves("169.254.169.254", "127.0.0.1")
        assert (await client.post(url, BODY, {})).status == 200, "a name may have another address as well"
    assert set(connected) == {"127.0.0.1"}


async def test_an_address_beyond_the_rule_of_the_caller_is_not_reached() -> None:
    async with receiving() as receiver, Outward(lambda address: address != ip_address("127.0.0.1"), 2.0) as client:
        with pytest.raises(Unreached, match=r"a connection to .* is not allowed"):
            await client.post(receiver.url, BODY, {})
    assert receiver.tried == []
