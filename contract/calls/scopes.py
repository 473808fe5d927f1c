"""The common parts of the declarations of groups and permissions: the fields that describe one, and lists of them."""

from dataclasses import replace
from typing import Any

from msgspec import Struct

from contract.calls.declaration import Field, flag
from contract.calls.names import SCOPE_NAME
from contract.calls.rules import Rule, free_object, line, param_error, whole
from contract.calls.shared import Pagination
from contract.http import GALLERY_VERSION_HEADER
from contract.pass_times import MAX_SPANS, read_pass_times

MAX_DESCRIPTION_CHARS = 1000
MAX_LISTED = 10_000
"""The most groups or permissions that exist at a time, since the settings allow no more, and that a list contains."""
MAX_SKIP = 1_000_000_000


class Described(Struct, frozen=True, kw_only=True):
    """A group or permission: `info` contains its `name`, its `description`, and the stored members of `info`."""

    info: dict[str, Any]


class NamedObject(Struct, frozen=True, kw_only=True, rename={"id": "_id"}):
    """A group or permission with its id, by which devices and people name it."""

    id: str
    info: dict[str, Any]


class NamedObjects(Struct, frozen=True, kw_only=True):
    """Groups or permissions in the order of their names."""

    data: list[NamedObject]
    pagination: Pagination


def _info(value: Any, field: str) -> dict[str, Any]:
    checked: dict[str, Any] = _FREE.check(value, field)
    for name in ("name", "description"):
        if name in checked:
            raise param_error(f"{field} must not contain {name}, which is a field beside it")
    return checked


def _permission_info(value: Any, field: str) -> dict[str, Any]:
    checked = _info(value, field)
    if checked.get("pass_times") is not None:
        read_pass_times(checked["pass_times"], f"{field}.pass_times")
    return checked


SCOPE_NAME_REQUIRED = replace(SCOPE_NAME, empty_is_absent=False)
"""The name of a group or permission where one must be sent: the empty name is malformed."""
VERSION_OF_CHANGE = {GALLERY_VERSION_HEADER: "The version of the gallery that contains the change."}
VERSION_OF_LIST = {GALLERY_VERSION_HEADER: "The version of the gallery that the answer describes."}

_FREE = free_object()
_TIME = {"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}
_SPAN = {
    "type": "object",
    "properties": {
        "days": {
            "type": "array",
            "items": {"type": "integer", "minimum": 1, "maximum": 7},
            "minItems": 1,
            "maxItems": 7,
        },
        "from": _TIME,
        "to": {"anyOf": [_TIME, {"const": "24:00"}]},
    },
    "required": ["days", "from", "to"],
    "additionalProperties": False,
}
_PASS_TIMES = {"type": ["array", "null"], "items": _SPAN, "minItems": 1, "maxItems": MAX_SPANS}

GROUP_INFO = Rule(word="object", check=_info, schema=_FREE.schema, empty_is_absent=False)
"""Free members of a group; a member whose value is null is removed."""
PERMISSION_INFO = Rule(
    word="object",
    check=_permission_info,
    schema={"type": "object", "properties": {"pass_times": _PASS_TIMES}},
    empty_is_absent=False,
)
"""Free members of a permission, of which `pass_times` is the weekly schedule (contract.pass_times)."""
DESCRIPTION = Field(
    "description",
    replace(line(MAX_DESCRIPTION_CHARS), empty_is_absent=False),
    f"Free text of at most {MAX_DESCRIPTION_CHARS} characters, which may be empty.",
    required=True,
    example="the day shift",
)
SEARCHED = (
    Field("info.name", SCOPE_NAME, "Only those whose name contains this text; absent: all.", example="staff"),
    flag("exact", "The name must be equal to `info.name`."),
)
"""The fields by which a list is searched for a name."""
RECURSIVE_WORDS = (
    " The answer counts the people in `people_deleted`. More than `matching.max_recursive_delete` people are refused"
    " with 40015."
)


def paged(default: int) -> tuple[Field, Field]:
    """Return the fields that select a page of a list; `default` is the number of items where none is sent."""
    return (
        Field("skip_num", whole(0, MAX_SKIP), "The number of items to skip before the page.", default=0),
        Field("limit", whole(1, MAX_LISTED), "The most items in the page.", default=default),
    )
