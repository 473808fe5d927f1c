"""The declarations of the calls of version 6 (below /sophon/v2/face): further forms of the decisions of version 5.

Version 6 has no groups: people and devices have permissions only. Its scores are always on the scale 0..100, and its
errors have names instead of numbers.
"""

from dataclasses import replace
from typing import Any

from contract.calls.compare import COMPARE
from contract.calls.declaration import Answer, Declaration, Field, flag
from contract.calls.detect import DETECT, WANTED
from contract.calls.devices import CREATE as DEVICES
from contract.calls.dialects import Dialect
from contract.calls.fiqa import FIQA
from contract.calls.match import MATCH
from contract.calls.names import DEVICE, IDENTITY_ID, PERMISSION_IDS, SCOPE_NAME
from contract.calls.people import ENROL, MAX_MODEL_CHARS, MAX_NAME_CHARS
from contract.calls.permissions import CREATE_PERMISSION as PERMISSIONS
from contract.calls.rules import FEATURE, FLAG, PICTURE, PICTURE_PATH, choice, free_object, line, whole
from contract.calls.scopes import DESCRIPTION, VERSION_OF_CHANGE
from contract.calls.settings import CHANGE_CONFIGS, SHOW_CONFIGS
from contract.calls.shared import EXAMPLE_PICTURE
from contract.calls.v6_answers import (
    AddedDevice,
    CreatedIdentity,
    CreatedPermission,
    DetectResult,
    FiqaResult,
    SearchResult,
    Similarity,
    SiteConfigs,
)
from contract.calls.v6_rules import AREA, CONFIG_DICT, CONFIGS, QUALITY_LEVEL, UNNAMED, USER_TYPES, argument
from contract.errors import Code
from contract.http import V6_PATH
from contract.terms import DEFAULT_PERMISSION, LIVENESS_ORDER, PHOTO_DEVICE

_BASE64 = "The picture, sent like `rgb_image_base64`"
_NAME = argument(SCOPE_NAME)


def _call(name: str, **parts: Any) -> Declaration:
    return Declaration(method="POST", path=f"{V6_PATH}/{name}", route=f"{name}_v6", dialect=Dialect.V6, **parts)


def _path(name: str, other: str) -> Field:
    return Field(name, PICTURE_PATH, f"The path of a picture file, sent like `image_file_path`; wins over `{other}`.")


def _picture(name: str, path: str, **parts: Any) -> Field:
    return Field(name, PICTURE, f"{_BASE64}. Required unless `{path}` is sent.", example=EXAMPLE_PICTURE, **parts)


def _either(path: str, picture: str) -> tuple[Field, Field]:
    return _path(path, picture), _picture(picture, path)


