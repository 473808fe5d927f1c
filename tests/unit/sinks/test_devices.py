"""What the events of matches show of each device."""

from typing import Any

import pytest
from msgspec import structs

from broker.port import Position
from contract.events import Event, EventScope, decode_event, encode_event
from contract.findings import FaceBox, PictureSize
from contract.people.site import DeviceRecord, GroupRecord, PermissionRecord, Site
from sinks import devices as fold
from sinks.devices import Activities, DeviceRow
from tests.support.records import RECEIVED_S, event_of, match_request, no_face

HOUR = 3600.0
DOOR = DeviceRecord(
    device_id="d1", name="door", address="10.0.0.1", device_type="photo", group_id="g1", permission_id="p1"
)
SITE = (
    Site().put(GroupRecord(group_id="g1", name="staff")).put(PermissionRecord(permission_id="p1", name="day")).put(DOOR)
)


def seen(number: int = 0, address: str | None = "10.0.0.1", **changes: Any) -> Event:
    """The event of a match that arrived `number` seconds after RECEIVED_S."""
    event = event_of(match_request(number, address or ""), Position("requests", 0, number))
    return structs.replace(event, **{"device_ip": address, **changes})


def rows(*events: Event, site: Site = SITE, now_s: float = RECEIVED_S + 60, silent_after_s: float = HOUR):
    activities = Activities(site)
    for event in events:
        activities.take(event)
    return activities.rows(now_s, silent_after_s)


def row(*events: Event, **given: Any) -> DeviceRow:
    (only,) = rows(*events, **given)
    return only


def refused(number: int, outcome: str = "no_face") -> Event:
    return seen(number, **{**no_face(), "outcome": outcome})


def test_a_device_without_events_is_silent_and_has_its_group_and_permission_by_name():
    assert row() == DeviceRow(
        name="door",
        device_id="d1",
        address="10.0.0.1",
        group="staff",
        permission="day",
        last_seen=None,
        last_outcome=None,
        matches=0,
        strangers=0,
        refusals=0,
        clock_skew_s=None,
        picture_bytes=None,
        picture_pixels=None,
        face_px=None,
        quality_score=None,
        state="silent",
    )


def test_recognised_people_strangers_and_refusals_are_counted_and_the_last_is_named():
    found = row(seen(1), seen(2, outcome="blacklisted"), seen(3, outcome="stranger"), seen(4), refused(5))
    assert (found.matches, found.strangers, found.refusals) == (3, 1, 1)
    assert (found.last_seen, found.last_outcome, found.state) == (RECEIVED_S + 5, "no_face", "ok")


def test_the_last_seen_is_the_latest_arrival_whatever_the_order_of_the_events():
    found = row(seen(9), seen(4, outcome="stranger"))
    assert (found.last_seen, found.last_outcome) == (RECEIVED_S + 9, "matched")


@pytest.mark.parametrize(
    "other",
    [
        seen(1, kind="compare"),
        seen(1, address=None),
        seen(1, replay_of="r0"),
        seen(1, retry_of="r0"),
    ],
    ids=["compare", "no device", "replay", "retry"],
)
def test_only_a_match_that_a_device_asked_for_counts(other: Event):
    assert row(other).last_seen is None


def test_values_are_medians_over_the_pictures_that_have_them():
    events = [
        seen(
            number,
            compare_time=RECEIVED_S + number + skew,
            picture=PictureSize(bytes=size, width=width, height=10),
            face=FaceBox(x=0, y=0, width=face, height=200, confidence=1),
            quality_score=quality,
        )
        for number, (skew, size, width, face, quality) in enumerate(
            [(1, 1000, 10, 90, 0.9), (2, 2000, 20, 300, 0.8), (30, 9000, None, 100, None)]
        )
    ]
    found = row(*events, seen(5))
    assert (found.clock_skew_s, found.picture_bytes, found.picture_pixels) == (1.5, 2000, 150)
    assert found.face_px == 100, "the shorter side"
    assert found.quality_score == pytest.approx(0.85)


@pytest.mark.parametrize(("age_s", "state"), [(HOUR - 1, "ok"), (HOUR, "ok"), (HOUR + 1, "silent")])
def test_a_device_is_silent_after_the_given_time(age_s: float, state: str):
    assert row(seen(), now_s=RECEIVED_S + age_s).state == state
    assert row(seen(), now_s=RECEIVED_S + age_s, silent_after_s=2 * HOUR).state == "ok"


