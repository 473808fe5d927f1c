"""Who is let in by address, what web pages may do with that, and what becomes of wrong keys; through real sockets."""

import asyncio
from typing import Any

import orjson
import pytest

from contract.http import (
    COMPARE_PATH,
    DETECT_PATH,
    DEVICES_PATH,
    FIQA_PATH,
    GROUPS_PATH,
    HISTORY_EVENT_URL_PATH,
    IMPORT_PATH,
    KEYS_PATH,
    MATCH_PATH,
    PERMISSIONS_PATH,
    REEMBED_PATH,
    USERS_PATH,
    V6_PATH,
    WIPE_DATA_PATH,
)
from tests.wire.harness import HttpReply, Serving, Site, add_person

JSON = {"Content-Type": "application/json"}
PAGES = ("/healthz", "/readyz", "/metrics")
KEYS: dict[str, Any] = {"api_keys": ("first-key", "second-key")}
AWAY: dict[str, Any] = {"trusted_networks": ()}
SEARCH_PATH = f"{V6_PATH}/search"


def bodies(site: Site) -> dict[str, dict[str, Any]]:
    """A good body for each URL that takes a POST."""
    return {
        MATCH_PATH: site.body(),
        COMPARE_PATH: {"face_image_base64": site.picture_base64, "card_image_base64": site.picture_base64},
        FIQA_PATH: {"image_base64_str": site.picture_base64},
        DETECT_PATH: {"image_base64_str": site.picture_base64},
        USERS_PATH: {"identity_id": "1", "reg_photo": site.picture_base64},
        KEYS_PATH: {"name": "gate-1", "role": "device"},
        HISTORY_EVENT_URL_PATH: {"history_upload_event_url": [], "content-type": "json", "reported_peroid": 5},
        REEMBED_PATH: {"action": "remove", "embedder": "e-r1", "faces": [{"identity_id": "1", "number": 0}]},
        IMPORT_PATH: {"people": [{"identity_id": "1"}]},
        WIPE_DATA_PATH: {"wipe_options": {"users": True}},
        DEVICES_PATH: {
            "devices_list": [
                {
                    "device_name": "door",
                    "device_key": "10.0.0.1",
                    "device_type": "photo",
                    "group_id": "default_group",
                    "permission_id": "0",
                }
            ]
        },
        GROUPS_PATH: {"group_name": "staff", "description": ""},
        PERMISSIONS_PATH: {"permission_name": "day", "description": ""},
    }


