"""A model of a site that carries out the calls of administrators one after the other, and says how each is answered.

It knows no transactions, no lanes and no deadlines: what two administrators did at once must be what one order of their
calls makes of this model.
"""

from dataclasses import dataclass, field
from typing import Any

from contract.errors import Code
from contract.ids import made_id
from contract.requests import DeleteRequest, EnrolRequest, Request
from contract.site_requests import DeviceChange, DevicesRequest, GroupRequest, MembersRequest, PermissionRequest
from contract.terms import DEFAULT_GROUP, DEFAULT_PERMISSION

Answer = Code | dict[str, Any]
"""The code of a refusal, or what a successful answer must say."""
NEW_INFO = {"type": 1, "permission_ids": [DEFAULT_PERMISSION]}


@dataclass
class Person:
    """`groups` by id, `faces`: number -> feature; ids of what was deleted remain."""

    groups: list[str]
    info: dict[str, Any]
    faces: dict[int, tuple[float, ...]]
    next_face: int = 0

    @property
    def permissions(self) -> list[str]:
        return list(self.info["permission_ids"])


@dataclass
class Named:
    """A group or a permission."""

    name: str
    description: str = ""
    info: dict[str, Any] = field(default_factory=dict)

    def describe(self, description: str | None, info: dict[str, Any] | None) -> None:
        self.description = self.description if description is None else description
        self.info = {key: value for key, value in {**self.info, **(info or {})}.items() if value is not None}

    @property
    def shown(self) -> dict[str, Any]:
        return {**self.info, "name": self.name, "description": self.description}


@dataclass
class Device:
    name: str
    address: str
    group_id: str
    permission_id: str


