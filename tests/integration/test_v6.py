"""The calls of version 6 through a whole system on the embedded log: its walk-through, and what its calls record."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

from contract.events import Event, decode_event
from contract.http import CONFIGS_PATH, DETECT_PATH, DEVICES_PATH, IMAGES_PATH, USERS_PATH, V6_PATH
from contract.topics import Topics
from engine.policy import Policy
from engine.vision.networks.standin import draw_face, stand_in_models
from ingest.settings import IngestSettings
from picturematch.settings import ModelSettings, Settings
from picturematch.system import System
from picturematch.wiring import run_system
from tests.integration.test_processor import read_all
from tests.support.faces import photo, scene

DOOR = "192.168.1.22"


def settings(folder: Path, **matching: Any) -> Settings:
    return Settings(
        data_folder=folder,
        ingest=IngestSettings(port=0),
        models=ModelSettings(kind="stand-in"),
        matching=Policy(**matching),
    )


@pytest.fixture
async def system(tmp_path: Path) -> AsyncIterator[System]:
    async with run_system(settings(tmp_path), stand_in_models()) as running:
        yield running


def text(picture: bytes) -> str:
    return base64.encodebytes(picture).decode()


async def ask(system: System, call: str, **fields: Any) -> dict[str, Any]:
    """The answer of a call of version 6, without its times."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{system.url}{V6_PATH}/{call}?", json=fields) as response,
    ):
        answer: dict[str, Any] = await response.json()
        assert response.status == 200 or "error" in answer
        answer.pop("debug_info", None)
        return answer


async def v5(system: System, method: str, path: str, body: Any = None) -> Any:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, system.url + path, json=body) as response,
    ):
        return await (response.read() if response.content_type == "image/jpeg" else response.json())


async def events(system: System) -> list[Event]:
    found = [decode_event(record.value or b"") for record in await read_all(system.broker, Topics().events)]
    return sorted(found, key=lambda event: event.processed_time)


async def walk(system: System) -> str:
    """The walk-through up to the search; the id of its permission."""
    permission = await ask(system, "createpermission", permission_name="visitors", description="by day")
    permission_id: str = permission["permission_id"]
    ada = await ask(
        system,
        "createidentity",
        identity_id="ada",
        identity_name="Ada",
        user_type="visitor",
        permission_ids=[permission_id],
        ext_user_info={"mobile": "123"},
        register_image=text(photo(1)),
        fiqa_level="normal",
    )
    assert ada == {"identity_id": "ada", "register_image_id": "ada-0", "face_id": "ada-0"}
    device = await ask(
        system,
        "addmediadevice",
        media_device_name="door",
        media_device_type="photo",
        media_device_url=DOOR,
        permission_id=permission_id,
    )
    assert device["media_device_name"] == "door"
    return permission_id


async def test_the_walk_through_finds_the_person_at_the_door(system: System) -> None:
    permission_id = await walk(system)
    found = await ask(system, "search", rgb_image_base64=text(photo(1)), media_device_ip=DOOR, with_register_photo=True)
    assert found["result"] is True
    assert 95 < found["score"] <= 100
    assert found["identity_info"] == {
        "identity_id": "ada",
        "identity_name": "Ada",
        "user_type": "visitor",
        "permission_ids": [permission_id],
        "ext_user_info": {"mobile": "123"},
        "face_ids": ["ada-0"],
        "register_image_ids": ["ada-0"],
    }
    registered = base64.b64decode(found["register_image"].removeprefix("data:image/jpeg;base64,"))
    assert registered == await v5(system, "GET", IMAGES_PATH.format(image_id="ada-0"))
    kinds = [event.kind for event in await events(system)]
    assert kinds == ["permission", "enrol", "devices", "match"]


async def test_a_person_gets_no_permission_that_does_not_exist(system: System) -> None:
    refused = await ask(system, "createidentity", register_image=text(photo(1)), permission_ids=["never"])
    assert refused["error"]["code"] == "PERMISSION_ID_NOT_FOUND"
    body = {"identity_id": "bo", "reg_photo": text(photo(1)), "info": {"permission_ids": ["never"]}}
    assert (await v5(system, "POST", USERS_PATH, body))["error"]["code"] == 40091


