"""The calls of version 6 as callers speak them (docs/interface.md, "Version 6")."""

import base64
import struct
from pathlib import Path
from typing import Any

import pytest

from contract.answers import Answer, CompareAnswer, DebugInfo, MatchAnswer, PersonAnswer, RefusedAnswer, SettingsAnswer
from contract.calls.v6_rules import CONFIGS
from contract.errors import Code
from contract.findings import Attributes, Lookalike
from contract.http import USERS_PATH, V6_PATH
from contract.ids import made_id
from contract.people.site import SettingRecord
from contract.requests import CompareRequest, DetectRequest, EnrolRequest, FiqaRequest, MatchRequest, Request
from contract.site_requests import DeviceChange, DevicesRequest, PermissionRequest, SettingsRequest
from tests.wire.harness import HttpReply, Serving, Site, add_person, answer_well

CALLS = ("search", "compare", "fiqa", "detect", "createpermission", "createidentity", "addmediadevice", "setconfigs")
PICTURES = {
    "search": (("rgb_image_base64", "rgb_image_path"),),
    "compare": (("image_1_base64", "image_1_path"), ("image_2_base64", "image_2_path")),
    "fiqa": (("image_base64_str", "image_path"),),
    "detect": (("image_base64_str", "image_path"),),
    "createidentity": (("register_image", "register_image_path"),),
}


def good(site: Site, call: str) -> dict[str, Any]:
    """The smallest good body of a call."""
    others: dict[str, dict[str, Any]] = {
        "createpermission": {"permission_name": "visitors"},
        "addmediadevice": {
            "media_device_name": "door",
            "media_device_type": "photo",
            "media_device_url": "192.168.1.22",
        },
        "setconfigs": {"config_dict": {"MATCH_THRESHOLD": 85}},
        "getconfigs": {"config_name": "MATCH_THRESHOLD"},
    }
    return others.get(call) or {picture: site.picture_base64 for picture, _ in PICTURES[call]}


async def ask(site: Site, call: str, **fields: Any) -> HttpReply:
    """A good body with changes; a field of ... is left out."""
    body = {name: value for name, value in {**good(site, call), **fields}.items() if value is not ...}
    return await site.call("POST", f"{V6_PATH}/{call}", json=body)


async def written(site: Site, call: str, **fields: Any) -> Request:
    """The request that a good call writes to the log."""
    reply = await ask(site, call, **fields)
    assert reply.status == 200, reply.body
    return site.requests[-1]


def error_of(reply: HttpReply) -> str:
    """The name of the error, whose form is checked on the way."""
    assert list(reply.json) == ["error"]
    assert list(reply.json["error"]) == ["code", "message"]
    return str(reply.json["error"]["code"])


ADA = MatchAnswer(
    retcode="1",
    identity_id="ada-1",
    name="Ada",
    score=0.75,
    identity_info={"name": "Ada", "type": 5, "permission_ids": ["p1", "0"], "ext_info": {"mobile": "1"}, "more": 1},
    percent=93.2,
    face_numbers=(0, 2),
)


# search.


async def test_a_recognised_person_is_named_with_faces_and_permissions(serving: Serving) -> None:
    async def answer(request: Request) -> Answer:
        return ADA

    async with serving(answer) as site:
        await add_person(site, "ada-1", b"photo")
        reply = await ask(site, "search", with_debug_info=False)
    assert reply.json == {
        "result": True,
        "score": 93.2,
        "identity_id": "ada-1",
        "identity_info": {
            "identity_id": "ada-1",
            "identity_name": "Ada",
            "user_type": "vip",
            "permission_ids": ["p1", "0"],
            "ext_user_info": {"mobile": "1"},
            "face_ids": ["ada-1-0", "ada-1-2"],
            "register_image_ids": ["ada-1-0"],
        },
    }