async def post_raw(site: Site, path: str, *headers: str) -> HttpReply:
    """A good body, with exactly these headers beside its length."""
    search = {SEARCH_PATH: {"rgb_image_base64": site.picture_base64}}
    body = orjson.dumps((bodies(site) | search)[path])
    lines = [f"POST {path} HTTP/1.1", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
    (reply,) = await site.raw("\r\n".join(lines).encode() + body)
    return reply


def own(site: Site) -> str:
    return f"127.0.0.1:{site.ingress.port}"


# Origin and Sec-Fetch-Site.


@pytest.mark.parametrize(
    "header",
    [
        "Origin: http://hostile.test",
        "Origin: null",
        "Origin: ",
        "Origin: http://127.0.0.1:1",
        "Origin: http://127.0.0.1.hostile.test:{port}",
        "Origin: http://hostile.test@127.0.0.1:{port}",
        "Origin: file://",
        "Origin: chrome-extension://127.0.0.1:{port}",
        "Origin: http://127.0.0.1:{port} http://hostile.test",
        "Origin: http://127.0.0.1:{port}\r\nOrigin: http://hostile.test",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
        "Sec-Fetch-Site: CROSS-SITE",
        "Sec-Fetch-Site: made-up",
        "Origin: http://127.0.0.1:{port}\r\nSec-Fetch-Site: cross-site",
    ],
)
async def test_a_page_of_another_origin_is_refused_whatever_it_calls(site: Site, header: str) -> None:
    line = header.format(port=site.ingress.port)
    await add_person(site, "c4n4ry", b"photo")
    for path in bodies(site):
        reply = await post_raw(site, path, f"Host: {own(site)}", "Content-Type: application/json", line)
        assert reply.code == 40180
        assert "X-API-Key" in reply.json["error"]["message"]
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        head = f"{method} {USERS_PATH} HTTP/1.1\r\nHost: {own(site)}\r\nConnection: close\r\n{line}\r\n\r\n"
        assert [reply.code for reply in await site.raw(head.encode())] == [40180]
    assert site.requests == [], "nothing has entered the log"


async def test_a_page_of_the_server_s_own_origin_passes(site: Site) -> None:
    site.people.version = site.gallery_version
    for lines in (
        (f"Origin: http://{own(site)}", "Sec-Fetch-Site: same-origin"),
        (f"Origin: HTTP://{own(site)}",),
        ("Sec-Fetch-Site: none",),
    ):
        for path in bodies(site):
            reply = await post_raw(site, path, f"Host: {own(site)}", "Content-Type: application/json", *lines)
            assert reply.code == 200


async def test_a_default_port_need_not_be_named(serving: Serving) -> None:
    async with serving(host_names=("gate.example",)) as site:
        for origin, host in (("http", ":80"), ("http", ""), ("https", ":443"), ("https", "")):
            reply = await post_raw(
                site, USERS_PATH, f"Host: gate.example{host}", *type_line(), f"Origin: {origin}://gate.example"
            )
            assert reply.code == 200
        foreign = await post_raw(
            site, USERS_PATH, "Host: gate.example:5555", *type_line(), "Origin: http://gate.example"
        )
        assert foreign.code == 40180


def type_line() -> tuple[str]:
    return ("Content-Type: application/json",)


async def test_a_preflight_allows_nothing(site: Site) -> None:
    for origin in ("http://hostile.test", f"http://{own(site)}"):
        headers = {
            "Origin": origin,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type,x-api-key",
            "Access-Control-Request-Private-Network": "true",
        }
        for path in (*bodies(site), *PAGES):
            reply = await site.call("OPTIONS", path, headers=headers)
            assert reply.code in {40180, 40580}
            assert not [name for name in reply.headers if name.startswith("access-control")]


async def test_a_page_with_a_key_that_its_script_sent_is_no_stranger(serving: Serving) -> None:
    origin = {"Origin": "http://office.example"}
    async with serving(**KEYS) as site:
        site.people.version = site.gallery_version
        for key in ({"X-API-Key": "first-key"}, {"Authorization": "Bearer first-key"}):
            for path, body in bodies(site).items():
                assert (await site.call("POST", path, json=body, headers={**origin, **key})).code == 200
        wrong = await site.call("GET", USERS_PATH, headers={**origin, "X-API-Key": "third-key"})
        assert wrong.code == 40180


async def test_the_password_that_a_browser_sends_by_itself_opens_nothing_to_foreign_pages(serving: Serving) -> None:
    basic = {"Authorization": "Basic YW55Ym9keTpmaXJzdC1rZXk="}
    async with serving(**KEYS, **AWAY) as site:
        assert (await site.call("GET", USERS_PATH, headers=basic)).code == 200
        for page in ({"Origin": "http://hostile.test"}, {"Sec-Fetch-Site": "cross-site"}):
            assert (await site.call("GET", USERS_PATH, headers={**basic, **page})).code == 40180


# Host.


@pytest.mark.parametrize(
    "host",
    [
        "hostile.test",
        "hostile.test:{port}",
        "127.0.0.1.hostile.test",
        "gatekeeper",
        "a b",
        "[::1",
        "localhost.x",
        "0x7f.1",
    ],
)
async def test_a_call_by_a_name_that_nobody_configured_reads_and_changes_nothing(site: Site, host: str) -> None:
    await add_person(site, "c4n4ry", b"photo")
    line = f"Host: {host.format(port=site.ingress.port)}"
    for path in (USERS_PATH, KEYS_PATH):
        reply = await post_raw(site, path, line, "Content-Type: application/json")
        assert reply.code in {40180, 40000}
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        (reply,) = await site.raw(f"{method} {USERS_PATH} HTTP/1.1\r\n{line}\r\nConnection: close\r\n\r\n".encode())
        assert reply.code in {40180, 40000}
    assert site.requests == []


async def test_two_names_are_one_too_many(site: Site) -> None:
    reply = await post_raw(site, USERS_PATH, f"Host: {own(site)}", "Host: hostile.test", *type_line())
    assert reply.status in {400, 401}
    assert site.requests == []


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.1:{port}", "192.168.1.2:80", "[::1]:5555", "localhost", "LOCALHOST:{port}", "gate.example."],
)
async def test_addresses_and_configured_names_are_good(serving: Serving, host: str) -> None:
    async with serving(host_names=("Gate.Example",)) as site:
        line = f"Host: {host.format(port=site.ingress.port)}"
        assert (await post_raw(site, USERS_PATH, line, *type_line())).code == 200


