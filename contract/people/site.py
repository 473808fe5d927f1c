"""What the operator has set up besides people: groups, permissions, devices, settings and API keys. Pure.

Each object is a record of the people topic with the key KIND/ID; a `Site` is the fold of these records. People and
devices name groups and permissions by id, so that deleting a group or a permission is one record: an id that names no
group or permission any more has no effect.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import msgspec

from contract.addresses import canonical_address, device_address
from contract.codec import decode_with
from contract.ids import device_id_at
from contract.pass_times import PassTimes, pass_times_of
from contract.people.keys import NotReadable, SiteKey, SiteKind
from contract.roles import Role
from contract.terms import DEFAULT_GROUP, DEFAULT_PERMISSION, LivenessMode, Message, QualityLevel


class GroupRecord(Message, frozen=True, kw_only=True):
    """A group of people; the name is unique and never changes."""

    group_id: str
    name: str
    description: str = ""
    info: dict[str, Any] = msgspec.field(default_factory=dict)


class PermissionRecord(Message, frozen=True, kw_only=True):
    """A permission; the name is unique. `info` may contain `pass_times`, the weekly schedule."""

    permission_id: str
    name: str
    description: str = ""
    info: dict[str, Any] = msgspec.field(default_factory=dict)


class DeviceRecord(Message, frozen=True, kw_only=True):
    """A device; no two devices have the same address.

    `address`: the device_key, for a device of the type photo the address that it sends as device_ip. `group_id` and
    `permission_id`: the scope of its matches. `details`: the other fields as they were sent. `liveness_floor`,
    `quality_level` and `min_face_size` are minimums of its matches in addition to those of the policy.
    """

    device_id: str
    name: str
    address: str
    device_type: str
    group_id: str
    permission_id: str
    details: dict[str, Any] = msgspec.field(default_factory=dict)
    liveness_floor: LivenessMode | None = None
    quality_level: QualityLevel | None = None
    min_face_size: int = 0

    @property
    def known_as(self) -> str:
        """The address by which the device is found; a record of an earlier version may have another spelling."""
        return device_address(self.device_type, self.address)


class SettingRecord(Message, frozen=True, kw_only=True):
    """The settings of one family (contract.site_settings); `value`: name of a setting -> value.

    `changed_s`: the epoch seconds at which the request that changed them last arrived; 0: not known.
    """

    name: str
    value: Any
    changed_s: float = 0.0


class KeyRecord(Message, frozen=True, kw_only=True):
    """An API key. `sha256`: the hash of the key, which is random and long; the key itself is never stored."""

    key_id: str
    name: str
    role: Role
    sha256: bytes
    created_s: float


SiteRecord = GroupRecord | PermissionRecord | DeviceRecord | SettingRecord | KeyRecord

_TYPES: Mapping[SiteKind, type[SiteRecord]] = {
    "group": GroupRecord,
    "permission": PermissionRecord,
    "device": DeviceRecord,
    "setting": SettingRecord,
    "key": KeyRecord,
}
_ID_FIELDS: Mapping[SiteKind, str] = {
    "group": "group_id",
    "permission": "permission_id",
    "device": "device_id",
    "setting": "name",
    "key": "key_id",
}
_decoders = {kind: msgspec.msgpack.Decoder(record_type) for kind, record_type in _TYPES.items()}

_DEFAULT_GROUPS = {DEFAULT_GROUP: GroupRecord(group_id=DEFAULT_GROUP, name=DEFAULT_GROUP)}
_DEFAULT_PERMISSIONS = {DEFAULT_PERMISSION: PermissionRecord(permission_id=DEFAULT_PERMISSION, name=DEFAULT_PERMISSION)}


def site_key_of(record: SiteRecord) -> SiteKey:
    """Return the key of an object's record."""
    kind = next(kind for kind, record_type in _TYPES.items() if isinstance(record, record_type))
    return SiteKey(kind, getattr(record, _ID_FIELDS[kind]))


