"""Admission, faults of the log, stopping, keys, and the pages for operators."""

import asyncio
import base64
from typing import Any

import orjson
import pytest

from broker.port import BrokerError, CommitFailed, RecordTooLarge
from contract.http import KEYS_PATH, MATCH_PATH, USERS_PATH
from contract.messages import Answer, Request
from ingest.server import CannotListen
from tests.support.waiting import until
from tests.wire.harness import HttpReply, Serving, Site, answer_well, parse_replies, unavailable

HEAD_ONLY = b"POST " + MATCH_PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
# Makes every client one of another machine.
AWAY: dict[str, Any] = {"trusted_networks": ()}


# Admission.


async def test_the_request_beyond_the_limit_is_refused_at_once_and_before_its_body(serving: Serving) -> None:
    release = asyncio.Event()

    async def wait(request: Request) -> Answer | None:
        await release.wait()
        return await answer_well(request)

    async with serving(wait) as site, asyncio.TaskGroup() as group:
        calls = [group.create_task(site.match()) for _ in range(64)]
        await until(lambda: site.metric("picturematch_http_in_flight") == 64)
        (reply,) = await site.raw(HEAD_ONLY)
        assert reply.code == 50380
        assert reply.headers["retry-after"] == "1"
        assert site.metric("picturematch_http_shed_total", reason="in_flight") == 1
        assert (await site.call("GET", "/healthz")).code == 200, "the pages for operators are never full"
        release.set()
        assert {(await call).code for call in calls} == {200}
        assert (await site.match()).code == 200


async def test_calls_whose_bodies_are_still_on_their_way_keep_nobody_else_out(serving: Serving) -> None:
    async with serving(max_in_flight=1) as site:
        writers = [(await asyncio.open_connection("127.0.0.1", site.ingress.port))[1] for _ in range(3)]
        for writer in writers:
            writer.write(HEAD_ONLY + b" ")
        await until(lambda: site.metric("picturematch_http_held_bytes") == 3)
        assert (await site.match()).code == 200
        for writer in writers:
            writer.close()


async def test_of_the_calls_that_arrive_together_those_beyond_the_limit_are_refused(serving: Serving) -> None:
    release = asyncio.Event()

    async def wait(request: Request) -> Answer | None:
        await release.wait()
        return await answer_well(request)

    body = b" " * 999 + b"{"
    async with serving(wait, max_in_flight=1) as site, asyncio.TaskGroup() as group:
        late = group.create_task(site.raw(HEAD_ONLY + body[:1], body[1:], pause_s=0.3, half_close=True))
        await until(lambda: site.metric("picturematch_http_held_bytes") == 1)
        first = group.create_task(site.match())
        await until(lambda: len(site.requests) == 1)
        (reply,) = await late
        assert reply.code == 50380
        assert "retry-after" in reply.headers
        release.set()
        assert (await first).code == 200


async def test_bodies_together_hold_a_bounded_memory(serving: Serving) -> None:
    async with serving(max_body_memory_bytes=30_000) as site:
        _, writer = await asyncio.open_connection("127.0.0.1", site.ingress.port)
        writer.write(HEAD_ONLY.replace(b"1000", b"20000") + b" " * 19_000)
        await until(lambda: site.metric("picturematch_http_held_bytes") == 19_000)
        reply = await site.match_bytes(b" " * 2_000)
        assert reply.code == 50380
        assert site.metric("picturematch_http_shed_total", reason="memory") == 1
        writer.close()
        await until(lambda: site.metric("picturematch_http_held_bytes") == 0)
        assert (await site.match()).code == 200


# Faults of the log.


async def test_without_its_log_the_server_sheds_before_reading_the_body(site: Site) -> None:
    site.log.is_available = False
    (reply,) = await site.raw(HEAD_ONLY)
    assert reply.code == 50380
    assert "retry-after" in reply.headers
    site.log.is_available = True
    assert (await site.match()).code == 200


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (unavailable(), 50380),
        (CommitFailed("the transaction was aborted"), 50380),
        (RecordTooLarge("too large"), 41300),
        (BrokerError("odd"), 50380),
    ],
)
async def test_an_append_that_fails_is_an_answer(site: Site, error: BrokerError, code: int) -> None:
    site.log.append_error = error
    reply = await site.match()
    assert reply.code == code
    assert ("retry-after" in reply.headers) == (code == 50380)


