"""The groups and permissions of an import: those that the site lacks are created with the ids of the export. Pure.

A group or permission that the site has, by its id or by its name, stays as it is; the answer says by which id the site
knows it, so that whoever imports people of another site can name it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from contract.codec import encode
from contract.errors import Code, Refused
from contract.imports import ImportedSite
from contract.people.site import GroupRecord, PermissionRecord, Site
from engine.calls.people import PeopleNow
from engine.calls.permission import require_new_permissions
from engine.calls.scopes import MAX_RECORD_BYTES, require_room_for
from engine.policy import Policy

_UNTOUCHED = Site()


@dataclass(frozen=True, slots=True)
class SiteChange:
    """The site with the groups and permissions of an import, and the records that it did not have.

    `groups` and `permissions`: the id in the import -> the id by which the site knows the group or permission.
    """

    site: Site
    new: Sequence[GroupRecord | PermissionRecord] = ()
    groups: Mapping[str, str] = field(default_factory=dict)
    permissions: Mapping[str, str] = field(default_factory=dict)


def changed_site(sent: ImportedSite, people: PeopleNow, policy: Policy) -> SiteChange:
    """Return the site with those groups and permissions of an import that it lacks.

    Raises:
        Refused: a record is too large, there would be more than allowed, or people or devices name a deleted group or
            permission by an id that would be created.
    """
    site, new = people.site, list[GroupRecord | PermissionRecord]()
    groups, permissions = dict[str, str](), dict[str, str]()
    created = dict[str, str]()
    for group in sent.groups:
        named = site.group_named(group.name)
        there = site.groups.get(group.group_id) or named
        if there is None or (there == _UNTOUCHED.groups.get(group.group_id) != group and named in (None, there)):
            site, there = site.put(group), group
            new.append(group)
        groups[group.group_id] = there.group_id
    for permission in sent.permissions:
        alike = site.permission_named(permission.name)
        present = site.permissions.get(permission.permission_id) or alike
        if present is None:
            created[permission.permission_id] = permission.name
        if present is None or (
            present == _UNTOUCHED.permissions.get(permission.permission_id) != permission and alike in (None, present)
        ):
            site, present = site.put(permission), permission
            new.append(permission)
        permissions[permission.permission_id] = present.permission_id
    _require_groups(new, people, policy)
    require_new_permissions(created, people, policy)
    if any(len(encode(record)) > MAX_RECORD_BYTES for record in new):
        raise Refused(Code.PARAM_ERROR, f"a group or permission has more than {MAX_RECORD_BYTES} bytes")
    return SiteChange(site, new, groups, permissions)


def _require_groups(new: Iterable[GroupRecord | PermissionRecord], people: PeopleNow, policy: Policy) -> None:
    """Return where these groups may be created.

    Raises:
        Refused: 40015: there would be too many. 40012: people or devices name a deleted group by the id of one of them,
            and a new one must not give them what the deletion took from them.
    """
    site = people.site
    ids = {record.group_id for record in new if isinstance(record, GroupRecord)} - site.groups.keys()
    require_room_for(len(ids), len(site.groups), policy.max_groups, "groups")
    if ids and (
        any(device.group_id in ids for device in site.devices.values())
        or any(not ids.isdisjoint(person.group_ids) for person in people.everybody())
    ):
        raise Refused(Code.GROUP_NAME_ERROR, "people or devices name a deleted group by an id of the import")
