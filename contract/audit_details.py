"""The details of audit records: plain values that say what a request asked for and what came of it, in bounded size.

Details contain names of fields and settings that this program knows, flags, roles and counts. They contain no value of
an info, a setting or a picture, and no name that the caller chose for a member of an info or a setting, so that nothing
biometric and nothing secret can get into the audit topic, and nothing that a caller can make long.
"""

from collections import Counter
from collections.abc import Iterator, Mapping

import msgspec
from msgspec import structs

from contract.answers import (
    Answer,
    DevicesAnswer,
    GroupAnswer,
    ImportedAnswer,
    KeyAnswer,
    MembersAnswer,
    PermissionAnswer,
    PersonAnswer,
    ReembeddedAnswer,
    SettingsAnswer,
    WipedAnswer,
)
from contract.people.records import HELD_INFO
from contract.site_requests import DevicesRequest, KeyRequest, WipeRequest
from contract.site_settings import SITE_SETTINGS

Detail = bool | int | str | tuple[str, ...]

_NAMED_ELSEWHERE = frozenset(
    {"request_id", "received_time_s", "identity_id", "identity_ids", "update", "action", "name", "group_name"}
    | {"permission_id", "devices", "values", "role", "sha256", "faces", "people"}
    | {"match_id", "match_partition", "match_offset", "picture", "group_id", "cosine", "compare_time_s"}
    | {"compare_time_raw", "device_ip", "ordered_by"}
)
"""The fields of requests that are other members of the audit record, or whose detail is made below."""

_KNOWN_INFO = frozenset({*HELD_INFO, "pass_times"})
"""The members of an info that have a meaning here; callers choose the names of all others."""


def details_of(request: object, answer: Answer | None) -> dict[str, Detail]:
    """Return the details of an administrative request and of its answer (None, or any other answer: it was refused).

    `fields` are the names of the fields that the request contains, of a known member of an info `info.NAME`;
    `other_info` is the number of the other members. A flag that is not at its default value is a detail of its own.
    """
    details: dict[str, Detail] = {"fields": tuple(dict.fromkeys(_fields(request))), **_flags(request)}
    info = getattr(request, "info", None) or {}
    if others := info.keys() - _KNOWN_INFO:
        details["other_info"] = len(others)
    match request:
        case WipeRequest():
            details["users"] = True
        case KeyRequest(action="create"):
            details["role"] = request.role
    return {name: value for name, value in (details | _outcome(answer)).items() if value != ()}


def _fields(request: object) -> Iterator[str]:
    parts = (request, *request.devices) if isinstance(request, DevicesRequest) else (request,)
    for part in parts:
        inner = part is not request
        for name, value, default in _members(part):
            if isinstance(value, bool) or value == default:
                continue
            if name == "info" and isinstance(value, Mapping):
                yield from (f"info.{member}" for member in value if member in _KNOWN_INFO)
            elif inner or name not in _NAMED_ELSEWHERE:
                yield name


def _flags(request: object) -> dict[str, Detail]:
    return {
        name: value
        for name, value, default in _members(request)
        if isinstance(value, bool) and value is not default and name not in _NAMED_ELSEWHERE
    }


def _members(part: object) -> Iterator[tuple[str, object, object]]:
    """Yield name, value and default value of each field of a message."""
    if isinstance(part, msgspec.Struct):
        for field in structs.fields(part):
            yield field.name, getattr(part, field.name), field.default


def _outcome(answer: Answer | None) -> dict[str, Detail]:
    match answer:
        case GroupAnswer() | PermissionAnswer():
            return {"people_deleted": answer.people_deleted} if answer.people_deleted else {}
        case PersonAnswer():
            return {"lookalikes": len(answer.lookalikes)} if answer.lookalikes else {}
        case MembersAnswer():
            return {"unknown": len(answer.failed)} if answer.failed else {}
        case DevicesAnswer():
            return {"failed": len(answer.failed)} if answer.failed else {}
        case SettingsAnswer():
            known = tuple(name for name in answer.failed if name in SITE_SETTINGS)
            others = len(answer.failed) - len(known)
            details: dict[str, Detail] = {"set": tuple(answer.values), "not_set": known}
            return details | ({"other_settings": others} if others else {})
        case ReembeddedAnswer():
            return dict(sorted(Counter(answer.outcomes).items()))
        case ImportedAnswer():
            counts = {"added": answer.added, "present": len(answer.present), "failed": len(answer.failed)}
            return {name: count for name, count in counts.items() if count}
        case WipedAnswer():
            return {"people_deleted": answer.people, "devices_deleted": answer.devices}
        case KeyAnswer():
            return {"role": answer.role, "key_id": answer.key_id}
    return {}