async def test_a_second_run_changes_nothing_at_the_door(system: System) -> None:
    await walk(system)
    exists = await ask(system, "createpermission", permission_name="visitors", description="by day")
    assert exists["error"]["code"] == "NAME_REPEAT_ERROR"
    await ask(system, "createidentity", identity_id="ada", register_image=text(photo(1)), permission_ids=[""])
    device = {"media_device_name": "door", "media_device_type": "photo", "media_device_url": DOOR}
    await ask(system, "addmediadevice", **device, permission_id="")
    found = await ask(system, "search", rgb_image_base64=text(photo(1)), media_device_ip=DOOR)
    assert (found["result"], found["identity_id"]) == (True, "ada")


async def test_a_search_compares_those_who_have_the_permission_and_nobody_else(system: System) -> None:
    await walk(system)
    await ask(system, "createidentity", identity_id="ben", register_image=text(photo(2)))

    async def found(seed: int, **scope: Any) -> str:
        answer = await ask(system, "search", rgb_image_base64=text(photo(seed)), **scope)
        return str(answer["identity_id"] or answer["result"])

    assert await found(1, media_device_ip=DOOR) == "ada"
    assert await found(2, media_device_ip=DOOR) == "False"
    assert await found(2, media_device_ip=DOOR, permission_name="0") == "ben"
    assert await found(2, media_device_ip="10.9.9.9") == "ben"
    assert await found(1, media_device_ip="10.9.9.9") == "False", "an unknown device sees the default permission only"
    unknown = await ask(system, "search", rgb_image_base64=text(photo(1)), permission_name="nowhere")
    assert unknown["error"]["code"] == "PERMISSION_ID_NOT_FOUND"


async def test_below_the_threshold_the_person_is_hidden_unless_the_operator_allows_more(tmp_path: Path) -> None:
    for allowed, identity_id in ((False, ""), (True, "ada")):
        folder = tmp_path / str(allowed)
        async with run_system(settings(folder, allow_keep_info=allowed), stand_in_models()) as system:
            await walk(system)
            hidden = await ask(system, "search", rgb_image_base64=text(photo(9)), media_device_ip=DOOR)
            assert (hidden["result"], hidden["identity_id"], hidden["identity_info"]) == (False, "", {})
            assert 0 <= hidden["score"] < 82
            shown = await ask(
                system,
                "search",
                rgb_image_base64=text(photo(9)),
                media_device_ip=DOOR,
                with_result_modification=False,
            )
            assert (shown["result"], shown["identity_id"]) == (False, identity_id)


async def test_what_exists_is_refused_and_force_replace_leaves_the_new_face_only(system: System) -> None:
    await walk(system)
    again = await ask(system, "createpermission", permission_name="visitors")
    assert again["error"]["code"] == "NAME_REPEAT_ERROR"
    twice = await ask(system, "createidentity", identity_id="ada", register_image=text(photo(3)))
    assert twice["error"]["code"] == "ID_REPEAT_ERROR"
    replaced = await ask(system, "createidentity", identity_id="ada", register_image=text(photo(3)), force_replace=True)
    assert replaced["face_id"] == "ada-1"

    async def found(seed: int) -> bool:
        answer = await ask(system, "search", rgb_image_base64=text(photo(seed)), permission_name="0")
        return bool(answer["result"])

    assert (await found(3), await found(1)) == (True, False)


async def test_a_device_that_is_added_again_is_replaced_and_version_5_lists_it(system: System) -> None:
    permission_id = await walk(system)
    device = {"media_device_name": "gate", "media_device_type": "photo", "media_device_url": f"http://{DOOR}:80/"}
    again = await ask(system, "addmediadevice", **device, net_relay={"ip": "10.0.0.9"}, do_rtmp_forward=True)
    listed = (await v5(system, "GET", DEVICES_PATH))["data"]["devices_list"]
    assert [each["device_id"] for each in listed] == [again["media_device_id"]]
    assert (listed[0]["device_name"], listed[0]["device_key"]) == ("gate", DOOR)
    assert listed[0]["permission_id"] == permission_id, "what a call does not name stays as it is"
    assert (listed[0]["group_id"], listed[0]["netRelay"]) == ("default_group", {"ip": "10.0.0.9"})
    assert listed[0]["is_start_rtmp"] is True
    taken = await ask(system, "addmediadevice", **device, media_device_id="another")
    assert taken["error"]["code"] == "DEVICE_ADDRESS_DUPLICATE_ERROR"
    unknown = await ask(system, "addmediadevice", **device, permission_id="nowhere")
    assert unknown["error"]["code"] == "PERMISSION_ID_NOT_FOUND"