SEARCH = _call(
    "search",
    summary="Who is this? The decision of PictureMatch, in a scope that is a permission.",
    fields=(
        *_either("rgb_image_path", "rgb_image_base64"),
        _path("ir_image_path", "ir_image_base64"),
        Field(
            "ir_image_base64",
            replace(PICTURE, empty_is_absent=False),
            "The infrared picture; sending one turns the check of infrared liveness on. An empty text is an error.",
        ),
        Field(
            "permission_name", _NAME, "The permission that is searched; absent: that of the device.", example="visitors"
        ),
        Field("media_device_ip", DEVICE, "The device, like `device_ip` of PictureMatch.", example="192.168.1.22"),
        Field("min_face_size", whole(0, 65_535), "Faces whose shorter side has fewer pixels are ignored.", default=0),
        flag("with_register_photo", "The answer contains `register_image`, the photo of the matched face."),
        Field(
            "with_liveness_check",
            choice(*LIVENESS_ORDER),
            "Like `liveness_mode` of PictureMatch: it can raise the site's least mode, never lower it.",
            default="liveness_off",
        ),
        flag(
            "with_result_modification",
            "Below the threshold nobody is named; false names the best candidate there, and needs"
            " `matching.allow_keep_info`.",
            default=True,
        ),
        flag("with_default_group_only", "Only people of `default_group` are searched."),
        flag("with_attribute", "The answer contains `attribute`: age and gender."),
        flag("with_debug_info", "The answer contains `debug_info`: milliseconds.", default=True),
    ),
    any_of=(("rgb_image_path", "rgb_image_base64"),),
    answers=(
        Answer(
            SearchResult,
            {
                "result": True,
                "score": 93.21,
                "identity_id": "666666",
                "identity_info": {
                    "identity_id": "666666",
                    "identity_name": "Ada",
                    "user_type": "employee",
                    "permission_ids": ["0"],
                    "ext_user_info": {},
                    "face_ids": ["666666-0"],
                    "register_image_ids": ["666666-0"],
                },
                "debug_info": {"comparetime": 30, "totaltime": 38},
            },
        ),
        Answer(SearchResult, {"result": False, "score": 27.69, "identity_id": "", "identity_info": {}}),
    ),
    errors=(*MATCH.errors, Code.GROUP_NAME_ERROR),
    typeless_is_json=True,
)
COMPARE_V6 = _call(
    "compare",
    summary="How similar are the faces of two pictures? The threshold of the level `middle` is 82.",
    fields=(
        *_either("image_1_path", "image_1_base64"),
        *_either("image_2_path", "image_2_base64"),
        Field("fiqa_level", QUALITY_LEVEL, "The quality level of the first picture.", default="no", example="low"),
    ),
    any_of=(("image_1_path", "image_1_base64"), ("image_2_path", "image_2_base64")),
    answers=(Answer(Similarity, {"score": 84.53}),),
    errors=COMPARE.errors,
)
_FIQA_FACE = FIQA.answers[0].example["data"][0]
FIQA_V6 = _call(
    "fiqa",
    summary="How good is this picture for recognition? The largest face is measured.",
    fields=(
        *_either("image_path", "image_base64_str"),
        Field(
            "fiqa_level",
            QUALITY_LEVEL,
            "The quality level with which the face is compared.",
            default="high",
            example="middle",
        ),
    ),
    any_of=FIQA.any_of,
    answers=(
        Answer(
            FiqaResult,
            {
                "fiqa_result": False,
                "detailed_result": {
                    "bbox": _FIQA_FACE["bbox"],
                    "passed_items": _FIQA_FACE["success"],
                    "failed_items": _FIQA_FACE["fails"],
                    "detailed_scores": _FIQA_FACE["info"],
                    "quality_score": _FIQA_FACE["score"],
                },
            },
        ),
    ),
    errors=FIQA.errors,
)
_FOUND = DETECT.answers[0].example["data"][0]
DETECT_V6 = _call(
    "detect",
    summary="Where are the faces in this picture? The largest first.",
    fields=(*_either("image_path", "image_base64_str"), *WANTED),
    any_of=(("image_path", "image_base64_str"),),
    answers=(Answer(DetectResult, {"faces": [{**_FOUND, "feature_base64_str": "AACAPwAAAAA="}]}),),
    errors=DETECT.errors,
)
CREATE_PERMISSION = _call(
    "createpermission",
    summary="Create a permission.",
    fields=(
        Field("permission_name", _NAME, "The unique name of the permission.", required=True, example="visitors"),
        Field("permission_id", _NAME, "The id of the permission; absent: one is made."),
        Field("description", DESCRIPTION.rule, "Free text.", default=""),
    ),
    answers=(
        Answer(
            CreatedPermission,
            {"permission_id": "f4add9c0-4212-4064-a045-b6185cf00501", "permission_name": "visitors", "description": ""},
        ),
    ),
    errors=PERMISSIONS.errors,
    headers=VERSION_OF_CHANGE,
)
CREATE_IDENTITY = _call(
    "createidentity",
    summary="Enrol a person into `default_group`.",
    fields=(
        Field(
            "identity_id",
            replace(IDENTITY_ID, empty_is_absent=True),
            'The id of the person, 1..64 characters; absent or "": one is made.',
            example="666666",
        ),
        Field("register_feature", FEATURE, "An embedding that the installed embedder computed; wins over the photo."),
        Field(
            "feature_model",
            line(MAX_MODEL_CHARS),
            "The identity of the network that computed `register_feature`, as in POST of users.",
        ),
        _path("register_image_path", "register_image"),
        Field(
            "register_image",
            PICTURE,
            f"{_BASE64}. A photo or `register_feature` is required.",
            example=EXAMPLE_PICTURE,
        ),
        Field("identity_name", line(MAX_NAME_CHARS), "The name.", default=UNNAMED, example="Ada"),
        Field("user_type", choice(*USER_TYPES), "The type of the person.", default="employee"),
        Field(
            "permission_ids",
            argument(PERMISSION_IDS),
            "The ids of permissions; an empty list is no permission.",
            default=[DEFAULT_PERMISSION],
        ),
        Field(
            "ext_user_info",
            free_object(),
            "Stored and returned unchanged; version 5 has it as `ext_info` of `info`.",
            default={},
        ),
        Field("fiqa_level", QUALITY_LEVEL, "The quality level of the photo.", default="high", example="normal"),
        flag("force_replace", "A person who exists is changed, with the new face instead of the older ones."),
    ),
    any_of=(("register_image", "register_image_path", "register_feature"),),
    answers=(
        Answer(CreatedIdentity, {"identity_id": "666666", "register_image_id": "666666-0", "face_id": "666666-0"}),
        Answer(
            CreatedIdentity,
            {
                "identity_id": "666667",
                "register_image_id": "666667-0",
                "face_id": "666667-0",
                "lookalikes": [{"identity_id": "666666", "score": 93.21, "shares_scope": True}],
            },
        ),
    ),
    errors=ENROL.errors,
    headers=ENROL.headers,
)
_DEVICE_RULES = {each.name: each.rule for each in DEVICES.fields[0].items}
ADD_DEVICE = _call(
    "addmediadevice",
    summary="Add a device, or replace the device of the same address.",
    fields=(
        Field("media_device_name", _DEVICE_RULES["device_name"], "The name.", required=True, example="door"),
        Field(
            "media_device_type",
            _DEVICE_RULES["device_type"],
            "The type; only devices of the type photo have matches.",
            required=True,
            example=PHOTO_DEVICE,
        ),
        Field(
            "media_device_url",
            _DEVICE_RULES["device_key"],
            "The address of the device; of a device of the type photo the `media_device_ip` that it sends, alone or as"
            " the host of a URL.",
            required=True,
            example="192.168.1.22",
        ),
        Field("media_device_id", _DEVICE_RULES["device_id"], "The id of the device; absent: one is made."),
        Field(
            "permission_id",
            argument(_DEVICE_RULES["permission_id"]),
            "The permission that is searched, by its id, or else by its name; absent: that of the device that is"
            f' replaced, else "{DEFAULT_PERMISSION}".',
            example=DEFAULT_PERMISSION,
        ),
        Field("net_relay", _DEVICE_RULES["netRelay"], "Stored, as `netRelay` of version 5."),
        Field("do_rtmp_forward", FLAG, "Stored, as `is_start_rtmp` of version 5."),
        Field("rtmp_address", _DEVICE_RULES["rtmp_address"], "Stored."),
        Field("roi_area", AREA, "Stored: four numbers."),
    ),
    answers=(
        Answer(
            AddedDevice,
            {"media_device_id": "3f09148d-7f0c-4c05-9f4c-6e3f6d1d9a34", "media_device_name": "door"},
        ),
    ),
    errors=DEVICES.errors,
    headers=DEVICES.headers,
)
_CONFIG_WORDS = ", ".join(f"`{name}` is `{own}`" for name, own in CONFIGS.items())
SET_CONFIGS = _call(
    "setconfigs",
    summary="Set settings of the site, all of them or, where one cannot be set, none.",
    fields=(
        Field(
            "config_dict",
            CONFIG_DICT,
            f"The name of a setting -> its value, as in Configs: {_CONFIG_WORDS}.",
            required=True,
            example={"MATCH_THRESHOLD": 85},
        ),
    ),
    answers=(Answer(SiteConfigs, {"MATCH_THRESHOLD": 85.0}),),
    headers=CHANGE_CONFIGS.headers,
)
GET_CONFIGS = _call(
    "getconfigs",
    summary="The settings of the site that are in force.",
    fields=(Field("config_name", choice(*CONFIGS), "The setting to show; absent: all.", example="MATCH_THRESHOLD"),),
    answers=(Answer(SiteConfigs, {"MATCH_THRESHOLD": 82.0}),),
    headers=SHOW_CONFIGS.headers,
)
