"""The kinds of request, derived from the request types. Events, metrics and dead letters contain these names, and
commands offer them as options."""

from typing import get_args

from contract.requests import Request

REQUEST_TYPES: tuple[type, ...] = get_args(Request)


def kind_of(request_type: type) -> str:
    """Return the kind of a request type: the tag in its messages."""
    kind: str = request_type.__struct_config__.tag  # type: ignore[attr-defined]  # every request is a msgspec.Struct
    return kind


UNREADABLE_KIND = "unreadable"
"""The kind of a record that contains no request."""

ERASE_KIND = "erase"
"""The kind of the event that records the erasure of a person; a command writes it, not a processor."""

REPAIR_KIND = "repair"
RESTORE_KIND = "restore"
LOG_KINDS = (ERASE_KIND, REPAIR_KIND, RESTORE_KIND)
"""The kinds of audit records that commands write: those that change the log themselves, beside or without a server."""

EVENT_KINDS: tuple[str, ...] = (*map(kind_of, REQUEST_TYPES), UNREADABLE_KIND)
"""All kinds of events that processors of this version write."""

_ADMINISTRATIVE: tuple[type, ...] = tuple(t for t in REQUEST_TYPES if t.administrative)  # type: ignore[attr-defined]

ADMIN_KINDS: tuple[str, ...] = tuple(map(kind_of, _ADMINISTRATIVE))
"""The kinds of administrative request: those that change people or the site."""

PEOPLE_KINDS: tuple[str, ...] = tuple(kind_of(t) for t in _ADMINISTRATIVE if t.about_people)  # type: ignore[attr-defined]
"""The kinds of administrative request that are about people."""

SITE_KINDS: tuple[str, ...] = tuple(kind for kind in ADMIN_KINDS if kind not in PEOPLE_KINDS)
"""The kinds of administrative request that are about groups, permissions, devices, settings or API keys."""

STAGES: tuple[str, ...] = ("decode", *map(kind_of, REQUEST_TYPES), "emit")
"""The stages at which a request can become a dead letter: decoding its record, its call, or writing its event."""

MATCH_OUTCOMES: tuple[str, ...] = (
    "matched",
    "known_stranger",
    "blacklisted",
    "not_valid",
    "not_in_pass_time",
    "stranger",
    "spoof",
    "empty_group",
    "image_error",
    "no_face",
    "low_quality",
    "expired",
    "error",
)
"""The outcomes of matches, which commands offer as options."""
