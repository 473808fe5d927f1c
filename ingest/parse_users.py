"""The bodies and queries of the people calls, from bytes to typed requests. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from contract.errors import Code, Refused
from contract.messages import EnrolRequest
from contract.text import misleads, steers
from ingest.fields import MISLEADING, Fields, checked_scope_name, param_error, read_object

ENROL_FIELDS = frozenset(
    {
        "create_no_exit_permission",
        "feature",
        "fiqa_level",
        "group_name",
        "identity_id",
        "ignore_exist",
        "import_mode",
        "info",
        "need_bring_pic",
        "reg_photo",
        "support_single_face",
    }
)
DELETE_FIELDS = frozenset({"identity_id", "identity_ids"})

MAX_IDENTITY_CHARS = 64
MAX_NAME_CHARS = 255
MAX_PERMISSIONS = 100
# No embedder in use makes longer vectors; the right length is the processor's to tell.
MAX_FEATURE_LENGTH = 8192
DEFAULT_PERMISSION = "0"
DEFAULT_LIMIT = 10
MAX_LIMIT = 1000
MAX_SKIP = 1_000_000_000


@dataclass(frozen=True, slots=True)
class EnrolCall:
    """A checked POST or PUT. `request.photo` is still to be filled from `photo_base64`."""

    request: EnrolRequest
    photo_base64: str | None
    unknown_fields: int


@dataclass(frozen=True, slots=True)
class DeleteCall:
    """A checked DELETE; `many` when the body named a list."""

    identity_ids: tuple[str, ...]
    many: bool
    unknown_fields: int


@dataclass(frozen=True, slots=True)
class ListCall:
    """A checked GET: one person, or a page of a group (None: of everybody)."""

    identity_id: str | None
    group_name: str | None
    limit: int
    skip: int
    with_photos: bool


def parse_enrol(
    body: bytes | bytearray, *, update: bool, request_id: str, received_time_s: float, max_values: int
) -> EnrolCall:
    """Check the body of a POST (`update` False) or a PUT.

    Raises:
        Refused: the row of the error table.
    """
    fields = Fields(read_object(body, max_values))
    identity_id = checked_identity_id(fields.raw("identity_id"))
    import_mode = fields.flag("import_mode")
    photo = fields.text("reg_photo") or None
    feature = _feature(fields.raw("feature")) if import_mode else None
    if import_mode and feature is None:
        raise param_error("import_mode needs feature")
    if not update and photo is None and feature is None:
        hint = (
            "set import_mode to true to import the feature" if fields.raw("feature") else "or import_mode with feature"
        )
        raise param_error(f"reg_photo is needed, {hint}")
    request = EnrolRequest(
        request_id=request_id,
        identity_id=identity_id,
        received_time_s=received_time_s,
        update=update,
        group_names=fields.scope_names("group_name"),
        feature=feature,
        info=_info(fields.free_object("info")),
        ignore_exist=fields.flag("ignore_exist"),
        support_single_face=fields.flag("support_single_face"),
        need_bring_pic=fields.flag("need_bring_pic", default=True),
        create_no_exit_permission=fields.flag("create_no_exit_permission"),
        quality_level=fields.quality_level("fiqa_level"),
    )
    return EnrolCall(request, photo, fields.unknown(ENROL_FIELDS))


def parse_delete(body: bytes | bytearray, *, max_people: int, max_values: int) -> DeleteCall:
    """Check the body of a DELETE.

    Raises:
        Refused: the row of the error table.
    """
    fields = Fields(read_object(body, max_values))
    unknown = fields.unknown(DELETE_FIELDS)
    one, many = fields.raw("identity_id"), fields.raw("identity_ids")
    if (one is None) == (many is None):
        raise param_error("either identity_id or identity_ids is needed")
    if many is None:
        return DeleteCall((checked_identity_id(one, enrolled=True),), many=False, unknown_fields=unknown)
    if not isinstance(many, list) or not 1 <= len(many) <= max_people:
        raise param_error(f"identity_ids must be a list of 1 to {max_people} strings")
    identity_ids = dict.fromkeys(checked_identity_id(item, "identity_ids", enrolled=True) for item in many)
    return DeleteCall(tuple(identity_ids), many=True, unknown_fields=unknown)


def parse_list(query: Mapping[str, str]) -> ListCall:
    """Check the query of a GET.

    Raises:
        Refused: the row of the error table.
    """
    identity_id, group_name = query.get("identity_id"), query.get("group_name")
    with_photos = query.get("need_bring_pic", "true").lower()
    if with_photos not in {"true", "false"}:
        raise Refused(Code.BOOLEAN_ARGUMENT_ERROR, "need_bring_pic must be true or false")
    return ListCall(
        identity_id=None if identity_id is None else checked_identity_id(identity_id, enrolled=True),
        group_name=None if group_name is None else checked_scope_name(group_name, "group_name"),
        limit=_query_number(query, "limit", DEFAULT_LIMIT, 1, MAX_LIMIT),
        skip=_query_number(query, "skip_num", 0, 0, MAX_SKIP),
        with_photos=with_photos == "true",
    )


def checked_identity_id(value: Any, field: str = "identity_id", *, enrolled: bool = False) -> str:
    """An identity_id: 1 to 64 characters without those that mislead and without "/", which divides the log's keys.

    `enrolled`: it names somebody who may be enrolled under it already. Former versions took characters that turn the
    direction of writing, and whoever is enrolled can be looked up and deleted.

    Raises:
        Refused: 40071.
    """
    if value is None:
        raise param_error(f"{field} is needed")
    if not isinstance(value, str):
        raise param_error(f"{field} must be a string")
    if not 1 <= len(value) <= MAX_IDENTITY_CHARS or "/" in value or (steers if enrolled else misleads)(value):
        raise param_error(f"{field} must have 1 to {MAX_IDENTITY_CHARS} characters, no / and no {MISLEADING}")
    return value


def _feature(value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    error = Refused(Code.BAD_FEATURE_ERROR, f"feature must be a list of 1 to {MAX_FEATURE_LENGTH} finite numbers")
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_FEATURE_LENGTH:
        raise error
    if any(isinstance(item, bool) or not isinstance(item, int | float) for item in value):
        raise error
    feature = tuple(map(float, value))
    if not all(map(math.isfinite, feature)):
        raise error
    return feature


def _info(values: dict[str, Any] | None) -> dict[str, Any] | None:
    """The info object, its three known fields checked. Defaults are the processor's: it knows if the person exists."""
    if values is None:
        return None
    fields = Fields(values, "info")
    known = {
        "name": fields.line("name", MAX_NAME_CHARS),
        "type": fields.whole("type", 1, 5),
        "permission_ids": _permission_ids(fields),
    }
    free = {name: value for name, value in values.items() if name not in known}
    return {**{name: value for name, value in known.items() if value is not None}, **free}


def _permission_ids(fields: Fields) -> list[str] | None:
    value = fields.raw("permission_ids")
    if value is None:
        return None
    name = fields.name("permission_ids")
    if not isinstance(value, list) or len(value) > MAX_PERMISSIONS or not all(isinstance(item, str) for item in value):
        raise param_error(f"{name} must be a list of at most {MAX_PERMISSIONS} strings")
    if not value:
        return [DEFAULT_PERMISSION]
    return list(dict.fromkeys(checked_scope_name(item, name) for item in value))


def _query_number(query: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and low <= int(text) <= high):
        raise param_error(f"{name} must be a whole number from {low} to {high}")
    return int(text)
