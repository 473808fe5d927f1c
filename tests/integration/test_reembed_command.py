"""`picturematch people reembed` on the embedded log: beside the server, interrupted, and through the switch."""

import asyncio
import base64
import json
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from broker.embedded import open_embedded
from contract.http import REEMBED_PATH
from contract.people.coverage import EnrolledFace
from contract.people.directory import Directory
from contract.people.keys import parse_key
from contract.topics import Topics
from engine.calls.enrol import prepare_photo
from engine.context import Context
from engine.vision.networks.standin import DIMENSION, stand_in_models
from picturematch.reembedding import EnrolledPeople
from picturematch.settings import Settings
from tests.faults.test_serve import MATCH, USERS, Server, enrol_body, match_body, post, read_all, serving
from tests.support.commands import Finished, finish, run, start

OLD, NEW = (stand_in_models(release).embedder_identity for release in (1, 2))
SWITCHED = {"PICTUREMATCH_MODELS__KIND": "stand-in-2"}


@asynccontextmanager
async def town(folder: Path, people: int, **settings: str) -> AsyncIterator[tuple[Server, aiohttp.ClientSession]]:
    """A server with people p0, p1, ..., each with a photo."""
    async with serving(folder, **settings) as server, aiohttp.ClientSession() as session:
        for number in range(people):
            await enrol(session, server, f"p{number}", number)
        yield server, session


async def enrol(session: aiohttp.ClientSession, server: Server, who: str, seed: int, **fields: Any) -> None:
    status, _, answer = await post(session, server.url + USERS, enrol_body(who, seed) | fields)
    assert status == 200, answer


async def recognised(session: aiohttp.ClientSession, server: Server, seed: int) -> str:
    _, _, answer = await post(session, server.url + MATCH, match_body(seed))
    return str(answer["name"])


async def reembed(folder: Path, server: Server | None, *options: object) -> Finished:
    at = () if server is None else ("--url", server.url)
    return await run("people", "reembed", *at, "--data-folder", folder, *options, **SWITCHED)


async def fold(folder: Path) -> Directory:
    people = Directory()
    async with open_embedded(folder, role="guest", clock_ms=lambda: 0) as log:
        people.apply(await read_all(log, Topics().people))
    return people


async def test_everybody_is_embedded_beside_the_server_and_recognised_after_the_switch(tmp_path: Path) -> None:
    async with town(tmp_path, 4) as (server, session):
        feature = {"reg_photo": None, "import_mode": True, "feature_model": OLD}
        vector = np.random.default_rng(7).normal(size=DIMENSION).tolist()
        await enrol(session, server, "known by a feature", 1, **feature, feature=vector)
        for seed in (0, 1, 2, 9):
            await recognised(session, server, seed)

        planned = await reembed(tmp_path, None, "--dry-run", "--json")
        assert json.loads(planned.out) == {"embedder": NEW, "to_embed": 4, "to_complete": 0, "without_photo": 1}

        done = await reembed(tmp_path, server, "--html", tmp_path / "report.html")
        assert done.status == 1, done
        assert done.err == "1 faces have no photo, which the installed networks need\n"
        assert "4 same, 0 different" in done.out, "the other embedder decides alike"
        assert "every face with a usable photo is embedded: 4 faces in this run, 1 pass" in done.out
        assert "1 face left behind, and 1 person who could not be recognised" in done.out
        assert "known by a feature, face 0: was enrolled by a feature, without a photo\n" in done.out
        assert "<html" in (tmp_path / "report.html").read_text()

        left = await reembed(tmp_path, None, "--left-behind")
        assert (left.status, left.out) == (
            1,
            "known by a feature, face 0: was enrolled by a feature, without a photo\n",
        )
        assert await recognised(session, server, 2) == "p2", "the server goes on with its own embedder"
        too_early = await reembed(tmp_path, server, "--drop-old", "--yes")
        assert too_early.status == 2
        assert "switch the server first" in too_early.err
        await enrol(session, server, "late", 6)

    async with serving(tmp_path, **SWITCHED) as server, aiohttp.ClientSession() as session:
        assert [await recognised(session, server, seed) for seed in (0, 3, 6)] == ["p0", "p3", "stranger"]
        again = await reembed(tmp_path, server, "--json", "--compare", 0)
        assert json.loads(again.out)["added"] == 1
        assert await recognised(session, server, 6) == "late"
        dropped = await reembed(tmp_path, server, "--drop-old", "--yes", "--json")
        assert (dropped.status, json.loads(dropped.out)) == (1, {"removed": 5, "kept": 1}), "a face keeps its records"
        async with session.delete(f"{server.url}{USERS}", json={"identity_id": "known by a feature"}) as gone:
            assert gone.status == 200
        dropped = await reembed(tmp_path, server, "--drop-old", "--yes")
        assert (dropped.status, dropped.out) == (0, "removed the records of former embedders of 0 faces\n")
        assert await recognised(session, server, 6) == "late"
        assert [await recognised(session, server, seed) for seed in (0, 9)] == ["p0", "stranger"]
        shown = await post(session, server.url + MATCH, match_body(0) | {"need_register_photo": True})
        assert shown[2]["reg_pic"], "the photo is still found, though the record that named it first is gone"
        people = await fold(tmp_path)
        assert {who: people.embedders(who, 0) for who in ("p0", "late")} == {"p0": (NEW,), "late": (NEW,)}
        server.process.send_signal(signal.SIGTERM)
        _, err = await server.process.communicate()
        assert b"2 of 6 people cannot be recognised" in err


