"""The people calls on a whole server with an embedded log: what one call has changed is in force for the next."""

import base64
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from broker.port import NewRecord
from contract.codec import encode
from contract.http import MATCH_PATH, USERS_PATH
from contract.people.keys import site_key
from contract.people.site import DeviceRecord, GroupRecord, PermissionRecord, SiteRecord, site_key_of
from engine.calls.enrol import EnrolCall
from ingest.settings import IngestSettings
from picturematch.settings import Settings
from picturematch.system import System
from picturematch.wiring import run_system
from tests.support.faces import MODELS, photo
from tests.support.waiting import until

IMAGES = "/SophonFace/api/images/"
DOOR = DeviceRecord(
    device_id="d1", name="door", address="10.0.0.1", device_type="photo", group_id="g1", permission_id="day"
)


class Site:
    """A running server and a back end that calls it."""

    def __init__(self, system: System, session: aiohttp.ClientSession) -> None:
        self.system, self.session = system, session

    async def call(self, method: str, path: str = USERS_PATH, **body: Any) -> Any:
        """The `data` of the answer, or the whole answer; an error is its code and message."""
        kind = {"params": body} if method == "GET" else {"json": body}
        async with self.session.request(method, self.system.url + path, **kind) as response:
            answer = await response.json()
        error = answer.get("error")
        return (error["code"], error["message"]) if error else answer.get("data", answer)

    async def enrol(self, identity_id: str, seed: int, **fields: Any) -> Any:
        sent = {"reg_photo": base64.encodebytes(photo(seed)).decode(), **fields}
        return await self.call("POST", identity_id=identity_id, **sent)

    async def match(self, seed: int, **fields: Any) -> tuple[str, str]:
        """The retcode and the identity_id."""
        picture = base64.b64encode(photo(seed)).decode()
        answer = await self.call("POST", MATCH_PATH, **{"device_ip": "10.0.0.1", "rgb_image_base64": picture, **fields})
        return answer if isinstance(answer, tuple) else (answer["retcode"], answer["identity_id"])

    async def ids(self, **query: Any) -> list[str]:
        return [one["identity_id"] for one in (await self.call("GET", **query))["identities_list"]]

    async def put(self, *records: SiteRecord) -> None:
        """Write groups, permissions and devices as their own calls do."""
        topic = self.system.people
        before = topic.version
        rows = [NewRecord("picturematch.people", site_key(site_key_of(r)), encode(r), partition=0) for r in records]
        await self.system.broker.append(rows)
        await until(lambda: topic.version >= before + len(records))


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Site]:
    settings = Settings(data_folder=folder, ingest=IngestSettings(port=0, deadline_ms=20_000))
    async with run_system(settings, MODELS) as system, aiohttp.ClientSession() as session:
        yield Site(system, session)


async def test_groups_permissions_validity_and_pass_times_are_in_force_for_the_next_match(tmp_path: Path) -> None:
    today = datetime.now(UTC).isoweekday()
    closed = {"pass_times": [{"days": [(today + 2) % 7 + 1], "from": "10:00", "to": "11:00"}]}
    async with running(tmp_path) as site:
        await site.put(GroupRecord(group_id="g1", name="staff"))
        answer = await site.enrol("anna", 1, group_name="staff,default_group", info={"permission_ids": ["day"]})
        assert answer == (40091, answer[1])
        assert "day" in answer[1]
        assert "day" not in site.system.people.site.permissions

        info = {"name": "Anna", "permission_ids": ["day"]}
        joined = {"group_name": "staff,default_group", "create_no_exit_permission": True}
        assert (await site.enrol("anna", 1, info=info, **joined))["group_name"] == "staff,default_group"
        await site.put(DOOR)
        assert await site.match(1) == ("1", "anna")

        await site.put(PermissionRecord(permission_id="day", name="day", info=closed))
        assert await site.match(1) == ("0", "anna")
        assert await site.match(1, group_name="default_group") == ("0", "anna"), "the permission is the device's"
        await site.put(PermissionRecord(permission_id="day", name="day"))
        assert await site.match(1) == ("1", "anna")

        await site.call("PUT", identity_id="anna", info={"valid_until": int(time.time()) - 1})
        assert await site.match(1) == ("0", "anna")
        await site.call("PUT", identity_id="anna", info={"valid_until": int(time.time()) + 3600})
        assert await site.match(1) == ("1", "anna")
        await site.call("PUT", identity_id="anna", info={"type": 3})
        assert await site.match(1) == ("0", "anna")

    async with running(tmp_path) as site:
        assert await site.ids(permission_id="day", group_name="staff", type=3, name="ANN") == ["anna"]
        assert await site.match(1) == ("0", "anna")
        await site.call("DELETE", identity_id="anna")
        assert await site.match(1) == (40008, "nobody is enrolled in the scope that the request searches")


