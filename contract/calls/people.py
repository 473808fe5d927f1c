"""The declarations of the calls of version 5 that enrol, change, list and delete people."""

from typing import Any

from msgspec import Struct

from contract.calls.declaration import Answer, Declaration, Field, flag
from contract.calls.dialects import Dialect, ErrorDetail
from contract.calls.names import ENROLLED_ID, ENROLLED_IDS, GROUP_NAMES, IDENTITY_ID, PERMISSION_IDS, SCOPE_NAME
from contract.calls.rules import FEATURE, PICTURE, free_object, line, whole
from contract.calls.shared import EXAMPLE_PICTURE, QUALITY_LEVEL, Data
from contract.errors import Code
from contract.http import GALLERY_VERSION_HEADER, UNCHANGED_HEADER, USERS_PATH

MAX_NAME_CHARS = 255
MAX_LISTED = 1000
MAX_SKIP = 1_000_000_000
REMOVED = "have remove from group success"
"""The message of the vendor's servers about somebody who was removed."""


class EnrolledPerson(Struct, frozen=True, kw_only=True):
    """A person after a POST. `group_name`: comma-separated; `reg_photo`: a JPEG in base64, empty if none was sent."""

    identity_id: str
    group_name: str
    reg_photo: str
    info: dict[str, Any]


class ChangedPerson(Struct, frozen=True, kw_only=True):
    """A person after a PUT. `image_id`: the name of the newest photo, empty where the person has none."""

    identity_id: str
    image_id: str
    group_name: list[str]
    info: dict[str, Any]


class ListedPerson(Struct, frozen=True, kw_only=True):
    """A person in a list. `reg_photo`: the newest photo, a JPEG in base64."""

    identity_id: str
    group_name: list[str]
    reg_photo: str
    info: dict[str, Any]


class PeoplePage(Struct, frozen=True, kw_only=True):
    """People in the order of their identity_id."""

    identities_list: list[ListedPerson]


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
_SHOWN_INFO = {"info": {**_INFO["info"], "image_id": "0"}}
_WHO, _GROUPS, _JPEG = {"identity_id": "666666"}, {"group_name": ["default_group"]}, "/9j/4AAQSkZJRg=="
_LISTED = {**_WHO, **_GROUPS, "reg_photo": _JPEG, **_SHOWN_INFO}
_VERSION = {GALLERY_VERSION_HEADER: "The gallery that contains the change."}
_IDENTITY_ID = Field("identity_id", IDENTITY_ID, "Who it is: 1..64 characters.", required=True, example="666666")
_PERSON = (
    flag("import_mode", "A `feature` is imported instead of computed from the photo."),
    Field("reg_photo", PICTURE, "The photo; like `rgb_image_base64`.", example=EXAMPLE_PICTURE),
    Field(
        "feature",
        FEATURE,
        "An embedding of the installed embedder; required with `import_mode` true, ignored without.",
        only_with="import_mode",
    ),
    Field("group_name", GROUP_NAMES, "Groups, comma-separated. So far there is `default_group`."),
    Field(
        "info",
        free_object(name=line(MAX_NAME_CHARS), type=whole(1, 5), permission_ids=PERMISSION_IDS),
        "`name`; `type`: 1 employee (default), 2 visitor, 3 blacklist, 4 stranger, 5 VIP; `permission_ids`: list of"
        ' string, `["0"]` by default; anything else is kept and answered as it came, at most 64 KiB.',
        example=_INFO_SENT,
    ),
    flag("support_single_face", "The person's older faces are deleted."),
    flag("create_no_exit_permission", "Understood; so far there are no permissions."),
    Field("fiqa_level", QUALITY_LEVEL, "Quality level of the photo; absent: the setting `enrolment_quality`."),
)
_PHOTO_ERRORS = (
    Code.NOT_FOUND,
    Code.NO_FACE,
    Code.LOW_QUALITY_ERROR,
    Code.ENROLL_FACE_SIZE_NOT_ENOUGH_ERROR,
    Code.BAD_FEATURE_ERROR,
    Code.GROUP_NAME_ERROR,
    Code.GROUP_LEN_ERROR,
)

ENROL = Declaration(
    method="POST",
    path=USERS_PATH,
    route="users",
    summary="Enrol a person.",
    fields=(
        _IDENTITY_ID,
        *_PERSON,
        flag("need_bring_pic", "A photo is needed, or a `feature`; false enrols without a face too.", default=True),
        flag("ignore_exist", "Somebody enrolled already is changed as PUT does."),
    ),
    answers=(
        Answer(Data[EnrolledPerson], {"data": {**_WHO, "group_name": "default_group", "reg_photo": _JPEG, **_INFO}}),
    ),
    errors=(*_PHOTO_ERRORS, Code.IDENTITY_EXSIT_ERROR),
    headers={**_VERSION, UNCHANGED_HEADER: "true where the call only repeated what was so."},
    dialect=Dialect.FOG,
)
CHANGE = Declaration(
    method="PUT",
    path=USERS_PATH,
    route="users",
    summary="Change a person: what is absent stays as it is.",
    fields=(_IDENTITY_ID, *_PERSON),
    answers=(Answer(Data[ChangedPerson], {"data": {**_WHO, "image_id": "0", **_GROUPS, **_SHOWN_INFO}}),),
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
        Field("identity_id", ENROLLED_ID, "This person; wins over `group_name`.", example="666666"),
        Field("group_name", SCOPE_NAME, "The people of this group."),
        Field("limit", whole(1, MAX_LISTED), "Most people of the page.", default=10),
        Field("skip_num", whole(0, MAX_SKIP), "How many people before the page.", default=0),
        flag("need_bring_pic", "The answer carries `reg_photo`; false leaves it empty.", default=True),
    ),
    answers=(Answer(Data[PeoplePage], {"data": {"identities_list": [_LISTED]}}),),
    errors=(Code.ID_NOT_FOUND, Code.NOT_FOUND),
    headers={GALLERY_VERSION_HEADER: "The gallery that the answer is true of."},
    dialect=Dialect.FOG,
)
REMOVE = Declaration(
    method="DELETE",
    path=USERS_PATH,
    route="users",
    summary="Remove people with all their faces and photos.",
    fields=(
        Field("identity_id", ENROLLED_ID, "This person.", example="666666"),
        Field("identity_ids", ENROLLED_IDS, "These people, instead; at most `ingest.max_delete`."),
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
