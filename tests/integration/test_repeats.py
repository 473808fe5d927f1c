"""Repeated matches through whole systems: answered as ever, one small event each, also across a kill."""

import asyncio
import json
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp

from contract.http import EVENTS_PATH, MATCH_PATH
from tests.integration.test_push import got, site, upload_to
from tests.integration.test_record_and_replay import expect_no_difference, recorded
from tests.integration.test_roles_on_kafka import encoded
from tests.integration.test_site_settings import Client
from tests.support.faces import photo
from tests.support.receivers import receiving
from tests.support.sites import Processes, at, embedded_site, kafka_site

PATIENCE_S = 30.0
WINDOW = {"PICTUREMATCH_MATCHING__REPEAT_WINDOW_S": "3600", "PICTUREMATCH_MATCHING__UNKNOWN_DEVICE": "accept"}


async def stored(client: Client, count: int, **asked: str) -> list[dict[str, Any]]:
    """The events of the store, as soon as there are so many, the oldest first."""
    words = "&".join(f"{name}={value}" for name, value in asked.items())
    async with asyncio.timeout(PATIENCE_S):
        while len(found := (await client.call("GET", f"{EVENTS_PATH}?{words}"))["data"]) < count:  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.05)
    return sorted(found, key=lambda event: str(event["timestamp"]))


async def test_a_repeat_is_answered_and_outlets_pass_its_event_over_unless_asked(tmp_path: Path) -> None:
    async with receiving() as receiver, site(tmp_path) as client:
        await upload_to(client, [receiver.url])
        assert (await client.set(DUPLICATE_REMOVAL_TIMEOUT=3600))["success_configs"] == ["DUPLICATE_REMOVAL_TIMEOUT"]
        first, second = await client.match(7), await client.match(7)
        assert second == first, "a repeat is answered as ever"
        assert (await client.set(DUPLICATE_REMOVAL_TIMEOUT=0))["success_configs"] == ["DUPLICATE_REMOVAL_TIMEOUT"]
        await client.match(7)
        await got(receiver, 2)
        whole = await stored(client, 2)
        every = await stored(client, 3, repeats="true")
        await asyncio.sleep(1.5)
        assert len(receiver.tried) == 2, "the repeat is not uploaded"
    assert [event["repeat_of"] for event in every] == ["", every[0]["_id"], ""]
    assert [event["_id"] for event in whole] == [every[0]["_id"], every[2]["_id"]]
    assert (every[1]["identity_id"], every[1]["outcome"]) == ("7", "matched")


async def match_at(running: Processes, device_ip: str) -> str:
    """A match of the person at a device; return the id of its event."""
    body = {"device_ip": device_ip, "rgb_image_base64": encoded(photo(7))}
    async with aiohttp.ClientSession() as session, session.post(running.url + MATCH_PATH, json=body) as response:
        answer = await response.json()
        assert answer["retcode"] == "1", answer
        return response.headers["X-Request-Id"]


async def events_of(running: Processes) -> dict[str, dict[str, Any]]:
    done = await at(running, "events")
    assert done.status == 0, done.err
    return {event["id"]: event for event in map(json.loads, done.out.splitlines()) if event["kind"] == "match"}


async def over_two_kills(made: AbstractAsyncContextManager[Processes], tmp_path: Path) -> list[int | None]:
    """Matches of a person at two devices, before and after each of two kills; return the number of the match that each
    one repeats. Repeats are small, can be explained, and are decided again as they were."""
    async with made as running:
        async with aiohttp.ClientSession() as session:
            person = {"identity_id": "7", "reg_photo": encoded(photo(7)), "info": {"name": "Anna"}, "fiqa_level": "no"}
            async with session.post(f"{running.url}/SophonFogSys/api/users", json=person) as response:
                assert response.status == 200
        ids = [await match_at(running, "10.0.0.1"), await match_at(running, "10.0.0.2")]
        for _ in range(2):
            await running.restart()
            ids += [await match_at(running, "10.0.0.1"), await match_at(running, "10.0.0.2")]
        found = await events_of(running)
        repeated = [found[name]["repeat_of"] for name in ids]
        assert found[ids[0]]["face"] is not None
        assert {found[name]["face"] for name in ids[2:]} == {None}
        explained = await at(running, "explain", ids[3], "--json")
        told = json.loads(explained.out)
        assert (explained.status, told["alarm"], told["way"]) == (0, False, "look"), told
        await expect_no_difference(running, await recorded(running, tmp_path / "capture"))
    return [None if name is None else ids.index(name) for name in repeated]


async def test_a_match_after_a_kill_repeats_the_one_before_it(tmp_path: Path) -> None:
    assert await over_two_kills(embedded_site(tmp_path, **WINDOW), tmp_path) == [None, None, 0, 1, 0, 1]


async def test_a_match_after_a_kill_repeats_the_one_before_it_on_kafka(tmp_path: Path, kafka_bootstrap: str) -> None:
    repeated = await over_two_kills(kafka_site(kafka_bootstrap, tmp_path, **WINDOW), tmp_path)
    assert repeated == [None, None, 0, 1, 0, 1]