async def test_devices_and_probes_know_the_server_by_any_name(site: Site) -> None:
    host = {"Host": "gatekeeper.lan:5555"}
    for path in (MATCH_PATH, COMPARE_PATH, FIQA_PATH):
        assert (await site.call("POST", path, json=bodies(site)[path], headers=host)).code == 200
    for page in PAGES:
        assert (await site.call("GET", page, headers=host)).status == 200


async def test_a_page_whose_name_was_led_here_is_no_device(site: Site) -> None:
    lines = ("Host: rebound.test:5555", "Origin: http://rebound.test:5555")
    for path in (MATCH_PATH, COMPARE_PATH, FIQA_PATH):
        assert (await post_raw(site, path, *lines, *type_line())).code == 40180
    assert site.requests == []


async def test_with_a_key_any_name_is_good(serving: Serving) -> None:
    async with serving(**KEYS, **AWAY) as site:
        headers = {"Host": "gatekeeper.lan", "X-API-Key": "second-key"}
        assert (await site.call("GET", USERS_PATH, headers=headers)).code == 200


# Trusted networks.


async def test_networks_are_trusted_by_setting_and_not_by_what_a_caller_says_of_itself(serving: Serving) -> None:
    async with serving(**KEYS, trusted_networks=("10.0.0.0/8",)) as site:
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-IP", "True-Client-IP", "Via"):
            for value in ("10.1.2.3", "for=10.1.2.3", "127.0.0.1"):
                assert (await site.call("GET", USERS_PATH, headers={header: value})).code == 40180
    async with serving(trusted_networks=("127.0.0.1/32",)) as site:
        assert (await site.call("GET", USERS_PATH)).code == 200
        for header in ({"X-Forwarded-For": "203.0.113.7"}, {"Forwarded": "for=203.0.113.7"}):
            told = await site.call("GET", USERS_PATH, headers=header)
            assert told.code == 40180, "a proxy that is not in trusted_proxies"


async def test_a_key_in_the_url_is_none(serving: Serving) -> None:
    async with serving(**KEYS, **AWAY) as site:
        for query in ("api_key=first-key", "X-API-Key=first-key", "key=first-key", "access_token=first-key"):
            assert (await site.call("GET", f"{USERS_PATH}?{query}")).code == 40180


# Behind a proxy, which here is on this machine: its own address needs no key.


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "203.0.113.7"},
        {"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=198.51.100.1"},
        {"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=127.0.0.1"},
        {"X-Forwarded-For": "203.0.113.7", "Forwarded": "nonsense"},
        {"X-Forwarded-For": "127.0.0.1, 203.0.113.7"},
        {"X-Forwarded-For": "nonsense, 127.0.0.1"},
        {"X-Forwarded-For": ""},
        {"Forwarded": "for=unknown"},
        {"Forwarded": "for=_hidden"},
    ],
)
async def test_behind_a_proxy_nobody_is_taken_for_the_proxy_by_what_it_writes(
    serving: Serving, headers: dict[str, str]
) -> None:
    async with serving(**KEYS, trusted_proxies=("127.0.0.1",), keys_over_plain_http=True) as site:
        assert (await site.call("GET", USERS_PATH, headers=headers)).code == 40180
        with_key = {**headers, "X-API-Key": "first-key"}
        assert (await site.call("GET", USERS_PATH, headers=with_key)).code == 200
        assert (await site.call("GET", USERS_PATH)).code == 200, "the proxy itself"
        here = {"X-Forwarded-For": "127.0.0.1"}
        assert (await site.call("GET", USERS_PATH, headers=here)).code == 200, "somebody on this machine"


async def test_a_key_that_others_could_read_is_refused_also_where_the_call_needs_none(serving: Serving) -> None:
    async with serving(**KEYS, trusted_proxies=("127.0.0.1",)) as site:
        body, away = site.body(), {"X-Forwarded-For": "203.0.113.7"}
        assert (await site.call("POST", MATCH_PATH, json=body, headers=away)).code == 200
        for key in ({"X-API-Key": "first-key"}, {"Authorization": "Basic eDpmaXJzdC1rZXk="}):
            assert (await site.call("POST", MATCH_PATH, json=body, headers={**away, **key})).code == 40180
            private = {**away, **key, "X-Forwarded-Proto": "https"}
            assert (await site.call("POST", MATCH_PATH, json=body, headers=private)).code == 200
        assert site.metric("picturematch_http_keys_refused_total", reason="plain_http") == 2


