"""No capture contains what may give access to other systems, and decisions need none of it."""

import msgspec
import pytest

from capture.recording.credentials import without_credentials
from contract.captures.values import PeopleLine
from contract.codec import encode
from contract.people.keys import SiteKey, person_key, site_key
from contract.people.site import (
    DeviceRecord,
    GroupRecord,
    KeyRecord,
    SettingRecord,
    SiteRecord,
    read_site_record,
    site_key_of,
)

WORD = "s3cret"


def line(record: SiteRecord) -> PeopleLine:
    return PeopleLine(offset=1, time=2.0, key=site_key(site_key_of(record)), value=encode(record))


def left_of(record: SiteRecord) -> SiteRecord:
    found = without_credentials(line(record))
    assert found is not None
    assert found.value is not None
    assert WORD.encode() not in found.value
    return read_site_record(site_key_of(record), found.value)


def device(device_type: str, address: str) -> DeviceRecord:
    return DeviceRecord(
        device_id="d",
        name="west door",
        address=address,
        device_type=device_type,
        group_id="g",
        permission_id="p",
        details={"rtmp_address": f"rtmp://anna:{WORD}@10.0.0.5"},
        min_face_size=7,
    )


def test_the_address_of_a_camera_is_left_out_because_it_is_a_url_with_a_password() -> None:
    camera = device("camera", f"rtsp://admin:{WORD}@10.0.0.5/live")
    assert left_of(camera) == msgspec.structs.replace(camera, address="", details={})


def test_a_device_of_the_type_photo_keeps_the_address_by_which_requests_find_it() -> None:
    door = device("photo", "10.0.0.1")
    assert left_of(door) == msgspec.structs.replace(door, details={})


def test_of_settings_only_those_that_decisions_read_stay() -> None:
    receivers = SettingRecord(name="events", value={"HISTORY_UPLOAD_EVENT_URL": [f"https://anna:{WORD}@host"]})
    assert left_of(receivers) == SettingRecord(name="events", value={})
    scores = SettingRecord(name="scores", value={"THRESHOLD": 70.0, "token": WORD})
    assert left_of(scores) == SettingRecord(name="scores", value={"THRESHOLD": 70.0})


def test_api_keys_and_their_deletions_are_left_out() -> None:
    key = KeyRecord(key_id="k", name="anna", role="operator", sha256=WORD.encode(), created_s=1.0)
    assert without_credentials(line(key)) is None
    assert without_credentials(msgspec.structs.replace(line(key), value=None)) is None


@pytest.mark.parametrize("kind", ["device", "setting"])
def test_a_record_that_cannot_be_read_stays_unreadable_and_loses_its_value(kind: str) -> None:
    key = site_key(SiteKey(kind, "x"))  # type: ignore[arg-type]
    found = without_credentials(PeopleLine(offset=1, time=2.0, key=key, value=WORD.encode()))
    assert found == PeopleLine(offset=1, time=2.0, key=key, value=b"")


@pytest.mark.parametrize(
    "original",
    [
        line(GroupRecord(group_id="g", name="staff", info={"x": 1})),
        PeopleLine(offset=1, time=2.0, key=person_key("anna"), value=b"value"),
        PeopleLine(offset=1, time=2.0, key=b"lobby/anna", value=b"value"),
        PeopleLine(offset=1, time=2.0, key=b"device/d", value=None),
    ],
)
def test_everything_else_stays_as_it_is(original: PeopleLine) -> None:
    assert without_credentials(original) == original