async def test_photos_are_embedded_with_the_settings_of_the_server_or_not_at_all(tmp_path: Path) -> None:
    async with town(tmp_path, 1, PICTUREMATCH_MATCHING__FACE="largest") as (server, _):
        done = await reembed(tmp_path, server, "--compare", 0)
        assert (done.status, done.out) == (2, "")
        assert 'matching.face = "chosen", and this server enrols with "largest"' in done.err
        assert (await fold(tmp_path)).embedders("p0", 0) == (OLD,)


async def test_a_run_that_was_killed_is_continued_and_embeds_nothing_twice(tmp_path: Path) -> None:
    async with town(tmp_path, 70) as (server, _):
        options = ("--url", server.url, "--data-folder", tmp_path, "--compare", 0, "--rate", 40)
        killed = await start("people", "reembed", *options, **SWITCHED)

        async def some_are_written() -> int:
            return sum(face.embedder == NEW for face in await faces(tmp_path))

        async with asyncio.timeout(30):
            while not await some_are_written():  # noqa: ASYNC110 - another process writes them
                await asyncio.sleep(0.05)
        killed.kill()
        await killed.wait()
        before = await some_are_written()
        assert 0 < before < 70
        done = await reembed(tmp_path, server, "--json", "--compare", 0)
        assert done.status == 0
        assert json.loads(done.out)["added"] == 70 - before
        assert await some_are_written() == 70, "each face has one record of the new embedder"


async def faces(folder: Path) -> list[Any]:
    async with open_embedded(folder, role="guest", clock_ms=lambda: 0) as log:
        keys = [parse_key(record.key or b"") for record in await read_all(log, Topics().people)]
    return [key for key in keys if hasattr(key, "embedder")]


async def test_changes_of_people_during_a_run_win(tmp_path: Path) -> None:
    async with town(tmp_path, 64) as (server, session):
        options = ("--url", server.url, "--data-folder", tmp_path, "--compare", 0, "--rate", 25)
        running = await start("people", "reembed", *options, "--json", **SWITCHED)
        async with asyncio.timeout(30):
            while all(face.embedder == OLD for face in await faces(tmp_path)):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)
        async with session.delete(f"{server.url}{USERS}", json={"identity_id": "p9"}) as gone:
            assert gone.status == 200
        async with session.delete(f"{server.url}{USERS}", json={"identity_id": "p0"}) as gone:
            assert gone.status == 200, "who was embedded already"
        await enrol(session, server, "p8", 200, ignore_exist=True, support_single_face=True)
        await enrol(session, server, "new", 300)
        done = await finish(running)
        assert done.status == 0, done
        assert json.loads(done.out)["passes"] >= 2, "the people who came during the run needed another pass"
    people = await fold(tmp_path)
    assert {who for who in ("p0", "p9") if people.person(who)} == set()
    assert not [key for key in people.keys_of("p9") + people.keys_of("p0") if key.startswith(b"face/")]
    assert people.embedders("new", 0) == (OLD, NEW)
    assert people.embedders("p8", 1) == (OLD, NEW)
    assert people.embedders("p8", 0) == ()
    assert len(people) == 63
    async with serving(tmp_path, **SWITCHED) as server, aiohttp.ClientSession() as session:
        found = [await recognised(session, server, seed) for seed in (9, 0, 200, 8, 300, 7)]
        assert found == ["stranger", "stranger", "p8", "stranger", "new", "p7"]


