"""What is decided about devices: which are created, changed and deleted, and which fail and why."""

from typing import Any

import pytest

from contract.answers import RefusedAnswer
from contract.errors import Code
from contract.people.site import DeviceRecord, GroupRecord, PermissionRecord, Site
from contract.people.unreadable import UnreadableRecord
from contract.site_requests import DeviceChange, DevicesRequest
from engine.calls.call import Change
from engine.calls.devices import DevicesCall
from engine.calls.people import NOTHING_PREPARED, ChangeDecision
from engine.calls.reporting import refused_answer
from engine.gallery.pending import PendingPeople
from engine.policy import Policy
from tests.support.faces import Enrolled, circumstances, context

SITE = (
    Site()
    .put(GroupRecord(group_id="g1", name="staff"))
    .put(PermissionRecord(permission_id="p1", name="day"))
    .put(PermissionRecord(permission_id="day", name="another that has the name of p1 as its id"))
    .put(PermissionRecord(permission_id="p2", name="night"))
)


def door(**fields: Any) -> DeviceChange:
    given = {
        "name": "door",
        "address": "10.0.0.1",
        "device_type": "photo",
        "group_id": "g1",
        "permission_id": "p1",
        **fields,
    }
    return DeviceChange(**given)


class Devices:
    """A site whose devices a test changes, one request after the other."""

    def __init__(self, site: Site = SITE, policy: Policy | None = None) -> None:
        self.enrolled, self.context = Enrolled(), context(policy)
        self.enrolled.people.site = site
        self.requests = 0

    def decide(self, action: Any, *devices: DeviceChange, clear_all: bool = False) -> ChangeDecision:
        """Decide a request and write its records; the fold must be what the decision has announced."""
        self.requests += 1
        asked = DevicesRequest(
            request_id=f"r{self.requests}", received_time_s=1.0, action=action, devices=devices, clear_all=clear_all
        )
        call, before = DevicesCall(), self.site
        decision = call.decide(asked, NOTHING_PREPARED, PendingPeople(self.enrolled.people), self.context)
        self.enrolled.write(decision.others)
        assert self.site == (before if decision.site is None else decision.site)
        self.event = call.event(asked, decision, self.context, circumstances(call, asked))
        return decision

    @property
    def site(self) -> Site:
        return self.enrolled.people.site

    @property
    def only(self) -> DeviceRecord:
        (device,) = self.site.devices.values()
        return device


def codes(decision: ChangeDecision) -> list[int]:
    return [failed.code for failed in decision.require_answer().failed]


def refusal(decision: ChangeDecision) -> RefusedAnswer:
    assert decision.refusal is not None
    assert (decision.outcome, decision.others, decision.site) == ("refused", (), None)
    return refused_answer(decision.refusal)


def test_a_device_is_created_with_an_id_that_the_same_request_always_makes():
    first, second = Devices(), Devices()
    decision = first.decide("create", door(details={"netRelay": {"ip": "10.0.0.9"}}))
    second.decide("create", door())
    device = first.only
    assert device.device_id == second.only.device_id != ""
    assert device == DeviceRecord(
        device_id=device.device_id,
        name="door",
        address="10.0.0.1",
        device_type="photo",
        group_id="g1",
        permission_id="p1",
        details={"netRelay": {"ip": "10.0.0.9"}},
    )
    assert (decision.outcome, first.event.kind, first.event.name) == ("created", "devices", "door")
    (named,) = decision.require_answer().succeeded
    assert (named.device_id, named.name, named.device_type) == (device.device_id, "door", "photo")


def test_the_devices_of_one_request_get_different_ids():
    devices = Devices()
    decision = devices.decide("create", door(), door(address="10.0.0.2"), door(address="10.0.0.3"))
    assert len(devices.site.devices) == 3
    assert devices.event.name == "", "the event names a device only where the request changed one"
    assert len(decision.others) == 3


