"""A whole server with stand-in networks, to which calls are made one after the other, and what its errors must be."""

import asyncio
import base64
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from broker.port import Record
from contract.calls.declaration import Declaration
from contract.calls.dialects import Dialect
from contract.calls.shared import EXAMPLE_PICTURE
from contract.errors import Cause, Code
from contract.pictures.limits import PictureSettings
from engine.vision.networks.standin import stand_in_models
from ingest.settings import IngestSettings
from picturematch.settings import ModelSettings, Settings
from picturematch.system import System
from picturematch.wiring import run_system
from tests.integration.test_processor import read_all
from tests.support.faces import photo

MAX_PICTURE_BYTES = 200_000
MOST_IN_A_LIST = 5
"""The most people and devices that one call may name."""
V6_NAMES: Mapping[Code | Cause, str] = {
    Code.BAD_REQUEST: "INVALID_REQUEST_JSON",
    Code.PARAM_ERROR: "INVALID_ARGUMENTS",
    Code.BOOLEAN_ARGUMENT_ERROR: "INVALID_ARGUMENTS",
    Code.BAD_FEATURE_ERROR: "INVALID_ARGUMENTS",
    Code.IMAGE_ERROR: "IMAGE_DECODE_ERROR",
    Code.IMAGE_SIZE_TOO_LARGE_ERROR: "IMAGE_SIZE_TOO_LARGE_ERROR",
    Code.PAYLOAD_TOO_LARGE: "IMAGE_SIZE_TOO_LARGE_ERROR",
    Code.NO_FACE: "NO_FACE_ERROR",
    Code.ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR: "LOW_QUALITY_ERROR",
    Code.IDENTITY_EXSIT_ERROR: "ID_REPEAT_ERROR",
    Code.DEVICE_ADDRESS_DUPLICATE_ERROR: "DEVICE_ADDRESS_DUPLICATE_ERROR",
    Code.GROUP_NAME_ERROR: "PERMISSION_ID_NOT_FOUND",
    "repeated": "NAME_REPEAT_ERROR",
    "missing": "MISSING_ARGUMENTS",
    "path": "IMAGE_NOT_OPENED",
    "setting": "CONFIG_ITEM_FAIL",
    "permission": "PERMISSION_ID_NOT_FOUND",
}
_FACE = base64.b64encode(photo(1)).decode()


@dataclass
class WholeSite:
    """The server, and what it has answered."""

    runner: asyncio.Runner
    system: System
    session: aiohttp.ClientSession
    settings: Settings
    documented: Mapping[str, Any]

    def ends(self) -> dict[str, Mapping[int, int]]:
        """The ends of the topics that a refused call must leave as they are."""
        topics = self.settings.topics
        names = (topics.requests, topics.admin, topics.people, topics.photos, topics.events, topics.dead_letters)
        return self.runner.run(self._ends(names))

    async def _ends(self, names: tuple[str, ...]) -> dict[str, Mapping[int, int]]:
        return {name: await self.system.broker.end_offsets(name) for name in names}

    def read(self, topic: str) -> list[Record]:
        """All records of a topic."""
        return self.runner.run(read_all(self.system.broker, topic))

    def post(self, declaration: Declaration, body: str) -> tuple[int, Any]:
        return self.runner.run(self._call(declaration.method, declaration.path, body))

    def get(self, declaration: Declaration, fields: Mapping[str, str]) -> tuple[int, Any]:
        path, query = declaration.path, dict(fields)
        if declaration.path_field:
            path = path.replace(f"{{{declaration.path_field}}}", quote(query.pop(declaration.path_field), safe=""))
        return self.runner.run(self._call("GET", f"{path}?{urlencode(query)}", None))

    def form(self, declaration: Declaration, fields: Mapping[str, str]) -> tuple[int, Any]:
        with aiohttp.MultipartWriter("form-data") as form:
            for name, value in fields.items():
                form.append(value).set_content_disposition("form-data", quote_fields=False, name=name)
        return self.runner.run(self._call(declaration.method, declaration.path, form))

    async def _call(self, method: str, path: str, body: str | aiohttp.MultipartWriter | None) -> tuple[int, Any]:
        url = URL(self.system.url + path, encoded=True)
        headers = {"Content-Type": "application/json"} if isinstance(body, str) else {}
        async with self.session.request(method, url, data=body, headers=headers) as response:
            return response.status, await response.json()

    def is_refused(self, declaration: Declaration, status: int, answer: Any, code: Code, cause: Cause | None) -> bool:
        """Whether an answer is the documented error with a code. `cause`: what version 6 names instead of the code."""
        of_call = declaration.dialect.code(code)
        if status != of_call.http_status or answer.keys() != {"error"}:
            return False
        documented = self.documented["paths"][declaration.path][declaration.method.lower()]["responses"][str(status)]
        if str(int(of_call)) not in documented["content"]["application/json"]["examples"]:
            return False
        error = answer["error"]
        if declaration.dialect is Dialect.V6:
            return bool(error == {"code": V6_NAMES[cause or code], "message": error["message"]})
        return bool(error == {"code": int(of_call), "message": error["message"], "status": of_call.status})


@contextmanager
def whole_site(folder: Path, **ingest: Any) -> Iterator[WholeSite]:
    """A running server on a log in a folder; `ingest`: settings of the ingress."""
    limits = {"max_members": MOST_IN_A_LIST, "max_delete": MOST_IN_A_LIST, "max_devices": MOST_IN_A_LIST}
    settings = Settings(
        data_folder=folder,
        ingest=IngestSettings(**{"port": 0, **limits, **ingest}),
        pictures=PictureSettings(max_bytes=MAX_PICTURE_BYTES),
        models=ModelSettings(kind="stand-in"),
    )
    stack = AsyncExitStack()

    async def begin(runner: asyncio.Runner) -> WholeSite:
        system = await stack.enter_async_context(run_system(settings, stand_in_models()))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        async with session.get(f"{system.url}/openapi.json") as response:
            return WholeSite(runner, system, session, settings, await response.json())

    with asyncio.Runner() as runner:
        try:
            yield runner.run(begin(runner))
        finally:
            runner.run(stack.aclose())


def good(declaration: Declaration) -> dict[str, Any]:
    """The example of a call, with a picture of a face."""
    return {
        name: _FACE if value == EXAMPLE_PICTURE else deepcopy(value) for name, value in declaration.example().items()
    }
