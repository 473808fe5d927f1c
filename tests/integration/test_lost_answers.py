"""Answers that are lost on their way: the call was carried out, and is made again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import cv2
import pytest
from aiohttp import web

from clients.enrol import EnrolOptions, EnrolResult, Outcome, enrol
from clients.enrol_list import find_entries
from clients.http import Client
from contract.topics import Topics
from engine.vision.networks.standin import draw_face, draw_scene, stand_in_models
from ingest.settings import IngestSettings
from picturematch.settings import ModelSettings, Settings
from picturematch.system import System
from picturematch.wiring import run_system


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    settings = Settings(
        data_folder=tmp_path / "data", ingest=IngestSettings(port=0), models=ModelSettings(kind="stand-in")
    )
    async with run_system(settings, stand_in_models()) as running:
        yield running


class Losses:
    """A gateway that passes every call on and loses the first answer to each: it breaks the connection, or says 504."""

    def __init__(self, target: str, status: int | None) -> None:
        self._target = target
        self._status = status
        self._seen: set[bytes] = set()
        self.url = ""
        self.carried_out: list[int] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        async with aiohttp.ClientSession() as session:
            headers = {"Content-Type": "application/json"}
            async with session.post(self._target + request.path, data=body, headers=headers) as answer:
                text, status = await answer.text(), answer.status
        if body in self._seen:
            return web.Response(text=text, status=status, content_type="application/json")
        self._seen.add(body)
        self.carried_out.append(status)
        if self._status is not None:
            return web.Response(status=self._status)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()


@asynccontextmanager
async def losing(target: str, status: int | None) -> AsyncIterator[Losses]:
    losses = Losses(target, status)
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/{path:.*}", losses.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        losses.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield losses
    finally:
        await runner.cleanup()


def photo(seed: int, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scene = draw_scene(320, 240, [(draw_face(seed, 120), 100, 60)])
    path.write_bytes(bytes(cv2.imencode(".jpg", scene)[1]))


async def no_sleep(_: float) -> None:
    return


async def enrolled(folder: Path, url: str, *, update: bool = False) -> list[Outcome]:
    results: list[EnrolResult] = []
    async with Client(url) as client:
        await enrol(find_entries(folder), client, results.append, EnrolOptions(update=update, concurrency=1), no_sleep)
    return [result.outcome for result in results]


async def faces(system: System, identity_id: str) -> tuple[int, ...]:
    """The numbers of that person's faces, once all that was written has been read."""
    ends = await system.broker.end_offsets(Topics().people)
    assert await system.follower.reached(ends[0], 5.0)
    person = system.people.person(identity_id)
    assert person is not None
    return person.faces


@pytest.mark.parametrize("status", [None, 504], ids=["a broken connection", "a gateway's time-out"])
async def test_an_answer_that_is_lost_adds_no_face_twice(system: System, tmp_path: Path, status: int | None) -> None:
    people = tmp_path / "people"
    for seed in (1, 2, 3):
        photo(seed, people / "bo" / f"{seed}.jpg")

    async with losing(system.url, status) as gateway:
        outcomes = await enrolled(people, gateway.url)
        assert gateway.carried_out == [200, 200, 200], "every first call was carried out"
    assert outcomes == [Outcome.ENROLLED, Outcome.FACE_ADDED, Outcome.FACE_ADDED]
    assert await faces(system, "bo") == (0, 1, 2)

    async with losing(system.url, status) as gateway:
        outcomes = await enrolled(people, gateway.url, update=True)
        assert gateway.carried_out == [200, 200, 200]
    assert outcomes == [Outcome.UPDATED, Outcome.FACE_ADDED, Outcome.FACE_ADDED]
    assert len(await faces(system, "bo")) == 3
