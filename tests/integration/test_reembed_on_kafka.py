"""`picturematch people reembed` on Kafka: an ingress and a processor apart, and the command beside them."""

import base64
import json

from engine.vision.networks.standin import stand_in_models
from tests.integration.test_roles_on_kafka import MATCH, USERS, create_topics, environment, post, roles
from tests.support.commands import run
from tests.support.faces import photo
from tests.support.waiting import until

OLD, NEW = (stand_in_models(release).embedder_identity for release in (1, 2))


async def test_everybody_is_embedded_compared_and_counted_from_kafka(kafka_bootstrap: str) -> None:
    given = environment(kafka_bootstrap)
    await create_topics(given)
    async with roles(given) as (ingress, processor, session):
        for seed in range(5):
            status, _ = await post(
                session, USERS, identity_id=f"p{seed}", reg_photo=base64.b64encode(photo(seed)).decode(), info={}
            )
            assert status == 200
        for seed in (0, 3, 9):
            await post(session, MATCH, device_ip="10.0.0.1", rgb_image_base64=base64.b64encode(photo(seed)).decode())
        new = {**given, "PICTUREMATCH_MODELS__KIND": "stand-in-2"}
        command = ("people", "reembed", "--url", ingress.url, "--json")
        done = await run(*command, **new)
        assert (done.status, done.err) == (0, ""), done
        compared, ended = map(json.loads, done.out.splitlines())
        assert compared["summary"]["same"] == 3
        assert ended == {
            "embedder": NEW,
            "added": 5,
            "completed": 0,
            "passes": 1,
            "left_behind": 0,
            "faces_left_behind": [],
            "people_left_behind": 0,
            "compared": 3,
        }
        await until(lambda: processor.people.embedders("p4", 0) == (OLD, NEW))
        assert processor.people.embedders("p3", 0) == (OLD, NEW)
        again = json.loads((await run(*command, "--compare", 0, **new)).out)
        assert again == {**ended, "added": 0, "passes": 0, "compared": 0}
        audited = await run("audit", "--kind", "reembed", "--json", **given)
        (change,) = map(json.loads, audited.out.splitlines())
        assert (change["action"], change["details"]["added"]) == ("add", 5)
        assert sorted(change["objects"]) == [f"p{seed}" for seed in range(5)]
