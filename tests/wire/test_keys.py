"""API keys through real sockets: their roles, their deletion, attacks on them, and what is written down of callers."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from contract.audit import Actor, AuditRecord, RefusedKeysRecord, decode_audit, read_actor
from contract.http import KEYS_PATH, MATCH_PATH, USERS_PATH
from contract.people.keys import SiteKey
from contract.people.site import KeyRecord
from contract.requests import Headers
from contract.roles import Role
from contract.site_requests import KeyRequest
from contract.topics import Topics
from ingest.keys import digest
from tests.wire.harness import HttpReply, Serving, Site, parse_replies

AWAY: dict[str, Any] = {"trusted_networks": ()}
KEYS: dict[Role, str] = {role: f"pm_{role:_<43}" for role in ("device", "operator", "administrator")}


def know(site: Site, *roles: Role) -> None:
    """Let the people view contain the keys of these roles, as the people topic would have brought them."""
    for role in roles:
        record = KeyRecord(
            key_id=f"id-{role}", name=f"my-{role}", role=role, sha256=digest(KEYS[role].encode()), created_s=1.0
        )
        site.people.site = site.people.site.put(record)
    site.people.version = site.gallery_version


def sent(role: Role) -> dict[str, str]:
    return {"X-API-Key": KEYS[role]}


async def audit_of(site: Site) -> Sequence[AuditRecord]:
    """The records of the audit topic."""
    found = []
    async with site.log.reader(Topics().audit) as reader:
        while records := await reader.fetch(timeout_s=0.2):
            found += [decode_audit(record.value or b"") for record in records]
    return found


# Creating, listing and deleting.


async def test_a_new_key_is_shown_once_and_only_its_hash_travels(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with serving() as site:
        site.people.version = site.gallery_version
        created = await site.call("POST", KEYS_PATH, json={"name": "gate-1", "role": "device"})
        assert created.code == 200
        assert created.headers["cache-control"] == "no-store"
        data = created.json["data"]
        key = data["key"].encode()
        assert (data["name"], data["role"], data["key_id"]) == ("gate-1", "device", "k1")
        (request,) = site.requests
        assert isinstance(request, KeyRequest)
        assert (request.action, request.name, request.sha256) == ("create", "gate-1", digest(key))
        (record,) = site.records
        assert key not in (record.value or b"") + b"".join(value for _, value in record.headers)
        assert data["key"] not in caplog.text

        know(site, "operator", "device")
        listed = await site.call("GET", KEYS_PATH)
        assert [(one["name"], one["role"]) for one in listed.json["data"]["keys"]] == [
            ("my-device", "device"),
            ("my-operator", "operator"),
        ]
        assert b"sha256" not in listed.body
        assert (await site.call("DELETE", KEYS_PATH, json={"name": "gate-1"})).json["data"]["name"] == "gate-1"


async def test_a_deletion_is_answered_when_this_server_has_read_it(serving: Serving) -> None:
    async with serving(deadline_ms=500) as site:
        site.people.version = 0  # the follower is slow
        late = await site.call("DELETE", KEYS_PATH, json={"name": "gate-1"})
        assert late.code == 50480, "the key might still be accepted"


# Roles.


async def test_each_role_reaches_its_calls_and_no_others(serving: Serving) -> None:
    async with serving(api_key_for_match=True, **AWAY) as site:
        know(site, "device", "operator", "administrator")

        async def codes(role: Role) -> dict[str, int]:
            calls = {
                "match": site.call("POST", MATCH_PATH, json=site.body(), headers=sent(role)),
                "users": site.call("GET", USERS_PATH, headers=sent(role)),
                "delete": site.call("DELETE", USERS_PATH, json={"identity_id": "1"}, headers=sent(role)),
                "metrics": site.call("GET", "/metrics", headers=sent(role)),
                "unknown": site.call("GET", "/nowhere", headers=sent(role)),
                "keys": site.call("GET", KEYS_PATH, headers=sent(role)),
                "replay": site.call(
                    "POST", MATCH_PATH, json=site.body(), headers={**sent(role), "X-Replay-Of": "earlier"}
                ),
            }
            return {name: (await call).status for name, call in calls.items()}

        no, yes = 401, 200
        device = {"match": yes, "users": no, "delete": no, "metrics": no, "unknown": no, "keys": no, "replay": no}
        operator = {**device, "users": yes, "delete": yes, "metrics": yes, "unknown": 404}
        assert await codes("device") == device
        assert await codes("operator") == operator
        assert await codes("administrator") == {**operator, "keys": yes, "replay": yes}
        assert (await site.call("POST", MATCH_PATH, json=site.body())).code == 40180


async def test_a_weak_key_is_told_its_role_and_the_role_that_is_needed(serving: Serving) -> None:
    async with serving(**AWAY) as site:
        know(site, "device")
        refused = await site.call("GET", KEYS_PATH, headers=sent("device"))
        assert refused.code == 40180
        assert refused.json["error"]["message"] == (
            "the role of this API key is device, and this call needs a key with the role administrator"
        )


# Attacks.


async def test_a_deleted_key_is_refused_on_a_connection_that_was_opened_with_it(serving: Serving) -> None:
    async with serving(**AWAY) as site:
        know(site, "operator")
        head = f"GET {USERS_PATH} HTTP/1.1\r\nHost: x\r\nX-API-Key: {KEYS['operator']}\r\n\r\n".encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", site.ingress.port)

        async def code() -> int:
            writer.write(head)
            await writer.drain()
            top = await reader.readuntil(b"\r\n\r\n")
            size = int(top.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            (reply,) = parse_replies(top + await reader.readexactly(size))
            return reply.code

        assert [await code() for _ in range(3)] == [200, 200, 200]
        site.people.site = site.people.site.without(SiteKey("key", "id-operator"))
        assert await code() == 40180
        writer.close()


async def test_nobody_names_another_actor_than_the_one_who_calls(serving: Serving) -> None:
    forged = [
        (name, value)
        for name in ("actor", "Actor", "X-Actor", "X-PictureMatch-Actor", "Actor-Name", "X-Forwarded-User")
        for value in ('{"name":"root","role":"administrator"}', "root")
    ]
    async with serving(**AWAY) as site:
        know(site, "operator")
        body = {"identity_id": "1", "actor": "root", "role": "administrator", "peer": "6.6.6.6"}
        headers = [*forged, ("X-API-Key", KEYS["operator"])]
        assert (await site.call("DELETE", USERS_PATH, json=body, headers=headers)).code == 200
        (record,) = site.records
        (actor,) = [value for name, value in record.headers if name == Headers.ACTOR]
        expected = Actor(name="my-operator", role="operator", peer="127.0.0.1", key_id="id-operator")
        assert b"root" not in actor
        assert b"6.6.6.6" not in actor
        assert read_actor(actor) == expected
        assert b"root" not in (record.value or b"")


async def test_each_request_of_a_call_and_no_match_carries_its_caller(serving: Serving) -> None:
    async with serving() as site:
        assert (await site.match()).code == 200
        assert (await site.call("DELETE", USERS_PATH, json={"identity_ids": ["1", "2"]})).code == 200
        with_actor = [record.header(Headers.ACTOR) is not None for record in site.records]
        assert with_actor == [False, True, True]


@pytest.mark.parametrize("name", ["api_key", "X-API-Key", "access_token", "whatever"])
async def test_a_key_in_the_url_is_refused_and_logged_nowhere(
    serving: Serving, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with serving() as site:
        know(site, "administrator")
        for path, method in ((USERS_PATH, "GET"), (MATCH_PATH, "POST"), ("/nowhere", "GET")):
            reply = await site.call(method, f"{path}?{name}={KEYS['administrator']}", json=site.body())
            assert reply.code == 40180
            assert KEYS["administrator"].encode() not in reply.body
        assert site.requests == []
        assert KEYS["administrator"] not in caplog.text
        assert site.metric("picturematch_http_keys_refused_total", reason="in_url") == 3


@pytest.mark.parametrize(
    ("proto", "code"), [("https", 200), ("http", 40180), ("", 40180), ("https,http", 40180), (None, 40180)]
)
async def test_a_key_from_beyond_is_accepted_only_as_the_proxy_reports_https(
    serving: Serving, proto: str | None, code: int
) -> None:
    async with serving(trusted_proxies=("127.0.0.1",)) as site:
        know(site, "operator")
        headers = {**sent("operator"), "X-Forwarded-For": "203.0.113.7"}
        if proto is not None:
            headers["X-Forwarded-Proto"] = proto
        for number in range(2):
            reply = await site.call("GET", USERS_PATH, headers=headers)
            assert reply.code == code, number


async def test_who_is_no_proxy_cannot_claim_https(serving: Serving) -> None:
    async with serving(trusted_proxies=("127.0.0.2",), **AWAY) as site:
        know(site, "operator")
        headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https", **sent("operator")}
        assert (await site.call("GET", USERS_PATH, headers=headers)).code == 200, "from this machine itself"
        assert site.metric("picturematch_http_keys_refused_total", reason="plain_http") == 0


async def guesses(site: Site, count: int) -> list[HttpReply]:
    async def one(number: int) -> HttpReply:
        return await site.call("GET", USERS_PATH, headers={"X-API-Key": f"guess-{number}"})

    return list(await asyncio.gather(*(one(number) for number in range(count))))


async def test_keys_that_are_guessed_at_speed_are_counted_and_never_delay_a_match(serving: Serving) -> None:
    async with serving(**AWAY, max_connections=600) as site:
        know(site, "operator")
        guessing = asyncio.create_task(guesses(site, 400))
        matches = [await site.match() for _ in range(10)]
        replies = await guessing
        assert {reply.code for reply in replies} == {40180}
        assert {reply.code for reply in matches} == {200}
        assert (await site.call("GET", USERS_PATH, headers=sent("device"))).code == 40180
        await site.ingress.drain()
        counted: dict[str, int] = {}
        for record in await audit_of(site):
            assert isinstance(record, RefusedKeysRecord)
            assert record.peer == "127.0.0.1"
            assert record.time % 60 == 0
            for reason, number in record.counts.items():
                counted[reason] = counted.get(reason, 0) + number
        assert sum(counted.values()) == 401
        assert counted["unjudged"] > 350
        assert b"guess" not in repr(await audit_of(site)).encode()


async def test_keys_that_are_sent_while_the_server_is_starting_are_counted_once_the_log_can_be_written(
    serving: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(**AWAY) as site:
        monkeypatch.setattr(site.ingress._authorisation, "_keys_known", lambda: False)
        assert {reply.code for reply in await guesses(site, 30)} == {50380}
        assert site.metric("picturematch_http_keys_refused_total", reason="starting") == 30
        await site.ingress.drain()
        counts = [record.counts for record in await audit_of(site) if isinstance(record, RefusedKeysRecord)]
        assert sum(each["starting"] for each in counts) == 30
        assert {reason for each in counts for reason in each} == {"starting"}, "a key of the topic is not called wrong"


async def test_refused_keys_are_counted_although_the_log_cannot_be_written(serving: Serving) -> None:
    async with serving(**AWAY) as site:
        know(site, "operator")
        site.log.append_blocks = True
        async with asyncio.timeout(5):
            assert {reply.code for reply in await guesses(site, 30)} == {40180}
        site.log.append_blocks = False
