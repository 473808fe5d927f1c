"""Fields that are well-formed one by one, but not together or not at this site: each call is refused with its row of
the error table, by the name of the field where there is one, and nothing of it is done.

The table of the single fields is tests/wire/bad_fields.py.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from contract.calls.declaration import Declaration
from contract.errors import Cause, Code
from contract.events import decode_event
from ingest.api.listing import DECLARATIONS
from tests.support import interface_document as interface
from tests.support.faces import MODELS, photo, scene
from tests.wire.whole_site import WholeSite

CALLS = {interface.name(each): each for each in DECLARATIONS}
FACE, OTHER = (base64.b64encode(photo(seed)).decode() for seed in (1, 2))
NO_FACE, SMALL = base64.b64encode(scene()).decode(), base64.b64encode(photo(3, 40)).decode()
CUT = base64.b64encode(photo(4)[:3000]).decode()
FEATURE = [0.5] * MODELS.embedder.dimension
FEATURES = {"import_mode": True, "feature_model": MODELS.embedder_identity}

FOG, FACE_API, V6 = "/SophonFogSys/api", "/SophonFace/api", "/sophon/v2/face"
DEVICES, KEYS = "/SophonDevice/api/Devices", "/picturematch/api/keys"
DOOR = {
    "device_name": "door",
    "device_key": "10.0.0.1",
    "device_type": "photo",
    "group_id": "default_group",
    "permission_id": "0",
}
SET_UP: list[tuple[str, Mapping[str, Any]]] = [
    (f"POST {FOG}/groups", {"group_name": "staff", "description": ""}),
    (f"POST {FOG}/permissions", {"permission_name": "day", "description": ""}),
    (f"POST {FOG}/users", {"identity_id": "ada", "reg_photo": FACE, "info": {"name": "Ada", "valid_from": 1000}}),
    (f"POST {DEVICES}", {"devices_list": [{**DOOR, "device_id": "d1"}]}),
    (f"POST {DEVICES}", {"devices_list": [{**DOOR, "device_id": "d2", "device_key": "10.0.0.2"}]}),
    (f"POST {KEYS}", {"name": "gate", "role": "device"}),
]
MATCH = {"device_ip": "10.0.0.1", "rgb_image_base64": FACE}
NEW = {"identity_id": "bo", "reg_photo": OTHER}
IDENTITY = {"identity_id": "bo", "register_image": OTHER}
MEDIA = {"media_device_name": "x", "media_device_type": "photo", "media_device_url": "10.0.0.9"}


def of_one(**fields: Any) -> dict[str, Any]:
    """The body of a call about one device."""
    return {"devices_list": [fields]}


NAME_ERROR, UNKNOWN, NOBODY = Code.GROUP_NAME_ERROR, Code.NOT_FOUND, Code.ID_NOT_FOUND
BAD_FEATURE, WRONG = Code.BAD_FEATURE_ERROR, Code.PARAM_ERROR

REFUSED: list[tuple[str, Mapping[str, Any], Code, str]] = [
    ("POST /SophonMatch/api/PictureMatch", {**MATCH, "group_name": "nowhere"}, NAME_ERROR, "group_name"),
    (
        "POST /SophonMatch/api/PictureMatch",
        {**MATCH, "group_name": "staff", "permission_name": "never"},
        NAME_ERROR,
        "permission_name",
    ),
    ("POST /SophonMatch/api/PictureMatch", {**MATCH, "permission_name": "day"}, WRONG, "permission_name"),
    ("POST /SophonMatch/api/PictureMatch", {**MATCH, "liveness_mode": "liveness_rgb_ir"}, WRONG, "liveness_mode"),
    ("POST /SophonMatch/api/PictureMatch", {**MATCH, "rgb_image_base64": CUT}, Code.IMAGE_ERROR, ""),
    ("POST /SophonMatch/api/PictureMatch", {**MATCH, "rgb_image_base64": NO_FACE}, Code.NO_FACE, ""),
    ("POST /SophonMatch/api/PictureMatch", {**MATCH, "min_face_size": 60_000}, Code.NO_FACE, ""),
    (
        "POST /SophonMatch/api/compare",
        {"face_image_base64": FACE, "card_image_base64": CUT},
        Code.IMAGE_ERROR,
        "card_image_base64",
    ),
    (
        "POST /SophonMatch/api/compare",
        {"face_image_base64": NO_FACE, "card_image_base64": FACE},
        Code.NO_FACE,
        "face_image_base64",
    ),
    (f"POST {FACE_API}/FIQA", {"image_base64_str": NO_FACE}, Code.NO_FACE, ""),
    (f"POST {FACE_API}/FIQA", {"image_base64_str": CUT}, Code.IMAGE_ERROR, ""),
    (f"POST {FACE_API}/detect", {"image_base64_str": NO_FACE}, Code.NO_FACE, ""),
    (f"POST {FACE_API}/detect", {"image_base64_str": CUT}, Code.IMAGE_ERROR, ""),
    # People.
    (f"POST {FOG}/users", {**NEW, "identity_id": "ada"}, Code.IDENTITY_EXSIT_ERROR, "identity_id"),
    (f"POST {FOG}/users", {**NEW, "group_name": "default_group,nowhere"}, UNKNOWN, "group_name"),
    (f"POST {FOG}/users", {**NEW, "info": {"permission_ids": ["0", "never"]}}, WRONG, "info.permission_ids"),
    (f"POST {FOG}/users", {"identity_id": "bo"}, WRONG, "reg_photo"),
    (f"POST {FOG}/users", {"identity_id": "bo", "import_mode": True}, WRONG, "reg_photo"),
    (f"POST {FOG}/users", {**NEW, "import_mode": True}, WRONG, "feature"),
    (f"POST {FOG}/users", {"identity_id": "bo", **FEATURES, "feature": [0.5]}, BAD_FEATURE, "feature"),
    (f"POST {FOG}/users", {"identity_id": "bo", **FEATURES, "feature": [0] * len(FEATURE)}, BAD_FEATURE, "feature"),
    (f"POST {FOG}/users", {"identity_id": "bo", **FEATURES, "feature": [1e308] * len(FEATURE)}, BAD_FEATURE, "feature"),
    (
        f"POST {FOG}/users",
        {"identity_id": "bo", **FEATURES, "feature": FEATURE, "feature_model": "another"},
        BAD_FEATURE,
        "feature_model",
    ),
    (
        f"POST {FOG}/users",
        {"identity_id": "bo", "import_mode": True, "feature": FEATURE},
        BAD_FEATURE,
        "feature_model",
    ),
    (f"POST {FOG}/users", {**NEW, "info": {"note": "x" * 5000}}, WRONG, "info"),
    (f"POST {FOG}/users", {**NEW, "info": {"valid_from": 2, "valid_until": 1}}, WRONG, "info.valid_until"),
    (f"POST {FOG}/users", {**NEW, "reg_photo": NO_FACE}, Code.NO_FACE, ""),
    (f"POST {FOG}/users", {**NEW, "reg_photo": CUT}, Code.IMAGE_ERROR, ""),
    (f"POST {FOG}/users", {**NEW, "reg_photo": SMALL}, Code.ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR, ""),
    (f"PUT {FOG}/users", {"identity_id": "bo", "info": {"name": "Bo"}}, NOBODY, "identity_id"),
    (f"PUT {FOG}/users", {"identity_id": "ada", "info": {"permission_ids": ["never"]}}, WRONG, "info.permission_ids"),
    (f"PUT {FOG}/users", {"identity_id": "ada", "info": {"valid_until": 999}}, WRONG, "info.valid_until"),
    (f"PUT {FOG}/users", {"identity_id": "ada", "import_mode": True}, WRONG, "feature"),
    (f"PUT {FOG}/users", {"identity_id": "ada", "info": {"a": "x" * 5000}}, WRONG, "info"),
    (f"PUT {FOG}/users", {"identity_id": "ada", "reg_photo": SMALL}, Code.ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR, ""),
    (f"GET {FOG}/users", {"identity_id": "bo"}, NOBODY, "identity_id"),
    (f"GET {FOG}/users", {"group_name": "nowhere"}, UNKNOWN, "group_name"),
    (f"GET {FOG}/users", {"permission_id": "never"}, UNKNOWN, "permission_id"),
    (f"DELETE {FOG}/users", {"identity_id": "bo"}, NOBODY, "identity_id"),
    (f"DELETE {FOG}/users", {"identity_ids": ["bo", "cy"]}, NOBODY, "identity_id"),
    (f"DELETE {FOG}/users", {"identity_id": "ada", "identity_ids": ["ada"]}, WRONG, "identity_ids"),
    (f"GET {FACE_API}/images/{{image_id}}", {"image_id": "ada-7"}, NOBODY, "image_id"),
    # Groups and permissions.
    (f"POST {FOG}/groups", {"group_name": " staff ", "description": ""}, NAME_ERROR, "group_name"),
    (f"POST {FOG}/groups", {"group_name": "big", "description": "", "info": {"a": "x" * 17_000}}, WRONG, "info"),
    (f"PUT {FOG}/groups", {"group_name": "nowhere", "description": ""}, UNKNOWN, "group_name"),
    (f"PUT {FOG}/groups", {"group_name": "staff", "description": "", "info": {"a": "x" * 17_000}}, WRONG, "info"),
    (f"GET {FOG}/groups", {"group_name": "nowhere"}, UNKNOWN, "group_name"),
    (f"DELETE {FOG}/groups", {"group_name": "nowhere"}, UNKNOWN, "group_name"),
    (f"DELETE {FOG}/groups", {"group_name": "default_group"}, NAME_ERROR, "group"),
    (f"PUT {FOG}/GroupUsers", {"group_name": "nowhere", "identity_id": ["ada"]}, UNKNOWN, "group_name"),
    (f"PUT {FOG}/GroupUsers", {"group_name": "staff", "identity_id": ["bo", "cy"]}, NOBODY, "identity_id"),
    (f"DELETE {FOG}/GroupUsers", {"group_name": "nowhere", "identity_id": ["ada"]}, UNKNOWN, "group_name"),
    (f"DELETE {FOG}/GroupUsers", {"group_name": "staff", "identity_id": ["bo"]}, NOBODY, "identity_id"),
    (f"POST {FOG}/permissions", {"permission_name": "day", "description": ""}, NAME_ERROR, "name"),
    (
        f"POST {FOG}/permissions",
        {"permission_name": "big", "description": "", "info": {"a": "x" * 17_000}},
        WRONG,
        "info",
    ),
    (f"PUT {FOG}/permissions", {"permission_name": "never", "description": ""}, UNKNOWN, "permission_name"),
    (f"GET {FOG}/permissions", {"permission_name": "never"}, UNKNOWN, "permission_name"),
    (f"DELETE {FOG}/permissions", {"permission_name": "never"}, UNKNOWN, "permission_name"),
    (f"DELETE {FOG}/permissions", {"permission_name": "0"}, NAME_ERROR, "permission"),
    # Devices.
    (f"POST {DEVICES}", of_one(**{**DOOR, "device_key": "10.0.0.3", "group_id": "nowhere"}), NAME_ERROR, "group_id"),
    (
        f"POST {DEVICES}",
        of_one(**{**DOOR, "device_key": "10.0.0.3", "permission_id": "never"}),
        NAME_ERROR,
        "permission_id",
    ),
    (f"POST {DEVICES}", of_one(**{**DOOR, "device_key": "http://10.0.0.3/"}), WRONG, "device_key"),
    (f"POST {DEVICES}", of_one(**DOOR, device_id="d7"), Code.DEVICE_ADDRESS_DUPLICATE_ERROR, "device_key"),
    (f"POST {DEVICES}", of_one(**{**DOOR, "device_id": "d1", "device_key": "10.0.0.3"}), WRONG, "device_id"),
    (
        f"POST {DEVICES}",
        {"devices_list": [{**DOOR, "device_key": "10.0.0.3", "group_id": "nowhere"}, {**DOOR, "device_id": "d7"}]},
        NAME_ERROR,
        "devices_list[0]",
    ),
    (f"PUT {DEVICES}", of_one(device_id="d7", device_name="x"), Code.DEVICE_ID_NOT_FOUND, "device_id"),
    (
        f"PUT {DEVICES}",
        of_one(device_id="d1", device_key="10.0.0.2"),
        Code.DEVICE_ADDRESS_DUPLICATE_ERROR,
        "device_key",
    ),
    (f"PUT {DEVICES}", of_one(device_id="d1", device_key="a b"), WRONG, "device_key"),
    (f"PUT {DEVICES}", of_one(device_id="d1", group_id="nowhere"), NAME_ERROR, "group_id"),
    (f"PUT {DEVICES}", of_one(device_id="d1", permission_id="never"), NAME_ERROR, "permission_id"),
    (f"GET {DEVICES}", {"device_id": "d7"}, Code.DEVICE_ID_NOT_FOUND, "device_id"),
    (f"DELETE {DEVICES}", of_one(device_id="d7"), Code.DEVICE_ID_NOT_FOUND, "device_id"),
    (f"DELETE {DEVICES}", {}, WRONG, "devices_list"),
    (f"DELETE {DEVICES}", {"clear_all": False}, WRONG, "devices_list"),
    # Settings and keys.
    ("GET /SophonConfig/api/Configs/{name}", {"name": "NO_SUCH"}, Code.NOT_FOUND, "setting"),
    (f"POST {KEYS}", {"name": "gate", "role": "operator"}, WRONG, "name"),
    (f"DELETE {KEYS}", {"name": "nobody"}, NOBODY, "name"),
    # Version 6.
    (f"POST {V6}/search", {"rgb_image_base64": FACE, "permission_name": "never"}, NAME_ERROR, "permission_name"),
    (
        f"POST {V6}/search",
        {"rgb_image_base64": FACE, "with_liveness_check": "liveness_rgb_ir"},
        WRONG,
        "ir_image_base64",
    ),
    (f"POST {V6}/compare", {"image_1_base64": FACE, "image_2_base64": CUT}, Code.IMAGE_ERROR, "image_2_base64"),
    (f"POST {V6}/fiqa", {"image_base64_str": NO_FACE}, Code.NO_FACE, ""),
    (f"POST {V6}/detect", {"image_base64_str": NO_FACE}, Code.NO_FACE, ""),
    (f"POST {V6}/createpermission", {"permission_name": "day"}, NAME_ERROR, "name"),
    (f"POST {V6}/createpermission", {"permission_name": "new", "permission_id": "0"}, NAME_ERROR, "permission_id"),
    (f"POST {V6}/createidentity", {**IDENTITY, "identity_id": "ada"}, Code.IDENTITY_EXSIT_ERROR, "force_replace"),
    (f"POST {V6}/createidentity", {**IDENTITY, "permission_ids": ["never"]}, WRONG, "permission_ids"),
    (f"POST {V6}/createidentity", {**IDENTITY, "ext_user_info": {"a": "x" * 5000}}, WRONG, "ext_user_info"),
    (f"POST {V6}/createidentity", {**IDENTITY, "register_image": SMALL}, Code.ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR, ""),
    (f"POST {V6}/createidentity", {"register_feature": [0.5], "identity_id": "bo"}, BAD_FEATURE, "feature_model"),
    (
        f"POST {V6}/createidentity",
        {"register_feature": [0.5], "feature_model": MODELS.embedder_identity},
        BAD_FEATURE,
        "register_feature",
    ),
    (
        f"POST {V6}/addmediadevice",
        {**MEDIA, "media_device_id": "d7", "media_device_url": "10.0.0.1"},
        Code.DEVICE_ADDRESS_DUPLICATE_ERROR,
        "media_device_url",
    ),
    (f"POST {V6}/addmediadevice", {**MEDIA, "permission_id": "never"}, NAME_ERROR, "permission_id"),
    (f"POST {V6}/addmediadevice", {**MEDIA, "media_device_url": "rtsp://"}, WRONG, "media_device_url"),
    (f"POST {V6}/addmediadevice", {**MEDIA, "media_device_url": "a b"}, WRONG, "media_device_url"),
    (f"POST {V6}/addmediadevice", {**MEDIA, "media_device_id": "d1"}, WRONG, "media_device_id"),
]
CAUSES: Mapping[tuple[str, Code, str], Cause] = {
    (f"POST {V6}/search", WRONG, "ir_image_base64"): "missing",
    (f"POST {V6}/createpermission", NAME_ERROR, "name"): "repeated",
    (f"POST {V6}/createpermission", NAME_ERROR, "permission_id"): "repeated",
    (f"POST {V6}/createidentity", WRONG, "permission_ids"): "permission",
}
SUCCESSES = {"matched", "stranger", "enrolled", "updated", "created", "changed", "deleted", "compared", "assessed"}


@pytest.fixture(scope="module")
def town(whole: WholeSite) -> WholeSite:
    """A site with a group, a permission, somebody, two devices and a key."""
    for call, fields in SET_UP:
        status, answer = whole.post(CALLS[call], json.dumps(fields))
        assert status == 200, answer
    return whole


def test_each_is_refused_by_name_and_nothing_of_it_is_done(town: WholeSite) -> None:
    topics = town.settings.topics
    before = town.ends()
    wrong = []
    for call, fields, code, named in REFUSED:
        declaration = CALLS[call]
        status, answer = send(town, declaration, fields)
        message = answer.get("error", {}).get("message", "")
        cause = CAUSES.get((call, code, named))
        if not town.is_refused(declaration, status, answer, code, cause) or named not in message:
            wrong.append(f"{call} {str(fields)[:200]} {named}: {status} {answer}")
    assert not wrong, "\n".join(wrong)
    after = town.ends()
    unchanged = (topics.people, topics.photos, topics.dead_letters)
    assert [after[name] for name in unchanged] == [before[name] for name in unchanged]
    events = [decode_event(record.value or b"") for record in town.read(topics.events)]
    refused = [event for event in events if event.outcome not in SUCCESSES]
    assert len(events) - len(refused) == len(SET_UP), "beside the set-up nothing has succeeded"
    assert len({event.id for event in events}) == len(events)


def send(town: WholeSite, declaration: Declaration, fields: Mapping[str, Any]) -> tuple[int, Any]:
    """The status and the answer of a call."""
    return town.get(declaration, fields) if declaration.method == "GET" else town.post(declaration, json.dumps(fields))


def test_of_several_objects_those_that_cannot_be_changed_are_named_and_the_others_are_changed(town: WholeSite) -> None:
    devices = [{**DOOR, "device_key": "10.0.1.1"}, {**DOOR, "device_key": "10.0.1.2", "group_id": "nowhere"}]
    status, answer = town.post(CALLS[f"POST {DEVICES}"], json.dumps({"devices_list": devices}))
    (made,), (failed,) = answer["data"]["success_devices"], answer["data"]["failed_devices"]
    assert (status, failed["device_key"], failed["code"]) == (200, "10.0.1.2", int(NAME_ERROR))
    assert "devices_list[1]" in failed["reason"]
    listed = town.get(CALLS[f"GET {DEVICES}"], {})[1]["data"]["devices_list"]
    assert {"10.0.1.1"} == {device["device_key"] for device in listed} - {"10.0.0.1", "10.0.0.2"}
    assert made["device_id"] in {device["device_id"] for device in listed}

    status, answer = town.post(CALLS[f"DELETE {FOG}/users"], json.dumps({"identity_ids": ["bo", "ada"]}))
    assert (status, answer["data"]["identity_ids"]) == (200, ["ada"])
    assert [(one["identity_id"], one["error"]["code"]) for one in answer["data"]["failed"]] == [("bo", int(NOBODY))]

    settings = {"FIQA_LEVEL": "low", "NO_SUCH": 1, "REG_MIN_FACE": "x", "THRESHOLD": 0}
    status, answer = town.post(CALLS["PUT /SophonConfig/api/Configs"], json.dumps({"config_dict": settings}))
    assert (status, answer["data"]["success_configs"]) == (200, ["FIQA_LEVEL"])
    assert answer["data"]["failed_configs"] == ["NO_SUCH", "REG_MIN_FACE", "THRESHOLD"]
    assert answer["data"]["reasons"].keys() == {"NO_SUCH", "REG_MIN_FACE", "THRESHOLD"}
