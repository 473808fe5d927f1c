"""The list of the calls: what is derived from it, and that each call keeps to what the list says."""

from contract import requests
from contract.kinds import ADMIN_KINDS, EVENT_KINDS, MATCH_OUTCOMES, REQUEST_TYPES, STAGES
from engine.calls import CALLS, KINDS, OUTCOMES, UNREADABLE, Change, Query, call_of
from engine.calls.match import MatchCall
from engine.calls.unreadable import UnreadableRequest


def test_every_request_type_has_its_call() -> None:
    assert set(REQUEST_TYPES) | {UnreadableRequest} == set(KINDS)


def test_a_request_is_administrative_where_its_call_changes_people() -> None:
    for request_type in REQUEST_TYPES:
        call = KINDS[request_type]
        assert request_type.administrative is isinstance(call, Change)
        assert request_type.administrative is not isinstance(call, Query)


def test_kinds_are_named_once_and_stages_follow_them() -> None:
    assert sorted(EVENT_KINDS) == sorted(call.kind for call in CALLS)
    assert len(set(EVENT_KINDS)) == len(CALLS)
    assert set(ADMIN_KINDS) == {call.kind for call in CALLS if isinstance(call, Change)}
    assert set(STAGES) == {*EVENT_KINDS, "decode", "emit"} - {UNREADABLE.kind}
    assert {"matched", "spoof", "same", "measured", "deleted", "expired", "error"} <= set(OUTCOMES)


def test_the_call_of_a_request_has_its_kind() -> None:
    deletion = requests.DeleteRequest(request_id="r", identity_id="p", received_time_s=1.0)
    assert call_of(deletion).kind == "delete"


def test_the_outcomes_that_commands_offer_are_those_of_matches() -> None:
    assert sorted(MATCH_OUTCOMES) == sorted(MatchCall.outcomes)
