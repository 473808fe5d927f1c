"""`picturematch people import` and `people export` on the embedded log, beside a running server."""

import asyncio
import base64
import json
import os
import signal
import stat
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import orjson
import pytest
from msgspec import structs

from broker.embedded import open_embedded
from contract.codec import encode
from contract.http import GROUPS_PATH, IMPORT_PATH, PERMISSIONS_PATH
from contract.people.directory import Directory
from contract.people.keys import FaceKey, parse_key
from contract.people.unreadable import read_face
from contract.topics import Topics
from engine.vision.networks.standin import DIMENSION, stand_in_models
from tests.faults.test_serve import MATCH, USERS, Server, enrol_body, match_body, post, read_all, serving
from tests.integration.test_strangers import STRANGERS
from tests.support.commands import Finished, finish, run, start
from tests.support.faces import photo
from tests.support.scripted_server import scripted_server
from tests.support.waiting import until, until_asked

OWN, OTHER = (stand_in_models(release).embedder_identity for release in (1, 2))
NAMED = "--embedder", OWN


def vectors(count: int, dimension: int = DIMENSION) -> np.ndarray[Any, np.dtype[np.float32]]:
    found = np.random.default_rng(5).normal(size=(count, dimension)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def array_of(folder: Path, count: int) -> Path:
    """An array with its list."""
    np.save(folder / "faces.npy", vectors(count))
    lines = [f"p{number:05d},Person {number},{1 + number % 2},default_group" for number in range(count)]
    (folder / "faces.csv").write_text("\n".join(["identity_id,name,type,group_name", *lines, ""]))
    return folder / "faces.npy"


async def imported(server: Server, source: Path, *options: object) -> Finished:
    return await run("people", "import", source, "--url", server.url, "--json", *options)


async def records(folder: Path) -> dict[bytes, bytes]:
    """The last value of each key of the people topic, without the places of photos, which are hints."""
    last: dict[bytes, bytes | None] = {}
    async with open_embedded(folder, role="guest", clock_ms=lambda: 0) as log:
        for record in await read_all(log, Topics().people):
            last[record.key or b""] = record.value
    return {key: without_place(key, value) for key, value in last.items() if value is not None}


def without_place(key: bytes, value: bytes) -> bytes:
    parsed = parse_key(key)
    if not isinstance(parsed, FaceKey):
        return value
    face, _ = read_face(parsed, value, None, 0)
    if face.photo is None:
        return value
    return encode(structs.replace(face, photo=structs.replace(face.photo, partition=0, offset=0)))


async def fold(folder: Path) -> Directory:
    people = Directory()
    async with open_embedded(folder, role="guest", clock_ms=lambda: 0) as log:
        people.apply(await read_all(log, Topics().people))
    return people


def errors_of(source: Path) -> list[dict[str, Any]]:
    path = source.with_name(f"{source.name}.import-errors.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


@asynccontextmanager
async def town(folder: Path, **settings: str) -> AsyncIterator[tuple[Server, aiohttp.ClientSession]]:
    async with serving(folder, **settings) as server, aiohttp.ClientSession() as session:
        yield server, session


async def test_an_array_with_its_list_comes_in_and_again_changes_nothing(tmp_path: Path) -> None:
    source = array_of(tmp_path, 700)
    async with town(tmp_path / "log") as (server, _):
        done = await imported(server, source, *NAMED, "--chunk", 250)
        assert (done.status, done.err) == (0, ""), done
        assert json.loads(done.out) == {"added": 700, "present": 0, "failed": 0, "faces": 700, "unsearched": 0}
        before = await records(tmp_path / "log")
        again = await imported(server, source, *NAMED)
        assert json.loads(again.out) == {"added": 0, "present": 700, "failed": 0, "faces": 0, "unsearched": 0}
        assert await records(tmp_path / "log") == before
    people = await fold(tmp_path / "log")
    assert len(people) == people.faces_count == 700
    person = people.person("p00003")
    assert person is not None
    assert person.info == {"type": 2, "permission_ids": ["0"], "name": "Person 3"}
    value = before[b"face/p00003/0/" + OWN.encode()]
    face, _ = read_face(FaceKey("p00003", 0, OWN), value, OWN, DIMENSION)
    assert face.templates["whole"] == vectors(700)[3].tobytes(), "a unit vector is stored bit for bit"
    assert not (tmp_path / "faces.npy.import-state").exists()


async def test_one_call_is_one_event_and_one_audit_record_with_counts_and_the_failed_ids(tmp_path: Path) -> None:
    good, own = vectors(3), {"embedder": OWN}

    def person(who: str, vector: Any, **fields: Any) -> dict[str, Any]:
        whole = base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode()
        return {"identity_id": who, "faces": [{"templates": {"whole": whole}, **own}], **fields}

    people = [
        person("a", good[0]),
        person("nan", np.full(DIMENSION, np.nan)),
        person("zero", np.zeros(DIMENSION)),
        person("short", good[1][:-1]),
        person("unknown group", good[1], group_name="nowhere"),
        person("unknown permission", good[1], info={"permission_ids": ["nothing"]}),
        person("a", good[2]),
        person("b", good[2] * 3),
        {"identity_id": "nobody", "info": {"name": "No Face"}},
    ]
    async with town(tmp_path) as (server, session):
        status, _, answer = await post(session, server.url + IMPORT_PATH, {"people": people})
        assert status == 200, answer
        data = answer["data"]
        assert (data["added"], data["present"], data["faces"], data["unsearched"]) == (3, [], 2, 0)
        assert [(one["place"], one["identity_id"], one["error"]["code"]) for one in data["failed"]] == [
            (1, "nan", 40010),
            (2, "zero", 40010),
            (3, "short", 40010),
            (4, "unknown group", 40400),
            (5, "unknown permission", 40071),
            (6, "a", 40011),
        ]
    async with open_embedded(tmp_path, role="guest", clock_ms=lambda: 0) as log:
        (event,) = [json.loads(record.value or b"") for record in await read_all(log, Topics().events)]
        (audit,) = [json.loads(record.value or b"") for record in await read_all(log, Topics().audit)]
    assert (event["kind"], event["outcome"], event["identity_ids"]) == ("import", "imported", ["a", "b", "nobody"])
    failed = event["imported"].pop("failed")
    assert event["imported"] == {"added": 3, "present": 0, "faces": 2, "unsearched": 0}
    assert (failed[0]["place"], failed[0]["error"]["status"]) == (1, "BAD_FEATURE_ERROR")
    assert (audit["kind"], audit["details"]["added"], audit["details"]["failed"]) == ("import", 3, 6)
    assert len(await records(tmp_path)) == 5, "three people with two faces"


async def test_everything_goes_out_and_comes_in_again_bit_for_bit(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    export, again = tmp_path / "people.jsonl", tmp_path / "again.jsonl"
    source = array_of(tmp_path, 60)
    async with town(first, **STRANGERS) as (server, session):
        await post(session, server.url + GROUPS_PATH, {"group_name": "staff", "description": "all", "info": {"x": 1}})
        await post(session, server.url + PERMISSIONS_PATH, {"permission_name": "day", "description": ""})
        for seed in range(3):
            body = enrol_body(f"photo-{seed}", seed) | {"group_name": "staff,default_group"}
            body["info"] = {"zeta": [1, 2.5, None, {"a": "ä"}], "name": "Ünal", "alpha": True, "valid_until": 4e9}
            status, _, answer = await post(session, server.url + USERS, body)
            assert status == 200, answer
        more = {"identity_id": "photo-1", "reg_photo": base64.b64encode(photo(40)).decode(), "info": {}}
        async with session.put(server.url + USERS, json=more) as reply:
            assert reply.status == 200
        await post(session, server.url + MATCH, match_body(50) | {"support_stranger": True})
        await until_asked(partial(has_a_stranger, first), 30)
        assert (await imported(server, source, "--embedder", OWN)).status == 0
        assert (await run("people", "export", export, "--photos", "--data-folder", first)).status == 0
    assert stat.S_IMODE(export.stat().st_mode) == 0o600
    lines = export.read_bytes().splitlines()
    assert orjson.loads(lines[0])["people"] == 64
    refused = await run("people", "export", export, "--data-folder", first)
    assert (refused.status, refused.out) == (2, "")
    assert "exists already" in refused.err

    async with town(second) as (server, session):
        done = await imported(server, export, "--chunk", 20)
        assert json.loads(done.out) == {"added": 64, "present": 0, "failed": 0, "faces": 65, "unsearched": 0}, done
        assert (await run("people", "export", again, "--photos", "--data-folder", second)).status == 0
        for seed in (0, 1, 2):
            _, _, answer = await post(session, server.url + MATCH, match_body(seed))
            assert answer["identity_id"] == f"photo-{seed}"
        async with session.get(server.url + USERS, params={"identity_id": "photo-1"}) as reply:
            listed = await reply.json()
        assert base64.b64decode(listed["data"]["identities_list"][0]["reg_photo"]) == photo(40)
        present = await imported(server, export)
        assert json.loads(present.out)["present"] == 64
    assert again.read_bytes() == export.read_bytes()
    assert await records(second) == await records(first)


async def test_an_export_without_photos_has_the_same_embeddings_and_gives_the_same_export(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    async with town(first) as (server, session):
        for seed in range(2):
            await post(session, server.url + USERS, enrol_body(f"p{seed}", seed))
        assert (await run("people", "export", tmp_path / "a.jsonl", "--data-folder", first)).status == 0
    async with town(second) as (server, session):
        assert (await imported(server, tmp_path / "a.jsonl")).status == 0
        _, _, answer = await post(session, server.url + MATCH, match_body(1))
        assert answer["identity_id"] == "p1"
        assert (await run("people", "export", tmp_path / "b.jsonl", "--data-folder", second)).status == 0
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert (await fold(second)).photo("p0", 0) is None


async def test_groups_of_another_site_keep_their_names(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    async with town(first) as (server, session):
        await post(session, server.url + GROUPS_PATH, {"group_name": "staff", "description": ""})
        await post(session, server.url + USERS, enrol_body("p", 1) | {"group_name": "staff"})
        await run("people", "export", tmp_path / "a.jsonl", "--data-folder", first)
    async with town(second) as (server, session):
        await post(session, server.url + GROUPS_PATH, {"group_name": "staff", "description": "here"})
        assert (await imported(server, tmp_path / "a.jsonl", "--group", "default_group")).status == 0
        _, _, answer = await post(session, server.url + MATCH, match_body(1) | {"group_name": "staff"})
        assert answer["identity_id"] == "p"
    people = await fold(second)
    assert [group.description for group in people.site.groups.values() if group.name == "staff"] == ["here"]


async def test_more_groups_than_one_call_takes_come_in_and_somebody_in_all_of_them(tmp_path: Path) -> None:
    first, second, many = tmp_path / "first", tmp_path / "second", {"PICTUREMATCH_MATCHING__MAX_GROUPS": "2000"}
    names = [f"g{number}" for number in range(1100)]
    async with town(first, **many) as (server, session):
        for begin in (0, 550):
            groups = [{"group_id": name, "name": name} for name in names[begin : begin + 550]]
            status, _, _ = await post(session, server.url + IMPORT_PATH, {"groups": groups})
            assert status == 200
        status, _, _ = await post(session, server.url + USERS, enrol_body("p", 1) | {"group_name": ",".join(names)})
        assert status == 200
        await run("people", "export", tmp_path / "a.jsonl", "--data-folder", first)
    async with town(second, **many) as (server, _):
        done = await imported(server, tmp_path / "a.jsonl")
        assert (done.status, json.loads(done.out)["added"]) == (0, 1), done
        await run("people", "export", tmp_path / "b.jsonl", "--data-folder", second)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


async def test_features_of_another_embedder_are_kept_counted_and_not_searched(tmp_path: Path) -> None:
    source = array_of(tmp_path, 20)
    async with town(tmp_path / "log") as (server, session):
        done = await imported(server, source, "--embedder", OTHER)
        assert json.loads(done.out) == {"added": 20, "present": 0, "failed": 0, "faces": 20, "unsearched": 20}
        async with session.get(server.url + "/metrics") as reply:
            assert "picturematch_foreign_faces 20.0" in await reply.text()
        _, _, answer = await post(session, server.url + MATCH, match_body(1))
        assert answer["error"]["status"] == "EMPTY_GROUP_ERROR", "nobody can be searched"
        np.save(tmp_path / "long.npy", vectors(1, DIMENSION + 1))
        (tmp_path / "long.csv").write_text("identity_id\nlong\n")
        wrong = await imported(server, tmp_path / "long.npy", "--embedder", OTHER)
        assert wrong.status == 1
        assert f"others of {OTHER} have {DIMENSION}" in errors_of(tmp_path / "long.npy")[0]["message"]


async def test_a_folder_and_json_lines_with_photos_and_errors_of_each_item(tmp_path: Path) -> None:
    folder = tmp_path / "people"
    (folder / "anna").mkdir(parents=True)
    (folder / "anna" / "1.jpg").write_bytes(photo(1))
    (folder / "anna" / "2.jpg").write_bytes(photo(2))
    (folder / "bert.jpg").write_bytes(photo(3))
    (folder / "noise.jpg").write_bytes(b"\xff\xd8 no picture")
    (folder / "link.jpg").symlink_to("/etc/passwd")
    (folder / "readme.txt").write_text("x")
    lines = tmp_path / "people.jsonl"
    feature = vectors(1)[0]
    rows: list[Any] = [
        {"identity_id": "carl", "path": "people/bert.jpg", "name": "Carl", "age": 40},
        {"identity_id": "dora", "feature": feature.tolist(), "embedder": OWN},
        {"identity_id": "dora", "feature": base64.b64encode((-feature).tobytes()).decode(), "embedder": OWN},
        {"identity_id": "evil", "path": "../../../../etc/passwd"},
        {"identity_id": "nan", "feature": "not base64!", "embedder": OWN},
        {"identity_id": "a/b", "feature": feature.tolist(), "embedder": OWN},
        ["no object"],
        {"identity_id": "nobody", "faces": [{}]},
    ]
    lines.write_text("\n".join(map(json.dumps, rows)) + "\n")
    async with town(tmp_path / "log") as (server, session):
        done = await imported(server, folder)
        assert (done.status, json.loads(done.out)["added"]) == (1, 2), done
        assert {(one["where"], one["code"]) for one in errors_of(folder)} == {
            ("link.jpg", None),
            ("readme.txt", None),
            ("noise.jpg", 40003),
        }
        _, _, answer = await post(session, server.url + MATCH, match_body(2))
        assert answer["identity_id"] == "anna"
        done = await imported(server, lines)
        assert (done.status, json.loads(done.out)["added"]) == (1, 2), done
        assert [one["where"] for one in errors_of(lines)] == [f"people.jsonl line {n}" for n in (4, 5, 6, 7, 8)]
        lines.write_text("\n".join(map(json.dumps, rows[:3])) + "\n")
        done = await imported(server, lines)
        assert (done.status, json.loads(done.out)["present"]) == (0, 2), done
        assert errors_of(lines) == [], "the errors of an earlier import are gone"
    people = await fold(tmp_path / "log")
    dora, carl = people.person("dora"), people.person("carl")
    assert dora is not None
    assert carl is not None
    assert (dora.faces, carl.name) == ((0, 1), "Carl")


async def test_the_table_of_compreface_comes_in_with_its_calculator(tmp_path: Path) -> None:
    table = tmp_path / "faces.csv"
    cells = ["{" + ",".join(map(repr, map(float, row * 2))) + "}" for row in vectors(3)]
    rows = [f'{who},arcface/r100,"{cell}"' for who, cell in zip(("ann", "ann", "bob"), cells, strict=True)]
    table.write_text("\n".join(["subject,calculator,embedding", *rows, ""]))
    async with town(tmp_path / "log") as (server, _):
        done = await imported(server, table)
        assert json.loads(done.out) == {"added": 2, "present": 0, "failed": 0, "faces": 3, "unsearched": 3}, done
    assert (await fold(tmp_path / "log")).embedders("ann", 1) == ("arcface-r100",)


async def test_a_killed_import_goes_on_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    count = 3000
    source = array_of(tmp_path, count)
    state = tmp_path / "faces.npy.import-state"
    async with town(tmp_path / "log") as (server, _):
        for kill in range(3):
            options = (*NAMED, "--chunk", 50, "--url", server.url)
            process = await start("people", "import", source, *options)
            await lines_in(state, 6 * (kill + 1))
            process.send_signal(signal.SIGKILL)
            await process.wait()
            # What a crash leaves half written is ignored.
            with state.open("ab") as file:
                file.write(b'{"items": [[')
        half = len(await fold(tmp_path / "log"))
        assert 0 < half < count
        done = await imported(server, source, *NAMED, "--chunk", 50)
        told = json.loads(done.out)
        assert (done.status, told["added"] + told["present"], told["failed"]) == (0, count, 0), done
        assert not state.exists()
    people = await fold(tmp_path / "log")
    assert len(people) == people.faces_count == count
    wanted = {f"p{n:05d}".encode(): vector.tobytes() for n, vector in enumerate(vectors(count))}
    for key, value in (await records(tmp_path / "log")).items():
        parsed = parse_key(key)
        if isinstance(parsed, FaceKey):
            face, _ = read_face(parsed, value, OWN, DIMENSION)
            assert face.templates["whole"] == wanted.pop(parsed.identity_id.encode())
    assert wanted == {}
    events = await imports_in(tmp_path / "log")
    assert sum(len(event["identity_ids"]) for event in events) == count, "each person was added by one event"


async def test_a_server_that_is_killed_loses_nobody_who_was_answered(tmp_path: Path) -> None:
    source = array_of(tmp_path, 2000)
    state = tmp_path / "faces.npy.import-state"
    async with town(tmp_path / "log") as (server, _):
        process = await start("people", "import", source, *NAMED, "--chunk", 50, "--url", server.url)
        await lines_in(state, 8)
        server.process.kill()
        await server.process.wait()
        ended = await finish(process, 60)
        assert ended.status == 2
        assert "run the same command again" in ended.err
    # The state names the URL of the server, so it is started again at the same port.
    options = ("--data-folder", tmp_path / "log", "--port", server.port)
    process = await start("serve", *options, PICTUREMATCH_MODELS__KIND="stand-in")
    try:
        async with asyncio.timeout(30):
            while b"listens on" not in await process.stdout.readline():  # type: ignore[union-attr]  # it is a pipe
                pass
        done = await imported(server, source, *NAMED, "--chunk", 50)
        assert json.loads(done.out)["failed"] == 0, done
    finally:
        process.kill()
        await process.wait()
    people = await fold(tmp_path / "log")
    assert len(people) == people.faces_count == 2000


async def test_a_run_that_did_nothing_can_be_begun_anew_with_another_url(tmp_path: Path) -> None:
    source = array_of(tmp_path, 3)
    async with scripted_server(lambda _: (404, {})) as other:
        done = await run("people", "import", source, *NAMED, "--url", other.url)
        assert (done.status, done.err.count("\n")) == (2, 1), done
    async with town(tmp_path / "log") as (server, _):
        done = await imported(server, source, *NAMED)
        assert (done.status, json.loads(done.out)["added"]) == (0, 3), done


@pytest.mark.parametrize(
    "options",
    [
        ("--state", "faces.npy"),
        ("--errors", "faces.npy"),
        ("--errors", "faces.csv"),
        ("--errors", "same", "--state", "same"),
        ("--errors", "link"),
    ],
    ids=" ".join,
)
async def test_an_import_never_writes_over_its_source(tmp_path: Path, options: tuple[str, ...]) -> None:
    source = array_of(tmp_path, 3)
    (tmp_path / "link").symlink_to(source)
    before = source.read_bytes(), (tmp_path / "faces.csv").read_bytes()
    paths = [one if one.startswith("--") else tmp_path / one for one in options]
    done = await run("people", "import", source, *paths, "--url", "http://127.0.0.1:9")
    assert (done.status, "must be files of their own" in done.err) == (2, True), done
    assert (source.read_bytes(), (tmp_path / "faces.csv").read_bytes()) == before


async def test_an_export_into_a_folder_that_does_not_exist_says_so(tmp_path: Path) -> None:
    done = await run("people", "export", tmp_path / "nowhere" / "p.jsonl", "--data-folder", tmp_path)
    assert done.status == 2
    assert done.err.strip().endswith(
        f"{tmp_path}/nowhere is no folder: create it first, or name a file in another folder"
    )


async def test_a_source_that_has_changed_or_is_used_is_not_gone_on_with(tmp_path: Path) -> None:
    source = array_of(tmp_path, 400)
    state = tmp_path / "faces.npy.import-state"
    async with town(tmp_path / "log") as (server, _):
        process = await start("people", "import", source, *NAMED, "--chunk", 10, "--rate", 50, "--url", server.url)
        await lines_in(state, 3)
        used = await imported(server, source, *NAMED)
        assert (used.status, "another import uses" in used.err) == (2, True)
        process.send_signal(signal.SIGTERM)
        await process.wait()
        os.utime(source, (1, 1))
        changed = await imported(server, source, *NAMED)
        assert changed.status == 2
        assert "the source has changed" in changed.err


@pytest.mark.parametrize("damage", ["cut", "changed", "doubled", "foreign"])
async def test_a_damaged_export_imports_nobody(tmp_path: Path, damage: str) -> None:
    source = array_of(tmp_path, 5)
    async with town(tmp_path / "log") as (server, _):
        await imported(server, source, *NAMED)
        await run("people", "export", tmp_path / "a.jsonl", "--data-folder", tmp_path / "log")
    lines = (tmp_path / "a.jsonl").read_bytes().splitlines(keepends=True)
    if damage == "cut":
        lines = lines[:-1]
    elif damage == "changed":
        lines[2] = lines[2].replace(b"p00001", b"p00009")
    elif damage == "doubled":
        lines.insert(2, lines[2])
    else:
        lines[0] = lines[0].replace(b'"version":1', b'"version":2')
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines))
    async with town(tmp_path / "second") as (server, _):
        done = await imported(server, tmp_path / "a.jsonl")
        assert done.status == 2
        assert "damaged" in done.err or "this release reads version 1" in done.err
    assert len(await fold(tmp_path / "second")) == 0


async def has_a_stranger(folder: Path) -> bool:
    """Whether the log has a person whom a match enrolled, for whom a record says when."""
    return any(b"enrolled_time" in value for value in (await records(folder)).values())


async def lines_in(path: Path, count: int) -> None:
    """Wait until a file has so many lines."""
    await until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count, 30)


async def imports_in(folder: Path) -> list[Mapping[str, Any]]:
    async with open_embedded(folder, role="guest", clock_ms=lambda: 0) as log:
        return list(_events(await read_all(log, Topics().events)))


def _events(found: Any) -> Iterator[Mapping[str, Any]]:
    for record in found:
        event = json.loads(record.value or b"")
        if event["kind"] == "import":
            yield event
