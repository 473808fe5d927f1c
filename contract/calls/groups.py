"""The declarations of the calls that create, change, list and delete groups, and that change their members."""

from msgspec import UNSET, Struct, UnsetType

from contract.calls.declaration import Answer, Declaration, Field, flag
from contract.calls.dialects import Dialect
from contract.calls.names import ENROLLED_IDS, SCOPE_NAME
from contract.calls.people import REMOVED, Failed
from contract.calls.scopes import (
    DESCRIPTION,
    GROUP_INFO,
    MAX_LISTED,
    RECURSIVE_WORDS,
    SCOPE_NAME_REQUIRED,
    SEARCHED,
    VERSION_OF_CHANGE,
    VERSION_OF_LIST,
    Described,
    NamedObjects,
    paged,
)
from contract.calls.shared import Data, Pagination
from contract.errors import Code
from contract.http import GROUP_IDS_PATH, GROUP_USERS_PATH, GROUPS_PATH

ADDED = "have add to group success"
"""The message about people who were put into a group."""
DELETED_ALONE = "just delete the group info,the user already exists"
DELETED_WITH_PEOPLE = "delete the group info and the user in the group"


class ListedGroup(Struct, frozen=True, kw_only=True):
    """A group in a list. `groupname` repeats `name`, and `version` is always the same: clients of some versions read
    them."""

    group_id: str
    groupname: str
    name: str
    description: str
    version: str = "V2"


class GroupsPage(Struct, frozen=True, kw_only=True):
    """Groups in the order of their names."""

    groups_list: list[ListedGroup]
    pagination: Pagination


class DeletedGroup(Struct, frozen=True, kw_only=True):
    """A group that was deleted, and how many people were deleted with it."""

    group_name: str
    people_deleted: int
    message: str


class ChangedMembers(Struct, frozen=True, kw_only=True):
    """A group whose members were changed. `identity_id`: everybody who is in the group now; `failed`: those of the
    request who were skipped."""

    group_name: str
    failed: list[Failed]
    message: str
    identity_id: list[str] | UnsetType = UNSET


_NAME = Field(
    "group_name",
    SCOPE_NAME_REQUIRED,
    "The name of the group: 1..64 characters without a comma; blanks around it are removed.",
    required=True,
    example="staff",
)
_INFO = Field("info", GROUP_INFO, "Further members, stored and returned unchanged; no `name` and no `description`.")
_CHANGED_INFO = Field(
    "info", GROUP_INFO, "Members that replace those of the same name; null removes one. No `name`, no `description`."
)
_PAGE = {"skip_num": 0, "limit": 10, "num_pages": 1, "total_count": 1}
_SHOWN = {"name": "staff", "description": "the day shift"}
_LISTED = {"group_id": "f4add9c0-4212-4064-a045-b6185cf00501", "groupname": "staff", **_SHOWN, "version": "V2"}
_MEMBERS = (
    _NAME,
    Field(
        "identity_id",
        ENROLLED_IDS,
        "The people, at most `ingest.max_members`; unknown people are skipped and listed in `failed`.",
        required=True,
        example=["666666", "777777"],
    ),
    flag("with_identity_id", "The answer lists everybody who is in the group afterwards."),
)
_FAILED = {"error": {"code": 40401, "message": "nobody is enrolled under this identity_id", "status": "ID_NOT_FOUND"}}

