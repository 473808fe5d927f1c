"""`picturematch migrate` into a real server with stand-in networks: afterwards the doors open for the same people."""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from contract.http import GROUP_IDS_PATH, GROUP_USERS_PATH, MATCH_PATH, PERMISSION_IDS_PATH, USERS_PATH
from engine.vision.networks.standin import draw_face, stand_in_models
from ingest.settings import IngestSettings
from picturematch.settings import ModelSettings, Settings
from picturematch.wiring import run_system
from tests.support.box import Box, running_box
from tests.support.commands import run
from tests.support.faces import photo, scene


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[str]:
    """The URL of a server with stand-in networks."""
    chosen = Settings(data_folder=folder, ingest=IngestSettings(port=0), models=ModelSettings(kind="stand-in"))
    async with run_system(chosen, stand_in_models()) as system:
        yield system.url


def text(picture: bytes) -> str:
    """Base64 with line breaks, as the vendor's clients send it."""
    return base64.encodebytes(picture).decode()


TIMES = [{"days": [6, 7], "from": "08:00", "to": "18:00"}]


def site() -> Box:
    """Two groups, permissions, two devices, and people of whom some cannot be taken."""
    box = Box()
    box.group("员工", "g-staff", description="who works here", floor="2")
    box.permission("白天", "p-day")
    box.permission("night", "p-night")
    box.permission("weekend", "p-weekend", pass_times=TIMES, colour="red")
    box.permission("large", "p-large", pass_times=TIMES, note="x" * 17_000)
    box.permission("wrong", "p-wrong", pass_times=[{"days": [8]}])
    box.person("1001", "员工", photo=text(photo(1)), permission_ids=["p-day"], name="张明", room="12")
    box.person("1002", "员工", "default_group", photo=text(photo(2)), permission_ids=["p-day", "p-night"])
    box.person("1003", photo=text(photo(3)))
    box.person("1004", photo=text(photo(4)), permission_ids=[])
    box.person("ungrouped", photo=text(photo(5)))
    box.people["ungrouped"]["group_name"] = []
    box.person("faceless", photo=text(scene()))
    box.person("tiny", "员工", photo=text(scene(draw_face(4, 30))))
    box.person("broken", photo="no base64!")
    box.device("10.0.0.1", "g-staff", "p-day", device_name="day gate")
    box.device("10.0.0.2", "g-staff", "p-night", device_name="night gate")
    return box


async def passing(url: str, device: str, face: int) -> str:
    """The identity_id of whoever passes at the device, "" for nobody."""
    body = {"device_ip": device, "rgb_image_base64": text(photo(face))}
    async with aiohttp.ClientSession() as session, session.post(url + MATCH_PATH, json=body) as response:
        answer: dict[str, Any] = await response.json()
    assert response.status == 200, answer
    return str(answer["identity_id"])


async def infos(url: str, path: str) -> dict[str, dict[str, Any]]:
    """Name -> the info of each group or permission."""
    async with aiohttp.ClientSession() as session, session.get(url + path) as response:
        found = [dict(one["info"]) for one in (await response.json())["data"]]
    return {info.pop("name"): info for info in found}


async def migrated(source: str, target: str, folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """The exit status of the command, and its report."""
    report = folder / "report.json"
    files = ("--state", folder / "state", "--report", report)
    done = await run("migrate", "--from", source, "--to", target, *files, *options)
    assert done.status in (0, 1), done.err
    return done.status, json.loads(report.read_bytes())


async def test_the_doors_open_for_the_same_people_after_a_migration_and_a_second_one_changes_nothing(
    tmp_path: Path,
) -> None:
    async with running_box(site()) as box, serving(tmp_path / "data") as url:
        status, report = await migrated(box.url, url, tmp_path)
        assert status == 1
        left_out = {one["name"]: one["reason"].partition(":")[0] for one in report["left_out"]}
        unscheduled = {"wrong", "permission large: note"}
        assert set(left_out) == {"faceless", "tiny", "broken", "ungrouped", *unscheduled}
        assert (await infos(url, GROUP_IDS_PATH))["员工"] == {"description": "who works here", "floor": "2"}
        permissions = await infos(url, PERMISSION_IDS_PATH)
        assert permissions["weekend"] == {"description": "", "pass_times": TIMES, "colour": "red"}
        assert permissions["large"] == {"description": "", "pass_times": TIMES}
        assert "wrong" not in permissions
        assert left_out["faceless"] == "40004 NO_FACE"
        assert left_out["broken"] == "40003 IMAGE_ERROR"
        day, night, elsewhere = "10.0.0.1", "10.0.0.2", "10.0.0.9"
        assert [await passing(url, day, face) for face in (1, 2, 3)] == ["1001", "1002", ""]
        assert [await passing(url, night, face) for face in (1, 2, 3)] == ["", "1002", ""]
        assert [await passing(url, elsewhere, face) for face in (1, 2, 3, 4, 5)] == ["", "", "1003", "", ""]

        async with aiohttp.ClientSession() as session:
            async with session.get(url + USERS_PATH, params={"identity_id": "1001"}) as response:
                (person,) = (await response.json())["data"]["identities_list"]
                version = response.headers["X-Gallery-Version"]
            assert (person["info"]["name"], person["info"]["room"]) == ("张明", "12")
            assert base64.b64decode(person["reg_photo"]) == photo(1)

            status, report = await migrated(box.url, url, tmp_path)
            counts = {kind: number["there already"] for kind, number in report["counts"].items()}
            assert {kind: number for kind, number in counts.items() if number} == {
                "group": 2,
                "permission": 4,
                "person": 4,
                "device": 2,
            }
            assert all(number["taken"] == number["changed"] == 0 for number in report["counts"].values())
            async with session.get(url + USERS_PATH, params={"identity_id": "1001"}) as response:
                assert response.headers["X-Gallery-Version"] == version, "nothing was written"


async def test_a_server_is_migrated_to_another_one_like_a_box(tmp_path: Path) -> None:
    async with running_box(site()) as box, serving(tmp_path / "one") as first, serving(tmp_path / "two") as second:
        await migrated(box.url, first, tmp_path)
        status, report = await migrated(first, second, tmp_path)
        assert (status, report["left_out"]) == (0, [])
        assert report["counts"]["person"]["taken"] == 4
        assert (await infos(second, PERMISSION_IDS_PATH))["weekend"]["pass_times"] == TIMES
        assert [await passing(second, "10.0.0.1", face) for face in (1, 2, 3)] == ["1001", "1002", ""]
        assert [await passing(second, "10.0.0.2", face) for face in (1, 2, 3)] == ["", "1002", ""]

        left = {"group_name": "员工", "identity_id": ["1002"]}
        async with aiohttp.ClientSession() as session, session.delete(first + GROUP_USERS_PATH, json=left) as response:
            assert response.status == 200
        status, report = await migrated(first, second, tmp_path)
        assert (status, [one["name"] for one in report["left_out"]]) == (1, ["1002 in group 员工"])
        assert await passing(second, "10.0.0.1", 2) == "1002"
        status, report = await migrated(first, second, tmp_path, "--update")
        assert (status, report["left_out"], report["counts"]["membership"]["changed"]) == (0, [], 1)
        assert [await passing(second, "10.0.0.1", face) for face in (1, 2)] == ["1001", ""]
