"""Groups and permissions through a whole system: what is set up over HTTP decides who is found."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from contract.events import Event, decode_event
from contract.http import (
    GROUP_IDS_PATH,
    GROUP_USERS_PATH,
    GROUPS_PATH,
    MATCH_PATH,
    PERMISSION_IDS_PATH,
    PERMISSIONS_PATH,
    USERS_PATH,
)
from contract.topics import Topics
from engine.vision.networks.standin import stand_in_models
from ingest.settings import IngestSettings
from picturematch.settings import ModelSettings, Settings
from picturematch.system import System
from picturematch.wiring import run_system
from tests.integration.test_processor import read_all
from tests.support.faces import photo


class Site:
    """A running system, and the calls of a back end."""

    def __init__(self, system: System, session: aiohttp.ClientSession) -> None:
        self.system, self.session = system, session

    async def call(self, method: str, path: str, **fields: Any) -> Any:
        async with self.session.request(method, self.system.url + path, json=fields) as response:
            return await response.json()

    async def get(self, path: str, **query: str) -> Any:
        async with self.session.get(self.system.url + path, params=query) as response:
            return await response.json()

    async def group(self, name: str) -> None:
        assert "data" in await self.call("POST", GROUPS_PATH, group_name=name, description="")

    async def permission(self, name: str) -> str:
        await self.call("POST", PERMISSIONS_PATH, permission_name=name, description="")
        (found,) = (await self.get(PERMISSION_IDS_PATH, **{"info.name": name, "exact": "true"}))["data"]
        return str(found["_id"])

    async def enrol(self, who: str, seed: int, group_name: str, *permission_ids: str, **info: Any) -> None:
        info = {"name": who, "permission_ids": list(permission_ids), **info}
        picture = base64.b64encode(photo(seed)).decode()
        answer = await self.call(
            "POST", USERS_PATH, identity_id=who, group_name=group_name, reg_photo=picture, info=info
        )
        assert "data" in answer, answer

    async def match(self, seed: int, **scope: str) -> str:
        """The identity_id that a match finds ("" for a stranger), or the status of its error."""
        picture = base64.b64encode(photo(seed)).decode()
        answer = await self.call("POST", MATCH_PATH, rgb_image_base64=picture, device_ip="10.0.0.9", **scope)
        return str(answer["error"]["status"] if "error" in answer else answer["identity_id"])


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Site]:
    settings = Settings(data_folder=folder, ingest=IngestSettings(port=0), models=ModelSettings(kind="stand-in"))
    async with run_system(settings, stand_in_models()) as system, aiohttp.ClientSession() as session:
        yield Site(system, session)


async def test_a_match_finds_who_is_in_the_group_and_has_the_permission_from_the_next_call_on(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        await site.group("staff")
        day, night = await site.permission("day"), await site.permission("night")
        await site.enrol("ada", 1, "default_group", day)
        await site.enrol("bea", 2, "staff", day, night)
        in_staff = {"group_name": "staff", "permission_name": "day"}
        assert await site.match(1, **in_staff) == ""
        moved = await site.call(
            "PUT", GROUP_USERS_PATH, group_name="staff", identity_id=["ada", "nobody"], with_identity_id=True
        )
        assert moved["data"]["identity_id"] == ["ada", "bea"]
        assert [failed["identity_id"] for failed in moved["data"]["failed"]] == ["nobody"]
        assert await site.match(1, **in_staff) == "ada"
        assert await site.match(1, group_name="staff") == "EMPTY_GROUP_ERROR", "an unknown device has permission 0"
        assert await site.match(1, group_name="staff", permission_name="night") == ""
        assert await site.match(2, group_name="staff", permission_name="night") == "bea"
        left = await site.call("DELETE", GROUP_USERS_PATH, group_name="staff", identity_id=["ada"])
        assert "identity_id" not in left["data"]
        assert await site.match(1, **in_staff) == ""
        await site.call("DELETE", PERMISSIONS_PATH, permission_name="night")
        assert await site.match(2, group_name="staff", permission_name="night") == "GROUP_NAME_ERROR"
        assert await site.match(2, group_name="staff", permission_name="day") == "bea"


async def test_what_was_set_up_is_there_after_a_restart_and_a_deleted_group_takes_its_own_people_along(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as site:
        await site.group("staff")
        day = await site.permission("day")
        await site.call("PUT", GROUPS_PATH, group_name="staff", description="two shifts", info={"floor": 3})
        await site.enrol("ada", 1, "staff", day)
        await site.enrol("bea", 2, "staff,default_group", day)
        await site.enrol("cleo", 3, "default_group", day)
    async with running(tmp_path) as site:
        (group,) = (await site.get(GROUP_IDS_PATH, **{"info.name": "staff", "exact": "true"}))["data"]
        assert group["info"] == {"name": "staff", "description": "two shifts", "floor": 3}
        assert await site.permission("day") == day, "creating it again is refused and changes nothing"
        answer = await site.call("DELETE", GROUPS_PATH, group_name="staff", user_recursive_delete=True)
        assert answer["data"]["people_deleted"] == 1
        assert await site.match(1, group_name="default_group", permission_name="day") == ""
        assert await site.match(2, group_name="default_group", permission_name="day") == "bea"
        (bea,) = (await site.get(USERS_PATH, identity_id="bea"))["data"]["identities_list"]
        assert bea["group_name"] == ["default_group"]
        assert (await site.get(USERS_PATH, identity_id="ada"))["error"]["status"] == "ID_NOT_FOUND"
        photos = {record.key: record.value for record in await read_all(site.system.broker, Topics().photos)}
        assert photos[b"photo/ada/0"] is None
        assert photos[b"photo/bea/0"] is not None
        events = [decode_event(record.value or b"") for record in await read_all(site.system.broker, Topics().events)]
        deleted: Event = next(event for event in events if event.outcome == "deleted")
        assert (deleted.kind, deleted.name, deleted.identity_ids) == ("group", "staff", ("ada",))


async def test_whoever_is_moved_keeps_photo_permissions_and_the_whole_info(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        await site.group("staff")
        day = await site.permission("day")
        await site.enrol("ada", 1, "default_group", day, room={"floor": 7}, note="free")
        (before,) = (await site.get(USERS_PATH, identity_id="ada"))["data"]["identities_list"]
        await site.call("PUT", GROUP_USERS_PATH, group_name="staff", identity_id=["ada"])
        await site.call("DELETE", GROUP_USERS_PATH, group_name="default_group", identity_id=["ada"])
        (after,) = (await site.get(USERS_PATH, identity_id="ada"))["data"]["identities_list"]
        assert after == {**before, "group_name": ["staff"]}
        assert (after["info"]["room"], after["info"]["note"]) == ({"floor": 7}, "free")


async def test_of_administrators_who_create_one_group_at_once_one_succeeds(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        answers = await asyncio.gather(
            *(site.call("POST", GROUPS_PATH, group_name="staff", description=f"{number}") for number in range(8))
        )
        refused = [answer["error"]["status"] for answer in answers if "error" in answer]
        (created,) = (answer["data"] for answer in answers if "data" in answer)
        assert refused == ["GROUP_NAME_ERROR"] * 7
        listed = (await site.get(GROUPS_PATH, group_name="staff"))["data"]["groups_list"]
        assert [group["description"] for group in listed] == [created["info"]["description"]]