async def test_a_bug_is_answered_with_the_request_id_and_logged_without_the_request(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(body: bytearray, max_values: int) -> None:
        raise RuntimeError(body.decode())

    monkeypatch.setattr("ingest.api.binding.read_object", fail)
    reply = await site.match(device_ip="c4n4ry")
    assert reply.code == 50080
    assert reply.headers["x-request-id"] in reply.json["error"]["message"]
    assert reply.headers["x-request-id"] in caplog.text
    assert "RuntimeError" in caplog.text
    assert "c4n4ry" not in caplog.text + reply.body.decode()


# Stopping.


async def test_stopping_finishes_what_is_in_flight_and_takes_nothing_new(serving: Serving) -> None:
    release = asyncio.Event()

    async def wait(request: Request) -> Answer | None:
        await release.wait()
        return await answer_well(request)

    async with serving(wait) as site:
        _, idle = await asyncio.open_connection("127.0.0.1", site.ingress.port)
        call = asyncio.create_task(site.match())
        await until(lambda: bool(site.requests))
        stopping = asyncio.create_task(site.ingress.drain())
        await until(lambda: "the server is stopping" in site.ingress.not_ready())
        with pytest.raises(OSError, match="Connect"):
            await asyncio.open_connection("127.0.0.1", site.ingress.port)
        assert not stopping.done()
        release.set()
        reply = await call
        assert reply.code == 200
        assert reply.headers["connection"] == "close"
        async with asyncio.timeout(2):
            await stopping
        idle.close()


async def test_stopping_waits_for_a_body_that_is_on_its_way(site: Site) -> None:
    body = orjson.dumps(site.body())
    reader, writer = await asyncio.open_connection("127.0.0.1", site.ingress.port)
    writer.write(HEAD_ONLY.replace(b"1000", b"%d" % len(body)) + body[:100])
    await until(lambda: site.metric("picturematch_http_held_bytes") == 100)
    stopping = asyncio.create_task(site.ingress.drain())
    await until(lambda: "the server is stopping" in site.ingress.not_ready())
    writer.write(body[100:])
    async with asyncio.timeout(2):
        (reply,) = parse_replies(await reader.read())
        assert reply.code == 200
        await stopping
    writer.close()


async def test_stopping_answers_a_body_that_stalls(serving: Serving) -> None:
    async with serving(drain_s=1.2) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.ingress.port)
        writer.write(HEAD_ONLY + b"{")
        await until(lambda: site.metric("picturematch_http_held_bytes") == 1)
        await site.ingress.drain()
        (reply,) = parse_replies(await reader.read())
        assert reply.code == 50380
        assert reply.headers["retry-after"] == "1"
        assert site.metric("picturematch_http_shed_total", reason="draining") == 1
        writer.close()


async def test_stopping_takes_no_longer_than_its_limit(serving: Serving) -> None:
    async def never(request: Request) -> Answer | None:
        return None

    async with serving(never, drain_s=0.2) as site:
        call = asyncio.create_task(site.match())
        await until(lambda: bool(site.requests))
        async with asyncio.timeout(2):
            await site.ingress.drain()
        with pytest.raises(Exception, match=r"disconnected|reset|closed"):
            await call


async def test_stopping_twice_is_stopping_once(serving: Serving) -> None:
    release = asyncio.Event()

    async def wait(request: Request) -> Answer | None:
        await release.wait()
        return await answer_well(request)

    async with serving(wait) as site:
        call = asyncio.create_task(site.match())
        await until(lambda: bool(site.requests))
        both = [asyncio.create_task(site.ingress.drain()) for _ in range(2)]
        done, _ = await asyncio.wait(both, timeout=0.1)
        assert not done, "the second one waits for the first"
        release.set()
        assert (await call).code == 200
        async with asyncio.timeout(2):
            await asyncio.gather(*both)
            await site.ingress.drain()
        assert "the server is stopping" in site.ingress.not_ready()


async def test_a_port_in_use_is_one_clear_sentence(serving: Serving, site: Site) -> None:
    with pytest.raises(
        CannotListen, match=rf"cannot listen on 127\.0\.0\.1 port {site.ingress.port}: .*choose another"
    ):
        async with serving(port=site.ingress.port):
            pass