async def test_nobody_is_named_where_the_answer_names_nobody(serving: Serving) -> None:
    async def answer(request: Request) -> Answer:
        return MatchAnswer(retcode="0", identity_id="", name="stranger", score=0.2, identity_info={}, percent=27.69)

    async with serving(answer) as site:
        reply = await ask(site, "search", with_debug_info=False)
    assert reply.json == {"result": False, "score": 27.69, "identity_id": "", "identity_info": {}}


async def test_photo_attribute_and_times_come_where_they_are_asked_for(serving: Serving) -> None:
    async def answer(request: Request) -> Answer:
        assert isinstance(request, MatchRequest)
        debug = DebugInfo(faces=1, face=None, quality=(), liveness=None, timings_ms={"decode": 1.4, "search": 2.3})
        return MatchAnswer(
            retcode="1",
            identity_id="1",
            name="",
            score=1.0,
            identity_info={"type": True, "permission_ids": "p1", "ext_info": []},
            reg_pic=b"photo" if request.need_register_photo else None,
            debug=debug if request.with_debug_info else None,
            attributes=Attributes(age_years=30.5, sex="female") if request.with_attribute else None,
        )

    async with serving(answer) as site:
        reply = await ask(site, "search", with_register_photo=True, with_attribute=True)
        assert reply.json["register_image"] == f"data:image/jpeg;base64,{base64.b64encode(b'photo').decode()}"
        assert reply.json["attribute"] == {"age": 30, "gender": "female"}
        assert reply.json["debug_info"]["comparetime"] == 4
        assert 0 <= reply.json["debug_info"]["totaltime"] < 3000
        assert reply.json["identity_info"]["permission_ids"] == []
        assert reply.json["identity_info"]["ext_user_info"] == {}
        plain = await ask(site, "search", with_debug_info=False)
    assert plain.json.keys() == {"result", "score", "identity_id", "identity_info"}


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (1, "employee"),
        (2, "visitor"),
        (3, "blacklist"),
        (4, "stranger"),
        (5, "vip"),
        (None, "employee"),
        (9, "employee"),
    ],
)
async def test_the_type_of_a_person_is_a_word(serving: Serving, number: Any, word: str) -> None:
    async def answer(request: Request) -> Answer:
        info = {} if number is None else {"type": number}
        return MatchAnswer(retcode="1", identity_id="1", name="", score=1.0, identity_info=info)

    async with serving(answer) as site:
        assert (await ask(site, "search")).json["identity_info"]["user_type"] == word


async def test_a_search_is_a_match_by_permission(site: Site) -> None:
    plain = await written(site, "search")
    assert isinstance(plain, MatchRequest)
    assert plain == MatchRequest(
        request_id=plain.request_id,
        device_ip=None,
        picture=site.picture,
        compare_time_s=plain.received_time_s,
        received_time_s=plain.received_time_s,
        by_permission=True,
        with_debug_info=True,
    )
    full = await written(
        site,
        "search",
        media_device_ip=" 192.168.1.22 ",
        permission_name="visitors",
        min_face_size=40,
        with_register_photo=True,
        with_liveness_check="liveness_rgb",
        with_result_modification=False,
        with_default_group_only=True,
        with_attribute=True,
        with_debug_info=False,
    )
    assert isinstance(full, MatchRequest)
    assert (full.device_ip, full.permission_name, full.group_name) == ("192.168.1.22", "visitors", "default_group")
    assert (full.min_face_size, full.liveness_mode) == (40, "liveness_rgb")
    assert (full.need_register_photo, full.need_keep_info, full.with_attribute) == (True, True, True)
    assert not full.with_debug_info


async def test_records_of_one_permission_keep_their_order(site: Site) -> None:
    await written(site, "search", permission_name="visitors")
    await written(site, "search", permission_name="visitors", media_device_ip="10.0.0.1")
    assert [record.key for record in site.records] == [b"visitors", b"10.0.0.1"]


