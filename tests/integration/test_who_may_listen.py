"""Who may listen to events: keys, roles, pages of other origins, host names, and TLS."""

import base64
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace
from yarl import URL

from contract.people.keys import SiteKey
from contract.roles import Role
from tests.support.certificates import make_pair, needs_openssl
from tests.support.realtime import Sink, live_sink, received
from tests.support.sinking import event
from tests.support.waiting import until

AWAY: dict[str, Any] = {"trusted_networks": ("192.0.2.0/24", "127.0.0.1/32"), "need_api_key_from_loopback": True}
ALL = {"event_list": []}


async def status(sink: Sink, path: str = "/", **headers: str) -> int:
    """The status of a handshake (101: it succeeded), or of /events."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if path.startswith("/events"):
        async with sink.session.get(sink.url + path, headers=sent) as answer:
            return answer.status
    try:
        async with sink.session.ws_connect(sink.url + path, headers=sent):
            return 101
    except aiohttp.WSServerHandshakeError as refused:
        return refused.status


@pytest.mark.parametrize("path", ["/", "/events"])
async def test_a_caller_from_elsewhere_needs_the_key_of_an_operator(tmp_path: Path, path: str) -> None:
    async with live_sink(tmp_path, ingest=AWAY) as sink:
        good = 101 if path == "/" else 200
        operator, device = sink.key("operator"), sink.key("device")
        assert await status(sink, path) == 401
        assert await status(sink, path, X_API_Key="wrong") == 401
        assert await status(sink, path, X_API_Key=device) == 401
        assert await status(sink, f"{path}?api_key={operator}") == 401
        assert await status(sink, path, X_API_Key=operator) == good
        assert await status(sink, path, Authorization=f"Bearer {operator}") == good
        basic = base64.b64encode(f"desk:{operator}".encode()).decode()
        assert await status(sink, path, Authorization=f"Basic {basic}") == good
        refused = {
            reason: sink.registry.get_sample_value("picturematch_http_keys_refused_total", {"reason": reason})
            for reason in ("wrong", "weak_role", "in_url")
        }
        assert refused == {"wrong": 1, "weak_role": 1, "in_url": 1}


async def test_a_refusal_tells_browsers_and_programs_how_to_send_a_key(tmp_path: Path) -> None:
    async with live_sink(tmp_path, ingest=AWAY) as sink, sink.session.get(f"{sink.url}/events") as answer:
        challenges = answer.headers.getall("WWW-Authenticate")
        assert challenges == ["Bearer", 'Basic realm="PictureMatch", charset="UTF-8"']
        assert (await answer.json())["error"]["status"] == "UNAUTHORIZED"


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Host": "rebound.example"}])
async def test_a_browser_is_not_told_to_ask_for_a_password_where_others_would_use_it(
    tmp_path: Path, headers: dict[str, str]
) -> None:
    async with (
        live_sink(tmp_path, ingest=AWAY) as sink,
        sink.session.get(f"{sink.url}/events", headers=headers) as answer,
    ):
        assert (answer.status, answer.headers.getall("WWW-Authenticate")) == (401, ["Bearer"])


async def test_the_password_in_the_url_is_a_key_as_older_clients_send_it(tmp_path: Path) -> None:
    async with live_sink(tmp_path, ingest=AWAY) as sink:
        url = URL(sink.url).with_user("desk").with_password(sink.key("administrator"))
        async with sink.session.ws_connect(url) as socket:
            await socket.send_json(ALL)
            await until(lambda: sink.metric("clients") == 1)
            assert not socket.closed


@pytest.mark.parametrize("left", [None, "device"], ids=["deleted", "weaker"])
async def test_a_key_that_is_deleted_or_gets_a_weaker_role_ends_the_connection_before_the_next_event(
    tmp_path: Path, left: Role | None
) -> None:
    async with live_sink(tmp_path, ingest=AWAY) as sink:
        key = sink.key("operator")
        async with (
            sink.session.ws_connect(sink.url, headers={"X-API-Key": key}) as socket,
            sink.session.get(f"{sink.url}/events", headers={"X-API-Key": key}) as stream,
        ):
            await stream.content.readuntil(b"\n\n")
            await socket.send_json({"event_list": [sink.people.site.device_id_of("10.0.0.1")]})
            await sink.settled(socket)
            await sink.append(event(0))
            await received(socket, 1)
            await stream.content.readuntil(b"\n\n")
            site = sink.people.site
            if left is None:
                sink.people.site = site.without(SiteKey("key", "operator"))
            else:
                sink.people.site = site.put(replace(site.keys["operator"], role=left))
            await sink.append(event(2))
            closed = await socket.receive(5)
            assert closed.type is aiohttp.WSMsgType.CLOSE
            assert closed.data == aiohttp.WSCloseCode.POLICY_VIOLATION
            assert await stream.content.read() == b""
            await until(lambda: sink.metric("clients") == 0)


@pytest.mark.parametrize("path", ["/", "/events"])
async def test_a_page_of_another_origin_listens_only_where_the_operator_allows_its_origin(
    tmp_path: Path, path: str
) -> None:
    async with live_sink(tmp_path, origins=("https://Desk.example",)) as sink:
        good, own = 101 if path == "/" else 200, sink.url
        assert await status(sink, path) == good
        assert await status(sink, path, Origin=own) == good
        assert await status(sink, path, Origin="https://desk.example", Sec_Fetch_Site="cross-site") == good
        for origin in ("https://evil.example", "http://desk.example", "https://desk.example:444", "null"):
            assert await status(sink, path, Origin=origin) == 401
        assert await status(sink, path, Origin=f"{own}1") == 401
        assert await status(sink, path, Sec_Fetch_Site="cross-site") == 401
        assert await status(sink, path, Host="rebound.example", Origin="http://rebound.example") == 401


async def test_the_key_that_a_browser_adds_by_itself_does_not_help_a_foreign_page(tmp_path: Path) -> None:
    async with live_sink(tmp_path, ingest=AWAY, origins=("https://desk.example",)) as sink:
        basic = "Basic " + base64.b64encode(f"desk:{sink.key('operator')}".encode()).decode()
        assert await status(sink, Authorization=basic, Origin="https://evil.example") == 401
        assert await status(sink, Authorization=basic, Origin="https://desk.example") == 101


async def test_an_allowed_page_may_read_the_stream_with_its_credentials_and_no_other_page_may(tmp_path: Path) -> None:
    async with live_sink(tmp_path, origins=("https://desk.example",)) as sink:
        headers = {"Origin": "https://desk.example"}
        async with sink.session.get(f"{sink.url}/events", headers=headers) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "https://desk.example"
            assert answer.headers["Access-Control-Allow-Credentials"] == "true"
        async with sink.session.get(f"{sink.url}/events", headers={"Origin": sink.url}) as answer:
            assert answer.status == 200
            assert "Access-Control-Allow-Origin" not in answer.headers


async def test_a_key_over_plain_http_from_afar_is_refused_and_behind_a_trusted_proxy_the_client_counts(
    tmp_path: Path,
) -> None:
    ingest = {"trusted_networks": ("10.0.0.0/8",), "trusted_proxies": ("127.0.0.1",)}
    async with live_sink(tmp_path, ingest=ingest) as sink:
        key = sink.key("operator")
        afar = {"X_Forwarded_For": "203.0.113.7", "X_Forwarded_Proto": "http"}
        assert await status(sink, X_API_Key=key, **afar) == 401
        assert await status(sink, X_API_Key=key, **{**afar, "X_Forwarded_Proto": "https"}) == 101
        assert await status(sink, X_Forwarded_For="10.1.2.3") == 101
        assert await status(sink, X_Forwarded_For="203.0.113.7") == 401


@needs_openssl
async def test_with_a_certificate_clients_use_wss_and_https(tmp_path: Path) -> None:
    pair = make_pair(tmp_path)
    async with live_sink(tmp_path / "data", ingest=pair.settings) as sink:
        assert sink.url.startswith("https://")
        async with sink.session.ws_connect(sink.url.replace("https", "wss"), ssl=pair.trusted) as socket:
            await socket.send_json({"event_list": [sink.people.site.device_id_of("10.0.0.1")]})
            await sink.settled(socket)
            await sink.append(event(0))
            assert (await received(socket, 1))[0]["event_id"] == "event-0"
        async with sink.session.get(f"{sink.url}/events", ssl=pair.trusted) as answer:
            assert answer.status == 200
