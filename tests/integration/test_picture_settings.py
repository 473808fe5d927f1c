"""The one section of settings about pictures, which ingress and processor share."""

import base64
from pathlib import Path

import aiohttp

from contract.errors import Code
from contract.events import Event, decode_event
from contract.http import MATCH_PATH
from picturematch.settings import load_settings
from picturematch.wiring import run_system
from tests.integration.test_processor import read_all
from tests.support.faces import MODELS, photo
from tests.support.records import append_request, match_request
from tests.support.waiting import until_asked


async def test_a_limit_of_pixels_holds_in_the_ingress_and_in_the_processor(tmp_path: Path) -> None:
    settings = load_settings(
        None,
        {
            "PICTUREMATCH_PICTURES__MAX_PIXELS": "1000",
            "PICTUREMATCH_DATA_FOLDER": str(tmp_path),
            "PICTUREMATCH_INGEST__PORT": "0",
            "PICTUREMATCH_MODELS__KIND": "stand-in",
        },
    )
    async with run_system(settings, MODELS) as system, aiohttp.ClientSession(system.url) as session:
        body = {"device_ip": "10.0.0.1", "rgb_image_base64": base64.b64encode(photo(1)).decode()}
        async with session.post(MATCH_PATH, json=body) as refused:
            assert (await refused.json())["error"]["code"] == Code.IMAGE_SIZE_TOO_LARGE_ERROR

        async def events() -> list[Event]:
            records = await read_all(system.broker, settings.topics.events)
            return [decode_event(record.value or b"") for record in records]

        assert await events() == []  # so the ingress refused that picture itself
        await append_request(system.broker, match_request(1))  # as from an ingress with another limit
        await until_asked(events, 10.0)
        (event,) = await events()
        assert event.error is not None
        assert event.error.code == Code.IMAGE_SIZE_TOO_LARGE_ERROR