async def test_an_infrared_picture_turns_its_check_on_and_the_check_needs_the_picture(
    site: Site, tmp_path: Path
) -> None:
    (tmp_path / "ir.jpg").write_bytes(site.picture)
    for fields in ({"ir_image_base64": site.picture_base64}, {"ir_image_path": str(tmp_path / "ir.jpg")}):
        request = await written(site, "search", **fields)
        assert isinstance(request, MatchRequest)
        assert (request.ir_picture, request.liveness_mode) == (site.picture, "liveness_rgb_ir")
    assert error_of(await ask(site, "search", with_liveness_check="liveness_rgb_ir")) == "MISSING_ARGUMENTS"
    assert error_of(await ask(site, "search", ir_image_base64="")) == "IMAGE_DECODE_ERROR"


async def test_a_search_needs_no_content_type_and_every_other_call_does(site: Site) -> None:
    for call in CALLS:
        reply = await site.call("POST", f"{V6_PATH}/{call}", data=b"{}", headers={"Content-Type": ""})
        assert error_of(reply) == ("MISSING_ARGUMENTS" if call == "search" else "UNSUPPORT_CONTENT_TYPE"), call


# compare, fiqa and detect.


async def test_compare_answers_the_score_on_the_scale_of_100(serving: Serving) -> None:
    async def answer(request: Request) -> Answer:
        return CompareAnswer(retcode="1", score=0.5, percent=84.53)

    async with serving(answer) as site:
        assert (await ask(site, "compare")).json == {"score": 84.53}


async def test_a_comparison_names_its_pictures_as_version_6_does_and_is_not_saved(site: Site) -> None:
    other = site.picture + b"other"
    request = await written(site, "compare", image_2_base64=base64.b64encode(other).decode(), fiqa_level="normal")
    assert isinstance(request, CompareRequest)
    assert (request.face_picture, request.card_picture) == (site.picture, other)
    assert request.fields == ("image_1_base64", "image_2_base64")
    assert (request.quality_level, request.need_save, request.level) == ("middle", False, "middle")


async def test_detect_answers_the_faces_as_version_6_has_them(site: Site) -> None:
    flags = dict.fromkeys(("with_attribute", "with_headpose", "with_landmark", "with_feature"), True)
    feature = base64.b64encode(struct.pack("<2f", 0.5, -0.25)).decode()
    assert (await ask(site, "detect", **flags)).json == {
        "faces": [
            {
                "bbox": [10, 21, 110, 141],
                "attribute": {"age": 27, "gender": "male"},
                "headpose": {"pitch_angle": -2.0, "roll_angle": 3.0, "yaw_angle": 1.0},
                "landmark": [1, 2, 3, 4, 5, 6, 7, 8, 9, 11],
                "feature_base64_str": feature,
            }
        ]
    }
    assert (await ask(site, "detect")).json == {"faces": [{"bbox": [10, 21, 110, 141]}]}
    request = await written(site, "detect", max_num_faces=2)
    assert isinstance(request, DetectRequest)
    assert request.most_faces == 2


@pytest.mark.parametrize(("word", "level"), [("normal", "middle"), ("high", "high"), ("no", "no"), ("", "high")])
async def test_the_words_of_quality_levels(site: Site, word: str, level: str) -> None:
    request = await written(site, "fiqa", fiqa_level=word)
    assert isinstance(request, FiqaRequest)
    assert request.quality_level == level


# createpermission, createidentity and addmediadevice.


async def test_a_permission_is_created(site: Site) -> None:
    reply = await ask(site, "createpermission", permission_name=" visitors ", permission_id="p7", description="by day")
    assert reply.json == {"permission_id": "p-1", "permission_name": "visitors", "description": "by day"}
    assert reply.headers["x-gallery-version"] == str(site.gallery_version)
    (request,) = site.requests
    assert isinstance(request, PermissionRequest)
    assert (request.action, request.name, request.permission_id) == ("create", "visitors", "p7")
    plain = await written(site, "createpermission", permission_id="")
    assert isinstance(plain, PermissionRequest)
    assert (plain.permission_id, plain.description) == (None, "")


