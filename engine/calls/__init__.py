"""The calls: one module per kind of call. Lists of outcomes come from this package, kinds and stages from
contract.kinds.

To add a kind, define its request (contract.requests, contract.site_requests) and its answer (contract.answers), write
its module in this package, and add its instance to `CALLS`.
"""

from collections.abc import Mapping
from typing import Any

from contract.requests import Request
from engine.calls.call import Call, Change, Query
from engine.calls.compare import CompareCall
from engine.calls.delete import DeleteCall
from engine.calls.detect import DetectCall
from engine.calls.devices import DevicesCall
from engine.calls.enrol import EnrolCall
from engine.calls.fiqa import FiqaCall
from engine.calls.group import GroupCall
from engine.calls.importing import ImportCall
from engine.calls.key import KeyCall
from engine.calls.match import MatchCall
from engine.calls.members import MembersCall
from engine.calls.permission import PermissionCall
from engine.calls.reembed import ReembedCall
from engine.calls.settings import SettingsCall
from engine.calls.stranger import StrangerCall
from engine.calls.unreadable import UnreadableCall
from engine.calls.wipe import WipeCall

UNREADABLE = UnreadableCall()

CALLS: tuple[Call[Any, Any], ...] = (
    MatchCall(),
    EnrolCall(),
    DeleteCall(),
    StrangerCall(),
    CompareCall(),
    FiqaCall(),
    DetectCall(),
    DevicesCall(),
    KeyCall(),
    SettingsCall(),
    WipeCall(),
    GroupCall(),
    MembersCall(),
    PermissionCall(),
    ReembedCall(),
    ImportCall(),
    UNREADABLE,
)

KINDS: Mapping[type, Call[Any, Any]] = {call.request_type: call for call in CALLS}

OUTCOMES: tuple[str, ...] = tuple(dict.fromkeys(outcome for call in CALLS for outcome in call.outcomes))
"""All outcomes of events of this version."""


def call_of(request: Request) -> Call[Any, Any]:
    """Return the call of a request's kind."""
    return KINDS[type(request)]


__all__ = ["CALLS", "KINDS", "OUTCOMES", "UNREADABLE", "Call", "Change", "Query", "call_of"]
