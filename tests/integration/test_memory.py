"""What a request leaves in memory when it is answered: nothing that only the cycle collector could find."""

import asyncio
import base64
import gc
from types import FrameType

import aiohttp
import pytest

from picturematch.settings import load_settings
from picturematch.wiring import open_models, run_system
from tests.support.faces import photo, scene


@pytest.mark.parametrize(
    ("picture", "status"),
    [(photo(1), 200), (scene(), 400), (photo(1)[:3000], 400)],
    ids=["match", "no face", "cut off"],
)
async def test_an_answered_request_leaves_no_frames_behind(tmp_path, picture, status):
    # A frame that is left behind holds its picture, decoded; a few hundred of them are as large as all the networks.
    given = {"data_folder": str(tmp_path), "ingest.port": 0, "models.kind": "stand-in"}
    settings = load_settings(None, {}, given)
    body = {"device_ip": "10.0.0.1", "rgb_image_base64": base64.b64encode(picture).decode()}
    enrolled = {"identity_id": "a", "reg_photo": base64.b64encode(photo(1)).decode(), "info": {"name": "A"}}
    async with (
        run_system(settings, open_models(settings)) as system,
        aiohttp.ClientSession(system.url) as session,
    ):

        async def post(path: str, fields: dict[str, object]) -> int:
            async with session.post(path, json=fields) as response:
                await response.read()
                return response.status

        assert await post("/SophonFogSys/api/users", enrolled) == 200
        await post("/SophonMatch/api/PictureMatch", body)
        gc.collect()
        gc.disable()
        try:
            gc.set_debug(gc.DEBUG_SAVEALL)
            for _ in range(5):
                assert await post("/SophonMatch/api/PictureMatch", body) == status
            await asyncio.sleep(0.05)
            gc.collect()
            frames = [found.f_code.co_qualname for found in gc.garbage if isinstance(found, FrameType)]
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert frames == []