async def test_a_person_is_created(serving: Serving) -> None:
    async def answer(request: Request) -> Answer:
        assert isinstance(request, EnrolRequest)
        return PersonAnswer(identity_id=request.identity_id, group_names=(), info={}, image_id="7-3", unchanged=False)

    async with serving(answer) as site:
        reply = await ask(
            site,
            "createidentity",
            identity_id="7",
            identity_name="Ada",
            user_type="vip",
            permission_ids=["p1"],
            ext_user_info={"mobile": "1"},
            fiqa_level="normal",
        )
        assert reply.json == {"identity_id": "7", "register_image_id": "7-3", "face_id": "7-3"}
        (request,) = site.requests
    assert isinstance(request, EnrolRequest)
    assert request == EnrolRequest(
        request_id=request.request_id,
        identity_id="7",
        received_time_s=request.received_time_s,
        photo=site.picture,
        info={"name": "Ada", "type": 5, "permission_ids": ["p1"], "ext_info": {"mobile": "1"}},
        quality_level="middle",
    )


async def test_the_answer_to_a_creation_names_the_look_alikes_with_scores_of_version_6(serving: Serving) -> None:
    async def answer(request: Request) -> Answer:
        alike = Lookalike(identity_id="8", score=0.61, percent=87.5, shares_scope=False)
        return PersonAnswer(
            identity_id="7", group_names=(), info={}, image_id="7-0", unchanged=True, lookalikes=(alike,)
        )

    async with serving(answer) as site:
        reply = await ask(site, "createidentity", identity_id="7")
    assert reply.json["lookalikes"] == [{"identity_id": "8", "score": 87.5, "shares_scope": False}]
    assert reply.headers["x-unchanged"] == "true", "the person has the photo already"


async def test_a_person_without_id_and_name_gets_both(site: Site) -> None:
    for identity_id in (..., "", None):
        request = await written(site, "createidentity", identity_id=identity_id)
        assert isinstance(request, EnrolRequest)
        assert request.identity_id == made_id(request.request_id)
        assert request.info == {"name": "佚名", "type": 1, "permission_ids": ["0"], "ext_info": {}}
        assert request.quality_level == "high"
        assert not request.ignore_exist


async def test_a_replaced_person_has_the_new_face_only(site: Site) -> None:
    request = await written(site, "createidentity", identity_id="7", force_replace=True)
    assert isinstance(request, EnrolRequest)
    assert (request.ignore_exist, request.support_single_face, request.update) == (True, True, False)


async def test_a_feature_is_enrolled_with_and_without_a_photo(site: Site) -> None:
    alone = await written(
        site, "createidentity", register_feature=[0.5, 1], feature_model="arcface-r1", register_image=...
    )
    both = await written(site, "createidentity", register_feature=[0.5, 1])
    assert isinstance(alone, EnrolRequest)
    assert isinstance(both, EnrolRequest)
    assert (alone.feature, alone.photo, alone.feature_model) == ((0.5, 1.0), None, "arcface-r1")
    assert (both.feature, both.photo) == ((0.5, 1.0), site.picture)


async def test_a_device_is_added(site: Site) -> None:
    reply = await ask(
        site,
        "addmediadevice",
        media_device_id="d7",
        permission_id="p1",
        net_relay={"ip": "10.0.0.9", "port": 1},
        do_rtmp_forward=False,
        roi_area=[0, 0, 1, 1],
    )
    assert reply.json == {"media_device_id": "d7", "media_device_name": "door"}
    (request,) = site.requests
    assert isinstance(request, DevicesRequest)
    assert request.action == "create"
    assert request.devices == (
        DeviceChange(
            device_id="d7",
            name="door",
            address="192.168.1.22",
            device_type="photo",
            permission_id="p1",
            details={
                "netRelay": {"ip": "10.0.0.9", "port": 1},
                "is_start_rtmp": False,
                "roi_area": [0.0, 0.0, 1.0, 1.0],
            },
        ),
    )


