"""A server with many people starts from its local copy: killed, changed, erased, on the embedded log and on Kafka."""

import logging
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from engine.gallery.packed import Packed
from engine.vision.networks.standin import stand_in_models
from picturematch.local_copy import COPY_FILE
from tests.faults.test_serve import Server, serving
from tests.integration.test_people_import import array_of, vectors
from tests.integration.test_roles_on_kafka import MATCH, USERS, create_topics, encoded, environment, post, roles
from tests.support.commands import run
from tests.support.faces import photo
from tests.support.waiting import until

COUNT = 10_000
COME = f"{COUNT + 1} faces come from the local copy"
OWN = stand_in_models().embedder_identity


@asynccontextmanager
async def town(folder: Path) -> AsyncIterator[tuple[Server, aiohttp.ClientSession]]:
    async with serving(folder) as server, aiohttp.ClientSession(server.url) as session:
        yield server, session


async def fill(url: str, folder: Path, **given: str) -> None:
    done = await run("people", "import", array_of(folder, COUNT), "--url", url, "--embedder", OWN, "--json", **given)
    assert done.status == 0, done


async def enrol(session: aiohttp.ClientSession, who: str, seed: int) -> None:
    status, answer = await post(session, USERS, identity_id=who, reg_photo=encoded(photo(seed)))
    assert status == 200, answer


def stored(number: int) -> bytes:
    """Return what a copy contains of the embedding of a person."""
    return Packed.of(vectors(COUNT)[number : number + 1]).numbers.tobytes()


async def matched(session: aiohttp.ClientSession, *seeds: int) -> list[str]:
    """Who is recognised in a picture of each face; an empty text: nobody."""
    found = []
    for seed in seeds:
        status, answer = await post(session, MATCH, device_ip="10.0.0.1", rgb_image_base64=encoded(photo(seed)))
        assert status == 200, answer
        found.append(answer["identity_id"])
    return found


async def test_a_killed_server_starts_from_its_copy_and_learns_what_is_newer(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    copy = folder / COPY_FILE
    async with town(folder) as (server, session):
        await enrol(session, "ann", 1)
        await fill(server.url, tmp_path)
    async with town(folder) as (server, session):
        await until(copy.exists, 30.0)
        await enrol(session, "ben", 2)
        async with session.delete(USERS, json={"identity_id": "ann"}) as response:
            assert response.status == 200
        assert await matched(session, 1, 2) == ["", "ben"]
        server.process.kill()
    async with town(folder) as (server, session):
        assert await matched(session, 1, 2) == ["", "ben"]
        erased = await run("people", "erase", "p00005", "--yes", "--url", server.url, "--data-folder", folder)
        assert erased.status == 0, erased
        await until(lambda: copy.exists() and stored(5) not in copy.read_bytes(), 30.0)
        assert stored(6) in copy.read_bytes()
        server.process.send_signal(signal.SIGTERM)
        out, err = await server.process.communicate()
    said = (out + err).decode()
    assert COME in said
    assert "Traceback" not in said


async def test_a_processor_on_kafka_starts_from_its_copy(
    kafka_bootstrap: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    given = environment(kafka_bootstrap) | {"PICTUREMATCH_GALLERY__LOCAL_COPY_FOLDER": str(tmp_path)}
    copy = tmp_path / COPY_FILE
    await create_topics(given)
    async with roles(given) as (ingress, _, session):
        await enrol(session, "ann", 1)
        await fill(ingress.url, tmp_path, **given)
    async with roles(given) as (ingress, _, session):
        await until(copy.exists, 60.0)
        await enrol(session, "ben", 2)
        assert await matched(session, 2) == ["ben"]
    with caplog.at_level(logging.INFO):
        async with roles(given) as (ingress, _, session):
            assert await matched(session, 1, 2) == ["ann", "ben"]
            erased = await run("people", "erase", "p00005", "--yes", "--url", ingress.url, **given)
            assert "people" in erased.out, erased
            await until(lambda: copy.exists() and stored(5) not in copy.read_bytes(), 30.0)
    assert COME in caplog.text
