"""The handlers of permissions."""

from functools import partial
from typing import Literal

from contract.answers import PermissionAnswer
from contract.calls.declaration import Declaration
from contract.calls.permissions import (
    CHANGE_PERMISSION,
    CREATE_PERMISSION,
    DELETE_PERMISSION,
    DELETED_ALONE,
    DELETED_WITH_PEOPLE,
    FIND_PERMISSIONS,
    LIST_PERMISSIONS,
    DeletedPermission,
    ListedPermission,
    PermissionsPage,
)
from contract.calls.scopes import Described
from contract.calls.shared import Data
from contract.site_requests import PermissionRequest
from ingest.api.binding import Binding, Services, read_body, read_url, request_of, send, up_to_date, version_header
from ingest.api.scopes import described, find, page_of, selected
from ingest.call import Call
from ingest.render import Rendered, success


async def _describe(
    call: Call, services: Services, *, declaration: Declaration, action: Literal["create", "change"]
) -> Rendered:
    values = await read_body(call, services, declaration)
    request = request_of(PermissionRequest, call, values, action=action, name=values["permission_name"])
    permission, reply = await send(call, services, request, PermissionAnswer)
    info = described(permission.name, permission.description, permission.info)
    return success(Data(Described(info=info)), version_header(reply.gallery_version))


async def _delete(call: Call, services: Services) -> Rendered:
    values = await read_body(call, services, DELETE_PERMISSION)
    name, recursive = values["permission_name"], values["user_recursive_delete"]
    request = request_of(PermissionRequest, call, {}, action="delete", name=name, recursive=recursive)
    permission, reply = await send(call, services, request, PermissionAnswer)
    message = DELETED_WITH_PEOPLE if recursive else DELETED_ALONE
    document = DeletedPermission(
        permission_name=permission.name, people_deleted=permission.people_deleted, message=message
    )
    return success(Data(document), version_header(reply.gallery_version))


async def _list(call: Call, services: Services) -> Rendered:
    """List permissions as of a gallery version that contains every change made through this ingress."""
    values = read_url(call, services, LIST_PERMISSIONS)
    async with up_to_date(call, services):
        found = selected(services.people.site.permissions, values["permission_name"], "permission_name")
        page, pagination = page_of(found, values)
        permissions = [
            ListedPermission(permission_id=each.permission_id, name=each.name, description=each.description)
            for each in page
        ]
        document = PermissionsPage(permissions_list=permissions, pagination=pagination)
        return success(Data(document), version_header(services.people.version))


CALLS = (
    Binding(
        declaration=CREATE_PERMISSION,
        handle=partial(_describe, declaration=CREATE_PERMISSION, action="create"),
        role="operator",
        request=PermissionRequest,
        needs_people=True,
    ),
    Binding(
        declaration=CHANGE_PERMISSION,
        handle=partial(_describe, declaration=CHANGE_PERMISSION, action="change"),
        role="operator",
        request=PermissionRequest,
        needs_people=True,
    ),
    Binding(declaration=LIST_PERMISSIONS, handle=_list, role="operator", needs_people=True),
    Binding(
        declaration=DELETE_PERMISSION, handle=_delete, role="operator", request=PermissionRequest, needs_people=True
    ),
    Binding(
        declaration=FIND_PERMISSIONS,
        handle=partial(find, declaration=FIND_PERMISSIONS, groups=False),
        role="operator",
        needs_people=True,
    ),
)
