"""Resolves the group, permission and device of a request to the scope of its search."""

from dataclasses import dataclass

from contract.errors import Code, Refusal, Refused
from contract.people.site import DeviceRecord, GroupRecord, Site
from contract.requests import MatchRequest
from contract.terms import DEFAULT_GROUP, DEFAULT_PERMISSION, PHOTO_DEVICE
from engine.gallery.port import Scope
from engine.policy import Policy

NOBODY_IN_SCOPE = Refusal(Code.EMPTY_GROUP_ERROR, "nobody is enrolled in the scope that the request searches")


@dataclass(frozen=True, slots=True)
class ResolvedScope:
    """The scope of a search, the names of its group ("": every group) and permission, and the registered device that
    asks."""

    scope: Scope
    group_name: str
    permission_name: str | None = None
    device: DeviceRecord | None = None


def resolve_scope(request: MatchRequest, site: Site, policy: Policy) -> ResolvedScope:
    """Return the scope of the search of a request.

    A request that names a group searches that group, restricted by the permission that it names. Any other request
    searches the group and the permission of its device; an unregistered device those that always exist. A request by
    permission (`MatchRequest.by_permission`) of a registered device searches every group.

    Raises:
        Refused: the group, the permission or the device does not exist, a request must not name its scope, or the group
            or permission of the device was deleted.
    """
    device = None if request.device_ip is None else _registered(request.device_ip, site)
    if request.device_ip is not None and device is None and policy.unknown_device == "reject":
        raise Refused(Code.DEVICE_ID_NOT_FOUND, "this device is not registered")
    if request.by_permission:
        return _by_permission(request, device, site, policy)
    if request.group_name is not None:
        return _named(request.group_name, request.permission_name, device, site, policy)
    return _own(device, site, policy)


def _own(device: DeviceRecord | None, site: Site, policy: Policy) -> ResolvedScope:
    """Return the scope of a device that names none."""
    if device is None and policy.unknown_device == "reject":
        raise Refused(Code.DEVICE_ID_NOT_FOUND, "this device is not registered")
    group_id = device.group_id if device else DEFAULT_GROUP
    permission_id = device.permission_id if device else DEFAULT_PERMISSION
    if group_id not in site.groups or permission_id not in site.permissions:
        raise Refused.of(NOBODY_IN_SCOPE)
    return ResolvedScope(
        Scope(group_id, permission_id), site.groups[group_id].name, site.permissions[permission_id].name, device
    )


def _registered(device_ip: str, site: Site) -> DeviceRecord | None:
    """Return the device with that address; devices of other types than photo send no requests."""
    device = site.device_at(device_ip)
    return device if device is not None and device.device_type == PHOTO_DEVICE else None


def _named(
    group_name: str, permission_name: str | None, device: DeviceRecord | None, site: Site, policy: Policy
) -> ResolvedScope:
    if not policy.device_names_scope:
        raise Refused(Code.GROUP_NAME_ERROR, "this server does not let a request name its group or permission")
    group = _group(group_name, site)
    if permission_name is None:
        return ResolvedScope(Scope(group.group_id), group.name, None, device)
    permission = site.permission_named(permission_name)
    if permission is None:
        raise Refused(Code.GROUP_NAME_ERROR, "no permission with this permission_name exists")
    return ResolvedScope(Scope(group.group_id, permission.permission_id), group.name, permission.name, device)


def _group(name: str, site: Site) -> GroupRecord:
    group = site.group_named(name)
    if group is None:
        raise Refused(Code.GROUP_NAME_ERROR, "no group with this group_name exists")
    return group


def _by_permission(request: MatchRequest, device: DeviceRecord | None, site: Site, policy: Policy) -> ResolvedScope:
    """Return the scope of a search of version 6. Where requests must not name their scope, a device searches its own
    group too, so that it finds nobody more than by a request of version 5."""
    if not policy.device_names_scope and (request.permission_name is not None or request.group_name is not None):
        raise Refused(Code.PARAM_ERROR, "this server does not let a request name its group or permission")
    if request.permission_name is not None:
        permission = site.permission_named(request.permission_name)
        if permission is None:
            raise Refused(Code.GROUP_NAME_ERROR, "no permission with this permission_name exists")
    else:
        own = _own(device, site, policy)
        if device is None or not policy.device_names_scope:
            return own
        permission = site.permissions[device.permission_id]
    group = None if request.group_name is None else _group(request.group_name, site)
    # People who are in no group are found by no search, whatever their permissions.
    any_group = None if group else frozenset(site.groups)
    scope = Scope(group.group_id if group else None, permission.permission_id, any_group)
    return ResolvedScope(scope, group.name if group else "", permission.name, device)
