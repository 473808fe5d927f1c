"""`picturematch people import` and `people export` on Kafka: an ingress and a processor apart, the commands beside."""

import json
import signal
from pathlib import Path

import aiohttp

from broker.kafka.broker import open_kafka
from broker.port import Start
from contract.people.keys import FaceKey, parse_key
from contract.people.unreadable import read_face
from engine.vision.networks.standin import DIMENSION, stand_in_models
from picturematch.settings import load_settings
from tests.integration.test_people_import import array_of, lines_in, vectors, without_place
from tests.integration.test_roles_on_kafka import MATCH, USERS, create_topics, encoded, environment, post, roles
from tests.support.commands import run, start
from tests.support.faces import photo
from tests.support.waiting import until

OWN = stand_in_models().embedder_identity


async def people_records(given: dict[str, str]) -> dict[bytes, bytes]:
    """The last value of each key of the people topic, without the places of photos."""
    settings = load_settings(None, given)
    last: dict[bytes, bytes | None] = {}
    async with open_kafka(settings.kafka_config) as log:
        end = (await log.end_offsets(settings.topics.people))[0]
        async with log.reader(settings.topics.people, Start.EARLIEST, [0]) as reader:
            while reader.positions()[0] < end:
                for record in await reader.fetch(1000, 0.2):
                    last[record.key or b""] = record.value
    return {key: without_place(key, value) for key, value in last.items() if value is not None}


async def enrol_with_photos(session: aiohttp.ClientSession) -> None:
    for seed in range(2):
        status, _ = await post(
            session, USERS, identity_id=f"photo-{seed}", reg_photo=encoded(photo(seed)), info={"name": "P", "x": [1.5]}
        )
        assert status == 200


async def test_a_killed_import_goes_on_and_everything_goes_out_and_in_bit_for_bit(
    kafka_bootstrap: str, tmp_path: Path
) -> None:
    first, second = environment(kafka_bootstrap), environment(kafka_bootstrap)
    count = 600
    source = array_of(tmp_path, count)
    exports = [tmp_path / "first.jsonl", tmp_path / "second.jsonl"]
    await create_topics(first)
    async with roles(first) as (ingress, processor, session):
        await enrol_with_photos(session)
        options = ("--embedder", OWN, "--chunk", 30, "--url", ingress.url, "--json")
        process = await start("people", "import", source, *options, **first)
        await lines_in(tmp_path / "faces.npy.import-state", 4)
        process.send_signal(signal.SIGKILL)
        await process.wait()
        done = await run("people", "import", source, *options, **first)
        told = json.loads(done.out)
        assert (done.status, told["added"] + told["present"], told["failed"]) == (0, count, 0), done
        await until(lambda: len(processor.people) == count + 2)
        written = await run("people", "export", exports[0], "--photos", "--json", **first)
        assert json.loads(written.out)["people"] == count + 2, written
    before = await people_records(first)
    for number, vector in enumerate(vectors(count)):
        key = f"face/p{number:05d}/0/{OWN}".encode()
        parsed = parse_key(key)
        assert isinstance(parsed, FaceKey)
        face, _ = read_face(parsed, before[key], OWN, DIMENSION)
        assert face.templates["whole"] == vector.tobytes()

    await create_topics(second)
    async with roles(second) as (ingress, _, session):
        done = await run("people", "import", exports[0], "--url", ingress.url, "--json", **second)
        assert json.loads(done.out)["added"] == count + 2, done
        status, answer = await post(
            session,
            MATCH,
            device_ip="10.0.0.1",
            rgb_image_base64=encoded(photo(1)),
            need_register_photo=True,
        )
        assert (status, answer["identity_id"], answer["reg_pic"]) == (200, "photo-1", encoded(photo(1)))
        assert (await run("people", "export", exports[1], "--photos", **second)).status == 0
    assert exports[1].read_bytes() == exports[0].read_bytes()
    assert await people_records(second) == before
