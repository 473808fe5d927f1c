"""The request that an event implies, when the request itself is gone."""

from typing import Any

import pytest

from capture.explaining.requests import request_of_event
from contract.people.site import DeviceRecord, GroupRecord, PermissionRecord
from contract.requests import MatchRequest
from engine.policy import Policy
from tests.support.faces import photo
from tests.support.then import Past


@pytest.fixture
def past() -> Past:
    past = Past()
    past.put(GroupRecord(group_id="g", name="gate"))
    past.put(PermissionRecord(permission_id="7", name="night"))
    past.put(
        DeviceRecord(device_id="d1", name="d", address="10.0.0.1", device_type="photo", group_id="g", permission_id="7")
    )
    past.enrol("anna", 1, group_names=("gate", "default_group"), info={"permission_ids": ["0", "7"]})
    return past


def inferred(past: Past, policy: Policy | None = None, **fields: Any) -> MatchRequest | None:
    event = past.then(photo(1), policy, **fields).event
    assert event is not None
    return request_of_event(event, past.people.site, policy or Policy())


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"device_ip": "10.0.0.2"},
        {"group_name": "gate"},
        {"group_name": "gate", "permission_name": "night"},
        {"by_permission": True},
        {"by_permission": True, "permission_name": "0"},
        {"by_permission": True, "permission_name": "night", "group_name": "default_group"},
        {"group_name": "default_group", "device_ip": None},
    ],
)
def test_the_inferred_request_leads_to_the_same_event(past: Past, fields: dict[str, Any]) -> None:
    request = inferred(past, **fields)
    assert request is not None
    before = past.then(photo(1), **fields).event
    again = past.then(
        photo(1),
        device_ip=request.device_ip,
        group_name=request.group_name,
        permission_name=request.permission_name,
        by_permission=request.by_permission,
    ).event
    assert before is not None
    assert again is not None
    assert (again.scope, again.threshold, again.outcome) == (before.scope, before.threshold, before.outcome)


def test_a_stranger_who_is_named_was_asked_for(past: Past) -> None:
    policy = Policy(allow_keep_info=True)
    event = past.then(photo(77), policy, need_keep_info=True).event
    assert event is not None
    request = request_of_event(event, past.people.site, policy)
    assert request is not None
    assert request.need_keep_info


def test_a_refused_device_is_inferred_and_a_refused_name_is_not(past: Past) -> None:
    assert inferred(past, Policy(unknown_device="reject"), device_ip="10.0.0.9") is not None
    assert inferred(past, group_name="nowhere") is not None, "the event has the name that was refused"
