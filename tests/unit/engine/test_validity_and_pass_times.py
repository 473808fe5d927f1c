"""A recognised person may pass only while valid, and only in the pass times of the permission that is searched."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from contract.people.site import DeviceRecord, PermissionRecord, Site
from contract.requests import MatchRequest
from engine.calls.match import MatchCall
from engine.policy import Policy
from tests.support.faces import Enrolled, context, outcome_of, photo

WORK = {"pass_times": [{"days": [1, 2, 3, 4, 5], "from": "08:00", "to": "18:00"}]}
DOOR = DeviceRecord(
    device_id="d1",
    name="door",
    address="10.0.0.1",
    device_type="photo",
    group_id="default_group",
    permission_id="p1",
)
SITE = Site().put(PermissionRecord(permission_id="p1", name="work", info=WORK)).put(DOOR)


def at(text: str, zone: str = "UTC") -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


MONDAY, SUNDAY = "2026-11-23T", "2026-11-22T"


def matched(time_s: float, policy: Policy | None = None, info: dict[str, Any] | None = None, **fields: Any):
    """The answer and the event for a person with that info, who is recognised at that time."""
    enrolled = Enrolled()
    enrolled.people.site = SITE
    enrolled.enrol("anna", 1, info={"name": "Anna", "permission_ids": ["p1", "0"], **(info or {})})
    asked = MatchRequest(
        **{
            "request_id": "r1",
            "device_ip": "10.0.0.1",
            "picture": photo(1),
            "compare_time_s": 0.0,
            "received_time_s": time_s,
            **fields,
        }
    )
    answer, event = outcome_of(MatchCall(), asked, enrolled.people.snapshot(), context(policy))
    assert (answer.retcode == "1") is (event.outcome == "matched")
    assert (answer.retcode, answer.identity_id, answer.name) == (event.retcode, event.identity_id, event.name)
    return answer, event


@pytest.mark.parametrize(
    ("time", "outcome"),
    [
        (MONDAY + "07:59:59", "not_in_pass_time"),
        (MONDAY + "08:00", "matched"),
        (MONDAY + "17:59:59", "matched"),
        (MONDAY + "18:00", "not_in_pass_time"),
        (SUNDAY + "12:00", "not_in_pass_time"),
    ],
)
def test_a_person_passes_in_the_pass_times_of_the_devices_permission(time, outcome):
    answer, event = matched(at(time))
    assert (event.outcome, answer.identity_id, answer.name) == (outcome, "anna", "Anna")
    assert answer.identity_info["name"] == "Anna"
    assert answer.score > 0.9


def test_pass_times_are_local_times_of_the_site():
    shanghai = Policy(time_zone="Asia/Shanghai")
    assert matched(at(MONDAY + "08:00", "Asia/Shanghai"), shanghai)[1].outcome == "matched"
    assert matched(at(MONDAY + "08:00", "Asia/Shanghai"))[1].outcome == "not_in_pass_time"
    berlin = Policy(time_zone="Europe/Berlin")
    for day in ("2026-07-06T", MONDAY):
        assert matched(at(day + "08:00", "Europe/Berlin"), berlin)[1].outcome == "matched"
        assert matched(at(day + "07:59", "Europe/Berlin"), berlin)[1].outcome == "not_in_pass_time"


def test_the_time_is_that_of_the_arrival_not_the_one_that_the_device_sends():
    inside, outside = at(MONDAY + "12:00"), at(SUNDAY + "12:00")
    assert matched(inside, compare_time_s=outside)[1].outcome == "matched"
    assert matched(outside, compare_time_s=inside)[1].outcome == "not_in_pass_time"


def test_only_the_permission_of_the_scope_counts():
    night = at(MONDAY + "23:00")
    assert matched(night, device_ip="10.9.9.9")[1].outcome == "matched", "permission 0 has no schedule"
    named_group = {"group_name": "default_group"}
    assert matched(night, **named_group)[1].outcome == "not_in_pass_time", "a named group leaves the pass times"
    assert matched(night, **named_group, device_ip="10.9.9.9")[1].outcome == "matched"
    named = {"group_name": "default_group", "permission_name": "work", "device_ip": "10.9.9.9"}
    assert matched(night, **named)[1].outcome == "not_in_pass_time"


@pytest.mark.parametrize(
    ("offset_s", "outcome"),
    [(0.25, "not_valid"), (0.5, "matched"), (1, "matched"), (60, "matched"), (60.75, "matched"), (61, "not_valid")],
)
def test_a_person_passes_from_the_first_to_the_last_valid_time_to_the_fraction_of_a_second(offset_s, outcome):
    noon = at(MONDAY + "12:00")
    answer, event = matched(noon + offset_s, info={"valid_from": noon + 0.5, "valid_until": noon + 60.75})
    assert (event.outcome, answer.identity_id) == (outcome, "anna")


def test_the_blacklist_comes_before_the_validity_and_that_before_the_pass_times():
    sunday, over = at(SUNDAY + "12:00"), {"valid_until": 1}
    assert matched(sunday, info={**over, "type": 3})[1].outcome == "blacklisted"
    assert matched(sunday, info=over)[1].outcome == "not_valid"
    opens = Policy(blacklist_opens=True)
    assert matched(sunday, opens, {**over, "type": 3})[1].outcome == "not_valid"
    assert matched(at(MONDAY + "12:00"), opens, {"type": 3})[1].outcome == "matched"


def test_a_stranger_is_a_stranger_at_any_time():
    answer, event = matched(at(SUNDAY + "12:00"), picture=photo(77))
    assert (answer.retcode, answer.name, event.outcome) == ("0", "stranger", "stranger")


def test_a_withdrawn_schedule_lets_people_pass_again():
    assert SITE.pass_times("p1") is not None
    assert SITE.put(PermissionRecord(permission_id="p1", name="work")).pass_times("p1") is None
    assert (SITE.pass_times("0"), SITE.pass_times(None)) == (None, None)


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "europe"])
def test_an_unknown_time_zone_is_refused_by_name(name):
    with pytest.raises(ValueError, match="time_zone must be an IANA name"):
        Policy(time_zone=name)


def test_utc_is_the_default_time_zone():
    assert datetime.fromtimestamp(0, Policy().zone).utcoffset() == datetime.fromtimestamp(0, UTC).utcoffset()