def test_a_permission_is_found_by_its_id_and_else_by_its_name():
    devices = Devices()
    devices.decide("create", door(permission_id="day"), door(address="b", permission_id="night"))
    assert [device.permission_id for device in devices.site.devices.values()] == ["day", "p2"]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"group_id": "staff"}, Code.GROUP_NAME_ERROR),
        ({"permission_id": "never"}, Code.GROUP_NAME_ERROR),
        ({"address": "rtsp://10.0.0.1/1"}, Code.PARAM_ERROR),
        ({"address": "10.0.0.1 x"}, Code.PARAM_ERROR),
        ({"address": "taken", "device_id": "other"}, Code.DEVICE_ADDRESS_DUPLICATE_ERROR),
        ({"address": "10.0.0.7", "device_id": "d1"}, Code.PARAM_ERROR),
    ],
)
def test_a_device_that_cannot_be_created_fails_alone_and_is_the_refusal_where_it_is_alone(wrong, code):
    devices = Devices()
    devices.decide("create", door(address="taken", device_id="d1"))
    before = devices.site
    alone = refusal(devices.decide("create", door(**wrong)))
    assert alone.code == code
    assert devices.site == before

    decision = devices.decide("create", door(address="10.0.0.2"), door(**wrong))
    assert codes(decision) == [code]
    (failed,) = decision.require_answer().failed
    assert failed.reason == f"devices_list[1]: {alone.message}"
    assert failed.address == wrong.get("address", "10.0.0.1")
    assert len(devices.site.devices) == 2


def test_where_all_devices_fail_the_refusal_is_that_of_the_first():
    devices = Devices()
    decision = devices.decide("create", door(permission_id="never"), door(address="rtsp://x"))
    assert refusal(decision).code == Code.GROUP_NAME_ERROR


@pytest.mark.parametrize("device_id", [None, "d1"])
def test_a_device_that_has_the_same_key_is_replaced_and_keeps_its_id_and_its_demands(device_id):
    devices = Devices()
    devices.decide("create", door(device_id="d1", details={"is_start_rtmp": True}, liveness_floor="liveness_rgb"))
    decision = devices.decide("create", door(device_id=device_id, name="gate", group_id="default_group"))
    assert decision.outcome == "changed"
    device = devices.only
    assert (device.device_id, device.name, device.group_id, device.details) == ("d1", "gate", "default_group", {})
    assert device.liveness_floor == "liveness_rgb"


def test_a_device_that_has_the_same_address_in_another_spelling_is_replaced_and_spelled_in_one_way():
    devices = Devices()
    devices.decide("create", door(device_id="d1", address="2001:DB8:0::1"))
    assert devices.only.address == "2001:db8::1"
    devices.decide("create", door(address="2001:db8:0:0:0:0:0:1", name="new"))
    assert (devices.only.device_id, devices.only.name) == ("d1", "new")
    devices.decide("change", DeviceChange(device_id="d1", address="::ffff:10.0.0.1"))
    assert devices.only.address == "10.0.0.1"
    devices.decide("change", DeviceChange(device_id="d1", device_type="rtsp", address="rtsp://Gate/Stream"))
    assert devices.only.address == "rtsp://Gate/Stream"


@pytest.mark.parametrize("order", [("d1", "d2"), ("d2", "d1")])
def test_devices_whose_earlier_records_have_one_address_are_deleted_one_by_one(order: tuple[str, str]):
    site = Site()
    for name, address in {"d1": "gate", "d2": "GATE"}.items():
        scope = {"group_id": "default_group", "permission_id": "0"}
        site = site.put(DeviceRecord(device_id=name, name=name, address=address, device_type="photo", **scope))
    devices = Devices(site)
    assert devices.decide("delete", *(DeviceChange(device_id=name) for name in order)).refusal is None
    assert not devices.site.devices


def test_a_device_without_a_group_and_permission_has_those_that_always_exist_or_keeps_its_own():
    devices = Devices()
    devices.decide("create", door(device_id="d1"))
    devices.decide("create", door(name="gate", group_id=None, permission_id=None))
    assert (devices.only.name, devices.only.group_id, devices.only.permission_id) == ("gate", "g1", "p1")
    new = Devices()
    new.decide("create", door(group_id=None, permission_id=None))
    assert (new.only.group_id, new.only.permission_id) == ("default_group", "0")


def test_the_same_request_again_writes_nothing():
    devices = Devices()
    devices.decide("create", door(device_id="d1"))
    decision = devices.decide("create", door(device_id="d1"))
    assert (decision.others, decision.site, codes(decision)) == ((), None, [])


def test_a_change_leaves_what_it_does_not_name_and_merges_the_details():
    devices = Devices()
    devices.decide("create", door(device_id="d1", details={"netRelay": {"ip": "x"}}, min_face_size=80))
    decision = devices.decide("change", DeviceChange(device_id="d1", details={"rtmp_address": "r"}, name="gate"))
    assert (decision.outcome, devices.event.name) == ("changed", "gate")
    assert devices.only == DeviceRecord(
        device_id="d1",
        name="gate",
        address="10.0.0.1",
        device_type="photo",
        group_id="g1",
        permission_id="p1",
        details={"netRelay": {"ip": "x"}, "rtmp_address": "r"},
        min_face_size=80,
    )


