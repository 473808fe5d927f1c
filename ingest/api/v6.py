"""The handlers of the calls of version 6: further forms of the requests that the calls of version 5 write."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from msgspec import UNSET

from contract.answers import CompareAnswer, DevicesAnswer, MatchAnswer, PermissionAnswer, PersonAnswer
from contract.calls.declaration import Values
from contract.calls.fiqa import AssessedFace
from contract.calls.names import DEVICE
from contract.calls.rules import param_error
from contract.calls.v6 import (
    ADD_DEVICE,
    COMPARE_V6,
    CREATE_IDENTITY,
    CREATE_PERMISSION,
    DETECT_V6,
    FIQA_V6,
    GET_CONFIGS,
    SEARCH,
    SET_CONFIGS,
)
from contract.calls.v6_answers import (
    AddedDevice,
    CreatedIdentity,
    CreatedPermission,
    DetailedResult,
    DetectResult,
    FiqaResult,
    FoundFaceV6,
    FoundIdentity,
    LookalikeV6,
    SearchResult,
    SearchTimes,
    Similarity,
    SiteConfigs,
)
from contract.calls.v6_rules import CONFIGS, USER_TYPES, UserType, in_words_of_v6
from contract.errors import Code, Refused
from contract.findings import DetectedFace
from contract.ids import made_id
from contract.people.keys import image_id
from contract.requests import CompareRequest, DetectRequest, EnrolRequest, FiqaRequest, MatchRequest
from contract.site_requests import DeviceChange, DevicesRequest, PermissionRequest, SettingsRequest
from contract.site_settings import SITE_SETTINGS
from contract.terms import DEFAULT_GROUP, PHOTO_DEVICE
from ingest.api.binding import Binding, Services, ask, compare_times, read_body, request_of, version_header
from ingest.api.detect import attribute_of, detected_faces, placed
from ingest.api.fiqa import assessed_faces
from ingest.api.people import headers_of
from ingest.api.settings import set_settings, settings_in_force
from ingest.call import Call
from ingest.event_urls import require_allowed
from ingest.pictures import PictureField, to_base64
from ingest.render import Rendered, success

_SEARCHED = (
    PictureField("rgb_image_base64", "picture", path="rgb_image_path"),
    PictureField("ir_image_base64", "ir_picture", path="ir_image_path"),
)
_COMPARED = (
    PictureField("image_1_base64", "face_picture", path="image_1_path"),
    PictureField("image_2_base64", "card_picture", path="image_2_path"),
)
_DETECTED = (PictureField("image_base64_str", "picture", path="image_path"),)
_REGISTERED = (PictureField("register_image", "photo", path="register_image_path"),)
_EVENT_URLS = "HISTORY_EVENT_UPLOAD_URL"
_DETAILS = {
    "net_relay": "netRelay",
    "do_rtmp_forward": "is_start_rtmp",
    "rtmp_address": "rtmp_address",
    "roi_area": "roi_area",
}
"""Fields of addmediadevice that are only stored -> the names under which version 5 shows them."""


async def _search(call: Call, services: Services) -> Rendered:
    answer, _ = await ask(call, services, SEARCH, _search_request, _SEARCHED, MatchAnswer)
    photo = answer.reg_pic
    return success(
        SearchResult(
            result=answer.retcode == "1",
            score=answer.percent,
            identity_id=answer.identity_id,
            identity_info=_identity(answer, services),
            register_image=UNSET if photo is None else f"data:image/jpeg;base64,{to_base64(photo)}",
            attribute=UNSET if answer.attributes is None else attribute_of(answer.attributes),
            debug_info=UNSET if answer.debug is None else _times(call, answer.debug.timings_ms),
        )
    )


def _search_request(call: Call, values: Values) -> MatchRequest:
    mode = values["with_liveness_check"]
    if _SEARCHED[1].is_in(values):
        mode = "liveness_rgb_ir"
    elif mode == "liveness_rgb_ir":
        raise param_error("with_liveness_check liveness_rgb_ir needs ir_image_base64 or ir_image_path", "missing")
    return request_of(
        MatchRequest,
        call,
        values,
        picture=b"",
        device_ip=values["media_device_ip"],
        by_permission=True,
        group_name=DEFAULT_GROUP if values["with_default_group_only"] else None,
        liveness_mode=mode,
        need_register_photo=values["with_register_photo"],
        need_keep_info=not values["with_result_modification"],
        **compare_times(call, {"compare_time": None}),
    )


def _identity(answer: MatchAnswer, services: Services) -> FoundIdentity:
    """Return the person whom a search names, in the form of version 6."""
    if not answer.identity_id:
        return FoundIdentity()
    who, info = answer.identity_id, answer.identity_info
    permissions, more = info.get("permission_ids"), info.get("ext_info")
    return FoundIdentity(
        identity_id=who,
        identity_name=answer.name,
        user_type=_user_type(info),
        permission_ids=permissions if isinstance(permissions, list) else [],
        ext_user_info=more if isinstance(more, dict) else {},
        face_ids=[image_id(who, number) for number in answer.face_numbers],
        register_image_ids=[
            image_id(who, number) for number in answer.face_numbers if services.people.photo(who, number) is not None
        ],
    )


def _user_type(info: Mapping[str, Any]) -> UserType:
    """Return the word for the type of a person."""
    number = info.get("type")
    return USER_TYPES[number - 1] if isinstance(number, int) and 1 <= number <= len(USER_TYPES) else USER_TYPES[0]


def _times(call: Call, timings_ms: Mapping[str, float]) -> SearchTimes:
    """Return the milliseconds of all stages together, and those since the arrival of the call."""
    total_s = asyncio.get_running_loop().time() - call.wait_until + call.settings.deadline_s
    return SearchTimes(comparetime=round(sum(timings_ms.values())), totaltime=round(1000 * total_s))


async def _compare(call: Call, services: Services) -> Rendered:
    answer, _ = await ask(call, services, COMPARE_V6, _compare_request, _COMPARED, CompareAnswer)
    return success(Similarity(score=answer.percent))


def _compare_request(call: Call, values: Values) -> CompareRequest:
    face, card = _COMPARED
    return request_of(
        CompareRequest,
        call,
        {},
        face_picture=b"",
        card_picture=b"",
        fields=(face.name, card.name),
        quality_level=values["fiqa_level"],
        **compare_times(call, {"compare_time": None}),
    )


async def _fiqa(call: Call, services: Services) -> Rendered:
    largest: AssessedFace = (await assessed_faces(call, services, FIQA_V6))[0]
    detail = DetailedResult(
        bbox=largest.bbox,
        passed_items=largest.success,
        failed_items=largest.fails,
        detailed_scores=largest.info,
        quality_score=largest.score,
    )
    return success(FiqaResult(fiqa_result=largest.fiqa_result, detailed_result=detail))


async def _detect(call: Call, services: Services) -> Rendered:
    faces = await detected_faces(call, services, DETECT_V6, _DETECTED)
    return success(DetectResult(faces=[_found(face) for face in faces]))


def _found(found: DetectedFace) -> FoundFaceV6:
    feature = UNSET if found.feature is None else to_base64(found.feature)
    return FoundFaceV6(**placed(found), feature_base64_str=feature)


async def _create_permission(call: Call, services: Services) -> Rendered:
    try:
        answer, reply = await ask(call, services, CREATE_PERMISSION, _permission_request, (), PermissionAnswer)
    except Refused as refused:
        if refused.code is Code.GROUP_NAME_ERROR:
            # The name is well-formed, so it is one that exists.
            raise Refused(refused.code, refused.message, "repeated") from None
        raise
    created = CreatedPermission(
        permission_id=answer.permission_id, permission_name=answer.name, description=answer.description
    )
    return success(created, version_header(reply.gallery_version))


def _permission_request(call: Call, values: Values) -> PermissionRequest:
    return request_of(PermissionRequest, call, values, action="create", name=values["permission_name"])


async def _create_identity(call: Call, services: Services) -> Rendered:
    try:
        answer, reply = await ask(call, services, CREATE_IDENTITY, _identity_request, _REGISTERED, PersonAnswer)
    except Refused as refused:
        raise in_words_of_v6(refused) from None
    image = answer.image_id or ""
    alike = [
        LookalikeV6(identity_id=one.identity_id, score=one.percent, shares_scope=one.shares_scope)
        for one in answer.lookalikes
    ]
    created = CreatedIdentity(
        identity_id=answer.identity_id, register_image_id=image, face_id=image, lookalikes=alike or UNSET
    )
    return success(created, headers_of(answer, reply))


def _identity_request(call: Call, values: Values) -> EnrolRequest:
    info = {
        "name": values["identity_name"],
        "type": USER_TYPES.index(values["user_type"]) + 1,
        "permission_ids": values["permission_ids"],
        "ext_info": values["ext_user_info"],
    }
    return request_of(
        EnrolRequest,
        call,
        {},
        identity_id=values["identity_id"] or made_id(call.request_id),
        feature=values["register_feature"],
        feature_model=values["feature_model"],
        info=info,
        ignore_exist=values["force_replace"],
        support_single_face=values["force_replace"],
        quality_level=values["fiqa_level"],
    )


async def _add_device(call: Call, services: Services) -> Rendered:
    try:
        answer, reply = await ask(call, services, ADD_DEVICE, _device_request, (), DevicesAnswer)
    except Refused as refused:
        raise in_words_of_v6(refused) from None
    (device,) = answer.succeeded
    added = AddedDevice(media_device_id=device.device_id, media_device_name=device.name)
    return success(added, version_header(reply.gallery_version))


def _device_request(call: Call, values: Values) -> DevicesRequest:
    change = DeviceChange(
        device_id=values["media_device_id"],
        name=values["media_device_name"],
        address=_address(values["media_device_type"], values["media_device_url"]),
        device_type=values["media_device_type"],
        permission_id=values["permission_id"],
        details={stored: values[name] for name, stored in _DETAILS.items() if values[name] is not None},
    )
    return request_of(DevicesRequest, call, {}, action="create", devices=(change,))


def _address(device_type: str, url: str) -> str:
    """Return the address by which a device is known: of a photo device the host of the URL, else the URL."""
    if device_type != PHOTO_DEVICE:
        return url
    host = url
    if "://" in url:
        try:
            host = urlsplit(url).hostname or ""
        except ValueError:
            host = ""
    return str(DEVICE.check(host, "media_device_url"))


async def _set_configs(call: Call, services: Services) -> Rendered:
    sent: Mapping[str, Any] = (await read_body(call, services, SET_CONFIGS))["config_dict"]
    require_allowed(sent.get(_EVENT_URLS, ()), call.settings.receiver_hosts, f"config_dict.{_EVENT_URLS}")
    values = {CONFIGS[name]: value for name, value in sent.items()}
    answer, headers = await set_settings(call, services, values, all_or_none=True)
    for name in sent:
        if CONFIGS[name] in answer.failed:
            reason = f"{name} cannot be set: {answer.failed[CONFIGS[name]]}; no setting was changed"
            raise Refused(Code.PARAM_ERROR, reason, "setting")
    return success(_configs(answer.values, tuple(sent)), headers)


async def _get_configs(call: Call, services: Services) -> Rendered:
    name = (await read_body(call, services, GET_CONFIGS))["config_name"]
    values, headers = await settings_in_force(call, services)
    return success(_configs(values, CONFIGS if name is None else (name,)), headers)


def _configs(values: Mapping[str, Any], names: Iterable[str]) -> SiteConfigs:
    """Return named settings of version 6 from the values of the settings of version 5."""
    return SiteConfigs(**{name: SITE_SETTINGS[CONFIGS[name]].shown(values[CONFIGS[name]]) for name in names})


CALLS = (
    Binding(declaration=SEARCH, handle=_search, role="device", request=MatchRequest, needs_people=True),
    Binding(declaration=COMPARE_V6, handle=_compare, role="device", request=CompareRequest),
    Binding(declaration=FIQA_V6, handle=_fiqa, role="device", request=FiqaRequest),
    Binding(declaration=DETECT_V6, handle=_detect, role="device", request=DetectRequest),
    Binding(
        declaration=CREATE_PERMISSION,
        handle=_create_permission,
        role="operator",
        request=PermissionRequest,
        needs_people=True,
    ),
    Binding(
        declaration=CREATE_IDENTITY, handle=_create_identity, role="operator", request=EnrolRequest, needs_people=True
    ),
    Binding(declaration=ADD_DEVICE, handle=_add_device, role="operator", request=DevicesRequest, needs_people=True),
    Binding(declaration=SET_CONFIGS, handle=_set_configs, request=SettingsRequest, needs_people=True),
    Binding(declaration=GET_CONFIGS, handle=_get_configs, needs_people=True),
)