CREATE_GROUP = Declaration(
    method="POST",
    path=GROUPS_PATH,
    route="groups",
    summary="Create a group.",
    fields=(_NAME, DESCRIPTION, _INFO),
    answers=(Answer(Data[Described], {"data": {"info": _SHOWN}}),),
    errors=(Code.GROUP_NAME_ERROR, Code.GROUP_LEN_ERROR),
    headers=VERSION_OF_CHANGE,
    dialect=Dialect.FOG,
)
CHANGE_GROUP = Declaration(
    method="PUT",
    path=GROUPS_PATH,
    route="groups",
    summary="Change the description of a group, and merge `info` into its present info. The name cannot be changed.",
    fields=(_NAME, DESCRIPTION, _CHANGED_INFO),
    answers=CREATE_GROUP.answers,
    errors=(Code.GROUP_NAME_ERROR, Code.NOT_FOUND),
    headers=VERSION_OF_CHANGE,
    dialect=Dialect.FOG,
)
LIST_GROUPS = Declaration(
    method="GET",
    path=GROUPS_PATH,
    route="groups",
    summary="One group, or a page of all groups in the order of their names.",
    fields=(
        Field("group_name", SCOPE_NAME, "The group to list; absent: all groups.", example="staff"),
        *paged(10),
    ),
    answers=(Answer(Data[GroupsPage], {"data": {"groups_list": [_LISTED], "pagination": _PAGE}}),),
    errors=(Code.NOT_FOUND,),
    headers=VERSION_OF_LIST,
    dialect=Dialect.FOG,
)
DELETE_GROUP = Declaration(
    method="DELETE",
    path=GROUPS_PATH,
    route="groups",
    summary="Delete a group, and take it from all people and devices. default_group cannot be deleted.",
    fields=(
        _NAME,
        flag(
            "user_recursive_delete",
            "The people who are in this group only are deleted too, with all faces and photos." + RECURSIVE_WORDS,
        ),
    ),
    answers=(
        Answer(Data[DeletedGroup], {"data": {"group_name": "staff", "people_deleted": 0, "message": DELETED_ALONE}}),
        Answer(
            Data[DeletedGroup], {"data": {"group_name": "staff", "people_deleted": 12, "message": DELETED_WITH_PEOPLE}}
        ),
    ),
    errors=(Code.GROUP_NAME_ERROR, Code.GROUP_LEN_ERROR, Code.NOT_FOUND),
    headers=VERSION_OF_CHANGE,
    dialect=Dialect.FOG,
)
FIND_GROUPS = Declaration(
    method="GET",
    path=GROUP_IDS_PATH,
    route="group_ids",
    summary="The ids of groups, in the order of their names. An unknown name is a success with an empty list.",
    fields=(*SEARCHED, *paged(MAX_LISTED)),
    answers=(
        Answer(
            NamedObjects,
            {"data": [{"_id": _LISTED["group_id"], "info": _SHOWN}], "pagination": {**_PAGE, "limit": MAX_LISTED}},
        ),
    ),
    headers=VERSION_OF_LIST,
)
ADD_MEMBERS = Declaration(
    method="PUT",
    path=GROUP_USERS_PATH,
    route="group_users",
    summary="Put people into a group, besides the groups that they are in.",
    fields=_MEMBERS,
    answers=(
        Answer(Data[ChangedMembers], {"data": {"group_name": "staff", "failed": [], "message": ADDED}}),
        Answer(
            Data[ChangedMembers],
            {
                "data": {
                    "group_name": "staff",
                    "failed": [{"identity_id": "777777", **_FAILED}],
                    "message": ADDED,
                    "identity_id": ["666666"],
                }
            },
        ),
    ),
    errors=(Code.GROUP_LEN_ERROR, Code.NOT_FOUND, Code.ID_NOT_FOUND),
    headers=VERSION_OF_CHANGE,
    dialect=Dialect.FOG,
)
REMOVE_MEMBERS = Declaration(
    method="DELETE",
    path=GROUP_USERS_PATH,
    route="group_users",
    summary="Take people from a group. Who is in no group any more stays enrolled, but no search finds them.",
    fields=_MEMBERS,
    answers=(
        Answer(Data[ChangedMembers], {"data": {"group_name": "staff", "failed": [], "message": REMOVED}}),
        Answer(
            Data[ChangedMembers],
            {"data": {"group_name": "staff", "failed": [], "message": REMOVED, "identity_id": ["777777"]}},
        ),
    ),
    errors=(Code.NOT_FOUND, Code.ID_NOT_FOUND),
    headers=VERSION_OF_CHANGE,
    dialect=Dialect.FOG,
)
