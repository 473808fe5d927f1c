"""The main job with the real networks and a real face, by the command line and over HTTP."""

import base64
import os

import aiohttp
import cv2
import orjson
import pytest

from engine.vision.decode.jpeg import encode_jpeg
from engine.vision.ports import Image
from models.store import ModelStore
from picturematch.settings import load_settings
from picturematch.wiring import open_models, run_system
from tests.support.commands import run

pytestmark = pytest.mark.usefixtures("store")


async def test_the_demo_shows_the_whole_job_and_leaves_nothing_behind(tmp_path):
    folder = str(load_settings(None, os.environ).models.folder)
    finished = await run("demo", PICTUREMATCH_MODELS__FOLDER=folder, TMPDIR=str(tmp_path))
    assert finished.status == 0, finished.err
    lines = [orjson.loads(line) for line in finished.out.splitlines()]
    answers = [line["answer"] for line in lines if "answer" in line]
    outcomes = [line["event"]["outcome"] for line in lines if "event" in line]
    assert outcomes == ["enrolled", "stranger", "enrolled", "matched", "no_face", "image_error"]
    assert [answer.get("retcode") for answer in answers] == [None, "0", None, "1", None, None]
    assert [answer["error"]["code"] for answer in answers[4:]] == [40004, 40003]
    assert all(line["step"].endswith(".") for line in lines if "event" not in line)
    assert list(tmp_path.iterdir()) == []


async def test_an_enrolled_face_is_known_in_altered_pictures_and_refused_as_a_fake_nowhere(
    tmp_path, store: ModelStore, astronaut: Image
):
    given = {"data_folder": str(tmp_path), "ingest.port": 0, "matching.liveness_floor": "liveness_rgb"}
    settings = load_settings(None, os.environ, {"broker": "embedded", **given})
    models = open_models(settings)

    async def call(session: aiohttp.ClientSession, path: str, **fields: object) -> dict:
        async with session.post(path, json=fields) as response:
            return orjson.loads(await response.read())

    def encoded(image: Image) -> str:
        return base64.encodebytes(encode_jpeg(image, quality=80)).decode()

    async with run_system(settings, models) as system, aiohttp.ClientSession(system.url) as session:
        users, match = "/SophonFogSys/api/users", "/SophonMatch/api/PictureMatch"
        await call(session, users, identity_id="e", reg_photo=encoded(astronaut), info={"name": "E"})
        altered = {
            "smaller": cv2.resize(astronaut, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
            "darker": cv2.convertScaleAbs(astronaut, alpha=0.6),
            "grey": cv2.cvtColor(cv2.cvtColor(astronaut, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR),
        }
        for name, image in altered.items():
            answer = await call(session, match, device_ip="10.0.0.1", rgb_image_base64=encoded(image))
            assert (name, answer.get("retcode"), answer.get("identity_id")) == (name, "1", "e")
