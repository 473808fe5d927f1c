"""X-Replay-Of: an administrator's mark on a call, which travels with its request."""

from typing import Any

import pytest

from contract.http import MATCH_PATH
from contract.requests import Headers
from tests.wire.harness import HttpReply, Serving, Site

AWAY: dict[str, Any] = {"trusted_networks": ()}


async def replayed(site: Site, mark: str, **headers: str) -> HttpReply:
    return await site.call("POST", MATCH_PATH, json=site.body(), headers={"X-Replay-Of": mark, **headers})


async def test_the_mark_travels_in_the_headers_of_the_request(site: Site) -> None:
    reply = await replayed(site, "an-earlier.id")
    assert reply.code == 200
    assert site.records[0].header(Headers.REPLAY_OF) == b"an-earlier.id"
    await site.match()
    assert site.records[1].header(Headers.REPLAY_OF) is None


async def test_a_device_away_may_match_and_may_not_replay(serving: Serving) -> None:
    async with serving(api_keys=("first-key",), **AWAY) as site:
        assert (await site.match()).code == 200
        refused = await replayed(site, "a")
        assert refused.code == 40180
        allowed = await replayed(site, "a", **{"X-API-Key": "first-key"})
        assert allowed.code == 200
        assert [record.header(Headers.REPLAY_OF) for record in site.records] == [None, b"a"]


@pytest.mark.parametrize("mark", ["", "a b", "x" * 129, "é", "a/b"])
async def test_a_mark_that_is_no_id_is_refused(site: Site, mark: str) -> None:
    refused = await replayed(site, mark)
    assert refused.code == 40000
    assert site.records == []
