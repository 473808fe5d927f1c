"""Reads the answers of a box into values. Pure; every answer may be malformed.

Versions of the box differ: names of fields, paging, and which calls exist. A malformed entry of a list is left out with
the reason, the others are read; a malformed list is a `BadAnswer`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import NoneType
from typing import Any, TypeVar

from clients.migration.report import Kind, LeftOut
from contract.addresses import device_address
from contract.terms import PHOTO_DEVICE

T = TypeVar("T")


class BadAnswer(Exception):
    """An answer of the box has not the form that it must have; the message names what is missing."""


@dataclass(frozen=True, slots=True)
class Named:
    """A group or a permission of the box; `box_id` is None where the box's list has no ids."""

    name: str
    description: str = ""
    box_id: str | None = None


@dataclass(frozen=True, slots=True)
class Identified:
    """The id of a group or a permission, its description, and its `info` without name and description."""

    box_id: str
    description: str
    info: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BoxPerson:
    """A person of the box. `photo`: base64, empty where the list has none; `image_id`: the name of the photo.

    `in_no_group`: the list of the person's groups is empty, and not merely absent.
    """

    identity_id: str
    group_names: tuple[str, ...]
    info: Mapping[str, Any]
    photo: str = field(default="", repr=False)
    image_id: str = ""
    in_no_group: bool = False

    @property
    def permission_ids(self) -> tuple[str, ...] | None:
        """The permissions of the person, by the ids of the box; None where the box lists none, not even an empty list:
        then the person has the default permission."""
        ids = self.info.get("permission_ids")
        return tuple(str(one) for one in ids if one not in ("", None)) if isinstance(ids, list) else None

    @property
    def further_faces(self) -> int:
        """The number of the person's faces besides the one whose photo version 5 lists; 0 where the box names none."""
        faces = self.info.get("face_ids")
        return max(len(faces) - 1, 0) if isinstance(faces, list) else 0


@dataclass(frozen=True, slots=True)
class BoxDevice:
    """A device of the box; `address` and `device_key` of `fields` are in one spelling (contract.addresses), the other
    fields are as the box answered them."""

    name: str
    address: str
    fields: Mapping[str, Any]


Read = tuple[Sequence[T], Sequence[LeftOut]]
"""The entries of a list that could be read, and those that could not."""


def groups_of(answer: Mapping[str, Any]) -> Read[Named]:
    """Return the groups of an answer to GET groups.

    Raises:
        BadAnswer: the answer has no list of groups.
    """
    return _read(answer, "groups_list", "group", _named)


def permissions_of(answer: Mapping[str, Any]) -> Read[Named]:
    """Return the permissions of an answer to GET permissions.

    Raises:
        BadAnswer: the answer has no list of permissions.
    """
    return _read(answer, "permissions_list", "permission", _named)


def identified_of(answer: Mapping[str, Any], name: str) -> Sequence[Identified]:
    """Return the groups or permissions of that very name in an answer of the calls that answer ids.

    Raises:
        BadAnswer: the answer has no list.
    """
    entries = answer.get("data")
    if not isinstance(entries, list):
        raise BadAnswer("it has no list `data`")
    infos = [(entry, entry.get("info")) for entry in entries if isinstance(entry, dict)]
    found = ((entry.get("_id"), info) for entry, info in infos if isinstance(info, dict) and info.get("name") == name)
    return tuple(
        Identified(one, _text(info.get("description")), _free(info))
        for one, info in found
        if isinstance(one, str) and one
    )


def people_of(answer: Mapping[str, Any]) -> Read[BoxPerson]:
    """Return the people of an answer to GET users.

    Raises:
        BadAnswer: the answer has no list of people.
    """
    return _read(answer, "identities_list", "person", _person)


def devices_of(answer: Mapping[str, Any]) -> Read[BoxDevice]:
    """Return the devices of an answer to GET Devices.

    Raises:
        BadAnswer: the answer has no list of devices.
    """
    return _read(answer, "devices_list", "device", _device)


def _read(answer: Mapping[str, Any], name: str, kind: Kind, read: Callable[[Mapping[str, Any]], T]) -> Read[T]:
    data = answer.get("data")
    entries = data.get(name) if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise BadAnswer(f"it has no list `{name}`")
    good: list[T] = []
    bad: list[LeftOut] = []
    for number, entry in enumerate(entries, 1):
        try:
            if not isinstance(entry, dict):
                raise BadAnswer("the box's entry is no object")
            good.append(read(entry))
        except BadAnswer as error:
            bad.append(LeftOut(kind, _label(entry, number), str(error)))
    return good, bad


def _label(entry: object, number: int) -> str:
    known = entry if isinstance(entry, dict) else {}
    texts = (known.get(key) for key in ("identity_id", "name", "groupname", "device_name"))
    return next((text for text in texts if isinstance(text, str) and text), f"entry {number} of a page")


def _named(entry: Mapping[str, Any]) -> Named:
    name = entry.get("name") or entry.get("groupname")
    if not isinstance(name, str) or not name:
        raise BadAnswer("the box's entry has no name")
    description, box_id = entry.get("description"), entry.get("group_id")
    return Named(name, _text(description), _text(box_id) or None)


def _person(entry: Mapping[str, Any]) -> BoxPerson:
    identity_id, info, groups = entry.get("identity_id"), entry.get("info"), entry.get("group_name")
    if not isinstance(identity_id, str) or not identity_id:
        raise BadAnswer("the box's entry has no identity_id")
    if not isinstance(info, dict):
        raise BadAnswer("the box's entry has no info")
    if not isinstance(info.get("permission_ids"), list | NoneType):
        raise BadAnswer("the box's entry has an info.permission_ids that is no list")
    listed = groups.split(",") if isinstance(groups, str) else groups if isinstance(groups, list) else []
    names = tuple(dict.fromkeys(name for name in listed if isinstance(name, str) and name))
    image_id = info.get("image_id")
    in_no_group = not names and isinstance(groups, str | list)
    return BoxPerson(identity_id, names, info, _text(entry.get("reg_photo")), _text(image_id), in_no_group)


def _device(entry: Mapping[str, Any]) -> BoxDevice:
    address = entry.get("device_key")
    if not isinstance(address, str) or not address:
        raise BadAnswer("the box's entry has no device_key")
    known = device_address(_text(entry.get("device_type")) or PHOTO_DEVICE, address)
    return BoxDevice(_text(entry.get("device_name")) or known, known, {**entry, "device_key": known})


def _free(info: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in info.items() if name not in ("name", "description") and value is not None}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
