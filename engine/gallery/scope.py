"""Resolves the group, permission and device of a request to the scope of its search."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

from contract.errors import Code, Refusal, Refused
from contract.people.site import DeviceRecord, GroupRecord, PermissionRecord, Site
from contract.requests import MatchRequest
from contract.terms import DEFAULT_GROUP, DEFAULT_PERMISSION, PHOTO_DEVICE
from engine.gallery.port import Scope
from engine.policy import Policy

T = TypeVar("T")

NOBODY_IN_SCOPE = Refusal(Code.EMPTY_GROUP_ERROR, "nobody is enrolled in the scope that the request searches")

_UNKNOWN_DEVICE = Refusal(Code.DEVICE_ID_NOT_FOUND, "this device is not registered")
_NO_DEVICE = Refusal(
    Code.DEVICE_ID_NOT_FOUND, "the request names no device, and only registered devices are served here"
)


@dataclass(frozen=True, slots=True)
class ResolvedScope:
    """The scope of a search, the names of its group ("": every group) and permission, and the registered device that
    asks."""

    scope: Scope
    group_name: str
    permission_name: str
    device: DeviceRecord | None = None


def resolve_scope(request: MatchRequest, site: Site, policy: Policy) -> ResolvedScope:
    """Return the scope of the search of a request: a group and a permission, each by itself.

    Each is the one that the request names, else that of its registered device, else the one that always exists. A
    request by permission (`MatchRequest.by_permission`) that names a permission, or comes from a registered device,
    searches every group unless it names one.

    Raises:
        Refused: the group, the permission or the device does not exist, a request must not name its scope, or the group
            or permission of the device was deleted.
    """
    device = _device(request, site, policy)
    names_any = request.group_name is not None or request.permission_name is not None
    if names_any and not policy.device_names_scope:
        code = Code.PARAM_ERROR if request.by_permission else Code.GROUP_NAME_ERROR
        raise Refused(code, "this server does not let a request name its group or permission")
    if request.by_permission and request.group_name is None and request.permission_name is not None:
        return _every_group(_permission(request.permission_name, device, site), device, site, policy)
    group = _group(request.group_name, device, site)
    permission = _permission(request.permission_name, device, site)
    # Where requests must not name their scope, a device searches its own group, so that it finds nobody more by a
    # request of version 6 than by one of version 5.
    if request.by_permission and request.group_name is None and device is not None and policy.device_names_scope:
        return _every_group(permission, device, site, policy)
    scope = Scope(group.group_id, permission.permission_id, means=policy.mean_templates)
    return ResolvedScope(scope, group.name, permission.name, device)


def _device(request: MatchRequest, site: Site, policy: Policy) -> DeviceRecord | None:
    """Return the registered device that asks; devices of other types than photo send no requests.

    Bodies are not authenticated, so a request without an address is one of an unknown device: otherwise whoever is
    rejected would only have to leave the address out.
    """
    found = None if request.device_ip is None else site.device_at(request.device_ip)
    device = found if found is not None and found.device_type == PHOTO_DEVICE else None
    if device is None and policy.unknown_device == "reject":
        raise Refused.of(_NO_DEVICE if request.device_ip is None else _UNKNOWN_DEVICE)
    return device


def _group(name: str | None, device: DeviceRecord | None, site: Site) -> GroupRecord:
    """Return the group with that name; without a name that of the device, else the default group."""
    if name is None:
        return _existing(site.groups, device.group_id if device else DEFAULT_GROUP)
    group = site.group_named(name)
    if group is None:
        raise Refused(Code.GROUP_NAME_ERROR, "no group with this group_name exists")
    return group


def _permission(name: str | None, device: DeviceRecord | None, site: Site) -> PermissionRecord:
    """Return the permission with that name; without a name that of the device, else the default permission."""
    if name is None:
        return _existing(site.permissions, device.permission_id if device else DEFAULT_PERMISSION)
    permission = site.permission_named(name)
    if permission is None:
        raise Refused(Code.GROUP_NAME_ERROR, "no permission with this permission_name exists")
    return permission


def _existing(objects: Mapping[str, T], of_device: str) -> T:
    """Return the group or permission of a device; nobody is in one that was deleted."""
    found = objects.get(of_device)
    if found is None:
        raise Refused.of(NOBODY_IN_SCOPE)
    return found


def _every_group(
    permission: PermissionRecord, device: DeviceRecord | None, site: Site, policy: Policy
) -> ResolvedScope:
    # People who are in no group are found by no search, whatever their permissions.
    scope = Scope(None, permission.permission_id, frozenset(site.groups), means=policy.mean_templates)
    return ResolvedScope(scope, "", permission.name, device)
