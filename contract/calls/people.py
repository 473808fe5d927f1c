"""The declarations of the calls of version 5 that enrol, change, list and delete people."""

from dataclasses import replace
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from contract.calls.declaration import Answer, Declaration, Field, flag
from contract.calls.dialects import Dialect, ErrorDetail
from contract.calls.names import ENROLLED_ID, ENROLLED_IDS, GROUP_NAMES, IDENTITY_ID, PERMISSION_IDS, SCOPE_NAME
from contract.calls.rules import FEATURE, PICTURE, free_object, line, param_error, seconds, whole
from contract.calls.shared import EXAMPLE_PICTURE, QUALITY_LEVEL, Data, Pagination
from contract.errors import Code
from contract.findings import Lookalike
from contract.http import GALLERY_VERSION_HEADER, UNCHANGED_HEADER, USERS_PATH
from contract.people.validity import VALID_FROM, VALID_UNTIL, is_ordered

MAX_NAME_CHARS = 255
MAX_MODEL_CHARS = 255
MAX_LISTED = 1000
MAX_SKIP = 1_000_000_000
REMOVED = "have remove from group success"
"""The message of the vendor's servers about somebody who was removed."""


class EnrolledPerson(Struct, frozen=True, kw_only=True):
    """A person after a POST. `group_name`: comma-separated; `reg_photo`: a JPEG in base64, empty if none was sent.

    `lookalikes`: present only where there are some: the other enrolled people whose faces are too similar.
    """

    identity_id: str
    group_name: str
    reg_photo: str
    info: dict[str, Any]
    lookalikes: list[Lookalike] | UnsetType = UNSET


class ChangedPerson(Struct, frozen=True, kw_only=True):
    """A person after a PUT. `image_id`: the name of the newest photo, empty where the person has none.

    `lookalikes`: as in the answer to a POST.
    """

    identity_id: str
    image_id: str
    group_name: list[str]
    info: dict[str, Any]
    lookalikes: list[Lookalike] | UnsetType = UNSET


class ListedPerson(Struct, frozen=True, kw_only=True):
    """A person in a list. `reg_photo`: the newest photo, a JPEG in base64."""

    identity_id: str
    group_name: list[str]
    reg_photo: str
    info: dict[str, Any]


class PeoplePage(Struct, frozen=True, kw_only=True):
    """People in the order of their identity_id."""

    identities_list: list[ListedPerson]
    pagination: Pagination


class RemovedPerson(Struct, frozen=True, kw_only=True):
    """A person who was removed, and the groups that the person was in."""

    identity_id: str
    group_name: list[str]
    message: str = REMOVED


class Failed(Struct, frozen=True, kw_only=True):
    """A person who could not be removed, and the reason."""

    identity_id: str
    error: ErrorDetail


class RemovedPeople(Struct, frozen=True, kw_only=True):
    """The people who were removed, and those who could not be removed."""

    identity_ids: list[str]
    failed: list[Failed]
    message: str = REMOVED


_INFO_SENT = {"name": "Ada", "type": 1, "permission_ids": ["0"]}
_INFO = {"info": {**_INFO_SENT, "user_id": "666666"}}
_IMAGE = {"image_id": "666666-0"}
_SHOWN_INFO = {"info": {**_INFO["info"], **_IMAGE}}
_WHO, _GROUPS, _JPEG = {"identity_id": "666666"}, {"group_name": ["default_group"]}, "/9j/4AAQSkZJRg=="
_LISTED = {**_WHO, **_GROUPS, "reg_photo": _JPEG, **_SHOWN_INFO}
_PLACE = {"pagination": {"skip_num": 0, "limit": 10, "num_pages": 1, "total_count": 1}}
_VERSION = {GALLERY_VERSION_HEADER: "The version of the gallery that contains the change."}
_IDENTITY_ID = Field(
    "identity_id", IDENTITY_ID, "The id of the person: 1..64 characters.", required=True, example="666666"
)
_TIME = seconds()
_VALIDITY = replace(_TIME, schema={**_TIME.schema, "type": ["number", "null"]})
_INFO_OBJECT = free_object(
    name=line(MAX_NAME_CHARS),
    type=whole(1, 5),
    permission_ids=PERMISSION_IDS,
    **{VALID_FROM: _VALIDITY, VALID_UNTIL: _VALIDITY},
)


def _info(value: Any, field: str) -> dict[str, Any]:
    info: dict[str, Any] = _INFO_OBJECT.check(value, field)
    info |= {name: None for name in (VALID_FROM, VALID_UNTIL) if name in value and name not in info}
    if not is_ordered(info):
        raise param_error(f"{field}.{VALID_UNTIL} must not be before {field}.{VALID_FROM}")
    return info


