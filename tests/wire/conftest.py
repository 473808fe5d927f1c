"""A server per test."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from contract.calls.events import IMAGE as EVENT_IMAGE
from contract.pictures.limits import PictureSettings
from contract.site_settings import Configured
from contract.topics import Topics
from ingest.server import Ingress
from ingest.settings import IngestSettings
from picturematch.settings import Settings, configured
from tests.support.faulty_log import faulty_log
from tests.wire.harness import Script, ScriptedPeople, Serving, Site, answer_well, encoded, noise, respond
from tests.wire.scripted_events import ScriptedSeen, ScriptedStore
from tests.wire.whole_site import WholeSite, whole_site

_PICTURES = PictureSettings()
_CONFIGURED = configured(Settings(), frozenset())


@pytest.fixture
def serving(tmp_path: Path, picture: bytes) -> Serving:
    """`async with serving(script=..., ready=..., pictures=..., given=..., **settings of the ingress) as site`."""

    @asynccontextmanager
    async def open_site(
        script: Script = answer_well,
        ready: Callable[[], Sequence[str]] = lambda: (),
        pictures: PictureSettings = _PICTURES,
        given: Configured = _CONFIGURED,
        **settings: Any,
    ) -> AsyncIterator[Site]:
        people, registry, topics = ScriptedPeople(), CollectorRegistry(), Topics()
        example = EVENT_IMAGE.example()["image_id"]
        store, seen = ScriptedStore(), ScriptedSeen(example)
        chosen = IngestSettings(**{"port": 0, "image_roots": (str(tmp_path),), **settings})
        connector = aiohttp.TCPConnector(limit=0)
        async with (
            faulty_log() as log,
            Ingress(
                chosen,
                pictures,
                log,
                topics,
                people,
                people.reached,
                time.time,
                ready,
                registry,
                given,
                event_store=store,
                seen=seen,
            ) as ingress,
            aiohttp.ClientSession(connector=connector) as session,
        ):
            await store.put(log, picture, example)
            site = Site(ingress, log, people, registry, session, picture, script)
            responder = asyncio.create_task(respond(site, topics))
            try:
                yield site
            finally:
                responder.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await responder

    return open_site


@pytest.fixture
async def site(serving: Serving) -> AsyncIterator[Site]:
    """A server with the default settings."""
    async with serving() as open_site:
        yield open_site


@pytest.fixture(scope="session")
def picture() -> bytes:
    """A small JPEG."""
    return encoded(".jpg", noise(48, 64))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSite]:
    """A whole server with stand-in networks."""
    with whole_site(tmp_path_factory.mktemp("data"), picture_search=True) as site:
        yield site
