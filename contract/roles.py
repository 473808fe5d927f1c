"""The roles of callers: what a caller may do at most. Pure."""

from typing import Literal, get_args

Role = Literal["device", "operator", "administrator"]
"""`device`: calls that judge pictures. `operator`: also people, groups, permissions, devices and events.
`administrator`: also settings, API keys, erasure and replays."""

ROLES: tuple[Role, ...] = get_args(Role)
"""The roles; each may do everything that the roles before it may do."""


def includes(role: Role, least: Role) -> bool:
    """Return whether a caller with a role may make the calls for which `least` is the least role."""
    return ROLES.index(role) >= ROLES.index(least)
