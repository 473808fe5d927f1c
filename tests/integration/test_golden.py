"""What released versions wrote (tests/golden) is opened by this one; what a later one wrote is refused."""

import base64
import json
import shutil
import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from contract.captures.values import VERSION as CAPTURE_VERSION
from picturematch.settings import load_settings
from picturematch.wiring import run_system
from tests.golden.make import BY_FEATURE, DELETED, MATCH, PEOPLE, SINK, USERS, picture, post, text
from tests.support.commands import Finished, run
from tests.support.faces import MODELS
from tests.support.waiting import until_asked

GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.iterdir() if (path / "expected.json").exists())
KEPT = ("REQUESTS", "EVENTS", "DEAD_LETTERS")
A_THOUSAND_YEARS_MS = "31557600000000"


def copied(source: Path, to: Path) -> Path:
    """A copy of golden data as they were on disk, for their owner alone."""
    shutil.copytree(source, to)
    to.chmod(0o700)
    return to


def environment(version: str) -> dict[str, str]:
    """The settings of then, and retention that the data are not too old for."""
    settings: dict[str, str] = expected(version)["settings"]
    return settings | {f"PICTUREMATCH_LOG__{name}_RETENTION_MS": A_THOUSAND_YEARS_MS for name in KEPT}


def expected(version: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((GOLDEN / version / "expected.json").read_text())
    return found


async def outcomes_in(given: Mapping[str, str]) -> dict[str, str]:
    """The outcome of every event, none of which is there twice."""
    events = [json.loads(line) for line in (await run("events", **given)).out.splitlines()]
    outcomes = {event["id"]: event["outcome"] for event in events}
    assert len(outcomes) == len(events)
    return outcomes


async def check(given: Mapping[str, str], expected: Mapping[str, Any], out: Path, replayed: Path | None = None) -> None:
    """Serve the log; look at what was in it, and that it goes on."""
    settings = load_settings(None, given)
    undecided: Sequence[str] = expected["undecided"]
    async with (
        run_system(settings, MODELS) as system,
        aiohttp.ClientSession(system.url) as session,
    ):
        for name, seed in PEOPLE.items():
            asked = {"rgb_image_base64": text(picture(seed)), "need_register_photo": True}
            answer = await post(session, MATCH, device_ip="10.0.0.9", **asked)
            assert (answer["identity_id"], answer["name"]) == (name, name.title())
            assert base64.b64decode(answer["reg_pic"]) == picture(seed)
        answer = await post(session, MATCH, device_ip="10.0.0.9", rgb_image_base64=text(picture(DELETED[1])))
        assert answer["name"] == "stranger"
        async with session.get(USERS) as listed:
            people = {one["identity_id"] for one in (await listed.json())["data"]["identities_list"]}
        assert people == {*PEOPLE, BY_FEATURE}
        await post(session, USERS, identity_id="late", reg_photo=text(picture(8)), info={"name": "Late"})

        async def decided() -> bool:
            return (await outcomes_in(given)).keys() >= set(undecided)

        await until_asked(decided, 30)
        if replayed is not None:
            done = await run("replay", replayed, "--url", system.url)
            assert (done.status, done.err) == (0, ""), done.out
            assert "0 different" in done.out
    outcomes = await outcomes_in(given)
    assert {name: outcomes[name] for name in expected["outcomes"]} == expected["outcomes"]
    assert [outcomes[name] for name in undecided] == ["error", "matched"]
    carried = await run("sink", "jsonl", "--group", SINK, "--out", out, "--idle-exit", "1s", **given)
    assert carried.status == 0, carried.err
    assert ids_in(out) == outcomes.keys() - expected["outcomes"].keys()
    letters = await run("dead-letters", "list", **given)
    assert letters.out.count(undecided[0]) == 1


def ids_in(folder: Path) -> set[str]:
    """The ids of the events that a sink has written."""
    lines = b"".join(path.read_bytes() for path in folder.glob("*.jsonl")).splitlines()
    return {json.loads(line)["id"] for line in lines}


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_data_folder_and_a_capture_of_that_version_are_opened_and_go_on(version: str, tmp_path: Path) -> None:
    folder = copied(GOLDEN / version / "embedded", tmp_path / "data")
    given = environment(version) | {"PICTUREMATCH_DATA_FOLDER": str(folder)}
    checked = await run("log", "check", **given)
    assert (checked.status, checked.err) == (0, ""), checked
    capture = copied(GOLDEN / version / "capture", tmp_path / "capture")
    await check(given, expected(version)["embedded"], tmp_path / "out", capture)
    checked = await run("log", "check", **given)
    assert (checked.status, checked.err) == (0, ""), checked


@pytest.mark.parametrize("version", VERSIONS)
async def test_topics_of_that_version_are_restored_on_kafka_and_go_on(
    version: str, tmp_path: Path, kafka_bootstrap: str
) -> None:
    given = environment(version) | {
        "PICTUREMATCH_BROKER": f"kafka://{kafka_bootstrap}",
        "PICTUREMATCH_LOG__TOPIC_PREFIX": f"golden-{uuid.uuid4().hex}",
    }
    restored = await run("log", "restore", GOLDEN / version / "kafka.sqlite", **given)
    assert (restored.status, restored.err) == (0, ""), restored.err
    await check(given, expected(version)["kafka"], tmp_path / "out")


def sentence(done: Finished) -> str:
    assert done.status == 2
    lines = [line for line in done.err.splitlines() if not line.startswith("WARNING: stand-in models")]
    assert len(lines) == 1, done.err
    return lines[0]


def of_a_later_version(log: Path) -> None:
    with sqlite3.connect(log) as connection:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {version + 1}")
    connection.close()


@pytest.mark.parametrize("words", [("serve",), ("events",), ("log", "check"), ("log", "backup", "copy")])
async def test_a_data_folder_of_a_later_version_is_refused_in_a_sentence_and_left_as_it_is(
    words: Sequence[str], tmp_path: Path
) -> None:
    folder = copied(GOLDEN / VERSIONS[-1] / "embedded", tmp_path / "data")
    of_a_later_version(folder / "log.sqlite")
    before = (folder / "log.sqlite").read_bytes()
    refused = await run(*words, **environment(VERSIONS[-1]) | {"PICTUREMATCH_DATA_FOLDER": str(folder)})
    assert "use the version of the program that wrote" in sentence(refused)
    assert (folder / "log.sqlite").read_bytes() == before


async def test_a_backup_of_a_later_version_is_refused_in_a_sentence(tmp_path: Path) -> None:
    backup = Path(shutil.copy(GOLDEN / VERSIONS[-1] / "kafka.sqlite", tmp_path / "backup"))
    of_a_later_version(backup)
    refused = await run("log", "restore", backup, "--data-folder", tmp_path / "data")
    assert "use the version of the program that wrote" in sentence(refused)
    assert str(backup) in refused.err


async def test_a_capture_of_a_later_version_is_refused_in_a_sentence(tmp_path: Path) -> None:
    capture = copied(GOLDEN / VERSIONS[-1] / "capture", tmp_path / "capture")
    manifest = json.loads((capture / "capture.json").read_text())
    (capture / "capture.json").write_text(json.dumps(manifest | {"version": CAPTURE_VERSION + 1}))
    refused = sentence(await run("replay", capture, "--url", "http://127.0.0.1:1"))
    assert f"format version {CAPTURE_VERSION + 1}" in refused