# Keys.


async def all_calls(site: Site, **headers: str) -> dict[str, HttpReply]:
    """A call of each route that devices do not call."""
    routes = [("POST", USERS_PATH), ("GET", USERS_PATH), ("GET", "/healthz"), ("GET", "/metrics"), ("GET", "/nowhere")]
    routes += [("GET", KEYS_PATH), ("POST", KEYS_PATH), ("DELETE", KEYS_PATH)]
    return {f"{method} {path}": await site.call(method, path, headers=headers) for method, path in routes}


async def test_without_keys_other_machines_are_devices(serving: Serving) -> None:
    async with serving(**AWAY) as site:
        assert [(await call).code for call in (site.match(), site.compare(), site.fiqa())] == [200] * 3
        for reply in (await all_calls(site)).values():
            assert reply.code == 40180
            assert "ingest.api_keys" in reply.json["error"]["message"]


@pytest.mark.parametrize(
    "header",
    [
        {"X-API-Key": "second-key"},
        {"Authorization": "bearer second-key"},
        {"Authorization": f"Basic {base64.b64encode(b'anybody:second-key').decode()}"},
    ],
)
async def test_a_key_opens_all_calls_to_other_machines(serving: Serving, header: dict[str, str]) -> None:
    async with serving(api_keys=("first-key", "second-key"), **AWAY) as site:
        assert {reply.status for reply in (await all_calls(site, **header)).values()} == {200, 400, 404}
        for wrong in ({}, {"X-API-Key": "wrong-key"}, {"X-API-Key": ""}, {"Authorization": "Basic second-key"}):
            replies = await all_calls(site, **wrong)
            assert {reply.code for reply in replies.values()} == {40180}
            assert "wrong-key" not in str([reply.body for reply in replies.values()])


async def test_a_setting_asks_a_key_of_devices_too(serving: Serving) -> None:
    async with serving(api_keys=("first-key",), api_key_for_match=True, **AWAY) as site:
        assert [(await call).code for call in (site.match(), site.compare(), site.fiqa())] == [40180] * 3
        assert (await site.match_bytes(orjson.dumps(site.body()), **{"X-API-Key": "first-key"})).code == 200


async def test_loopback_needs_no_key_unless_told(serving: Serving) -> None:
    async with serving(api_keys=("first-key",), api_key_for_match=True) as site:
        assert (await site.match()).code == 200
        assert (await site.call("GET", "/healthz")).code == 200
    async with serving(api_keys=("first-key",), need_api_key_from_loopback=True) as site:
        assert (await site.match()).code == 200
        assert (await site.call("GET", "/healthz")).code == 40180


# Pages for operators.


async def test_health_and_readiness_are_told_apart(serving: Serving) -> None:
    reasons: list[str] = []
    async with serving(ready=lambda: reasons) as site:
        assert (await site.call("GET", "/readyz")).json == {"ready": True}
        reasons.append("the networks are being prepared")
        reply = await site.call("GET", "/readyz")
        assert reply.code == 50380
        assert "the networks are being prepared" in reply.json["error"]["message"]
        assert (await site.call("GET", "/healthz")).json == {"alive": True}
        reasons.clear()
        site.log.is_available = False
        assert (await site.call("GET", "/readyz")).code == 50380


async def test_a_head_request_gets_the_head_only(site: Site) -> None:
    reply = await site.call("HEAD", "/healthz")
    assert (reply.status, reply.body) == (200, b"")


async def test_the_metrics_count_answers_by_route_and_code(site: Site) -> None:
    await site.match()
    await site.match(device_ip=1)
    await site.call("GET", "/made-up-by-the-client")
    text = (await site.call("GET", "/metrics")).body.decode()
    assert 'picturematch_http_requests_total{code="200",route="match"} 1.0' in text
    assert 'picturematch_http_requests_total{code="40071",route="match"} 1.0' in text
    assert 'picturematch_http_requests_total{code="40400",route="unknown"} 1.0' in text
    assert 'picturematch_http_request_seconds_count{route="match"} 2.0' in text
    assert "made-up" not in text
