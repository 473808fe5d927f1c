"""The kinds of request, taken from the request types: what events, metrics and dead letters name, and what commands
offer as options."""

from typing import get_args

from contract.messages import Request

REQUEST_TYPES: tuple[type, ...] = get_args(Request)


def kind_of(request_type: type) -> str:
    """The kind of a request type: the tag that its messages travel with."""
    kind: str = request_type.__struct_config__.tag  # type: ignore[attr-defined]  # every request is a msgspec.Struct
    return kind


UNREADABLE_KIND = "unreadable"
"""The kind of a record that is no request."""

EVENT_KINDS: tuple[str, ...] = (*map(kind_of, REQUEST_TYPES), UNREADABLE_KIND)
"""The kinds that events of this version have."""

PEOPLE_KINDS: tuple[str, ...] = tuple(kind_of(t) for t in REQUEST_TYPES if t.administrative)  # type: ignore[attr-defined]
"""The kinds of request that change people."""

STAGES: tuple[str, ...] = ("decode", *map(kind_of, REQUEST_TYPES), "emit")
"""Where a request can become a dead letter: while its record is read, in its call, or while its event is made."""