@pytest.mark.parametrize(
    ("device_type", "url", "address"),
    [
        ("photo", " 192.168.1.22 ", "192.168.1.22"),
        ("photo", "http://192.168.1.22:80/path", "192.168.1.22"),
        ("photo", "http://[fe80::1]/", "fe80::1"),
        ("photo", "http://[::FFFF:192.168.1.22]:80/", "192.168.1.22"),
        ("photo", "GATE-1", "gate-1"),
        ("rtsp", "rtsp://Gate/Stream", "rtsp://Gate/Stream"),
        ("rtsp", "rtsp://u:p@192.168.1.22/1", "rtsp://u:p@192.168.1.22/1"),
    ],
)
async def test_a_photo_device_is_known_by_the_host_of_its_url(
    site: Site, device_type: str, url: str, address: str
) -> None:
    request = await written(site, "addmediadevice", media_device_type=device_type, media_device_url=url)
    assert isinstance(request, DevicesRequest)
    assert request.devices[0].address == address
    assert (request.devices[0].group_id, request.devices[0].permission_id) == (None, None)


# Errors.


@pytest.mark.parametrize("call", PICTURES)
async def test_pictures_come_by_path_too_which_wins(site: Site, tmp_path: Path, call: str) -> None:
    other = site.picture + b"other"
    (tmp_path / "face.jpg").write_bytes(other)
    for _, path in PICTURES[call]:
        request = await written(site, call, **{path: str(tmp_path / "face.jpg")})
        assert other in [getattr(request, name, None) for name in ("picture", "face_picture", "card_picture", "photo")]


@pytest.mark.parametrize("call", CALLS)
async def test_a_body_that_is_no_json_object_has_its_own_name(site: Site, call: str) -> None:
    json = {"Content-Type": "application/json"}
    for body, name in ((b"", "EMPTY_REQUEST_JSON"), (b"[]", "INVALID_REQUEST_JSON"), (b"{", "INVALID_REQUEST_JSON")):
        assert error_of(await site.call("POST", f"{V6_PATH}/{call}", data=body, headers=json)) == name


REFUSALS = {
    Code.NO_FACE: "NO_FACE_ERROR",
    Code.LOW_QUALITY_ERROR: "LOW_QUALITY_ERROR",
    Code.ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR: "LOW_QUALITY_ERROR",
    Code.IMAGE_SIZE_TOO_LARGE_ERROR: "IMAGE_SIZE_TOO_LARGE_ERROR",
    Code.PAYLOAD_TOO_LARGE: "IMAGE_SIZE_TOO_LARGE_ERROR",
    Code.EMPTY_GROUP_ERROR: "EMPTY_GROUP_ERROR",
    Code.BAD_FEATURE_ERROR: "INVALID_ARGUMENTS",
    Code.IDENTITY_EXSIT_ERROR: "ID_REPEAT_ERROR",
    Code.GROUP_LEN_ERROR: "GROUP_LEN_ERROR",
    Code.LIVENESS_DETECT_FAIL: "LIVENESS_DETECT_FAIL",
    Code.ID_NOT_FOUND: "ID_NOT_FOUND",
    Code.DEVICE_ID_NOT_FOUND: "DEVICE_ID_NOT_FOUND",
    Code.DEVICE_ADDRESS_DUPLICATE_ERROR: "DEVICE_ADDRESS_DUPLICATE_ERROR",
    Code.DEVICE_MAX_NUM_ERROR: "DEVICE_MAX_NUM_ERROR",
    Code.INTERNAL_ERROR: "INTERNAL_ERROR",
    Code.TIMEOUT: "TIMEOUT",
}


@pytest.mark.parametrize("code", REFUSALS)
async def test_a_refusal_of_the_processor_has_its_name(serving: Serving, code: Code) -> None:
    async def refuse(request: Request) -> Answer:
        return RefusedAnswer(code=int(code), message="because")

    async with serving(refuse) as site:
        for call in CALLS:
            reply = await ask(site, call)
            assert (reply.status, error_of(reply)) == (code.http_status, REFUSALS[code])
            assert reply.json["error"]["message"] == "because"