def read_site_record(key: SiteKey, value: bytes) -> SiteRecord:
    """Return the object whose record has this key and value.

    Raises:
        NotReadable: the value is not a record of that kind, or is the record of another object.
    """
    try:
        record: SiteRecord = decode_with(_decoders[key.kind], value)
    except msgspec.DecodeError:
        raise NotReadable(f"the value is not the record of a {key.kind}") from None
    if site_key_of(record) != key:
        raise NotReadable(f"the value is the record of another {key.kind} than the key names")
    return record


@dataclass(frozen=True)
class Site:
    """All objects at one gallery version, by id; a value that never changes.

    The group default_group and the permission "0" always exist.
    """

    groups: Mapping[str, GroupRecord] = field(default_factory=lambda: dict(_DEFAULT_GROUPS))
    permissions: Mapping[str, PermissionRecord] = field(default_factory=lambda: dict(_DEFAULT_PERMISSIONS))
    devices: Mapping[str, DeviceRecord] = field(default_factory=dict)
    settings: Mapping[str, SettingRecord] = field(default_factory=dict)
    keys: Mapping[str, KeyRecord] = field(default_factory=dict)

    def put(self, record: SiteRecord) -> "Site":
        """Return this site with an object added, or with an object of the same id replaced."""
        return self._with(site_key_of(record), record)

    def records(self) -> Iterator[SiteRecord]:
        """Yield every object, also those that always exist."""
        for family in (self.groups, self.permissions, self.devices, self.settings, self.keys):
            yield from family.values()

    def without(self, key: SiteKey) -> "Site":
        """Return this site without an object; the default group and permission get their first values again."""
        default: SiteRecord | None = None
        if key.kind == "group":
            default = _DEFAULT_GROUPS.get(key.id)
        elif key.kind == "permission":
            default = _DEFAULT_PERMISSIONS.get(key.id)
        return self._with(key, default)

    def group_named(self, name: str) -> GroupRecord | None:
        """Return the group with that name."""
        return self._groups_by_name.get(name)

    def permission_named(self, name: str) -> PermissionRecord | None:
        """Return the permission with that name."""
        return self._permissions_by_name.get(name)

    def device_at(self, address: str) -> DeviceRecord | None:
        """Return the device with that address, an IP address or a host name, however it is spelled."""
        return self._devices_by_address.get(canonical_address(address))

    def device_id_of(self, address: str) -> str:
        """Return the id of the device with that address; an unregistered one has a UUID made from its address."""
        device = self.device_at(address)
        return device_id_at(canonical_address(address)) if device is None else device.device_id

    def group_names(self, group_ids: tuple[str, ...]) -> tuple[str, ...]:
        """Return the names of those groups that exist, in the order of their ids in `group_ids`."""
        return tuple(self.groups[group_id].name for group_id in group_ids if group_id in self.groups)

    def shown(self, info: Mapping[str, Any]) -> dict[str, Any]:
        """Return the info of a person as answers contain it: without the ids of permissions that were deleted."""
        ids = info.get("permission_ids")
        if not isinstance(ids, list | tuple):
            return dict(info)
        return {**info, "permission_ids": [one for one in ids if one in self.permissions]}

    def pass_times(self, permission_id: str | None) -> PassTimes | None:
        """Return the weekly schedule of a permission; None: it has none, and so has None."""
        return self._pass_times.get(permission_id or "")

    def _with(self, key: SiteKey, record: SiteRecord | None) -> "Site":
        family = f"{key.kind}s"
        objects = {**getattr(self, family), key.id: record}
        if record is None:
            del objects[key.id]
        return replace(self, **{family: objects})

    @cached_property
    def _groups_by_name(self) -> Mapping[str, GroupRecord]:
        return {group.name: group for group in self.groups.values()}

    @cached_property
    def _permissions_by_name(self) -> Mapping[str, PermissionRecord]:
        return {permission.name: permission for permission in self.permissions.values()}

    @cached_property
    def _pass_times(self) -> Mapping[str, PassTimes]:
        found = {name: pass_times_of(permission.info) for name, permission in self.permissions.items()}
        return {name: pass_times for name, pass_times in found.items() if pass_times is not None}

    @cached_property
    def _devices_by_address(self) -> Mapping[str, DeviceRecord]:
        # Of records of an earlier version several may have one address; every process must find the same device.
        return {self.devices[device_id].known_as: self.devices[device_id] for device_id in sorted(self.devices)}