async def test_whoever_guesses_keys_behind_a_proxy_without_a_name_slows_nobody_who_has_one(serving: Serving) -> None:
    async with serving(**KEYS, trusted_proxies=("127.0.0.1",), keys_over_plain_http=True) as site:
        for number in range(30):
            told = await guess(site, number, **{"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=198.51.100.1"})
        assert "retry-after" in told.headers
        right = {"X-API-Key": "first-key", "X-Forwarded-For": "203.0.113.8"}
        assert (await site.call("GET", USERS_PATH, headers=right)).code == 200


# Content types.


async def test_a_body_without_a_type_is_json_for_calls_that_change_nobody(site: Site) -> None:
    for path in (MATCH_PATH, COMPARE_PATH, FIQA_PATH, SEARCH_PATH):
        assert (await post_raw(site, path, f"Host: {own(site)}")).code == 200
        assert (await post_raw(site, path, f"Host: {own(site)}", "Content-Type:")).code == 200


@pytest.mark.parametrize(
    "line",
    [
        (),
        ("Content-Type:",),
        ("Content-Type: text/plain",),
        ("Content-Type: text/plain;charset=UTF-8",),
        ("Content-Type: application/x-www-form-urlencoded",),
        ("Content-Type: multipart/form-data; boundary=application/json",),
        ("Content-Type: text/plain; application/json",),
    ],
)
async def test_what_a_page_may_send_without_asking_enrols_and_deletes_nobody(site: Site, line: tuple[str, ...]) -> None:
    reply = await post_raw(site, USERS_PATH, f"Host: {own(site)}", *line)
    assert reply.code == 40001
    assert "Content-Type: application/json" in reply.json["error"]["message"]
    for method in ("PUT", "DELETE"):
        body = '{"identity_id":"4321"}'
        lines = (
            f"{method} {USERS_PATH} HTTP/1.1",
            f"Host: {own(site)}",
            *line,
            f"Content-Length: {len(body)}",
            "",
            body,
        )
        (other,) = await site.raw("\r\n".join(lines).encode(), half_close=True)
        assert other.code == 40001
    assert site.requests == []


# Wrong keys.


async def guess(site: Site, number: int, **headers: str) -> HttpReply:
    return await site.call("GET", USERS_PATH, headers={"X-API-Key": f"guess-{number}", **headers})


async def test_whoever_guesses_keys_is_soon_not_judged_any_more(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(**KEYS, **AWAY) as site:
        replies = [await guess(site, number) for number in range(40)]
        assert {reply.code for reply in replies} == {40180}
        assert "retry-after" not in replies[0].headers
        unjudged = [reply for reply in replies if "retry-after" in reply.headers]
        assert len(unjudged) >= 20
        assert all(int(reply.headers["retry-after"]) >= 1 for reply in unjudged)
        assert site.metric("picturematch_http_keys_refused_total", reason="wrong") < 20
        assert site.metric("picturematch_http_keys_refused_total", reason="unjudged") >= 20
        # Until the allowance has just been used up, so that the next key is far from being judged.
        while (await guess(site, 41)).headers.get("retry-after") != "2":
            pass
        right = await site.call("GET", USERS_PATH, headers={"X-API-Key": "first-key"})
        assert right.code == 40180, "otherwise a guesser would learn at full speed which key is right"
        wait_s = int(right.headers["retry-after"])
        assert 1 <= wait_s <= 10
        await asyncio.sleep(wait_s)
        assert (await site.call("GET", USERS_PATH, headers={"X-API-Key": "first-key"})).code == 200
        assert (await site.match(device_ip="10.0.0.1")).code == 200, "who needs no key is not concerned"
    lines = [record.getMessage() for record in caplog.records if "wrong API keys" in record.getMessage()]
    assert len(lines) == 1
    assert "guess" not in caplog.text


async def test_a_stranger_behind_the_same_router_locks_out_nobody_whose_key_was_right(serving: Serving) -> None:
    async with serving(**KEYS, **AWAY) as site:
        right = {"X-API-Key": "second-key"}
        assert (await site.call("GET", USERS_PATH, headers=right)).code == 200
        for number in range(30):
            await guess(site, number)
        assert (await site.call("GET", USERS_PATH, headers=right)).code == 200


async def test_calls_without_any_key_cost_nothing(serving: Serving) -> None:
    async with serving(**KEYS, **AWAY) as site:
        for _ in range(30):
            assert (await site.call("GET", USERS_PATH)).code == 40180
        assert (await site.call("GET", USERS_PATH, headers={"X-API-Key": "first-key"})).code == 200
