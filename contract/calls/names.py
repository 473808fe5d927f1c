"""The rules of the names of people, devices, groups and permissions. Pure."""

import ipaddress
import re
from typing import Any

from contract.addresses import canonical_address
from contract.calls.rules import MISLEADING, Rule, param_error, string
from contract.errors import Code, Refused
from contract.people.keys import parse_image_id
from contract.text import misleads, steers

MAX_SCOPE_NAME_CHARS = 64
MAX_IDENTITY_CHARS = 64
MAX_DEVICE_CHARS = 255
MAX_PERMISSIONS = 100

_HOST_LIKE = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_IP_CHARACTERS = re.compile(r"[0-9A-Za-z.:%_-]+")
_WHITE_SPACE = " \t\r\n"
_SCOPE_CODES = (Code.PARAM_ERROR, Code.GROUP_NAME_ERROR)


def _group_error(message: str) -> Refused:
    return Refused(Code.GROUP_NAME_ERROR, message)


def _scope_name(value: Any, field: str) -> str:
    text = string(value, field)
    name = text.strip()
    if not name:
        raise _group_error(f"{field} must not be empty")
    if len(name) > MAX_SCOPE_NAME_CHARS or "," in name or misleads(text.strip(_WHITE_SPACE)):
        raise _group_error(f"{field} must have at most {MAX_SCOPE_NAME_CHARS} characters, no comma and no {MISLEADING}")
    return name


def _group_names(value: Any, field: str) -> tuple[str, ...]:
    names = tuple(_scope_name(part, field) for part in string(value, field).split(","))
    if len(set(names)) != len(names):
        raise _group_error(f"{field} names a group twice")
    return names


def _permission_ids(value: Any, field: str) -> list[str]:
    if not isinstance(value, list) or len(value) > MAX_PERMISSIONS or not all(isinstance(item, str) for item in value):
        raise param_error(f"{field} must be a list of at most {MAX_PERMISSIONS} strings")
    return list(dict.fromkeys(_scope_name(item, field) for item in value))


def _identity_id(value: Any, field: str) -> str:
    return _bounded(string(value, field), field, misleading=misleads(string(value, field)))


def _enrolled_id(value: Any, field: str) -> str:
    return _bounded(string(value, field), field, misleading=steers(string(value, field)))


def _bounded(identity_id: str, field: str, *, misleading: bool) -> str:
    if misleading or "/" in identity_id or not 1 <= len(identity_id) <= MAX_IDENTITY_CHARS:
        raise param_error(f"{field} must have 1 to {MAX_IDENTITY_CHARS} characters, no / and no {MISLEADING}")
    return identity_id


def _enrolled_ids(value: Any, field: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise param_error(f"{field} must be a list of at least one string")
    return tuple(dict.fromkeys(_enrolled_id(item, field) for item in value))


def _image_id(value: Any, field: str) -> tuple[str, int]:
    parsed = parse_image_id(string(value, field))
    if parsed is None:
        raise Refused(Code.ID_NOT_FOUND, f"no photo has this {field}")
    return parsed


def _device(value: Any, field: str) -> str:
    name = string(value, field).strip()
    if len(name) > MAX_DEVICE_CHARS or not (_HOST_LIKE.fullmatch(name) or _is_address(name)):
        raise param_error(f"{field} must be an IP address or a host name of 1 to {MAX_DEVICE_CHARS} characters")
    return canonical_address(name)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return _IP_CHARACTERS.fullmatch(text) is not None


_NAME_SCHEMA = {"type": "string", "maxLength": MAX_SCOPE_NAME_CHARS, "pattern": "^[^,]*$"}
_ID_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_IDENTITY_CHARS, "pattern": "^[^/]*$"}

SCOPE_NAME = Rule(word="string", check=_scope_name, schema=_NAME_SCHEMA, codes=_SCOPE_CODES)
"""The name of one group or permission; blanks around the name are removed."""
GROUP_NAMES = Rule(word="string", check=_group_names, schema={"type": "string"}, codes=_SCOPE_CODES)
"""Several names of groups, comma-separated."""
PERMISSION_IDS = Rule(
    word="list of string",
    check=_permission_ids,
    schema={"type": "array", "items": _NAME_SCHEMA, "maxItems": MAX_PERMISSIONS},
    codes=_SCOPE_CODES,
    empty_is_absent=False,
)
"""Permissions; an empty list is no permission."""
IDENTITY_ID = Rule(word="string", check=_identity_id, schema=_ID_SCHEMA, empty_is_absent=False)
"""The identity_id of a person to be enrolled: 1 to 64 characters without "/", which separates the parts of the log's
keys, and without misleading characters (contract.text)."""
ENROLLED_ID = Rule(word="string", check=_enrolled_id, schema=_ID_SCHEMA, empty_is_absent=False)
"""The identity_id of a person who may be enrolled already. Earlier versions accepted characters that reverse the
direction of writing, and these people must still be found and deleted."""
ENROLLED_IDS = Rule(
    word="list of string",
    check=_enrolled_ids,
    schema={"type": "array", "items": _ID_SCHEMA, "minItems": 1},
    empty_is_absent=False,
)
"""Several identity_ids of people who may be enrolled already; repeated ones count once."""
IMAGE_ID = Rule(
    word="string", check=_image_id, schema={"type": "string"}, codes=(Code.ID_NOT_FOUND,), empty_is_absent=False
)
"""The name of the photo of an enrolled face; the checked value is a pair: the identity_id and the face number."""
DEVICE = Rule(word="string", check=_device, schema={"type": "string", "maxLength": MAX_DEVICE_CHARS})
"""An IPv4 or IPv6 address or a host-like name; the checked value is in one spelling (contract.addresses)."""
