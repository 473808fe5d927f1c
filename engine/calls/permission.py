"""Permission: create, change or delete a permission (POST, PUT and DELETE of permissions)."""

from collections.abc import Collection, Mapping

from msgspec import structs

from contract.answers import PermissionAnswer
from contract.errors import Code, Refused
from contract.ids import made_id
from contract.kinds import kind_of
from contract.people.keys import SiteKey
from contract.people.listing import ListedPerson
from contract.people.site import PermissionRecord, Site
from contract.site_requests import PermissionRequest
from contract.terms import DEFAULT_PERMISSION
from engine.calls.people import ChangeDecision, PeopleNow
from engine.calls.scopes import ScopeCall, deleted, described, require_room_for, stored, with_this_only
from engine.policy import Policy


class PermissionCall(ScopeCall[PermissionRequest]):
    """The kind of call that creates, changes or deletes a permission."""

    kind = kind_of(PermissionRequest)
    request_type = PermissionRequest

    def changed(self, request: PermissionRequest, people: PeopleNow, policy: Policy) -> ChangeDecision:
        """Create, change or delete a permission.

        Raises:
            Refused: the name or id of a new permission is taken, the permission to be changed or deleted does not
                exist, the default permission was to be renamed or deleted, or a limit is reached.
        """
        if request.action == "create":
            return _stored("created", _new(request, people, policy), request, people)
        permission = _named(request, people.site)
        if request.action == "change":
            return _stored("changed", _renamed(permission, request.new_name, people.site), request, people)
        return _deleted(permission, request, people, policy)

    def name_of(self, request: PermissionRequest) -> str:
        """Return the name of the permission; its id where the request does not name it otherwise."""
        return request.name or request.permission_id or ""


def require_new_permissions(new: Mapping[str, str], people: PeopleNow, policy: Policy) -> None:
    """Return where permissions with these ids and names may be created. `new`: id -> name.

    Raises:
        Refused: 40012: a name or an id is taken. An id is also taken while people or devices name it: they named a
            permission that was deleted, and a new one must not give them what the deletion took from them. 40015: there
            would be more permissions than allowed.
    """
    site = people.site
    if any(site.permission_named(name) for name in new.values()):
        raise Refused(Code.GROUP_NAME_ERROR, "a permission with this name exists already")
    if not new.keys().isdisjoint(site.permissions):
        raise Refused(Code.GROUP_NAME_ERROR, "a permission with this permission_id exists already")
    require_room_for(len(new), len(site.permissions), policy.max_permissions, "permissions")
    if new and _are_in_use(new, people):
        raise Refused(
            Code.GROUP_NAME_ERROR, "people or devices name a deleted permission with this permission_id; choose another"
        )


def _are_in_use(permission_ids: Collection[str], people: PeopleNow) -> bool:
    return any(device.permission_id in permission_ids for device in people.site.devices.values()) or any(
        not frozenset(person.permission_ids).isdisjoint(permission_ids) for person in people.everybody()
    )


def _new(request: PermissionRequest, people: PeopleNow, policy: Policy) -> PermissionRecord:
    if request.name is None:
        raise Refused(Code.PARAM_ERROR, "permission_name is needed")
    permission_id = request.permission_id or made_id(request.request_id)
    require_new_permissions({permission_id: request.name}, people, policy)
    return PermissionRecord(permission_id=permission_id, name=request.name)


def _named(request: PermissionRequest, site: Site) -> PermissionRecord:
    if request.permission_id is not None:
        permission = site.permissions.get(request.permission_id)
        if permission is None:
            raise Refused(Code.ID_NOT_FOUND, "no permission with this permission_id exists")
        return permission
    permission = None if request.name is None else site.permission_named(request.name)
    if permission is None:
        raise Refused(Code.NOT_FOUND, "no permission with this permission_name exists")
    return permission


def _renamed(permission: PermissionRecord, new_name: str | None, site: Site) -> PermissionRecord:
    if new_name is None or new_name == permission.name:
        return permission
    if permission.permission_id == DEFAULT_PERMISSION:
        raise Refused(Code.GROUP_NAME_ERROR, "this permission always exists and cannot be renamed")
    if site.permission_named(new_name) is not None:
        raise Refused(Code.GROUP_NAME_ERROR, "a permission with this new name exists already")
    return structs.replace(permission, name=new_name)


def _stored(
    outcome: str, permission: PermissionRecord, request: PermissionRequest, people: PeopleNow
) -> ChangeDecision:
    after = described(permission, request.description, request.info)
    return stored(outcome, after, people, _answer(after))


def _deleted(
    permission: PermissionRecord, request: PermissionRequest, people: PeopleNow, policy: Policy
) -> ChangeDecision:
    permission_id = permission.permission_id
    if permission_id == DEFAULT_PERMISSION:
        raise Refused(Code.GROUP_NAME_ERROR, "this permission always exists and cannot be deleted")
    gone = (
        with_this_only(people, _permissions_of, permission_id, people.site.permissions, policy.max_recursive_delete)
        if request.recursive
        else ()
    )
    return deleted(SiteKey("permission", permission_id), gone, people, _answer(permission, len(gone)))


def _permissions_of(person: ListedPerson) -> tuple[str, ...]:
    return person.permission_ids


def _answer(permission: PermissionRecord, people_deleted: int = 0) -> PermissionAnswer:
    return PermissionAnswer(
        permission_id=permission.permission_id,
        name=permission.name,
        description=permission.description,
        info=permission.info,
        people_deleted=people_deleted,
    )
