"""Why a person would pass at a device or not: the same as what a match decides, check by check."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from contract.codec import encode
from contract.people.keys import person_key, site_key
from contract.people.site import DeviceRecord, GroupRecord, PermissionRecord, Site, site_key_of
from engine.access import Check, explain
from engine.calls.match import MatchCall
from engine.gallery.people import People, Snapshot
from engine.gallery.port import Scope
from engine.policy import Policy
from tests.support.faces import MODELS, Enrolled, Entry, context, photo
from tests.unit.engine.test_scope import asked

MONDAY_NINE = datetime(2026, 11, 23, 9, tzinfo=UTC).timestamp()
DAY = [{"days": [1, 2, 3, 4, 5], "from": "08:00", "to": "18:00"}]
PICTURE = photo(1)


def site(group_id: str = "g1", permission_id: str = "p1", pass_times: Any = None, device: bool = True) -> Site:
    info = {} if pass_times is None else {"pass_times": pass_times}
    built = Site().put(GroupRecord(group_id="g1", name="staff"))
    built = built.put(PermissionRecord(permission_id="p1", name="day", info=info))
    if not device:
        return built
    return built.put(
        DeviceRecord(
            device_id="d1",
            name="Door",
            address="10.0.0.1",
            device_type="photo",
            group_id=group_id,
            permission_id=permission_id,
        )
    )


def town(groups: tuple[str, ...], info: dict[str, Any], built: Site) -> People:
    enrolled = Enrolled()
    enrolled.enrol("anna", 1, info={"name": "Anna"})
    person = enrolled.people.person("anna")
    assert person is not None
    objects = [*built.groups.values(), *built.permissions.values(), *built.devices.values()]
    enrolled.write(
        [
            (person_key("anna"), encode(structs.replace(person, group_ids=groups, info=info))),
            *((site_key(site_key_of(each)), encode(each)) for each in objects),
        ]
    )
    return enrolled.people


def checks(
    people: People,
    policy: Policy | None = None,
    *,
    who: str = "anna",
    device: str = "10.0.0.1",
    at: float = MONDAY_NINE,
) -> dict[str, Check]:
    found = explain(who, device, at, people, policy or Policy(), MODELS.embedder_identity)
    return {check.name: check for check in found}


def failing(found: dict[str, Check]) -> list[str]:
    return [name for name, check in found.items() if not check.passes]


GOOD = {"name": "Anna", "permission_ids": ["p1"]}


def test_everything_that_a_match_checks_is_said_in_a_sentence_each() -> None:
    found = checks(town(("g1",), GOOD, site(pass_times=DAY)))
    assert {name: check.sentence for name, check in found.items()} == {
        "device": "the device 10.0.0.1 (Door) is registered, and searches the group staff with the permission day",
        "enrolled": "anna (Anna) is enrolled",
        "face": "1 of 1 faces can be compared with pictures",
        "group": "the person is in the group staff",
        "permission": "the person has the permission day",
        "stranger": "the person is not of the type stranger",
        "type": "the person is not on the blacklist",
        "validity": "the person is valid on Monday 2026-11-23 09:00 (UTC)",
        "pass times": "the pass times of the permission day include Monday 2026-11-23 09:00 (UTC)",
    }
    assert failing(found) == []


@pytest.mark.parametrize(
    ("change", "fails"),
    [
        ({"groups": ("default_group",)}, ["group"]),
        ({"groups": ()}, ["group"]),
        ({"info": {"permission_ids": ["0"]}}, ["permission"]),
        ({"info": {**GOOD, "type": 3}}, ["type"]),
        ({"info": {**GOOD, "type": 4}}, ["stranger"]),
        ({"info": {**GOOD, "valid_until": MONDAY_NINE - 1}}, ["validity"]),
        ({"info": {**GOOD, "valid_from": MONDAY_NINE + 1}}, ["validity"]),
        ({"info": {**GOOD, "valid_until": MONDAY_NINE}}, []),
        ({"built": site(pass_times=[{"days": [7], "from": "00:00", "to": "24:00"}])}, ["pass times"]),
        ({"built": site(group_id="gone")}, ["device"]),
        ({"built": site(device=False)}, ["group", "permission"]),
        ({"groups": (), "info": {"type": 3, "valid_until": 1}}, ["group", "permission", "type", "validity"]),
    ],
)
def test_each_reason_is_named_and_all_that_apply_are(change: dict[str, Any], fails: list[str]) -> None:
    given_ = {"groups": ("g1",), "info": GOOD, "built": site(), **change}
    assert failing(checks(town(**given_))) == fails


def test_the_time_zone_of_the_pass_times_is_that_of_the_settings() -> None:
    people = town(("g1",), GOOD, site(pass_times=[{"days": [1], "from": "10:00", "to": "11:00"}]))
    assert failing(checks(people)) == ["pass times"]
    assert failing(checks(people, Policy(time_zone="Europe/Berlin"))) == []


def test_an_unknown_device_is_refused_where_the_settings_say_so() -> None:
    people = town(("default_group",), {}, site())
    assert failing(checks(people, device="10.9.9.9")) == []
    refused = checks(people, Policy(unknown_device="reject"), device="10.9.9.9")
    assert failing(refused) == ["device"]
    assert "this device is not registered" in refused["device"].sentence


def test_a_person_is_found_by_id_and_then_by_a_name_that_only_one_has() -> None:
    people = town(("g1",), GOOD, site())
    assert failing(checks(people, who="Anna")) == []
    assert failing(checks(people, who="anna ")) == ["enrolled"]
    enrolled = Enrolled()
    enrolled.enrol("a", 1, info={"name": "Anna"})
    enrolled.enrol("b", 2, info={"name": "Anna"})
    assert checks(enrolled.people, who="Anna")["enrolled"].sentence == "2 people have the name Anna; give an id"


def test_a_face_of_another_embedder_cannot_be_compared() -> None:
    people = town(("g1",), GOOD, site())
    found = {check.name: check for check in explain("anna", "10.0.0.1", 0.0, people, Policy(), "another")}
    assert failing(found) == ["face"]
    assert "none of the 1 faces is of the network in use" in found["face"].sentence


def test_a_record_that_cannot_be_read_is_named_because_every_match_is_refused() -> None:
    people = town(("g1",), GOOD, site())
    people.apply([Entry(b"person/ben", b"\xc1", 99, damaged=True)])
    assert failing(checks(people)) == ["records"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    groups=st.lists(st.sampled_from(["g1", "default_group", "gone"]), unique=True),
    permissions=st.lists(st.sampled_from(["p1", "0", "gone"]), unique=True),
    person_type=st.integers(1, 5),
    bounds=st.tuples(*[st.none() | st.sampled_from([0, MONDAY_NINE - 1, MONDAY_NINE, MONDAY_NINE + 1])] * 2),
    device=st.tuples(st.sampled_from(["g1", "default_group", "gone"]), st.sampled_from(["p1", "0", "gone"])),
    pass_times=st.sampled_from([None, DAY, [{"days": [7], "from": "00:00", "to": "24:00"}]]),
    policy=st.builds(
        Policy, blacklist_opens=st.booleans(), time_zone=st.sampled_from(["UTC", "Asia/Tokyo", "America/New_York"])
    ),
    at=st.integers(0, 7 * 24 - 1).map(lambda hour: MONDAY_NINE + 3600.0 * hour),
)
def test_all_checks_pass_exactly_where_a_match_would_open_the_door(
    groups: list[str],
    permissions: list[str],
    person_type: int,
    bounds: tuple[float | None, float | None],
    device: tuple[str, str],
    pass_times: Any,
    policy: Policy,
    at: float,
) -> None:
    info: dict[str, Any] = {"permission_ids": permissions, "type": person_type}
    info |= {
        name: bound for name, bound in zip(("valid_from", "valid_until"), bounds, strict=True) if bound is not None
    }
    people = town(tuple(groups), info, site(*device, pass_times=pass_times))
    snapshot: Snapshot = people.snapshot()
    outcome = MatchCall().decide(asked(PICTURE, received_time_s=at), snapshot, context(policy)).outcome
    assert (outcome == "matched") == (not failing(checks(people, policy, at=at)))
    person = people.person("anna")
    assert person is not None
    scope = Scope(*device)
    in_scope = snapshot.gallery.count(scope) == 1
    assert in_scope == (scope.has_group(person) and scope.has_permission(person))
