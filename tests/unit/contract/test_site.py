"""Groups, permissions, devices, settings and API keys as records of the people topic."""

import msgspec
import pytest

from contract.codec import encode
from contract.people.directory import Directory
from contract.people.inventory import Inventory
from contract.people.keys import NotReadable, SiteKey, parse_key, person_of, site_key
from contract.people.site import (
    DeviceRecord,
    GroupRecord,
    KeyRecord,
    PermissionRecord,
    SettingRecord,
    Site,
    SiteRecord,
    read_site_record,
    site_key_of,
)
from tests.support.faces import Entry

STAFF = GroupRecord(group_id="g1", name="staff", description="all", info={"floor": 3})
DAY = PermissionRecord(permission_id="p1", name="day")
DOOR = DeviceRecord(
    device_id="d1", name="door", address="10.0.0.1", device_type="photo", group_id="g1", permission_id="p1"
)
RECORDS: tuple[SiteRecord, ...] = (
    STAFF,
    DAY,
    DOOR,
    SettingRecord(name="a/b c", value={"urls": ["http://x"]}),
    KeyRecord(key_id="k1", name="gate", role="device", sha256=b"x" * 32, created_s=1.0),
)


def written(directory: Directory, key: SiteKey, record: SiteRecord | None) -> None:
    value = None if record is None else encode(record)
    assert directory.apply([Entry(site_key(key), value, directory.version)]) == []


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_an_object_is_read_from_the_record_that_was_written_for_it(record: SiteRecord):
    key = site_key_of(record)
    assert parse_key(site_key(key)) == key
    assert person_of(key) is None
    assert read_site_record(key, encode(record)) == record

    directory = Directory()
    written(directory, key, record)
    assert getattr(directory.site, f"{key.kind}s")[key.id] == record
    written(directory, key, None)
    assert key.id not in getattr(directory.site, f"{key.kind}s")


def test_the_first_group_and_permission_exist_from_the_start_and_come_back():
    directory = Directory()
    assert directory.site.group_named("default_group") == directory.site.groups["default_group"]
    assert directory.site.permission_named("0") == directory.site.permissions["0"]
    described = GroupRecord(group_id="default_group", name="default_group", description="everybody")
    written(directory, SiteKey("group", "default_group"), described)
    assert directory.site.group_named("default_group") == described
    written(directory, SiteKey("group", "default_group"), None)
    assert directory.site == Site()


def test_objects_are_found_by_name_and_address_until_they_are_replaced():
    site = Site().put(STAFF).put(DAY).put(DOOR)
    assert (site.group_named("staff"), site.permission_named("day"), site.device_at("10.0.0.1")) == (STAFF, DAY, DOOR)
    moved = site.put(msgspec.structs.replace(DOOR, address="10.0.0.2"))
    assert (moved.device_at("10.0.0.1"), moved.device_at("10.0.0.2").device_id) == (None, "d1")
    assert site.device_at("10.0.0.1") == DOOR, "an earlier site does not change"


@pytest.mark.parametrize("spelled", ["2001:DB8::1", "2001:db8:0:0:0:0:0:1", " 2001:db8::1"])
def test_a_device_is_found_in_any_spelling_of_its_address_also_where_an_earlier_version_stored_it(spelled: str):
    stored = msgspec.structs.replace(DOOR, address=spelled)
    for asked in ("2001:db8::1", spelled):
        assert Site().put(stored).device_at(asked) == stored


def test_of_two_records_with_one_address_every_process_finds_the_same_device():
    one = msgspec.structs.replace(DOOR, device_id="d1", address="gate")
    other = msgspec.structs.replace(DOOR, device_id="d2", address="GATE")
    assert Site().put(one).put(other).device_at("gate") == Site().put(other).put(one).device_at("gate") == other


def test_ids_of_groups_that_do_not_exist_have_no_name():
    assert Site().put(STAFF).group_names(("gone", "g1", "default_group")) == ("staff", "default_group")


@pytest.mark.parametrize("value", [b"\xc1", encode(DAY), encode(msgspec.structs.replace(STAFF, group_id="g2"))])
def test_a_record_that_cannot_be_read_is_reported_under_its_key(value: bytes):
    key = SiteKey("group", "g1")
    with pytest.raises(NotReadable):
        read_site_record(key, value)
    directory, inventory = Directory(), Inventory()
    entry = Entry(site_key(key), value, 0)
    assert [found.key for found in directory.apply([entry])] == [b"group/g1"]
    assert directory.unreadable
    inventory.take([entry])
    assert [found.identity_id for found in inventory.unreadable()] == [None]
    assert inventory.keys_to_remove(b"group/g1") == [b"group/g1"]
    written(directory, key, STAFF)
    assert not directory.unreadable


@pytest.mark.parametrize("key", [b"group/", b"group/a b", b"group/%zz", b"device/a/b", b"audit/x"])
def test_a_key_of_another_form_is_not_readable(key: bytes):
    with pytest.raises(NotReadable):
        parse_key(key)