async def test_a_permission_that_exists_and_one_that_does_not_have_different_names(serving: Serving) -> None:
    async def refuse(request: Request) -> Answer:
        return RefusedAnswer(code=int(Code.GROUP_NAME_ERROR), message="because")

    async with serving(refuse) as site:
        named = {call: error_of(await ask(site, call)) for call in ("createpermission", "search", "addmediadevice")}
    assert named == {
        "createpermission": "NAME_REPEAT_ERROR",
        "search": "PERMISSION_ID_NOT_FOUND",
        "addmediadevice": "PERMISSION_ID_NOT_FOUND",
    }


async def test_a_permission_that_a_new_person_shall_get_and_that_does_not_exist_has_its_name(serving: Serving) -> None:
    async def refuse(request: Request) -> Answer:
        return RefusedAnswer(code=int(Code.PARAM_ERROR), message="because", cause="permission")

    async with serving(refuse) as site:
        reply = await ask(site, "createidentity")
        assert (reply.status, error_of(reply)) == (400, "PERMISSION_ID_NOT_FOUND")
        body = {"identity_id": "1", "reg_photo": site.picture_base64, "info": {"name": "Ada"}}
        assert (await site.call("POST", USERS_PATH, json=body)).code == 40091, "version 5 has no such name"

    async def later(request: Request) -> Answer:
        return RefusedAnswer(code=int(Code.PARAM_ERROR), message="because", cause="of a later version")

    async with serving(later) as site:
        assert error_of(await ask(site, "createidentity")) == "INVALID_ARGUMENTS"


@pytest.mark.parametrize(
    ("url", "is_v6"), [(f"{V6_PATH}/unknown", True), (f"{V6_PATH}/search/more", True), (f"{V6_PATH}s/search", False)]
)
async def test_an_unknown_url_below_those_of_version_6_is_refused_in_its_form(
    serving: Serving, url: str, is_v6: bool
) -> None:
    async with serving() as site:
        reply = await site.call("POST", url, json={})
        assert reply.status == 404
        assert reply.json["error"]["code"] == ("NOT_FOUND" if is_v6 else 40400)
        assert set(reply.json["error"]) == ({"code", "message"} if is_v6 else {"code", "message", "status"})
    async with serving(trusted_networks=()) as site:
        unauthorised = await site.call("POST", url, json={})
        assert unauthorised.json["error"]["code"] == ("UNAUTHORIZED" if is_v6 else 40180)


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_by_another_method_or_without_authority_is_refused_in_the_same_form(
    serving: Serving, call: str
) -> None:
    async with serving(trusted_networks=(), api_key_for_match=True) as site:
        assert error_of(await site.call("GET", f"{V6_PATH}/{call}")) == "UNAUTHORIZED"
    async with serving() as site:
        assert error_of(await site.call("GET", f"{V6_PATH}/{call}")) == "METHOD_NOT_ALLOWED"


# What clients do.


@pytest.mark.parametrize("call", PICTURES)
async def test_line_breaks_url_safe_base64_and_a_bare_question_mark_are_accepted(serving: Serving, call: str) -> None:
    async with serving(answer_well) as site:
        for text in (
            base64.encodebytes(site.picture).decode(),
            base64.urlsafe_b64encode(site.picture).decode().rstrip("="),
            f"data:image/jpeg;base64,{site.picture_base64}",
        ):
            body = {picture: text for picture, _ in PICTURES[call]}
            assert (await site.call("POST", f"{V6_PATH}/{call}?", json=body)).status == 200
        assert {getattr(request, "picture", site.picture) for request in site.requests} == {site.picture}


# setconfigs and getconfigs.


