"""Several faces in a picture, through a whole system: answered over HTTP, and left in the log as one event."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from contract.events import Event, decode_event
from contract.http import MATCH_PATH, USERS_PATH
from contract.topics import Topics
from engine.policy import recorded_policy
from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.networks.standin import draw_face, draw_scene, stand_in_models
from ingest.settings import IngestSettings
from picturematch.settings import ModelSettings, Settings
from picturematch.system import System
from picturematch.wiring import run_system
from tests.integration.test_processor import read_all
from tests.support.faces import photo, scene


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    settings = Settings(data_folder=tmp_path, ingest=IngestSettings(port=0), models=ModelSettings(kind="stand-in"))
    async with run_system(settings, stand_in_models()) as running:
        for identity_id, seed in (("anna", 1), ("ben", 2)):
            info = {"name": identity_id.title()}
            await ask(running, USERS_PATH, identity_id=identity_id, info=info, reg_photo=text(photo(seed)))
        yield running


def text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


async def ask(system: System, path: str, **fields: Any) -> dict[str, Any]:
    async with aiohttp.ClientSession() as session, session.post(system.url + path, json=fields) as response:
        return {**await response.json(), "id": response.headers["X-Request-Id"]}


async def match(system: System, picture: bytes, **fields: Any) -> dict[str, Any]:
    return await ask(system, MATCH_PATH, rgb_image_base64=text(picture), device_ip="10.0.0.1", **fields)


async def event_of(system: System, answer: dict[str, Any]) -> Event:
    """The one event of a call."""
    events = [decode_event(record.value or b"") for record in await read_all(system.broker, Topics().events)]
    (event,) = [event for event in events if event.id == answer["id"]]
    return event


async def test_all_faces_are_one_answer_and_one_event(system: System) -> None:
    picture = scene(draw_face(2, 80), draw_face(1, 200), draw_face(9, 90))
    answer = await match(system, picture, match_all_faces=True)
    event = await event_of(system, answer)
    assert (answer["retcode"], answer["identity_id"], answer["name"]) == ("1", "anna", "Anna")
    assert [(face["outcome"], face["identity_id"], face["name"]) for face in answer["faces"]] == [
        ("matched", "anna", "Anna"),
        ("stranger", "", "stranger"),
        ("matched", "ben", "Ben"),
    ]
    assert [face["bbox"][2] for face in answer["faces"]] == pytest.approx([200, 90, 80], abs=4)
    assert [(face.identity_id, face.score) for face in event.searched] == [
        (face["identity_id"], face["score"]) for face in answer["faces"]
    ]
    plain = await match(system, picture)
    assert {name: plain[name] for name in plain if name != "id"} == {
        name: answer[name] for name in answer if name not in ("id", "faces")
    }
    assert (await event_of(system, plain)).searched == ()


async def test_somebody_beside_a_stranger_passes_and_the_record_has_the_rule(system: System) -> None:
    placed = [(draw_face(77, 150), 240, 160), (draw_face(1, 156), 0, 0)]
    answer = await match(system, encode_jpeg(draw_scene(640, 480, placed), quality=95))
    event = await event_of(system, answer)
    assert (answer["retcode"], answer["identity_id"]) == ("1", "anna")
    assert "faces" not in answer
    assert [(face.outcome, face.chosen, face.answered) for face in event.searched] == [
        ("stranger", True, False),
        ("matched", False, True),
    ]
    configs = await read_all(system.broker, Topics().configs)
    key = f"policy/{event.policy}".encode()
    (policy,) = [record.value for record in configs if record.key == key]
    assert policy is not None
    assert recorded_policy(msgspec.json.decode(policy)).face == "chosen"