async def test_an_erased_person_leaves_no_embedding_of_either_embedder(tmp_path: Path) -> None:
    async with town(tmp_path, 3) as (server, _):
        assert (await reembed(tmp_path, server, "--compare", 0)).status == 0
        async with open_embedded(tmp_path, role="guest", clock_ms=lambda: 0) as log:
            secrets = [r.value for r in await read_all(log, Topics().people) if (r.key or b"").startswith(b"face/p1/")]
        pieces = [value[-1100:-1000] for value in secrets if value]
        assert len(pieces) == 2
        erased = await run("people", "erase", "p1", "--yes", "--url", server.url, "--data-folder", tmp_path)
        assert erased.status == 0, erased
        disk = b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()) if path.is_file())  # noqa: ASYNC240
        assert not [piece for piece in pieces if piece in disk]
        assert (await fold(tmp_path)).embedders("p2", 0) == (OLD, NEW)


async def test_an_embedding_that_arrives_after_the_erasure_of_its_person_is_not_written(tmp_path: Path) -> None:
    async with town(tmp_path, 2) as (server, session):
        settings = Settings(data_folder=tmp_path)
        models = stand_in_models(2)
        given = Context(models, settings.matching, settings.pictures.max_pixels, time.perf_counter)
        async with (
            open_embedded(tmp_path, role="guest", clock_ms=lambda: 0) as log,
            EnrolledPeople(log, Topics(), NEW) as people,
        ):
            embedded = [await embedded_face(people, face, given) for face in people.missing()]
        erased = await run("people", "erase", "p1", "--yes", "--url", server.url, "--data-folder", tmp_path)
        assert erased.status == 0, erased
        body = {"action": "add", "embedder": NEW, "faces": embedded}
        status, _, answer = await post(session, server.url + REEMBED_PATH, body)
        assert (status, answer) == (200, {"data": {"outcomes": ["added", "gone"]}})
        kept, secret = (base64.b64decode(face["templates"]["whole"]) for face in embedded)
        disk = b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()) if path.is_file())  # noqa: ASYNC240
        assert kept[100:200] in disk, "what was sent of the other person is in the log"
        assert secret[100:200] not in disk


async def embedded_face(people: EnrolledPeople, face: EnrolledFace, given: Context) -> dict[str, Any]:
    """A face as the command sends it."""
    jpeg = await people.photo(face)
    assert jpeg is not None
    assert face.photo is not None
    prepared = prepare_photo(jpeg, (), given).face
    assert prepared is not None
    templates = {kind: base64.b64encode(data).decode() for kind, data in prepared.templates.items()}
    named = {"identity_id": face.identity_id, "number": face.number}
    return {**named, "photo_sha256": face.photo.sha256.hex(), "templates": templates}


@pytest.mark.parametrize("people_there", [2, 0])
async def test_a_server_on_another_log_is_noticed(people_there: int, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    async with town(here, 2), town(there, people_there) as (other, _):
        done = await reembed(here, other, "--compare", 0)
        assert done.status == 2
        assert "uses another log" in done.err


async def test_without_a_server_the_command_says_so(tmp_path: Path) -> None:
    async with town(tmp_path, 1):
        done = await run(
            *("people", "reembed", "--url", "http://127.0.0.1:1", "--data-folder", tmp_path, "--compare", 0), **SWITCHED
        )
        assert (done.status, done.out) == (2, "")
        assert "no server can be reached" in done.err


@pytest.mark.parametrize("options", [("--dry-run", "--drop-old"), ("--left-behind", "--dry-run")])
async def test_options_that_exclude_each_other_are_refused(tmp_path: Path, options: tuple[str, ...]) -> None:
    done = await reembed(tmp_path, None, *options)
    assert done.status == 2
    assert "exclude each other" in done.err
