"""WipeData (docs/interface.md)."""

import asyncio
from typing import Any

import pytest

from contract.http import WIPE_DATA_PATH
from contract.messages import Answer, Request, WipedAnswer, WipeRequest
from tests.wire.harness import HttpReply, Serving, Site


async def wipe(site: Site, options: Any) -> HttpReply:
    return await site.call("POST", WIPE_DATA_PATH, json={"wipe_options": options})


async def test_a_wipe_answers_the_options_as_sent_and_what_was_deleted(site: Site) -> None:
    reply = await wipe(site, {"users": True, "events": False, "all": False})
    assert (reply.code, reply.headers["x-gallery-version"]) == (200, "7")
    options = {"users": True, "events": False, "all": False}
    assert reply.json == {"data": {"wipe_options": options, "people_deleted": 3, "devices_deleted": 2}}
    assert len(site.requests) == 1


async def test_requests_are_sent_until_nobody_is_left(serving: Serving) -> None:
    async def some(request: Request) -> Answer:
        return WipedAnswer(people=10, devices=1, left=30 - 10 * len(site.requests))

    async with serving(some) as site:
        data = (await wipe(site, {"users": True})).json["data"]
        assert (data["people_deleted"], data["devices_deleted"]) == (30, 3)
        assert len({request.request_id for request in site.requests}) == 3
        assert all(isinstance(request, WipeRequest) for request in site.requests)


async def test_where_the_deadline_comes_first_the_answer_says_what_is_left(serving: Serving) -> None:
    async def slow(request: Request) -> Answer | None:
        if len(site.requests) > 2:
            await asyncio.sleep(10)
        return WipedAnswer(people=10, devices=0, left=100 - 10 * len(site.requests))

    async with serving(slow, deadline_ms=500) as site:
        reply = await wipe(site, {"users": True})
        assert reply.code == 50480
        assert "20 people and 0 devices are deleted and 80 are left" in reply.json["error"]["message"]


async def test_where_nobody_answers_at_all_it_is_a_timeout_as_ever(serving: Serving) -> None:
    async def silent(request: Request) -> Answer | None:
        return None

    async with serving(silent, deadline_ms=300) as site:
        reply = await wipe(site, {"users": True})
        assert (reply.code, "left" in reply.json["error"]["message"]) == (50480, False)


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (None, 40091, "wipe_options"),
        ([], 40091, "wipe_options"),
        ({}, 40091, "users"),
        ({"users": False}, 40091, "users"),
        ({"users": None}, 40091, "users"),
        ({"users": "true"}, 40005, "users"),
        ({"users": True, "events": 1}, 40005, "events"),
        ({"users": True, "events": True}, 40091, "retention"),
        ({"users": True, "all": True}, 40091, "retention"),
        ({"events": True}, 40091, "retention"),
    ],
    ids=range(10),
)
async def test_what_cannot_be_wiped_is_refused_and_nothing_is_half_done(
    site: Site, options: Any, code: int, words: str
) -> None:
    reply = await wipe(site, options)
    assert reply.code == code
    assert words in reply.json["error"]["message"]
    assert site.requests == []


async def test_from_another_machine_a_wipe_needs_a_key(serving: Serving) -> None:
    async with serving(trusted_networks=(), api_keys=("first-key",)) as site:
        assert (await wipe(site, {"users": True})).code == 40180
        assert site.requests == []
