"""The declarations of the calls that create, change, list and delete permissions."""

from msgspec import Struct

from contract.calls.declaration import Answer, Declaration, Field, flag
from contract.calls.dialects import Dialect
from contract.calls.names import SCOPE_NAME
from contract.calls.scopes import (
    DESCRIPTION,
    MAX_LISTED,
    PERMISSION_INFO,
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
from contract.http import PERMISSION_IDS_PATH, PERMISSIONS_PATH

DELETED_ALONE = "just delete the permission info,the user already exists"
DELETED_WITH_PEOPLE = "delete the permission info and the user in the permission"


class ListedPermission(Struct, frozen=True, kw_only=True):
    """A permission in a list."""

    permission_id: str
    name: str
    description: str


class PermissionsPage(Struct, frozen=True, kw_only=True):
    """Permissions in the order of their names."""

    permissions_list: list[ListedPermission]
    pagination: Pagination


class DeletedPermission(Struct, frozen=True, kw_only=True):
    """A permission that was deleted, and how many people were deleted with it."""

    permission_name: str
    people_deleted: int
    message: str


_NAME = Field(
    "permission_name",
    SCOPE_NAME_REQUIRED,
    "The name of the permission: 1..64 characters without a comma; blanks around it are removed.",
    required=True,
    example="day",
)
_INFO = Field(
    "info",
    PERMISSION_INFO,
    "Further members, stored and returned unchanged; no `name` and no `description`. `pass_times` is the weekly"
    " schedule of the permission (below).",
    example={"pass_times": [{"days": [1, 2, 3, 4, 5], "from": "08:00", "to": "18:00"}]},
)
_CHANGED_INFO = Field(
    "info",
    PERMISSION_INFO,
    "Members that replace those of the same name; null removes one. No `name`, no `description`.",
    example={"pass_times": [{"days": [6], "from": "22:00", "to": "06:00"}]},
)
_PAGE = {"skip_num": 0, "limit": MAX_LISTED, "num_pages": 1, "total_count": 1}
_SHOWN = {"name": "day", "description": "the day shift"}
_ID = "f4add9c0-4212-4064-a045-b6185cf00501"

CREATE_PERMISSION = Declaration(
    method="POST",
    path=PERMISSIONS_PATH,
    route="permissions",
    summary="Create a permission.",
    fields=(_NAME, DESCRIPTION, _INFO),
    answers=(Answer(Data[Described], {"data": {"info": _SHOWN}}),),
    errors=(Code.GROUP_NAME_ERROR, Code.GROUP_LEN_ERROR),
    headers=VERSION_OF_CHANGE,
    dialect=Dialect.FOG,
)
CHANGE_PERMISSION = Declaration(
    method="PUT",
    path=PERMISSIONS_PATH,
    route="permissions",
    summary="Change the description of a permission, and merge `info` into its present info. The name cannot be"
    " changed.",
    fields=(_NAME, DESCRIPTION, _CHANGED_INFO),
    answers=CREATE_PERMISSION.answers,
    errors=(Code.GROUP_NAME_ERROR, Code.NOT_FOUND),
    headers=VERSION_OF_CHANGE,
    dialect=Dialect.FOG,
)
LIST_PERMISSIONS = Declaration(
    method="GET",
    path=PERMISSIONS_PATH,
    route="permissions",
    summary="One permission, or all permissions in the order of their names.",
    fields=(
        Field("permission_name", SCOPE_NAME, "The permission to list; absent: all permissions.", example="day"),
        *paged(MAX_LISTED),
    ),
    answers=(
        Answer(
            Data[PermissionsPage],
            {"data": {"permissions_list": [{"permission_id": _ID, **_SHOWN}], "pagination": _PAGE}},
        ),
    ),
    errors=(Code.NOT_FOUND,),
    headers=VERSION_OF_LIST,
    dialect=Dialect.FOG,
)
DELETE_PERMISSION = Declaration(
    method="DELETE",
    path=PERMISSIONS_PATH,
    route="permissions",
    summary='Delete a permission, and take it from all people and devices. The permission "0" cannot be deleted.',
    fields=(
        _NAME,
        flag(
            "user_recursive_delete",
            "The people who have this permission only are deleted too, with all faces and photos." + RECURSIVE_WORDS,
        ),
    ),
    answers=(
        Answer(
            Data[DeletedPermission], {"data": {"permission_name": "day", "people_deleted": 0, "message": DELETED_ALONE}}
        ),
        Answer(
            Data[DeletedPermission],
            {"data": {"permission_name": "day", "people_deleted": 12, "message": DELETED_WITH_PEOPLE}},
        ),
    ),
    errors=(Code.GROUP_NAME_ERROR, Code.GROUP_LEN_ERROR, Code.NOT_FOUND),
    headers=VERSION_OF_CHANGE,
    dialect=Dialect.FOG,
)
FIND_PERMISSIONS = Declaration(
    method="GET",
    path=PERMISSION_IDS_PATH,
    route="permission_ids",
    summary="The ids of permissions, in the order of their names. An unknown name is a success with an empty list.",
    fields=(*SEARCHED, *paged(MAX_LISTED)),
    answers=(Answer(NamedObjects, {"data": [{"_id": _ID, "info": _SHOWN}], "pagination": _PAGE}),),
    headers=VERSION_OF_LIST,
)
