"""Processors killed with SIGKILL on a real Kafka whose own session timeout is a minute: others must notice sooner."""

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bench.faultrun import Role
from bench.pictures import drawn_photo
from picturematch.opening import open_broker
from picturematch.settings import load_settings
from tests.support.plain_kafka import delete_topic, make_topic
from tests.support.waiting import until_asked

MATCH, USERS = "/SophonMatch/api/PictureMatch", "/SophonFogSys/api/users"
DOORS = 16
SESSION_TIMEOUT_MS = 60_000
SOON_S = 20.0
"""Far less than the session timeout, far more than a machine that is busy with other tests should need."""


class Site:
    """An ingress and processors as real processes; a client that asks as a device would."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.environment = {
            "PICTUREMATCH_BROKER": f"kafka://{bootstrap}",
            "PICTUREMATCH_MODELS__KIND": "stand-in",
            "PICTUREMATCH_LOG__TOPIC_PREFIX": f"dies-{uuid.uuid4().hex}",
            "PICTUREMATCH_INGEST__PORT": "0",
            "PICTUREMATCH_HEALTH__PORT": "0",
            "PICTUREMATCH_KAFKA__SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
        }
        self._folder = folder
        self.ingress = self.role("ingest")
        self.processors: list[Role] = []

    def role(self, name: str) -> Role:
        """Each has a client id of its own, as processes on several machines may have."""
        own = {"PICTUREMATCH_KAFKA__CLIENT_ID": f"{name}-{uuid.uuid4().hex[:8]}"}
        return Role(name, self.environment | own, self._folder / f"{name}.log")

    async def start(self, processors: int) -> None:
        settings = load_settings(None, self.environment)
        async with open_broker(settings, "owner") as log:
            await log.ensure_topics(settings.topic_specs)
        self.processors = [self.role("process") for _ in range(processors)]
        await asyncio.gather(self.ingress.start(), *(role.start() for role in self.processors))
        await until_asked(self.is_ready, SOON_S)
        status, answer = await self.post(USERS, identity_id="p", reg_photo=drawn_photo(0), info={"name": "P"})
        assert status == 200, answer

    async def end(self) -> None:
        await asyncio.gather(*(role.end() for role in (self.ingress, *self.processors)))

    async def post(self, path: str, **body: Any) -> tuple[int, dict[str, Any]]:
        url = f"http://127.0.0.1:{self.ingress.port}{path}"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
            return answer.status, await answer.json()

    async def match(self, device: str) -> tuple[int, dict[str, Any]]:
        return await self.post(MATCH, device_ip=device, rgb_image_base64=drawn_photo(0))

    async def not_ready_because(self) -> str | None:
        url = f"http://127.0.0.1:{self.ingress.port}/readyz"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            return None if answer.status == 200 else str((await answer.json())["error"]["message"])

    async def is_ready(self) -> bool:
        return await self.not_ready_because() is None


@pytest.fixture
async def site(kafka_bootstrap: str, tmp_path: Path) -> AsyncIterator[Site]:
    site = Site(kafka_bootstrap, tmp_path)
    yield site
    await site.end()


async def answered_within(seconds: float, ask: Callable[[], Any]) -> bool:
    """Whether a call is answered with 200 before the time is over; it is made again until then."""
    ends_s = time.monotonic() + seconds
    while time.monotonic() < ends_s:
        status, _ = await ask()
        if status == 200:
            return True
        await asyncio.sleep(0.1)
    return False


async def test_when_one_of_two_processors_is_killed_the_other_serves_its_doors_long_before_the_session_timeout(site):
    await site.start(processors=2)
    await site.processors[0].end(signal.SIGKILL)
    doors = [f"10.0.0.{number}" for number in range(DOORS)]
    served = await asyncio.gather(*(answered_within(SOON_S, lambda door=door: site.match(door)) for door in doors))
    assert [door for door, was_served in zip(doors, served, strict=True) if not was_served] == []


async def test_when_the_only_processor_is_killed_an_idle_ingress_says_so_and_refuses_at_once(site):
    await site.start(processors=1)
    assert (await site.match("10.0.0.1"))[0] == 200
    await site.processors[0].end(signal.SIGKILL)

    async def says_so() -> bool:
        return await site.not_ready_because() == "not ready: no processor is running"

    await until_asked(says_so, SOON_S)
    status, answer = await site.match("10.0.0.1")
    assert (status, answer["error"]["code"]) == (503, 50380)
    assert answer["error"]["message"] == "no processor answers requests now; try again"

    await site.processors[0].start()
    assert await answered_within(SOON_S, lambda: site.match("10.0.0.1"))
    await until_asked(site.is_ready, SOON_S)


async def test_when_a_processor_lives_but_answers_nothing_calls_are_refused_until_it_answers(site):
    await site.start(processors=1)
    site.processors[0].send(signal.SIGSTOP)
    try:
        ends_s = time.monotonic() + SOON_S
        statuses = []
        while 503 not in statuses and time.monotonic() < ends_s:
            statuses.append((await site.match("10.0.0.1"))[0])
        assert 503 in statuses
        assert not await site.is_ready()
    finally:
        site.processors[0].send(signal.SIGCONT)
    assert await answered_within(SOON_S, lambda: site.match("10.0.0.1"))
    await until_asked(site.is_ready, SOON_S)


@pytest.mark.slow
async def test_a_members_topic_that_is_made_again_leaves_the_processor_known(site: Site, kafka_bootstrap: str) -> None:
    await site.start(processors=1)
    topics = load_settings(None, site.environment).topics
    await delete_topic(kafka_bootstrap, topics.members)
    await asyncio.sleep(3)  # several beats that nobody can take
    await make_topic(kafka_bootstrap, topics.members, 1)
    await asyncio.sleep(3)  # longer than a sign of life counts

    async def is_served() -> bool:
        return await site.is_ready() and (await site.match("10.0.0.1"))[0] == 200

    await until_asked(is_served, SOON_S)
    await asyncio.sleep(3)
    assert await is_served()
    await site.processors[0].end(signal.SIGKILL)

    async def says_so() -> bool:
        return await site.not_ready_because() == "not ready: no processor is running"

    await until_asked(says_so, SOON_S)
