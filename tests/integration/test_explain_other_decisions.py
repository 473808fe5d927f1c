"""`picturematch explain` of comparisons, enrolments, deletions and searches of version 6."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from msgspec import structs

from broker.embedded import open_embedded
from broker.port import NewRecord
from contract.events import encode_event
from contract.http import COMPARE_PATH, V6_PATH
from tests.faults.test_serve import USERS, enrol_body, post, serving
from tests.integration.test_explain_command import STAND_IN, TOPICS, events_of, explain
from tests.support.commands import run
from tests.support.faces import photo, scene

DOOR = "192.168.1.22"


def text(picture: bytes) -> str:
    return base64.b64encode(picture).decode()


def compare_body(card: bytes, **fields: Any) -> dict[str, Any]:
    return {"face_image_base64": text(photo(1)), "card_image_base64": text(card), "need_save": True, **fields}


async def delete(session: aiohttp.ClientSession, url: str, identity_id: str) -> str:
    async with session.delete(url + USERS, json={"identity_id": identity_id}) as answer:
        assert answer.status == 200
        return answer.headers["X-Request-Id"]


@pytest.mark.longest
async def test_other_decisions_are_made_again_after_restarts_and_later_changes(tmp_path: Path) -> None:
    folder, ids = tmp_path / "data", dict[str, tuple[str, str]]()
    async with serving(folder) as server, aiohttp.ClientSession() as session:
        users, compare = server.url + USERS, server.url + COMPARE_PATH
        anna = enrol_body("anna", 1)
        anna["info"]["colour"] = "red"
        ids["enrolled"] = "enrolled", (await post(session, users, anna))[1]
        ids["repeated"] = "enrolled", (await post(session, users, anna))[1]
        ids["exists"] = "refused", (await post(session, users, enrol_body("anna", 2)))[1]
        ids["added"] = "updated", (await post(session, users, {**enrol_body("anna", 3), "ignore_exist": True}))[1]
        small = {**enrol_body("ben", 2), "reg_photo": text(photo(2, size=40))}
        ids["small"] = "refused", (await post(session, users, small))[1]
        ids["same"] = "same", (await post(session, compare, compare_body(photo(1, size=90))))[1]
        ids["different"] = "different", (await post(session, compare, compare_body(photo(2))))[1]
        ids["no face"] = "no_face", (await post(session, compare, compare_body(scene())))[1]
        ids["deleted"] = "deleted", await delete(session, server.url, "anna")
    async with serving(folder) as server, aiohttp.ClientSession() as session:
        assert (await post(session, server.url + USERS, enrol_body("anna", 9)))[0] == 200
        told = {}
        for name, (outcome, event_id) in ids.items():
            ended, told[name] = await explain(folder, event_id)
            assert (ended.status, ended.err) == (0, ""), (name, told[name])
            assert (told[name]["outcome"], told[name]["alarms"], told[name]["gone"]) == (outcome, [], []), name
            assert told[name]["way"] == ("read" if name == "deleted" else "look"), name
            assert told[name]["flips"] or told[name]["no_flip"], name

    flips = {name: {flip["setting"]: flip["outcome"] for flip in each["flips"]} for name, each in told.items()}
    assert flips["exists"]["ignore_exist"] == "updated"
    assert flips["small"]["matching.enrolment_quality"] == "enrolled"
    assert flips["same"][None] == "different"
    assert "the people who were enrolled then" in told["deleted"]["sentences"][1]
    shown = await run("explain", ids["different"][1], "--data-folder", folder, **STAND_IN)
    assert "a cosine of the two faces higher by" in shown.out
    assert "The decision was made again from its pictures, and everything came out as recorded" in shown.out


async def test_a_tampered_comparison_and_a_tampered_enrolment_are_alarms(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder) as server, aiohttp.ClientSession() as session:
        compared = (await post(session, server.url + COMPARE_PATH, compare_body(photo(2))))[1]
        enrolled = (await post(session, server.url + USERS, enrol_body("anna", 1)))[1]
    events = await events_of(folder)
    forged = (
        structs.replace(events[compared], outcome="same", retcode="1"),
        structs.replace(events[enrolled], name="Eve"),
    )
    async with open_embedded(folder, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        await log.append([NewRecord(TOPICS.events, b"k", encode_event(event)) for event in forged])
    for event_id, what in ((compared, {"outcome", "retcode"}), (enrolled, {"name"})):
        ended, told = await explain(folder, event_id)
        assert (ended.status, told["alarm"]) == (1, True)
        assert {alarm["what"] for alarm in told["alarms"]} == what
    # Without the networks the score, the threshold and the outcome still contradict each other.
    nothing = {"PICTUREMATCH_MODELS__KIND": "networks", "PICTUREMATCH_MODELS__FOLDER": str(tmp_path / "none")}
    ended, told = await explain(folder, compared, **nothing)
    assert (ended.status, told["way"], [each["what"] for each in told["gone"]]) == (1, "read", ["networks"])


async def test_a_search_of_version_6_is_explained(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    async with serving(folder) as server, aiohttp.ClientSession() as session:

        async def ask(call: str, **fields: Any) -> tuple[str, dict[str, Any]]:
            async with session.post(f"{server.url}{V6_PATH}/{call}", json=fields) as answer:
                return answer.headers["X-Request-Id"], msgspec.json.decode(await answer.read())

        _, permission = await ask("createpermission", permission_name="visitors")
        visitors = permission["permission_id"]
        await ask("createidentity", identity_id="ada", register_image=text(photo(1)), permission_ids=[visitors])
        await ask("createidentity", identity_id="ben", register_image=text(photo(2)), identity_name="Ben")
        await ask(
            "addmediadevice",
            media_device_name="door",
            media_device_type="photo",
            media_device_url=DOOR,
            permission_id=visitors,
        )
        found, answer = await ask("search", rgb_image_base64=text(photo(1)), media_device_ip=DOOR)
        assert answer["result"] is True
        stranger, answer = await ask("search", rgb_image_base64=text(photo(2)), media_device_ip=DOOR)
        assert answer["result"] is False
        everybody, _ = await ask("search", rgb_image_base64=text(photo(2)), permission_name="0")
    events = await events_of(folder)
    assert [events[event_id].outcome for event_id in (found, stranger, everybody)] == ["matched", "stranger", "matched"]
    for event_id in (found, stranger, everybody):
        ended, told = await explain(folder, event_id)
        assert (ended.status, told["alarms"], told["way"]) == (0, [], "look")
        assert [check["passed"] for check in told["checks"] if check["name"] == "scope"] == [True]
    ended, told = await explain(folder, stranger)
    assert [flip["outcome"] for flip in told["flips"] if "the permission visitors for Ben (ben)" in flip["change"]] == [
        "matched"
    ]
    # Without the request the search of version 6 is inferred from its event.
    place = structs.replace(events[stranger].request, offset=1_000_000)
    async with open_embedded(folder, role="owner", clock_ms=lambda: int(time.time() * 1000)) as log:
        moved = structs.replace(events[stranger], request=place)
        await log.append([NewRecord(TOPICS.events, b"k", encode_event(moved))])
    ended, told = await explain(folder, stranger)
    assert (ended.status, told["alarms"], told["way"], told["device_ip"]) == (0, [], "decide", DOOR)
    assert "min_face_size" not in {check["name"] for check in told["checks"]}
    assert json.dumps(told)