async def test_a_person_without_an_id_gets_one_and_is_found_by_it(system: System) -> None:
    made = await ask(system, "createidentity", register_image=text(photo(4)))
    found = await ask(system, "search", rgb_image_base64=text(photo(4)))
    assert found["identity_id"] == made["identity_id"]
    assert found["identity_info"]["identity_name"] == "佚名"
    refused = await ask(system, "createidentity", register_image=text(scene()))
    assert refused["error"]["code"] == "NO_FACE_ERROR"


async def test_a_feature_that_detect_answered_is_enrolled_where_its_network_is_named(system: System) -> None:
    (face,) = (await ask(system, "detect", image_base64_str=text(photo(6)), with_feature=True))["faces"]
    feature = np.frombuffer(base64.b64decode(face["feature_base64_str"]), "<f4").tolist()
    unnamed = await ask(system, "createidentity", identity_id="eva", register_feature=feature)
    assert unnamed["error"]["code"] == "INVALID_ARGUMENTS"
    named = stand_in_models().embedder_identity
    made = await ask(system, "createidentity", identity_id="eva", register_feature=feature, feature_model=named)
    assert made["identity_id"] == "eva"
    found = await ask(system, "search", rgb_image_base64=text(photo(6)), with_register_photo=True)
    assert (found["identity_id"], found["identity_info"]["register_image_ids"]) == ("eva", [])
    assert found["identity_info"]["face_ids"] == ["eva-0"]


async def test_settings_of_version_6_are_in_force_for_both_versions(system: System) -> None:
    await walk(system)
    before = await ask(system, "search", rgb_image_base64=text(photo(1)), media_device_ip=DOOR)
    assert await ask(system, "setconfigs", config_dict={"MATCH_THRESHOLD": 99.99}) == {"MATCH_THRESHOLD": 99.99}
    assert (await ask(system, "getconfigs"))["MATCH_THRESHOLD"] == 99.99
    after = await ask(system, "search", rgb_image_base64=text(photo(1, size=90)), media_device_ip=DOOR)
    assert (before["result"], after["result"]) == (True, False)
    assert after["score"] < 99.99
    shown = await v5(system, "GET", f"{CONFIGS_PATH}/THRESHOLD")
    assert shown == {"data": {"THRESHOLD": 99.99}}


async def test_compare_and_detect_leave_no_event(system: System) -> None:
    same = await ask(system, "compare", image_1_base64=text(photo(1)), image_2_base64=text(photo(1, size=200)))
    other = await ask(system, "compare", image_1_base64=text(photo(1)), image_2_base64=text(photo(2)))
    assert same["score"] > 95 > 82 > other["score"]
    picture = scene(draw_face(1, 80), draw_face(2, 150))
    faces = (await ask(system, "detect", image_base64_str=text(picture), with_feature=True))["faces"]
    assert [face["bbox"][2] - face["bbox"][0] for face in faces] == pytest.approx([150, 80], abs=4)
    body = {"image_base64_str": text(picture), "with_feature": True}
    data = (await v5(system, "POST", DETECT_PATH, body))["data"]
    for face, listed in zip(faces, data, strict=True):
        feature = np.frombuffer(base64.b64decode(face["feature_base64_str"]), "<f4")
        assert np.linalg.norm(feature) == pytest.approx(1, abs=1e-4)
        assert listed["feature"] == pytest.approx(feature.tolist())
    nobody = await ask(system, "detect", image_base64_str=text(scene()))
    assert nobody["error"]["code"] == "NO_FACE_ERROR"
    assert await events(system) == []
