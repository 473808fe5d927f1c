"""The commands around a server, with a real one: enrol, expect, record, replay, read, carry away."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import msgspec
import pytest

from engine.vision.networks.standin import draw_face, draw_scene, stand_in_models
from ingest.settings import IngestSettings
from picturematch.settings import ModelSettings, Settings
from picturematch.system import System
from picturematch.wiring import run_system
from tests.support.commands import run


def photo(seed: int, path: Path, quality: int = 95) -> None:
    """A drawn face, as a JPEG file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scene = draw_scene(320, 240, [(draw_face(seed, 120), 100, 60)])
    path.write_bytes(bytes(cv2.imencode(".jpg", scene, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_folder=tmp_path / "data", ingest=IngestSettings(port=0), models=ModelSettings(kind="stand-in"))


@pytest.fixture
async def system(settings: Settings) -> AsyncIterator[System]:
    async with run_system(settings, stand_in_models()) as running:
        yield running


async def test_what_was_recorded_is_decided_the_same_until_the_people_change(
    system: System, settings: Settings, tmp_path: Path
) -> None:
    url, data = system.url, settings.data_folder
    for seed, name in ((1, "ann.jpg"), (2, "bo/1.jpg"), (3, "bo/2.jpg")):
        photo(seed, tmp_path / "people" / name)
    enrolled = await run("enrol", tmp_path / "people", "--url", url)
    assert (enrolled.status, enrolled.err) == (0, "")
    assert enrolled.out.startswith("2 enrolled, 0 updated, 1 face added")
    assert (await run("enrol", tmp_path / "people", "--url", url)).out.startswith(
        "0 enrolled, 0 updated, 0 faces added"
    )

    for seed in (1, 3, 9):
        photo(seed, tmp_path / "photos" / f"{seed}.jpg", quality=80)
    cv2.imwrite(str(tmp_path / "photos" / "none.jpg"), draw_scene(320, 240))
    (tmp_path / "list.csv").write_text(
        "path,device_ip,compare_time,expected_identity_id\n"
        "1.jpg,10.0.0.1,1700000000.25,ann\n3.jpg,10.0.0.2,,bo\n9.jpg,10.0.0.1,,-\nnone.jpg,10.0.0.2,,\n"
    )
    made = await run(
        *("capture", "from-list", tmp_path / "list.csv", "--pictures", tmp_path / "photos", "--out", tmp_path / "hand")
    )
    assert made.status == 0, made.err
    expected = await run("replay", tmp_path / "hand", "--url", url, "--concurrency", 1)
    assert expected.status == 0, expected.err
    assert expected.out.splitlines()[-1] == "3 same, 0 different, 1 not compared, 0 could not run"

    matches = await run("events", "--data-folder", data, "--kind", "match")
    events = [json.loads(line) for line in matches.out.splitlines()]
    assert [event["outcome"] for event in events] == ["matched", "matched", "stranger", "no_face"]
    assert events[0]["compare_time"] == 1_700_000_000.25
    assert len((await run("events", "--data-folder", data, "--kind", "people")).out.splitlines()) == 5

    recorded = await run("record", "--data-folder", data, "--out", tmp_path / "capture")
    assert recorded.out.startswith("4 requests recorded"), recorded.err
    again = await run("replay", tmp_path / "capture", "--url", url)
    assert again.status == 0, again.err
    assert again.out.splitlines()[-1] == "4 same, 0 different, 0 not compared, 0 could not run"

    photo(9, tmp_path / "new" / "cy.jpg")
    assert (await run("enrol", tmp_path / "new", "--url", url)).status == 0
    changed = await run("replay", tmp_path / "capture", "--url", url, "--json")
    assert changed.status == 1
    difference, summary = map(msgspec.json.decode, changed.out.splitlines())
    assert difference["line"] == 3
    assert {"what": "identity_id", "then": "", "now": "cy"} in difference["differences"]
    assert summary["summary"]["same"] == 3

    carried = await run("sink", "jsonl", "--data-folder", data, "--out", tmp_path / "files", "--idle-exit", "0.5s")
    assert carried.status == 0, carried.err
    lines = [
        json.loads(line) for path in (tmp_path / "files").glob("events-*") for line in path.read_text().splitlines()
    ]
    assert sorted(line["kind"] for line in lines) == ["enrol"] * 6 + ["match"] * 12
    assert len({line["id"] for line in lines}) == 18
