"""The calls: one module per kind. Everything that lists kinds, outcomes, stages or event types takes them from here.

To add a kind: its request and answer in contract.messages, its module here, and its instance in `CALLS`.
"""

from collections.abc import Mapping
from typing import Any

from contract.messages import Request
from engine.calls.call import Call, Change, Query
from engine.calls.compare import CompareCall
from engine.calls.delete import DeleteCall
from engine.calls.enrol import EnrolCall
from engine.calls.fiqa import FiqaCall
from engine.calls.match import MatchCall
from engine.calls.unreadable import UnreadableCall

UNREADABLE = UnreadableCall()

CALLS: tuple[Call[Any, Any], ...] = (MatchCall(), EnrolCall(), DeleteCall(), CompareCall(), FiqaCall(), UNREADABLE)

KINDS: Mapping[type, Call[Any, Any]] = {call.request_type: call for call in CALLS}

EVENT_KINDS: tuple[str, ...] = tuple(call.kind for call in CALLS)
OUTCOMES: tuple[str, ...] = tuple(dict.fromkeys(outcome for call in CALLS for outcome in call.outcomes))

STAGES: tuple[str, ...] = ("decode", *(call.kind for call in CALLS if call is not UNREADABLE), "emit")
"""Where a request can become a dead letter: while its record is read, in its call, or while its event is made."""


def call_of(request: Request) -> Call[Any, Any]:
    """The call that a request asks for."""
    return KINDS[type(request)]


__all__ = ["CALLS", "EVENT_KINDS", "KINDS", "OUTCOMES", "STAGES", "UNREADABLE", "Call", "Change", "Query", "call_of"]
