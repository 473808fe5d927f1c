"""What a running `picturematch ingest` has loaded, what a `picturematch process` beside it, and what a `serve`."""

import asyncio
import base64
import re
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import cv2
import pytest

from contract.http import COMPARE_PATH, FIQA_PATH, MATCH_PATH, USERS_PATH
from engine.vision.decode.versions import decode
from tests.support.commands import run, start
from tests.support.faces import MAX_PIXELS, photo

PATIENCE_S = 60.0
LISTENS = re.compile(rb"listens on (http://127.0.0.1:\d+)")
IMPORTED = re.compile(rb"^import time: +\d+ \| +\d+ \| +([\w.]+)$", re.MULTILINE)
HEAVY_LIBRARIES = {"cv2", "onnxruntime", "simplejpeg"}
OF_NETWORKS = {"onnx", "onnxruntime", "openvino"}
ROOMS_OF_THE_PROCESSOR = {"engine", "models", "processor"}
SETTINGS_OF_THE_PROCESSOR = {"engine", "engine.policy", "models", "models.runtimes", "processor", "processor.settings"}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


@dataclass
class Role:
    """A running role that notes on its standard error whatever it imports."""

    process: asyncio.subprocess.Process
    url: str
    errors: asyncio.Task[bytes]

    def mapped_libraries(self) -> set[str]:
        """The Python packages of which a shared object is in the process's memory now."""
        maps = Path(f"/proc/{self.process.pid}/maps").read_text()
        paths = {Path(line.split(maxsplit=5)[5]) for line in maps.splitlines() if ".so" in line}
        return {parts[parts.index("site-packages") + 1] for path in paths if "site-packages" in (parts := path.parts)}

    async def imported_modules(self) -> set[str]:
        """The modules that it has imported in its life, which ends with this."""
        self.process.terminate()
        async with asyncio.timeout(PATIENCE_S):
            assert await self.process.wait() == 0
            return {name.decode() for name in IMPORTED.findall(await self.errors)}


@asynccontextmanager
async def role(command: str, given: dict[str, str]) -> AsyncIterator[Role]:
    process = await start(command, **given, PYTHONPROFILEIMPORTTIME="1")
    assert process.stdout is not None
    assert process.stderr is not None
    errors = asyncio.create_task(process.stderr.read())
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not (listens := LISTENS.search(line := await process.stdout.readline())):
                assert line, (await errors)[-2000:]
        yield Role(process, listens[1].decode(), errors)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await errors


async def ask_every_kind_of_call(url: str) -> None:
    """One good answer of each, with a JPEG and with a PNG."""
    jpeg = photo(1)
    png = cv2.imencode(".png", decode(jpeg, MAX_PIXELS))[1].tobytes()
    async with aiohttp.ClientSession(url) as session:
        for number, picture in enumerate((jpeg, png)):
            encoded = base64.b64encode(picture).decode()
            for path, body in (
                (USERS_PATH, {"identity_id": f"p{number}", "reg_photo": encoded, "info": {"name": "P"}}),
                (MATCH_PATH, {"device_ip": "10.0.0.1", "rgb_image_base64": encoded}),
                (COMPARE_PATH, {"face_image_base64": encoded, "card_image_base64": encoded}),
                (FIQA_PATH, {"image_base64_str": encoded}),
            ):
                async with session.post(path, json=body) as response:
                    assert response.status == 200, (path, await response.text())


async def test_an_ingress_loads_neither_opencv_nor_an_inference_runtime_and_a_processor_loads_opencv(kafka_bootstrap):
    given = {
        "PICTUREMATCH_BROKER": f"kafka://{kafka_bootstrap}",
        "PICTUREMATCH_MODELS__KIND": "stand-in",
        "PICTUREMATCH_LOG__TOPIC_PREFIX": f"loaded-{uuid.uuid4().hex}",
        "PICTUREMATCH_INGEST__PORT": "0",
        "PICTUREMATCH_HEALTH__PORT": "0",
    }
    created = await run("topics", "create", **given)
    assert created.status == 0, created.err
    async with AsyncExitStack() as stack:
        processor = await stack.enter_async_context(role("process", given))
        ingress = await stack.enter_async_context(role("ingest", given))
        await ask_every_kind_of_call(ingress.url)

        assert ingress.mapped_libraries() & HEAVY_LIBRARIES == set()
        assert processor.mapped_libraries() & HEAVY_LIBRARIES == HEAVY_LIBRARIES - OF_NETWORKS  # these are stand-ins

        of_ingress, of_processor = await ingress.imported_modules(), await processor.imported_modules()
        assert {"ingest.server", *SETTINGS_OF_THE_PROCESSOR} <= of_ingress
        assert {name for name in of_ingress if name.split(".")[0] in ROOMS_OF_THE_PROCESSOR | HEAVY_LIBRARIES} == (
            SETTINGS_OF_THE_PROCESSOR
        )
        assert {"cv2", "processor.processor", "models.store", "engine.look", "aiokafka"} <= of_processor
        assert "sqlalchemy" not in of_ingress | of_processor  # there is no store of events


async def test_a_server_on_the_embedded_log_loads_no_kafka_client_and_without_networks_no_runtime_of_networks(tmp_path):
    given = {
        "PICTUREMATCH_DATA_FOLDER": str(tmp_path),
        "PICTUREMATCH_MODELS__KIND": "stand-in",
        "PICTUREMATCH_INGEST__PORT": "0",
    }
    async with role("serve", given) as server:
        await ask_every_kind_of_call(server.url)
        imported = await server.imported_modules()
    assert {"cv2", "sqlalchemy", "broker.kafka.config", "models.network"} <= imported
    assert imported & {"aiokafka", "broker.kafka.broker", *OF_NETWORKS} == set()