async def test_the_whole_info_is_kept_through_changes_and_is_in_every_answer(tmp_path: Path) -> None:
    first = {"name": "Anna", "room": 7, "deep": {"list": [1, None, "a"]}}
    async with running(tmp_path) as site:
        await site.enrol("anna", 1, info=first)
        changed = await site.call("PUT", identity_id="anna", info={"floor": 3, "name": "Ann"})
    whole = {**first, "type": 1, "permission_ids": ["0"], "name": "Ann", "floor": 3}
    shown = {**whole, "user_id": "anna", "image_id": "anna-0"}
    assert changed["info"] == shown

    async with running(tmp_path) as site:
        person = site.system.people.person("anna")
        assert person.info == {"name": "Ann", "type": 1, "permission_ids": ["0"]}, "no more is kept in memory"
        (listed,) = (await site.call("GET", identity_id="anna"))["identities_list"]
        assert listed["info"] == shown
        picture = base64.b64encode(photo(1)).decode()
        asked = {"device_ip": "10.9.9.9", "rgb_image_base64": picture}
        answer = await site.call("POST", MATCH_PATH, **asked)
        assert answer["identity_info"] == {**whole, "image_id": "anna-0"}
        again = await site.enrol("anna", 2, ignore_exist=True, info={"room": 8})
        assert again["info"] == {**whole, "room": 8, "user_id": "anna"}


async def test_a_repeated_enrolment_is_recognised_by_the_whole_info(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        for _ in range(2):
            assert (await site.enrol("anna", 1, info={"name": "Anna", "room": 7}))["identity_id"] == "anna"
        assert (await site.enrol("anna", 1, info={"name": "Anna", "room": 8}))[0] == 40011


async def test_a_change_that_knows_only_the_part_in_memory_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as site:
        await site.enrol("anna", 1, info={"name": "Anna", "room": 7})
        monkeypatch.setattr(EnrolCall, "whole_people", lambda self, request: ())
        await site.call("PUT", identity_id="anna", info={"name": "Ann"})
        await site.call("PUT", identity_id="anna", info={"type": 5})
        (listed,) = (await site.call("GET", identity_id="anna"))["identities_list"]
    facts = {"name": "Ann", "type": 5, "room": 7, "permission_ids": ["0"]}
    assert listed["info"] == {**facts, "user_id": "anna", "image_id": "anna-0"}


async def test_a_photo_is_read_under_the_name_that_every_answer_gives_it(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        await site.enrol("a-7", 1, info={"name": "Anna"})
        encoded = base64.b64encode(photo(2)).decode()
        changed = await site.call("PUT", identity_id="a-7", reg_photo=encoded, info={})
        (listed,) = (await site.call("GET", identity_id="a-7"))["identities_list"]
        assert changed["image_id"] == changed["info"]["image_id"] == listed["info"]["image_id"] == "a-7-1"
        for name, seed in (("a-7-1", 2), ("a-7-0", 1)):
            async with site.session.get(site.system.url + IMAGES + name) as response:
                assert (response.status, response.content_type) == (200, "image/jpeg")
                assert await response.read() == photo(seed)
        again = {"ignore_exist": True, "support_single_face": True}
        assert (await site.enrol("a-7", 2, **again))["identity_id"] == "a-7"
        assert (await site.call("GET", IMAGES + "a-7-0"))[0] == 40401
        assert await site.match(2, device_ip="10.9.9.9") == ("1", "a-7")


async def test_a_post_for_somebody_who_exists_adds_groups_up_to_their_limit(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        await site.put(GroupRecord(group_id="g1", name="staff"))
        await site.enrol("anna", 1)
        assert (await site.enrol("anna", 1, group_name="nowhere", ignore_exist=True))[0] == 40491
        both = await site.call(
            "POST", identity_id="anna", need_bring_pic=False, ignore_exist=True, group_name="staff", info={"room": 7}
        )
        assert both["group_name"] == "default_group,staff"
        assert both["info"]["room"] == 7
        assert await site.ids(group_name="staff") == await site.ids(group_name="default_group") == ["anna"]
        for scope in ({"group_name": "staff"}, {"group_name": "default_group"}):
            assert await site.match(1, **scope) == ("1", "anna")


async def test_a_feature_is_imported_only_with_the_name_of_the_network_here(tmp_path: Path) -> None:
    async with running(tmp_path) as site:
        feature = MODELS.embedder_identity
        body = {"identity_id": "f", "import_mode": True, "feature": [1.0] * MODELS.embedder.dimension}
        code, message = await site.call("POST", **body)
        assert (code, feature in message) == (40010, True)
        assert (await site.call("POST", **body, feature_model="other"))[0] == 40010
        assert (await site.call("POST", **body, feature_model=feature))["identity_id"] == "f"
