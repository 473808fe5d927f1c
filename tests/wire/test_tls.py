"""TLS through real sockets: what is answered, what is not, and certificates that are replaced under load."""

import asyncio
import base64
import ssl
import time
import warnings
from pathlib import Path

import aiohttp
import pytest

from contract.http import MATCH_PATH, USERS_PATH
from tests.support.certificates import Pair, make_pair, needs_openssl
from tests.support.waiting import until
from tests.wire.harness import Serving, add_person, parse_replies

pytestmark = needs_openssl


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return make_pair(tmp_path)


async def exchanged(port: int, pair: Pair, *parts: bytes) -> bytes:
    """All that is answered to these bytes over TLS, until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=pair.trusted)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()


def certificate_shown(port: int) -> str:
    return ssl.get_server_certificate(("127.0.0.1", port), timeout=5)


async def test_calls_are_answered_over_https_and_plain_http_is_not_spoken(serving: Serving, pair: Pair) -> None:
    async with serving(**pair.settings) as site:
        assert site.ingress.url == f"https://127.0.0.1:{site.ingress.port}"
        assert (await site.call("POST", MATCH_PATH, json=site.body(), ssl=pair.trusted)).code == 200
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await site.call("GET", "/healthz")
        plain = site.ingress.url.replace("https", "http")
        with pytest.raises(aiohttp.ClientError):
            await site.session.get(f"{plain}/healthz")


def client_of(pair: Pair, newest: ssl.TLSVersion) -> ssl.SSLContext:
    """A client that speaks no newer protocol."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(pair.cert)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        client.minimum_version, client.maximum_version = ssl.TLSVersion.TLSv1, newest
    client.set_ciphers("ALL:@SECLEVEL=0")
    return client


async def test_protocols_older_than_tls_1_2_are_refused(serving: Serving, pair: Pair) -> None:
    async with serving(**pair.settings) as site:
        port = site.ingress.port
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client_of(pair, ssl.TLSVersion.TLSv1_2))
        writer.close()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", port, ssl=client_of(pair, ssl.TLSVersion.TLSv1_1))


async def test_a_large_answer_arrives_whole_and_who_does_not_read_it_is_disconnected(
    serving: Serving, pair: Pair
) -> None:
    photo = bytes(range(256)) * 24_000
    async with serving(**pair.settings, write_s=0.7) as site:
        await add_person(site, "1", photo)
        whole = await site.call("GET", USERS_PATH, ssl=pair.trusted)
        assert base64.b64decode(whole.json["data"]["identities_list"][0]["reg_photo"]) == photo
        _, writer = await asyncio.open_connection("127.0.0.1", site.ingress.port, ssl=pair.trusted, limit=1024)
        writer.write(f"GET {USERS_PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await until(lambda: site.metric("picturematch_http_held_bytes") > len(photo))
        await until(lambda: site.metric("picturematch_http_held_bytes") == 0, 5)
        writer.close()


async def test_a_certificate_is_replaced_without_dropping_a_connection(
    serving: Serving, pair: Pair, tmp_path: Path
) -> None:
    first, other = pair.pem, make_pair(tmp_path, "renewed")
    head = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    async with serving(**pair.settings) as site:
        reload, port = site.ingress.reload_certificate, site.ingress.port
        assert reload is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=pair.trusted)

        async def asked() -> bytes:
            writer.write(head)
            await writer.drain()
            answer = await reader.readuntil(b"\r\n\r\n")
            return answer + await reader.readexactly(len(b'{"alive":true}'))

        assert (await asked()).startswith(b"HTTP/1.1 200")
        pair.cert.write_text("half a file")
        reload()
        assert await asyncio.to_thread(certificate_shown, port) == first, "a bad file changes nothing"
        pair.replace_by(other)
        reload()
        assert (await asked()).startswith(b"HTTP/1.1 200"), "the connection goes on"
        assert await asyncio.to_thread(certificate_shown, port) == other.pem
        assert (await site.call("GET", "/healthz", ssl=other.trusted)).status == 200
        writer.close()


async def test_certificates_are_replaced_again_and_again_while_calls_are_made(
    serving: Serving, pair: Pair, tmp_path: Path
) -> None:
    pairs = [make_pair(tmp_path, name) for name in ("a", "b")]
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    async with serving(**pair.settings, max_in_flight=500) as site:
        reload = site.ingress.reload_certificate
        assert reload is not None
        calls = []
        for number in range(60):
            pair.replace_by(pairs[number % 2])
            reload()
            headers = {"Connection": "close"} if number % 3 else {}
            calls.append(asyncio.create_task(site.call("GET", "/healthz", ssl=anybody, headers=headers)))
            await asyncio.sleep(0.005)
        assert {reply.status for reply in await asyncio.gather(*calls)} == {200}


async def test_faulty_requests_and_refused_bodies_are_answered_over_tls_too(
    serving: Serving, pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    big = b"POST " + MATCH_PATH.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    big += b"Content-Length: 5000\r\n\r\n" + b" " * 2000
    async with serving(**pair.settings, max_body_bytes=1000) as site:
        port = site.ingress.port
        for sent, code in ((b"nonsense\r\n\r\n", 40000), (big, 41300)):
            began = time.monotonic()
            (reply,) = parse_replies(await exchanged(port, pair, sent))
            assert reply.code == code
            assert time.monotonic() - began < 5
    assert "failed" not in caplog.text
    assert "eof_received" not in caplog.text


async def test_a_connection_beyond_the_limit_is_told_so_over_tls(serving: Serving, pair: Pair) -> None:
    async with serving(**pair.settings, max_connections=1) as site:
        port = site.ingress.port
        _, busy = await asyncio.open_connection("127.0.0.1", port, ssl=pair.trusted)
        busy.write(b"POST " + MATCH_PATH.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        await busy.drain()
        await until(lambda: site.metric("picturematch_http_connections") == 1)
        (reply,) = parse_replies(await exchanged(port, pair))
        assert reply.code == 50380
        busy.close()


async def test_a_client_that_never_shakes_hands_is_disconnected(serving: Serving, pair: Pair) -> None:
    async with serving(**pair.settings, header_read_s=0.3) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.ingress.port)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_a_key_over_tls_is_accepted_and_the_downgrade_to_plain_http_at_a_proxy_is_not(
    serving: Serving, pair: Pair
) -> None:
    settings = {"api_keys": ("first-key",), "trusted_proxies": ("127.0.0.1",)}
    key = {"X-API-Key": "first-key", "X-Forwarded-For": "203.0.113.7"}
    async with serving(**pair.settings, **settings) as site:

        async def code(**reported: str) -> int:
            headers = {**key, **{name.replace("_", "-"): value for name, value in reported.items()}}
            return (await site.call("GET", USERS_PATH, headers=headers, ssl=pair.trusted)).code

        assert await code() == 200
        assert await code(X_Forwarded_Proto="https") == 200
        assert await code(X_Forwarded_Proto="http") == 40180
        assert await code(X_Forwarded_Proto="https, http") == 40180
        assert await code(Forwarded="for=203.0.113.7;proto=http") == 40180
