"""Devices of a running server: what a match searches follows the device, and the events show how its door goes."""

import base64
import json
import re
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from broker.port import NewRecord
from contract.codec import encode
from contract.http import DEVICES_PATH, MATCH_PATH, USERS_PATH
from contract.people.keys import SiteKey, site_key
from contract.people.site import DeviceRecord, GroupRecord
from engine.vision.networks.standin import draw_face
from ingest.settings import IngestSettings
from picturematch.settings import ModelSettings, Settings
from picturematch.system import System
from picturematch.wiring import run_system
from tests.support.commands import run
from tests.support.faces import MODELS, photo, scene
from tests.support.terminal import HOSTILE, hostile_characters, run_on_terminal
from tests.support.waiting import until


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_folder=tmp_path / "data", ingest=IngestSettings(port=0), models=ModelSettings(kind="stand-in"))


@pytest.fixture
async def system(settings: Settings) -> AsyncIterator[System]:
    async with run_system(settings, MODELS) as running:
        yield running


@pytest.fixture
async def session(system: System) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(system.url) as opened:
        yield opened


async def call(session: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> Any:
    async with session.request(method, path, json=body) as response:
        return await response.json()


async def add_group(system: System, settings: Settings, name: str) -> None:
    """Write a group whose id is its name."""
    key = SiteKey("group", name)
    await system.broker.append(
        [NewRecord(settings.topics.people, site_key(key), encode(GroupRecord(group_id=name, name=name)), partition=0)]
    )
    await until(lambda: name in system.people.site.groups)


async def matched(session: aiohttp.ClientSession, picture: bytes, **fields: Any) -> Any:
    body = {"device_ip": "10.0.0.1", "rgb_image_base64": base64.b64encode(picture).decode(), **fields}
    return await call(session, "POST", MATCH_PATH, body)


def door(**fields: Any) -> dict[str, Any]:
    return {
        "device_name": "door",
        "device_key": "10.0.0.1",
        "device_type": "photo",
        "group_id": "day",
        "permission_id": "0",
        **fields,
    }


async def two_groups(system: System, settings: Settings, session: aiohttp.ClientSession) -> None:
    """Ann is in the group day, Ben in the group night."""
    for seed, (who, group) in enumerate((("ann", "day"), ("ben", "night")), 1):
        await add_group(system, settings, group)
        body = {"identity_id": who, "group_name": group, "reg_photo": base64.b64encode(photo(seed)).decode()}
        assert "data" in await call(session, "POST", USERS_PATH, {**body, "info": {"name": who}})


async def test_a_device_that_is_moved_to_another_group_searches_that_group_from_the_next_match_on(
    system: System, settings: Settings, session: aiohttp.ClientSession
) -> None:
    await two_groups(system, settings, session)

    async def found() -> list[str]:
        return [(await matched(session, photo(seed)))["identity_id"] for seed in (1, 2)]

    assert (await matched(session, photo(1)))["error"]["code"] == 40008, "nobody is in the default group"
    created = await call(session, "POST", DEVICES_PATH, {"devices_list": [door()]})
    (device,) = created["data"]["success_devices"]
    assert await found() == ["ann", ""]

    moved = {"device_id": device["device_id"], "group_id": "night"}
    assert (await call(session, "PUT", DEVICES_PATH, {"devices_list": [moved]}))["data"]["failed_devices"] == []
    assert await found() == ["", "ben"]
    (listed,) = (await call(session, "GET", DEVICES_PATH))["data"]["devices_list"]
    assert (listed["device_id"], listed["group_id"], listed["device_ip"]) == (device["device_id"], "night", "10.0.0.1")

    again = await call(session, "POST", DEVICES_PATH, {"devices_list": [door(group_id="nowhere"), door()]})
    assert [each["code"] for each in again["data"]["failed_devices"]] == [40012]
    assert again["data"]["success_devices"] == [device]
    assert await found() == ["ann", ""]

    assert (await call(session, "DELETE", DEVICES_PATH, {"clear_all": True}))["data"]["success_devices"] == [device]
    assert (await matched(session, photo(1)))["error"]["code"] == 40008
    assert (await call(session, "GET", DEVICES_PATH))["data"]["devices_list"] == []

    printed = await run("events", "--data-folder", settings.data_folder, "--kind", "devices")
    events = [json.loads(line) for line in printed.out.splitlines()]
    assert [(event["outcome"], event["name"]) for event in events] == [
        ("created", "door"),
        ("changed", "door"),
        ("changed", "door"),
        ("deleted", "door"),
    ]


async def test_the_list_shows_which_doors_are_silent_blurred_or_have_a_wrong_clock(
    system: System, settings: Settings, session: aiohttp.ClientSession
) -> None:
    await two_groups(system, settings, session)
    doors = [door(device_name=name, device_key=name) for name in ("blurred", "fast", "good", "unused")]
    doors.append(door(device_name="video", device_key="rtsp://10.0.0.9/1", device_type="rtsp"))
    assert len((await call(session, "POST", DEVICES_PATH, {"devices_list": doors}))["data"]["success_devices"]) == 5
    for _ in range(5):
        assert (await matched(session, scene(), device_ip="blurred"))["error"]["code"] == 40004
    picture = scene(draw_face(1, 160))
    assert (await matched(session, picture, device_ip="fast", compare_time=time.time() + 3600))["retcode"] == "1"
    assert (await matched(session, picture, device_ip="good"))["retcode"] == "1"
    await matched(session, picture, device_ip="unknown")

    printed = await run("devices", "list", "--data-folder", settings.data_folder)
    assert (printed.status, printed.err) == (0, "")
    rows = {row["address"]: row for row in map(json.loads, printed.out.splitlines())}
    assert {address: row["state"] for address, row in rows.items()} == {
        "blurred": "blurred",
        "fast": "clock wrong",
        "good": "ok",
        "unused": "silent",
        "rtsp://10.0.0.9/1": "no video",
        "unknown": "ok",
    }
    good = rows["good"]
    assert (good["group"], good["permission"], good["matches"], good["last_outcome"]) == ("day", "0", 1, "matched")
    assert (good["picture_bytes"], good["picture_pixels"]) == (len(picture), 640 * 480)
    assert good["face_px"] == pytest.approx(160, rel=0.2)
    assert rows["fast"]["clock_skew_s"] == pytest.approx(3600, abs=30)
    assert (rows["blurred"]["refusals"], rows["blurred"]["last_outcome"]) == (5, "no_face")
    assert (rows["unknown"]["device_id"], rows["unknown"]["group"]) == (None, "default_group")

    assert {row["looked_back_s"] for row in rows.values()} == {86_400}
    assert rows["unused"]["last_seen"] is None

    silent = await run("devices", "list", "--silent-for", "1m", "--data-folder", settings.data_folder)
    assert [json.loads(line)["address"] for line in silent.out.splitlines()] == ["unused"]


async def test_on_a_terminal_the_list_is_a_table_that_steers_no_terminal(
    system: System, settings: Settings, session: aiohttp.ClientSession
) -> None:
    await two_groups(system, settings, session)
    await call(session, "POST", DEVICES_PATH, {"devices_list": [door()]})
    await matched(session, photo(1), compare_time=time.time() + 30)
    await matched(session, photo(1), device_ip="10.0.0.2", group_name="day")
    record = DeviceRecord(
        device_id="d", name=HOSTILE, address="10.0.0.3", device_type="photo", group_id="gone", permission_id="0"
    )
    key = site_key(SiteKey("device", "d"))
    await system.broker.append([NewRecord(settings.topics.people, key, encode(record), partition=0)])
    printed = await run_on_terminal("devices", "list", "--data-folder", settings.data_folder)
    assert hostile_characters(printed.out) == ""
    head, *lines = printed.out.splitlines()
    assert head.split()[:3] == ["state", "name", "address"]
    registered, other, hostile = (next(line for line in lines if f"10.0.0.{n} " in line) for n in (1, 2, 3))
    assert re.search(r"^ok +door +10\.0\.0\.1 +day, 0 +\d+ s ago +matched +1 +0 +0 +\+(29|30)\.\d s +", registered)
    assert f" {len(photo(1)) / 1000:.0f} kB " in registered
    assert re.search(r"^ok +- +10\.0\.0\.2 +day, 0 ", other), "the request named a group without a permission"
    assert "(deleted), 0 " in hostile
    assert "not in the last 24 h" in hostile
    assert lines[-1].strip() == "from the events of the last 24 h; --since looks further back"
    longer = await run_on_terminal("devices", "list", "--since", "7d", "--data-folder", settings.data_folder)
    assert "not in the last 7 d" in longer.out


async def test_a_time_of_silence_beyond_the_events_that_are_read_is_refused(settings: Settings) -> None:
    ended = await run("devices", "list", "--since", "1h", "--silent-for", "2h", "--data-folder", settings.data_folder)
    assert ended.status == 2
    assert "--silent-for must not be longer than --since" in ended.err
