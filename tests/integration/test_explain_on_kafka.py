"""`picturematch explain` on a real Kafka broker, beside an ingress and a processor and after restarts."""

import base64
import json
from typing import Any

import aiohttp

from contract.http import COMPARE_PATH
from tests.integration.test_roles_on_kafka import MATCH, USERS, create_topics, encoded, environment, roles
from tests.support.commands import run
from tests.support.faces import photo, scene


async def match(session: aiohttp.ClientSession, picture: bytes, **fields: Any) -> str:
    """Post a picture and return the request id."""
    body = {"device_ip": "10.0.0.1", "rgb_image_base64": base64.b64encode(picture).decode(), **fields}
    async with session.post(MATCH, json=body) as response:
        return response.headers["X-Request-Id"]


async def test_decisions_on_kafka_are_explained_after_restarts_and_deletions(kafka_bootstrap: str) -> None:
    given = environment(kafka_bootstrap)
    await create_topics(given)
    ids, others = dict[str, str](), dict[str, str]()
    async with roles(given) as (_, _, session):
        for identity_id, seed, info in (("anna", 1, {}), ("ben", 2, {"type": 3})):
            enrolled = {"identity_id": identity_id, "reg_photo": encoded(photo(seed)), "info": info}
            async with session.post(USERS, json=enrolled) as answer:
                assert answer.status == 200
                others[f"enrolled {identity_id}"] = answer.headers["X-Request-Id"]
        compared = {"face_image_base64": encoded(photo(1)), "card_image_base64": encoded(photo(2)), "need_save": True}
        async with session.post(COMPARE_PATH, json=compared) as answer:
            others["different"] = answer.headers["X-Request-Id"]
        ids["matched"] = await match(session, photo(1))
        ids["blacklisted"] = await match(session, photo(2))
        ids["spoof"] = await match(session, photo(1, live=False), liveness_mode="liveness_rgb")
        ids["no_face"] = await match(session, scene())
    async with roles(given) as (_, _, session):
        async with session.delete(USERS, json={"identity_id": "anna"}) as answer:
            assert answer.status == 200
        ids["stranger"] = await match(session, photo(1))
        for outcome, event_id in ids.items():
            ended = await run("explain", event_id, "--json", **given)
            assert (ended.status, ended.err) == (0, ""), outcome
            told = json.loads(ended.out)
            assert (told["outcome"], told["way"], told["alarm"], told["gone"]) == (outcome, "look", False, [])
            assert told["flips"] or told["no_flip"]
        for name, event_id in others.items():
            ended = await run("explain", event_id, "--json", **given)
            assert (ended.status, ended.err) == (0, ""), name
            told = json.loads(ended.out)
            assert (told["outcome"], told["way"], told["alarms"], told["gone"]) == (name.split()[0], "look", [], [])
    refused = await run("explain", "nobody", **given)
    assert (refused.status, "the log has no event with the id nobody" in refused.err) == (2, True)