async def test_settings_have_the_names_of_version_6(site: Site) -> None:
    sent = {
        "HISTORY_EVENT_UPLOAD_URL": "http://127.0.0.1:9828/a,http://127.0.0.1:9828/b",
        "HISTORY_REPORT_PEROID": 7,
        "GATE_DUPLICATE_REMOVAL_TIMEOUT": 6,
        "MATCH_THRESHOLD": 85,
        "GATE_SUPPORT_STRANGER_GROUP": False,
    }
    reply = await ask(site, "setconfigs", config_dict=sent)
    assert reply.json == sent
    assert reply.headers["x-gallery-version"] == str(site.gallery_version)
    (request,) = site.requests
    assert isinstance(request, SettingsRequest)
    assert request.values == {
        "HISTORY_UPLOAD_EVENT_URL": ["http://127.0.0.1:9828/a", "http://127.0.0.1:9828/b"],
        "REPORTED_PEROID": 7,
        "DUPLICATE_REMOVAL_TIMEOUT": 6,
        "THRESHOLD": 85.0,
        "SUPPORT_STRANGER_GROUP": False,
    }


async def test_the_settings_in_force_are_shown_one_or_all(site: Site) -> None:
    record = SettingRecord(name="events", value={"REPORTED_PEROID": 9})
    site.people.site = site.people.site.put(record)
    assert (await ask(site, "getconfigs", config_name="HISTORY_REPORT_PEROID")).json == {"HISTORY_REPORT_PEROID": 9}
    whole = (await ask(site, "getconfigs", config_name=...)).json
    assert whole.keys() == CONFIGS.keys()
    assert (whole["HISTORY_REPORT_PEROID"], whole["HISTORY_EVENT_UPLOAD_URL"]) == (9, "")
    assert error_of(await ask(site, "getconfigs", config_name="THRESHOLD")) == "INVALID_ARGUMENTS"


@pytest.mark.parametrize(
    ("sent", "name"),
    [
        (..., "MISSING_ARGUMENTS"),
        ([], "INVALID_ARGUMENTS"),
        ({"MATCH_THRESHOLD": 101}, "INVALID_ARGUMENTS"),
        ({"MATCH_THRESHOLD": 85, "HISTORY_REPORT_PEROID": "soon"}, "INVALID_ARGUMENTS"),
        ({"HISTORY_EVENT_UPLOAD_URL": "http://203.0.113.7/faces"}, "INVALID_ARGUMENTS"),
        ({"MATCH_THRESHOLD": 85, "THRESHOLD": 85}, "CONFIG_ITEM_FAIL"),
        ({"nonsense": None}, "CONFIG_ITEM_FAIL"),
    ],
)
async def test_a_setting_against_the_rules_sets_nothing(site: Site, sent: Any, name: str) -> None:
    reply = await ask(site, "setconfigs", config_dict=sent)
    assert (reply.status, error_of(reply)) == (400, name)
    assert "nonsense" not in reply.json["error"]["message"]
    assert site.requests == []


async def test_a_setting_that_the_processor_does_not_set_is_named_with_the_reason(serving: Serving) -> None:
    async def answer(request: Request) -> Answer:
        assert isinstance(request, SettingsRequest)
        assert request.all_or_none
        return SettingsAnswer(values={}, failed={"THRESHOLD": "it is pinned"})

    async with serving(answer) as site:
        reply = await ask(site, "setconfigs", config_dict={"MATCH_THRESHOLD": 85, "HISTORY_REPORT_PEROID": 7})
    assert (reply.status, error_of(reply)) == (400, "CONFIG_ITEM_FAIL")
    assert reply.json["error"]["message"] == "MATCH_THRESHOLD cannot be set: it is pinned; no setting was changed"


async def test_a_setting_that_is_null_stays_as_it_is(site: Site) -> None:
    assert (await ask(site, "setconfigs", config_dict={"MATCH_THRESHOLD": None, "HISTORY_REPORT_PEROID": 7})).json == {
        "HISTORY_REPORT_PEROID": 7
    }
    (request,) = site.requests
    assert isinstance(request, SettingsRequest)
    assert request.values == {"REPORTED_PEROID": 7}
