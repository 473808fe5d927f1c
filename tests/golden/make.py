"""Writes the golden data of this version: `python -m tests.golden.make`.

To be run once, at the release of a version, and never again for that version: the data are of use because they were
written by it. All pictures are drawings, and the models are the stand-ins. The folder of a version holds::

    embedded/      the data folder of a server that was stopped
    capture/       what `picturematch record` made of it
    kafka.sqlite   what `picturematch log backup` made of a log on Kafka
    expected.json  the settings, and what has to be found in either log
    schemas/       the JSON Schemas of the records that consumers read, with which later ones are compared
"""

import asyncio
import json
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pybase64

from broker.port import NewRecord
from contract.codec import encode
from contract.requests import MatchRequest
from engine.vision.networks.standin import draw_face
from picturematch.opening import open_broker
from picturematch.settings import Settings, load_settings
from picturematch.wiring import run_system
from tests.support.commands import run
from tests.support.faces import MODELS, scene
from tests.support.interface_document import write_schemas
from tests.support.kafka import own_kafka

HERE = Path(__file__).parent
MATCH, USERS = "/SophonMatch/api/PictureMatch", "/SophonFogSys/api/users"
COMPARE, FIQA = "/SophonMatch/api/compare", "/SophonFace/api/FIQA"
SINK = "golden"
SETTINGS = {
    "PICTUREMATCH_MODELS__KIND": "stand-in",
    "PICTUREMATCH_INGEST__PORT": "0",
    "PICTUREMATCH_HEALTH__PORT": "0",
    "PICTUREMATCH_LOG__REQUEST_PARTITIONS": "2",
    "PICTUREMATCH_LOG__REPLY_PARTITIONS": "1",
}
PEOPLE = {"anna": 1, "bert": 2, "cleo": 3}
"""Who is enrolled with a photo, and the seed of the face; cleo is blacklisted."""
BY_FEATURE, DELETED = "dora", ("emil", 5)
STRANGER = 6


def picture(seed: int) -> bytes:
    """A small JPEG with the one drawn face of that seed."""
    return scene(draw_face(seed, 120), width=240, height=200)


def text(data: bytes) -> str:
    """In base64, as calls have it."""
    return pybase64.b64encode(data).decode()


async def post(session: aiohttp.ClientSession, path: str, *, refused: bool = False, **body: Any) -> dict[str, Any]:
    """The answer to a call, which has to be `refused` or not to be."""
    async with session.post(path, json=body) as response:
        answer: dict[str, Any] = await response.json()
        if refused != (response.status >= 400):
            raise RuntimeError(f"{path} was answered with {response.status}: {answer}")
        return answer


async def fill(url: str) -> None:
    """Make one call of every kind, people first, so that a replay of the matches finds the gallery they found."""
    async with aiohttp.ClientSession(url) as session:
        for name, seed in (*PEOPLE.items(), DELETED):
            info = {"name": name.title(), "type": 3 if name == "cleo" else 1}
            await post(session, USERS, identity_id=name, reg_photo=text(picture(seed)), info=info)
        feature = np.random.default_rng(7).normal(size=MODELS.embedder.dimension).round(4).tolist()
        named = {"import_mode": True, "feature": feature, "feature_model": MODELS.embedder_identity}
        await post(session, USERS, identity_id=BY_FEATURE, info={"name": "Dora"}, **named)
        async with session.delete(USERS, json={"identity_id": DELETED[0]}):
            pass
        without_face = scene(width=240, height=200)
        faces = [(picture(seed), False) for seed in (*PEOPLE.values(), DELETED[1], STRANGER)]
        for data, refused in (*faces, (without_face, True), (picture(1)[:2000], True)):
            asked = {"device_ip": "10.0.0.1", "rgb_image_base64": text(data), "compare_time": 1.7e9}
            await post(session, MATCH, refused=refused, **asked)
        await post(session, COMPARE, face_image_base64=text(picture(1)), card_image_base64=text(picture(2)))
        await post(session, FIQA, image_base64_str=text(picture(1)))


async def leave_undecided(settings: Settings) -> Sequence[str]:
    """Append a request that is no message of ours, and one that nobody has decided; the ids of both."""
    ids = [uuid.uuid4().hex for _ in range(2)]
    whole = MatchRequest(
        request_id=ids[1], device_ip="10.0.0.2", picture=picture(1), compare_time_s=1.7e9, received_time_s=1.7e9
    )
    headers = (("request_id", ids[0].encode()),)
    async with open_broker(settings, "owner") as log:
        await log.append([NewRecord(settings.topics.requests, b"10.0.0.2", b"no message", headers)])
        await log.append([NewRecord(settings.topics.requests, b"10.0.0.2", encode(whole))])
    return ids


async def command(*words: object, **given: str) -> str:
    """What a command printed that has to succeed."""
    done = await run(*words, **given)
    if done.status:
        raise RuntimeError(done.err)
    return done.out


async def make_log(given: Mapping[str, str], scratch: Path) -> Mapping[str, Any]:
    """Fill a log; what has to be found in it."""
    settings = load_settings(None, given)
    if settings.kafka_config is not None:
        await command("topics", "create", **given)
    async with run_system(settings, MODELS) as system:
        await fill(system.url)
    await command("sink", "jsonl", "--group", SINK, "--out", scratch, "--idle-exit", "1s", **given)
    events = [json.loads(line) for line in (await command("events", **given)).splitlines()]
    return {
        "outcomes": {event["id"]: event["outcome"] for event in events},
        "undecided": await leave_undecided(settings),
    }


async def make(out: Path, scratch: Path, bootstrap: str) -> None:
    """Write everything into the new folder `out`."""
    folder = out / "embedded"
    embedded = {**SETTINGS, "PICTUREMATCH_DATA_FOLDER": str(folder)}
    expected = {"settings": SETTINGS, "embedded": await make_log(embedded, scratch / "first")}
    await command("record", "--out", out / "capture", **embedded)
    kafka = {**SETTINGS, "PICTUREMATCH_BROKER": f"kafka://{bootstrap}"}
    expected["kafka"] = await make_log(kafka, scratch / "second")
    await command("log", "backup", out / "kafka.sqlite", **kafka)
    (out / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    for path in (*folder.rglob("*.lock"), folder / "log.sqlite-shm"):
        path.unlink(missing_ok=True)


def main() -> None:
    """Make the data of this version; refuses where there are some."""
    out = HERE / metadata.version("picturematch")
    if out.exists():
        sys.exit(f"{out} is there already; data of a released version are never made again")
    out.mkdir()
    write_schemas(out / "schemas")
    with tempfile.TemporaryDirectory() as scratch, own_kafka() as broker:
        asyncio.run(make(out, Path(scratch), broker.bootstrap))


if __name__ == "__main__":
    main()
