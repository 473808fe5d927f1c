"""WipeData (docs/interface.md)."""

from typing import Any

import pytest

from contract.answers import Answer, RefusedAnswer
from contract.http import WIPE_DATA_PATH
from contract.requests import Request
from contract.site_requests import WipeRequest
from tests.wire.harness import HttpReply, Serving, Site


async def wipe(site: Site, options: Any) -> HttpReply:
    return await site.call("POST", WIPE_DATA_PATH, json={"wipe_options": options})


async def test_a_wipe_answers_the_options_as_sent_and_what_was_deleted(site: Site) -> None:
    reply = await wipe(site, {"users": True, "events": False, "all": False})
    assert (reply.code, reply.headers["x-gallery-version"]) == (200, "7")
    options = {"users": True, "events": False, "all": False}
    assert reply.json == {"data": {"wipe_options": options, "people_deleted": 3, "devices_deleted": 2}}
    assert len(site.requests) == 1


async def test_where_there_are_too_many_people_the_answer_says_what_to_do(serving: Serving) -> None:
    async def too_many(request: Request) -> Answer:
        return RefusedAnswer(code=40015, message="delete people first")

    async with serving(too_many) as site:
        reply = await wipe(site, {"users": True})
        assert (reply.code, reply.json["error"]["message"]) == (40015, "delete people first")
        (request,) = site.requests
        assert isinstance(request, WipeRequest)


async def test_where_nobody_answers_it_is_a_timeout(serving: Serving) -> None:
    async def silent(request: Request) -> Answer | None:
        return None

    async with serving(silent, deadline_ms=300) as site:
        reply = await wipe(site, {"users": True})
        assert reply.code == 50480


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