@pytest.mark.parametrize(
    ("skew_s", "state"), [(60, "ok"), (61, "clock wrong"), (-60, "ok"), (-61, "clock wrong"), (3600, "clock wrong")]
)
def test_a_clock_that_is_more_than_a_minute_off_is_wrong(skew_s: float, state: str):
    assert row(seen(compare_time=RECEIVED_S + skew_s)).state == state


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([seen(n, quality_score=0.49) for n in range(5)], "blurred"),
        ([seen(n, quality_score=0.5) for n in range(5)], "ok"),
        ([seen(n, quality_score=0.49) for n in range(4)], "ok"),
        ([refused(n) for n in range(3)] + [seen(n) for n in range(2)], "blurred"),
        ([refused(n, "low_quality") for n in range(3)] + [seen(n) for n in range(2)], "blurred"),
        ([refused(n) for n in range(3)] + [seen(n) for n in range(3)], "ok"),
        ([refused(n, "expired") for n in range(5)], "ok"),
        ([refused(n) for n in range(4)], "ok"),
    ],
)
def test_a_device_is_blurred_where_its_pictures_are_of_no_use(events: list[Event], state: str):
    assert row(*events).state == state


def test_only_the_newest_pictures_count():
    bad = [seen(n, quality_score=0.1, compare_time=RECEIVED_S - HOUR) for n in range(fold.SAMPLES)]
    good = [seen(n, quality_score=0.9) for n in range(fold.SAMPLES)]
    assert row(*bad).state == "blurred"
    found = row(*bad, *good)
    assert (found.state, found.quality_score, found.matches) == ("ok", 0.9, 2 * fold.SAMPLES)


def test_the_first_word_that_applies_is_the_state():
    both = [seen(n, quality_score=0.1, compare_time=RECEIVED_S - HOUR) for n in range(5)]
    assert row(*both).state == "blurred"
    assert row(*both, now_s=RECEIVED_S + 2 * HOUR).state == "silent"


def test_an_address_without_a_device_has_a_row_with_the_scope_that_was_searched():
    events = [seen(1), seen(2, address="10.0.0.9", scope=EventScope(group_name="default_group", permission_name="0"))]
    device, other = rows(*events, seen(3, address="10.0.0.10", scope=EventScope(group_name="staff")))[:2]
    assert device.device_id == "d1"
    assert (other.address, other.device_id, other.name) == ("10.0.0.10", None, "")
    assert (other.group, other.permission) == ("staff", None)


def test_devices_come_by_name_and_then_the_other_addresses():
    site = SITE.put(structs.replace(DOOR, device_id="d2", name="a gate", address="10.0.0.2"))
    found = rows(seen(1, address="z"), seen(2, address="b"), seen(3), site=site)
    assert [each.address for each in found] == ["10.0.0.2", "10.0.0.1", "b", "z"]


def test_a_device_of_another_type_has_no_matches_even_under_the_same_address():
    found = rows(seen(1), site=SITE.put(structs.replace(DOOR, device_type="file")))
    assert [(each.device_id, each.state, each.matches) for each in found] == [("d1", "no video", 0), (None, "ok", 1)]


def test_a_device_and_its_matches_are_one_row_in_whatever_spelling_earlier_records_have_the_address():
    stored = Site().put(structs.replace(DOOR, address="2001:DB8::1"))
    (found,) = rows(seen(1, address="2001:db8::1"), seen(2, address="2001:db8:0::1"), site=stored)
    assert (found.address, found.matches) == ("2001:db8::1", 2)


def test_a_deleted_group_has_no_name():
    site = SITE.put(structs.replace(DOOR, group_id="gone", permission_id="gone"))
    assert (row(site=site).group, row(site=site).permission) == (None, None)


def test_invented_addresses_take_bounded_memory_and_hide_no_registered_device(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fold, "MOST_UNREGISTERED", 2)
    activities = Activities(SITE)
    for number, address in enumerate(["a", "10.0.0.1", "b", "a", "c"]):
        activities.take(seen(number, address=address))
    found = activities.rows(RECEIVED_S, HOUR)
    assert [each.address for each in found] == ["10.0.0.1", "a", "c"]
    assert activities.left_out
    assert not Activities(SITE).left_out


def test_an_event_of_an_earlier_version_has_no_picture_size():
    old = encode_event(seen(1)).replace(b'"picture":null,', b"")
    assert b'"picture":' not in old
    assert row(decode_event(old)).picture_bytes is None
