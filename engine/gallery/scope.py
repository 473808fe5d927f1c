"""Resolves the group, permission and device of a request to the scope of its search."""

from contract.errors import Code, Refused
from contract.messages import MatchRequest
from contract.terms import DEFAULT_GROUP
from engine.gallery.port import Scope
from engine.policy import Policy


def resolve_scope(request: MatchRequest, policy: Policy) -> Scope:
    """Return the scope of the search of a request.

    Raises:
        Refused: the group, the permission or the device does not exist.
    """
    if request.group_name not in (None, DEFAULT_GROUP) or request.permission_name is not None:
        raise Refused(
            Code.GROUP_NAME_ERROR,
            f"no such group or permission: in this version there is only the group {DEFAULT_GROUP}, and no permission",
        )
    if request.group_name is None and policy.unknown_device == "reject":
        raise Refused(Code.DEVICE_ID_NOT_FOUND, "this device is not registered")
    return Scope(DEFAULT_GROUP)
