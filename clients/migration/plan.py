"""Converts what a box knows into the calls that enrol it here. Pure.

Groups are the same by name. Ids of permissions differ between boxes, so permissions are the same by name too.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from clients.migration.answers import BoxDevice, BoxPerson
from clients.migration.report import LeftOut
from contract.calls.devices import DETAILS
from contract.terms import DEFAULT_PERMISSION, QualityLevel

NO_PHOTO = (
    "the box has no photo of this person, and a feature of the box's network cannot be compared with the features of"
    " another network"
)
DIFFERS = "a person with this identity_id is enrolled here already, with other values; --update replaces them"
DEVICE_DIFFERS = "a device with this device_key is registered here already, with other values; --update replaces them"
STAYS_IN_GROUP = "differs: the person is in this group here and not at the box; --update takes the person from it"
SCOPE_DIFFERS = "it exists here with another info; --update replaces what differs"
IN_NO_GROUP = "this person is in no group of the box, so no device finds the person"

_FIELDS_OF_THE_BOX = frozenset({"user_id", "image_id", "face_ids"})
"""Fields that a box adds to the info of a person."""


@dataclass(slots=True)
class Scopes:
    """What is known here of the box's groups and permissions.

    `groups`: name -> id here; `group_names`: id at the box -> name; `permissions`: name -> id here; `permission_names`:
    id at the box -> name. A group or permission that could not be taken is absent from `groups` or `permissions`.
    """

    groups: dict[str, str] = field(default_factory=dict)
    group_names: dict[str, str] = field(default_factory=dict)
    permissions: dict[str, str] = field(default_factory=dict)
    permission_names: dict[str, str] = field(default_factory=dict)

    def permission_name(self, box_id: str) -> str:
        """Return the name of a permission; one without a name has its id as its name, as the vendor's boxes do it."""
        return self.permission_names.get(box_id, box_id)

    def permission_id(self, box_id: str) -> str | None:
        """Return the id here of a permission of the box; None where it could not be taken."""
        if box_id == DEFAULT_PERMISSION:
            return DEFAULT_PERMISSION
        return self.permissions.get(self.permission_name(box_id))

    def group_id(self, box_id: str) -> str | None:
        """Return the id here of a group of the box; None where it could not be taken."""
        return self.groups.get(self.group_names.get(box_id, box_id))

    def unknown_permissions(self, box_ids: Iterable[str]) -> list[str]:
        """Return the names of those permissions that are not known here yet, each once."""
        ids = (one for one in box_ids if one and one != DEFAULT_PERMISSION)
        names = dict.fromkeys(map(self.permission_name, ids))
        return [name for name in names if name not in self.permissions]


@dataclass(frozen=True, slots=True)
class PlannedPerson:
    """The call that enrols a person, and what of the person cannot be taken. `body` None: the person cannot be."""

    body: Mapping[str, Any] | None
    left_out: tuple[LeftOut, ...] = ()


def plan_person(person: BoxPerson, scopes: Scopes, level: QualityLevel | None, *, update: bool) -> PlannedPerson:
    """Return the call that enrols a person with a photo.

    A group or permission that could not be taken is left out. A person whom nothing remains of is left out. A person
    whose list of permissions is empty at the box passes nowhere there, and has no permission here either; only a person
    without such a list has the default permission.
    """
    who = person.identity_id
    listed = (DEFAULT_PERMISSION,) if person.permission_ids is None else person.permission_ids
    permission_ids = {one: scopes.permission_id(one) for one in listed}
    groups = [name for name in person.group_names if name in scopes.groups]
    permissions = list(dict.fromkeys(one for one in permission_ids.values() if one is not None))
    lost = [f"group {name}" for name in person.group_names if name not in scopes.groups]
    lost += [f"permission {scopes.permission_name(one)}" for one, here in permission_ids.items() if here is None]
    if not groups or (permission_ids and not permissions):
        return PlannedPerson(None, (LeftOut("person", who, f"nothing remains without {', '.join(lost) or 'a group'}"),))
    info = {name: value for name, value in person.info.items() if name not in _FIELDS_OF_THE_BOX}
    body = {
        "identity_id": who,
        "group_name": ",".join(groups),
        "reg_photo": person.photo,
        "info": {"name": who, **info, "permission_ids": permissions},
        "ignore_exist": update,
        "support_single_face": update,
        **({} if level is None else {"fiqa_level": level}),
    }
    left_out = [LeftOut("membership", f"{who} in {what}", "it could not be taken") for what in lost]
    if person.further_faces:
        reason = f"{person.further_faces} further faces of the person are left behind: version 5 lists one photo only"
        left_out.append(LeftOut("face", who, reason))
    return PlannedPerson(body, tuple(left_out))


def is_enrolled(body: Mapping[str, Any], here: BoxPerson) -> bool:
    """Return whether a person who is enrolled here is as the call would enrol the person: groups, info and photo.

    The person may be in further groups here: clients.migration.members compares these once all groups are read.
    """
    info = {name: here.info.get(name) for name in body["info"]}
    wanted = {**body["info"], "permission_ids": sorted(body["info"]["permission_ids"])}
    permissions = (DEFAULT_PERMISSION,) if here.permission_ids is None else here.permission_ids
    has = {**info, "permission_ids": sorted(permissions)}
    same_groups = set(body["group_name"].split(",")) <= set(here.group_names)
    return same_groups and wanted == has and _letters(body["reg_photo"]) == _letters(here.photo)


def _letters(text: str) -> str:
    """Return base64 without its line breaks, padding and prefix."""
    return "".join(text.rpartition(",")[2].split()).rstrip("=")


def plan_device(device: BoxDevice, scopes: Scopes) -> Mapping[str, Any] | LeftOut:
    """Return the entry of devices_list that registers a device here, or the reason why it cannot be registered."""
    sent = {name: value for name, value in device.fields.items() if name != "device_ip"}
    group, permission = str(sent.get("group_id") or ""), str(sent.get("permission_id") or DEFAULT_PERMISSION)
    group_id, permission_id = scopes.group_id(group), scopes.permission_id(permission)
    if group_id is None:
        return LeftOut("device", device.address, f"its group {group or '(none)'} could not be taken")
    if permission_id is None:
        name = scopes.permission_name(permission)
        return LeftOut("device", device.address, f"its permission {name} could not be taken")
    scope = {"group_id": group_id, "permission_id": permission_id}
    return {"device_type": "photo", **sent, "device_name": device.name, **scope}


def is_registered(entry: Mapping[str, Any], here: BoxDevice) -> bool:
    """Return whether a device that is registered here is as the entry would register it; here it keeps its id.

    Registering replaces the details, also by nothing, and leaves what the entry does not demand of matches.
    """
    demanded = [name for name in _DEMANDS if entry.get(name) not in (None, "")]
    return all(entry.get(name) == here.fields.get(name) for name in (*_IDENTIFYING, *demanded)) and all(
        (entry.get(name) or None) == (here.fields.get(name) or None) for name in DETAILS
    )


_IDENTIFYING = ("device_name", "device_key", "device_type", "group_id", "permission_id")
_DEMANDS = ("liveness_floor", "quality_level", "min_face_size")


def differing_info(wanted: Mapping[str, Any], here: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the members of a box's info of a group or permission that are missing or different here."""
    return {name: value for name, value in wanted.items() if here.get(name) != value}
