"""Resolves the group, permission and device of a request to the scope of its search."""

from dataclasses import dataclass

from contract.errors import Code, Refusal, Refused
from contract.messages import MatchRequest
from contract.people.site import DeviceRecord, Site
from contract.terms import DEFAULT_GROUP, DEFAULT_PERMISSION, PHOTO_DEVICE
from engine.gallery.port import Scope
from engine.policy import Policy

NOBODY_IN_SCOPE = Refusal(Code.EMPTY_GROUP_ERROR, "nobody is enrolled in the scope that the request searches")


@dataclass(frozen=True, slots=True)
class ResolvedScope:
    """The scope of a search, the names of its group and permission, and the registered device that asks."""

    scope: Scope
    group_name: str
    permission_name: str | None = None
    device: DeviceRecord | None = None


def resolve_scope(request: MatchRequest, site: Site, policy: Policy) -> ResolvedScope:
    """Return the scope of the search of a request.

    A request that names a group searches that group, restricted by the permission that it names. Any other request
    searches the group and the permission of its device; an unregistered device those that always exist.

    Raises:
        Refused: the group, the permission or the device does not exist, a request must not name its scope, or the group
            or permission of the device was deleted.
    """
    device = None if request.device_ip is None else _registered(request.device_ip, site)
    if request.group_name is not None:
        return _named(request.group_name, request.permission_name, device, site, policy)
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
    group = site.group_named(group_name)
    if group is None:
        raise Refused(Code.GROUP_NAME_ERROR, "no group with this group_name exists")
    if permission_name is None:
        return ResolvedScope(Scope(group.group_id), group.name, None, device)
    permission = site.permission_named(permission_name)
    if permission is None:
        raise Refused(Code.GROUP_NAME_ERROR, "no permission with this permission_name exists")
    return ResolvedScope(Scope(group.group_id, permission.permission_id), group.name, permission.name, device)