@dataclass
class OneOrder:
    """The site: everything by id."""

    groups: dict[str, Named] = field(default_factory=lambda: {DEFAULT_GROUP: Named(DEFAULT_GROUP)})
    permissions: dict[str, Named] = field(default_factory=lambda: {DEFAULT_PERMISSION: Named(DEFAULT_PERMISSION)})
    people: dict[str, Person] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)

    def carry_out(self, request: Request) -> Answer:
        """Change the site as the request asks, and return the answer."""
        match request:
            case EnrolRequest():
                return self._enrol(request)
            case DeleteRequest(identity_id=who):
                person = self.people.pop(who, None)
                return Code.ID_NOT_FOUND if person is None else {"group_name": self.group_names(person)}
            case GroupRequest():
                return self._group(request)
            case PermissionRequest():
                return self._permission(request)
            case MembersRequest():
                return self._members(request)
            case DevicesRequest():
                return self._devices(request)
        raise AssertionError(f"the model knows no {type(request).__name__}")

    def group_names(self, person: Person) -> list[str]:
        """The names of those of a person's groups that exist."""
        return [self.groups[one].name for one in person.groups if one in self.groups]

    def info(self, person: Person) -> dict[str, Any]:
        """A person's info as answers show it: with those of the permissions that exist."""
        return {**person.info, "permission_ids": [one for one in person.permissions if one in self.permissions]}

    def _enrol(self, request: EnrolRequest) -> Answer:
        person, info = self.people.get(request.identity_id), request.info or {}
        ids = [_id_of(self.groups, name) for name in request.group_names or ()]
        if None in ids:
            return Code.NOT_FOUND
        groups = [one for one in ids if one is not None]
        if person is not None and self._repeats(request, person, groups):
            return self._shown(person)
        if request.update and person is None:
            return Code.ID_NOT_FOUND
        if person is not None and not (request.update or request.ignore_exist):
            return Code.IDENTITY_EXSIT_ERROR
        known = {*self.permissions, *(person.permissions if person else ())}
        new = [one for one in info.get("permission_ids", ()) if one not in known]
        if new and not request.create_no_exit_permission:
            return Code.PARAM_ERROR
        if any(_id_of(self.permissions, one) or self._is_in_use(one) for one in new):
            return Code.GROUP_NAME_ERROR
        self.permissions |= {one: Named(one) for one in new}
        if person is None:
            person = self.people[request.identity_id] = Person(groups or [DEFAULT_GROUP], {**NEW_INFO, **info}, {})
        else:
            person.groups = list(dict.fromkeys([*person.groups, *groups]))
            person.info = {**person.info, **info}
        if request.feature is not None and request.feature not in person.faces.values():
            person.faces[person.next_face] = request.feature
            person.next_face += 1
        return self._shown(person)

    def _repeats(self, request: EnrolRequest, person: Person, groups: list[str]) -> bool:
        """Whether a POST enrols what an earlier one has enrolled, so that it is answered and changes nothing."""
        if request.update or request.ignore_exist or request.feature not in person.faces.values():
            return False
        same_groups = set(groups or [DEFAULT_GROUP]) == set(person.groups)
        return same_groups and {**NEW_INFO, **(request.info or {})} == person.info

    def _shown(self, person: Person) -> dict[str, Any]:
        return {"group_name": self.group_names(person), "info": self.info(person)}

    def _is_in_use(self, permission_id: str) -> bool:
        """Whether somebody or a device names a permission, which may have been deleted."""
        return any(permission_id in person.permissions for person in self.people.values()) or any(
            permission_id == device.permission_id for device in self.devices.values()
        )

    def _group(self, request: GroupRequest) -> Answer:
        found = _id_of(self.groups, request.name)
        if request.action == "create":
            if found is not None:
                return Code.GROUP_NAME_ERROR
            found = made_id(request.request_id)
            self.groups[found] = Named(request.name)
        if found is None:
            return Code.NOT_FOUND
        if request.action == "delete":
            if found == DEFAULT_GROUP:
                return Code.GROUP_NAME_ERROR
            del self.groups[found]
            alone = [who for who, one in self.people.items() if found in one.groups and not self.group_names(one)]
            return self._deleted("group_name", request.name, alone if request.recursive else [])
        self.groups[found].describe(request.description, request.info)
        return {"info": self.groups[found].shown}

    def _permission(self, request: PermissionRequest) -> Answer:
        name = request.name or ""
        found = _id_of(self.permissions, name)
        if request.action == "create":
            if found is not None:
                return Code.GROUP_NAME_ERROR
            found = made_id(request.request_id)
            self.permissions[found] = Named(name)
        if found is None:
            return Code.NOT_FOUND
        if request.action == "delete":
            if found == DEFAULT_PERMISSION:
                return Code.GROUP_NAME_ERROR
            del self.permissions[found]
            alone = [who for who, one in self.people.items() if found in one.permissions and not self._has_any(one)]
            return self._deleted("permission_name", name, alone if request.recursive else [])
        self.permissions[found].describe(request.description, request.info)
        return {"info": self.permissions[found].shown}

    def _has_any(self, person: Person) -> bool:
        return any(one in self.permissions for one in person.permissions)

    def _deleted(self, field_name: str, name: str, people: list[str]) -> dict[str, Any]:
        for who in people:
            del self.people[who]
        return {field_name: name, "people_deleted": len(people)}

    def _members(self, request: MembersRequest) -> Answer:
        found = _id_of(self.groups, request.group_name)
        if found is None:
            return Code.NOT_FOUND
        unknown = [who for who in request.identity_ids if who not in self.people]
        if len(unknown) == len(request.identity_ids):
            return Code.ID_NOT_FOUND
        for who in request.identity_ids:
            person = self.people.get(who)
            if person is not None and (found in person.groups) is not (request.action == "add"):
                others = [one for one in person.groups if one in self.groups and one != found]
                person.groups = [*others, *([found] if request.action == "add" else [])]
        return {"group_name": request.group_name, "failed": unknown}

    def _devices(self, request: DevicesRequest) -> Answer:
        """The devices are decided one after the other; where all fail, the first failure is the answer."""
        done: list[str] = []
        failed: list[Code] = []
        for number, sent in enumerate(request.devices):
            one = self._device(request.action, sent, made_id(request.request_id, number))
            failed += [one] if isinstance(one, Code) else []
            done += [] if isinstance(one, Code) else [one]
        return failed[0] if not done else {"success_devices": done, "failed_devices": list(map(int, failed))}

    def _device(self, action: str, sent: DeviceChange, made: str) -> str | Code:
        at_address = next((one for one, device in self.devices.items() if device.address == sent.address), None)
        device_id = sent.device_id
        if action == "create":
            if at_address is None and device_id in self.devices:
                return Code.PARAM_ERROR
            if at_address is not None and device_id not in (None, at_address):
                return Code.DEVICE_ADDRESS_DUPLICATE_ERROR
            device_id = at_address or device_id or made
        elif device_id not in self.devices:
            return Code.DEVICE_ID_NOT_FOUND
        elif action == "delete":
            return self.devices.pop(device_id) and device_id
        elif at_address not in (None, device_id):
            return Code.DEVICE_ADDRESS_DUPLICATE_ERROR
        before = self.devices.get(device_id)
        group_id = sent.group_id or (before.group_id if before else "")
        if sent.group_id is not None and sent.group_id not in self.groups:
            return Code.GROUP_NAME_ERROR
        permission_id = before.permission_id if before else None
        if sent.permission_id is not None:
            by_id = sent.permission_id if sent.permission_id in self.permissions else None
            permission_id = by_id or _id_of(self.permissions, sent.permission_id)
        if permission_id is None:
            return Code.GROUP_NAME_ERROR
        name, address = sent.name or (before.name if before else ""), sent.address or (before.address if before else "")
        self.devices[device_id] = Device(name, address, group_id, permission_id)
        return device_id


def _id_of(named: dict[str, Named], name: str) -> str | None:
    return next((one for one, each in named.items() if each.name == name), None)