INFO_RULE = replace(_INFO_OBJECT, check=_info)
_PERSON = (
    flag("import_mode", "The embedding is imported from `feature` instead of computed from the photo."),
    Field("reg_photo", PICTURE, "The photo of the person, sent like `rgb_image_base64`.", example=EXAMPLE_PICTURE),
    Field(
        "feature",
        FEATURE,
        "An embedding that the installed embedder computed; required where `import_mode` is true, else ignored.",
        only_with="import_mode",
    ),
    Field(
        "feature_model",
        line(MAX_MODEL_CHARS),
        "The identity of the network that computed `feature`; it must be that of the installed embedder, which"
        " the error 40010 names. May be absent where `matching.trust_unnamed_features` is set.",
        only_with="import_mode",
    ),
    Field(
        "info",
        INFO_RULE,
        "`name`; `type`: 1 employee (default), 2 visitor, 3 blacklist, 4 stranger, 5 VIP; `permission_ids`: list of"
        ' string, `["0"]` by default; `valid_from`, `valid_until`: the first and the last time at which the person'
        " may pass, in seconds since the epoch; other fields are stored and returned unchanged; null removes a field;"
        " at most `matching.max_info_bytes`.",
        example=_INFO_SENT,
    ),
    flag("support_single_face", "The person's older faces are deleted."),
    flag(
        "create_no_exit_permission",
        "Unknown ids in `permission_ids` become permissions with their id as name; false refuses them with 40091.",
    ),
    Field(
        "fiqa_level", QUALITY_LEVEL, "The quality level of the photo; absent: the setting `matching.enrolment_quality`."
    ),
)
_PHOTO_ERRORS = (
    Code.NOT_FOUND,
    Code.NO_FACE,
    Code.LOW_QUALITY_ERROR,
    Code.ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR,
    Code.BAD_FEATURE_ERROR,
    Code.GROUP_NAME_ERROR,
)

ENROL = Declaration(
    method="POST",
    path=USERS_PATH,
    route="users",
    summary="Enrol a person. The vendor's book requires `info`, `info.name` and `group_name`, which are optional here.",
    fields=(
        _IDENTITY_ID,
        *_PERSON,
        Field("group_name", GROUP_NAMES, "The groups of the person, comma-separated; absent: `default_group`."),
        flag(
            "need_bring_pic",
            "A photo or a `feature` is required; false enrols a person without a face too.",
            default=True,
        ),
        flag(
            "ignore_exist",
            "A person who is enrolled already is added to the groups and changed as by PUT, instead of refused.",
        ),
    ),
    answers=(
        Answer(Data[EnrolledPerson], {"data": {**_WHO, "group_name": "default_group", "reg_photo": _JPEG, **_INFO}}),
    ),
    errors=(*_PHOTO_ERRORS, Code.GROUP_LEN_ERROR, Code.IDENTITY_EXSIT_ERROR),
    headers={**_VERSION, UNCHANGED_HEADER: "true where the call repeats what is enrolled already and changes nothing."},
    dialect=Dialect.FOG,
)
CHANGE = Declaration(
    method="PUT",
    path=USERS_PATH,
    route="users",
    summary="Change a person: absent fields, also those of `info`, stay as they are. The vendor's book requires `info`,"
    " which is optional here.",
    fields=(_IDENTITY_ID, *_PERSON),
    answers=(Answer(Data[ChangedPerson], {"data": {**_WHO, **_IMAGE, **_GROUPS, **_SHOWN_INFO}}),),
    errors=(*_PHOTO_ERRORS, Code.ID_NOT_FOUND),
    headers=ENROL.headers,
    dialect=Dialect.FOG,
)
LIST = Declaration(
    method="GET",
    path=USERS_PATH,
    route="users",
    summary="One person, a page of a group, or a page of everybody.",
    fields=(
        Field("identity_id", ENROLLED_ID, "The person to list; wins over `group_name`.", example="666666"),
        Field("group_name", SCOPE_NAME, "The group whose people are listed; absent: everybody."),
        Field("name", line(MAX_NAME_CHARS), "Only people whose name contains this text, in upper or lower case."),
        Field("permission_id", SCOPE_NAME, "Only people with this permission."),
        Field("type", whole(1, 5), "Only people of this type."),
        Field("limit", whole(1, MAX_LISTED), "The most people in the page.", default=10),
        Field("skip_num", whole(0, MAX_SKIP), "The number of people to skip before the page.", default=0),
        flag("need_bring_pic", "The answer contains the photos; false leaves every `reg_photo` empty.", default=True),
    ),
    answers=(Answer(Data[PeoplePage], {"data": {"identities_list": [_LISTED], **_PLACE}}),),
    errors=(Code.ID_NOT_FOUND, Code.NOT_FOUND),
    headers={GALLERY_VERSION_HEADER: "The version of the gallery that the answer describes."},
    dialect=Dialect.FOG,
)
REMOVE = Declaration(
    method="DELETE",
    path=USERS_PATH,
    route="users",
    summary="Remove people with all their faces and photos.",
    fields=(
        Field("identity_id", ENROLLED_ID, "The person to remove.", example="666666"),
        Field(
            "identity_ids", ENROLLED_IDS, "The people to remove, instead of one person; at most `ingest.max_delete`."
        ),
    ),
    any_of=(("identity_id", "identity_ids"),),
    answers=(
        Answer(Data[RemovedPerson], {"data": {**_WHO, **_GROUPS, "message": REMOVED}}),
        Answer(Data[RemovedPeople], {"data": {"identity_ids": ["666666"], "failed": [], "message": REMOVED}}),
    ),
    errors=(Code.ID_NOT_FOUND,),
    headers=_VERSION,
    dialect=Dialect.FOG,
)
