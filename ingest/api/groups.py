"""The handlers of groups and of their members."""

import sys
from functools import partial
from typing import Literal

from msgspec import UNSET

from contract.answers import GroupAnswer, MembersAnswer
from contract.calls.declaration import Declaration
from contract.calls.groups import (
    ADD_MEMBERS,
    ADDED,
    CHANGE_GROUP,
    CREATE_GROUP,
    DELETE_GROUP,
    DELETED_ALONE,
    DELETED_WITH_PEOPLE,
    FIND_GROUPS,
    LIST_GROUPS,
    REMOVE_MEMBERS,
    ChangedMembers,
    DeletedGroup,
    GroupsPage,
    ListedGroup,
)
from contract.calls.people import REMOVED, Failed
from contract.calls.rules import param_error
from contract.calls.scopes import Described
from contract.calls.shared import Data
from contract.errors import Code, Refusal
from contract.people.listing import PeopleFilter
from contract.site_requests import GroupRequest, MembersRequest
from ingest.api.binding import Binding, Services, read_body, read_url, request_of, send, up_to_date, version_header
from ingest.api.scopes import described, find, page_of, selected
from ingest.call import Call
from ingest.render import Rendered, success

_UNKNOWN = Refusal(Code.ID_NOT_FOUND, "nobody is enrolled under this identity_id")


async def _describe(
    call: Call, services: Services, *, declaration: Declaration, action: Literal["create", "change"]
) -> Rendered:
    values = await read_body(call, services, declaration)
    request = request_of(GroupRequest, call, values, action=action, name=values["group_name"])
    group, reply = await send(call, services, request, GroupAnswer)
    info = described(group.name, group.description, group.info)
    return success(Data(Described(info=info)), version_header(reply.gallery_version))


async def _delete(call: Call, services: Services) -> Rendered:
    values = await read_body(call, services, DELETE_GROUP)
    name, recursive = values["group_name"], values["user_recursive_delete"]
    request = request_of(GroupRequest, call, {}, action="delete", name=name, recursive=recursive)
    group, reply = await send(call, services, request, GroupAnswer)
    message = DELETED_WITH_PEOPLE if recursive else DELETED_ALONE
    document = DeletedGroup(group_name=group.name, people_deleted=group.people_deleted, message=message)
    return success(Data(document), version_header(reply.gallery_version))


async def _list(call: Call, services: Services) -> Rendered:
    """List groups as of a gallery version that contains every change made through this ingress."""
    values = read_url(call, services, LIST_GROUPS)
    async with up_to_date(call, services):
        found = selected(services.people.site.groups, values["group_name"], "group_name")
        page, pagination = page_of(found, values)
        groups = [
            ListedGroup(group_id=group.group_id, groupname=group.name, name=group.name, description=group.description)
            for group in page
        ]
        document = GroupsPage(groups_list=groups, pagination=pagination)
        return success(Data(document), version_header(services.people.version))


async def _members(
    call: Call, services: Services, *, declaration: Declaration, action: Literal["add", "remove"], message: str
) -> Rendered:
    values = await read_body(call, services, declaration)
    ids = values["identity_id"]
    if len(ids) > call.settings.max_members:
        raise param_error(f"identity_id must name at most {call.settings.max_members} people")
    request = request_of(MembersRequest, call, values, action=action, identity_ids=ids)
    answer, reply = await send(call, services, request, MembersAnswer)
    document = ChangedMembers(
        group_name=answer.group_name,
        failed=[Failed(identity_id=who, error=declaration.dialect.detail(_UNKNOWN)) for who in answer.failed],
        message=message,
        identity_id=await _everybody(call, services, answer.group_id) if values["with_identity_id"] else UNSET,
    )
    return success(Data(document), version_header(reply.gallery_version))


async def _everybody(call: Call, services: Services, group_id: str) -> list[str]:
    """Return the people in a group, after every change that was made through this ingress."""
    async with up_to_date(call, services):
        page = services.people.page(PeopleFilter(group_id), 0, sys.maxsize)
        return [person.identity_id for person in page.people]


CALLS = (
    Binding(
        declaration=CREATE_GROUP,
        handle=partial(_describe, declaration=CREATE_GROUP, action="create"),
        role="operator",
        request=GroupRequest,
        needs_people=True,
    ),
    Binding(
        declaration=CHANGE_GROUP,
        handle=partial(_describe, declaration=CHANGE_GROUP, action="change"),
        role="operator",
        request=GroupRequest,
        needs_people=True,
    ),
    Binding(declaration=LIST_GROUPS, handle=_list, role="operator", needs_people=True),
    Binding(declaration=DELETE_GROUP, handle=_delete, role="operator", request=GroupRequest, needs_people=True),
    Binding(
        declaration=FIND_GROUPS,
        handle=partial(find, declaration=FIND_GROUPS, groups=True),
        role="operator",
        needs_people=True,
    ),
    Binding(
        declaration=ADD_MEMBERS,
        handle=partial(_members, declaration=ADD_MEMBERS, action="add", message=ADDED),
        role="operator",
        request=MembersRequest,
        needs_people=True,
    ),
    Binding(
        declaration=REMOVE_MEMBERS,
        handle=partial(_members, declaration=REMOVE_MEMBERS, action="remove", message=REMOVED),
        role="operator",
        request=MembersRequest,
        needs_people=True,
    ),
)
