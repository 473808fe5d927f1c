"""A key that was deleted through one ingress is refused by every other, also while and after a processor is killed."""

import asyncio
import signal
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from bench.faultrun import Role
from contract.http import KEYS_PATH, USERS_PATH
from picturematch.opening import open_broker
from picturematch.settings import load_settings
from tests.faults.test_serve import serving
from tests.support.waiting import until_asked

SOON_S = 30.0
"""How long a machine that is busy with other tests may take until a role is ready again."""
BOUND_S = 1.0
"""Until another ingress refuses a deleted key; `bench.scope_changes` measures it, with the aim of 100 ms."""


class Keys:
    """API keys, created and deleted through one ingress and used at another."""

    def __init__(self, session: aiohttp.ClientSession, here: str, there: str) -> None:
        self.session, self.here, self.there = session, here, there
        self._made = 0

    async def create(self) -> tuple[str, str]:
        """The name and the key; repeated until it is answered, with a name of its own each time."""
        async with asyncio.timeout(SOON_S):
            while True:
                self._made += 1
                body = {"name": f"gate-{self._made}", "role": "operator"}
                async with self.session.post(self.here + KEYS_PATH, json=body) as answer:
                    if answer.status == 200:
                        return body["name"], (await answer.json())["data"]["key"]
                await asyncio.sleep(0.1)

    async def delete(self, name: str) -> None:
        async with self.session.delete(self.here + KEYS_PATH, json={"name": name}) as answer:
            assert answer.status == 200, await answer.text()

    async def status(self, key: str, url: str | None = None) -> int:
        headers = {"X-API-Key": key}
        async with self.session.get(url or self.there + USERS_PATH, headers=headers) as answer:
            return answer.status

    async def accepted(self, key: str) -> bool:
        return await self.status(key) == 200

    async def refused(self, key: str) -> bool:
        return await self.status(key) == 401

    async def withdrawn(self) -> None:
        """Create a key, use it at the other ingress, delete it, and check how soon the other ingress refuses it."""
        name, key = await self.create()
        await until_asked(lambda: self.accepted(key), SOON_S, 0.01)
        await self.delete(name)
        deleted_s = time.monotonic()
        assert await self.status(key, self.here + USERS_PATH) == 401, "the ingress that answered refuses it at once"
        await until_asked(lambda: self.refused(key), SOON_S, 0.005)
        assert time.monotonic() - deleted_s < BOUND_S


@pytest.fixture
async def roles(kafka_bootstrap: str, tmp_path: Path) -> AsyncIterator[list[Role]]:
    """Two ingresses and a processor, as processes on Kafka."""
    environment = {
        "PICTUREMATCH_BROKER": f"kafka://{kafka_bootstrap}",
        "PICTUREMATCH_MODELS__KIND": "stand-in",
        "PICTUREMATCH_LOG__TOPIC_PREFIX": f"keys-{uuid.uuid4().hex}",
        "PICTUREMATCH_INGEST__PORT": "0",
        "PICTUREMATCH_HEALTH__PORT": "0",
    }
    settings = load_settings(None, environment)
    async with open_broker(settings, "owner") as log:
        await log.ensure_topics(settings.topic_specs)
    names = ("ingest", "ingest", "process")
    started = [Role(name, environment, tmp_path / f"{number}.log") for number, name in enumerate(names)]
    try:
        await asyncio.gather(*(role.start() for role in started))
        yield started
    finally:
        await asyncio.gather(*(role.end() for role in started))


async def test_on_kafka_another_ingress_refuses_a_deleted_key_and_goes_on_so_after_a_processor_is_killed(roles) -> None:
    here, there, processor = roles
    async with aiohttp.ClientSession() as session:
        keys = Keys(session, f"http://127.0.0.1:{here.port}", f"http://127.0.0.1:{there.port}")
        await keys.withdrawn()
        kept_name, kept = await keys.create()
        gone_name, gone = await keys.create()
        await until_asked(lambda: keys.accepted(kept), SOON_S)
        await keys.delete(gone_name)
        await processor.end(signal.SIGKILL)
        await until_asked(lambda: keys.refused(gone), BOUND_S)
        assert await keys.accepted(kept), "an ingress needs no processor to know the keys"
        await processor.start()
        await keys.withdrawn()
        assert await keys.refused(gone)
        await keys.delete(kept_name)
        await until_asked(lambda: keys.refused(kept), BOUND_S)


async def test_on_the_embedded_log_a_deleted_key_is_refused_at_once_and_stays_refused_after_a_kill(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path) as server, aiohttp.ClientSession() as session:
        keys = Keys(session, server.url, server.url)
        await keys.withdrawn()
        _, kept = await keys.create()
        gone_name, gone = await keys.create()
        await keys.delete(gone_name)
        server.process.send_signal(signal.SIGKILL)
        await server.process.wait()
    async with serving(tmp_path) as server, aiohttp.ClientSession() as session:
        keys = Keys(session, server.url, server.url)
        assert await keys.refused(gone)
        assert await keys.accepted(kept)
        await keys.withdrawn()