def test_a_demand_is_withdrawn_by_the_least_value():
    devices = Devices()
    devices.decide("create", door(device_id="d1", liveness_floor="liveness_rgb", quality_level="high", min_face_size=9))
    devices.decide(
        "change", DeviceChange(device_id="d1", liveness_floor="liveness_off", quality_level="no", min_face_size=0)
    )
    assert (devices.only.liveness_floor, devices.only.quality_level, devices.only.min_face_size) == (
        "liveness_off",
        "no",
        0,
    )


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (DeviceChange(device_id="d9", name="x"), Code.DEVICE_ID_NOT_FOUND),
        (DeviceChange(device_id="d1", address="10.0.0.2"), Code.DEVICE_ADDRESS_DUPLICATE_ERROR),
        (DeviceChange(device_id="d1", group_id="g9"), Code.GROUP_NAME_ERROR),
        (DeviceChange(device_id="d1", permission_id="p9"), Code.GROUP_NAME_ERROR),
        (DeviceChange(device_id="d1", address="rtsp://x"), Code.PARAM_ERROR),
        (DeviceChange(device_id="video", device_type="photo"), Code.PARAM_ERROR),
    ],
)
def test_a_change_that_is_not_possible_changes_nothing(change, code):
    devices = Devices()
    devices.decide(
        "create",
        door(device_id="d1"),
        door(device_id="d2", address="10.0.0.2"),
        door(device_id="video", address="rtsp://10.0.0.3/1", device_type="rtsp"),
    )
    before = devices.site
    assert refusal(devices.decide("change", change)).code == code
    assert devices.site == before


def test_two_devices_exchange_their_addresses_in_three_steps_of_one_request():
    devices = Devices()
    devices.decide("create", door(device_id="d1"), door(device_id="d2", address="10.0.0.2"))
    decision = devices.decide(
        "change",
        DeviceChange(device_id="d1", address="aside"),
        DeviceChange(device_id="d2", address="10.0.0.1"),
        DeviceChange(device_id="d1", address="10.0.0.2"),
    )
    assert codes(decision) == []
    assert {d.device_id: d.address for d in devices.site.devices.values()} == {"d1": "10.0.0.2", "d2": "10.0.0.1"}
    assert len(decision.others) == 2, "one record for each device"


def test_devices_are_deleted_and_unknown_ones_are_named():
    devices = Devices()
    devices.decide("create", door(device_id="d1"), door(device_id="d2", address="10.0.0.2"))
    decision = devices.decide("delete", DeviceChange(device_id="d9"), DeviceChange(device_id="d1"))
    assert (decision.outcome, codes(decision)) == ("deleted", [Code.DEVICE_ID_NOT_FOUND])
    assert decision.others == ((b"device/d1", None),)
    assert list(devices.site.devices) == ["d2"]
    assert refusal(devices.decide("delete", DeviceChange(device_id="d1"))).code == Code.DEVICE_ID_NOT_FOUND


def test_all_devices_are_deleted_at_once_also_where_there_are_none():
    devices = Devices()
    devices.decide("create", door(device_id="d1"), door(device_id="d2", address="10.0.0.2"))
    decision = devices.decide("delete", clear_all=True)
    assert [named.device_id for named in decision.require_answer().succeeded] == ["d1", "d2"]
    assert not devices.site.devices
    assert devices.decide("delete", clear_all=True).outcome == "deleted"


def test_a_device_more_than_allowed_fails_but_one_of_them_can_still_be_replaced():
    devices = Devices(policy=Policy(max_devices=2))
    decision = devices.decide("create", *(door(address=f"10.0.0.{number}") for number in range(3)))
    assert codes(decision) == [Code.DEVICE_MAX_NUM_ERROR]
    assert codes(devices.decide("create", door(address="10.0.0.1", name="new"))) == []
    assert len(devices.site.devices) == 2


@pytest.mark.parametrize("action", ["create", "change", "delete"])
def test_nothing_is_changed_while_a_record_of_the_people_topic_cannot_be_read(action):
    devices = Devices()
    devices.decide("create", door(device_id="d1"))
    devices.enrolled.people._unreadable[b"device/x"] = UnreadableRecord(0, b"device/x", "why")
    before = devices.site
    assert refusal(devices.decide(action, door(device_id="d1", name="other"))).code == Code.OVERLOADED
    assert devices.site == before


def test_devices_are_decided_one_after_the_other():
    assert isinstance(DevicesCall(), Change)
    assert DevicesRequest.administrative
