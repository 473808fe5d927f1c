"""`picturematch people erase` on Kafka: the person is deleted, and the command prints until when the rest stays."""

import base64
import json
import time

from tests.integration.test_roles_on_kafka import MATCH, USERS, create_topics, environment, post, roles
from tests.support.commands import run
from tests.support.faces import photo

DAY_S = 86_400.0


async def test_the_person_is_deleted_and_all_that_waits_is_named_with_its_time(kafka_bootstrap: str) -> None:
    given = environment(kafka_bootstrap)
    picture = base64.b64encode(photo(1)).decode()
    await create_topics(given)
    async with roles(given) as (ingress, _, session):
        for who, seed in (("anna", 1), ("ben", 2)):
            enrolled = {"reg_photo": base64.b64encode(photo(seed)).decode(), "info": {"name": who}}
            assert (await post(session, USERS, identity_id=who, **enrolled))[0] == 200
        assert (await post(session, MATCH, device_ip="10.0.0.1", rgb_image_base64=picture))[1]["identity_id"] == "anna"

        erased = await run("people", "erase", "anna", "--yes", "--json", "--url", ingress.url, **given)

        assert (erased.status, erased.err) == (1, "")
        lines = [json.loads(line) for line in erased.out.splitlines()]
        assert not [line for line in lines if line["what"] == "erased"]
        prefix = given["PICTUREMATCH_LOG__TOPIC_PREFIX"]
        counted = [line for line in lines if line.get("records")]
        with_faces = {
            line["topic"].removeprefix(f"{prefix}."): line["records"] for line in counted if line.get("biometric")
        }
        assert with_faces == {"people": 2, "photos": 1, "admin": 1, "requests": 1, "evidence": 1, "replies": 2}
        waits = {line["topic"].removeprefix(f"{prefix}."): line for line in counted}
        others = {topic: line["records"] for topic, line in waits.items() if not line.get("biometric")}
        assert others == {"admin": 1, "events": 3, "audit": 2}, (
            "the deletion; and records without picture and embedding"
        )
        week = time.time() + 7 * DAY_S
        assert week < waits["people"]["until"] < week + DAY_S
        assert week < waits["requests"]["until"] < week + 2 * DAY_S
        assert waits["photos"]["until"] < time.time() + DAY_S
        assert (await post(session, MATCH, device_ip="10.0.0.1", rgb_image_base64=picture))[1]["name"] == "stranger"

    events = await run("events", "--kind", "erase", **given)
    (event,) = [json.loads(line) for line in events.out.splitlines()]
    audited = await run("audit", "--kind", "erase", "--json", **given)
    (change,) = [json.loads(line) for line in audited.out.splitlines()]
    assert (change["objects"], change["request_id"]) == (["anna"], event["id"])
    assert (event["identity_id"], event["outcome"], event["request"]["topic"]) == ("anna", "erased", f"{prefix}.admin")
