"""Pseudonyms: the same for the same key, nothing of the originals is left, and what decisions need stays."""

from typing import Any

import msgspec
import pytest

from capture.recording.redaction import Redaction
from capture.recording.redaction_key import redaction_key
from contract.captures.convert import decision_of, line_of
from contract.captures.values import CaptureError, PeopleLine
from contract.codec import encode
from contract.events import EventScope, RequestPlace
from contract.evidence import EvidenceCandidate
from contract.findings import MatchedFace
from contract.people.directory import Directory
from contract.people.keys import face_key, person_key, site_key
from contract.people.records import WHOLE_FACE, FaceRecord, PersonRecord, PhotoReference
from contract.people.site import (
    DeviceRecord,
    GroupRecord,
    KeyRecord,
    PermissionRecord,
    SettingRecord,
    SiteRecord,
    site_key_of,
)
from contract.people.validity import is_valid_at
from tests.support.faces import Entry
from tests.support.records import event_of, match_request

KEY = bytes(range(32))
REDACTION = Redaction(KEY)
SECRETS = ("anna", "Smith", "staff", "g-77", "gate", "p-88", "lobby", "d-99", "https://", "salary", "tok3n")
INFO: dict[str, Any] = {
    "name": "Anna Smith",
    "type": 3,
    "permission_ids": ["p-88", "0"],
    "valid_from": 10.0,
    "valid_until": 20.0,
    "salary": 12345,
}


def line(key: bytes, value: bytes | None, offset: int = 0) -> PeopleLine:
    return PeopleLine(offset=offset, time=1.0, key=key, value=value)


def person(**info: Any) -> PeopleLine:
    record = PersonRecord(
        identity_id="anna", group_ids=("g-77", "default_group"), info={**INFO, **info}, faces=(0,), next_face=1
    )
    return line(person_key("anna"), encode(record))


def site(record: SiteRecord) -> PeopleLine:
    return line(site_key(site_key_of(record)), encode(record))


def redacted(original: PeopleLine) -> PeopleLine:
    found = REDACTION.people_line(original)
    assert found is not None
    shown = found.key + (found.value or b"")
    assert not [secret for secret in SECRETS if secret.encode() in shown]
    assert (found.offset, found.time) == (original.offset, original.time)
    return found


def fold(*lines: PeopleLine) -> Directory:
    people = Directory()
    found = people.apply(Entry(line.key, line.value, offset) for offset, line in enumerate(lines))
    assert not found
    return people


def test_a_person_keeps_what_decisions_need_under_pseudonyms() -> None:
    then = fold(redacted(person())).person(REDACTION.identity("anna"))
    assert then is not None
    assert then.group_ids == (REDACTION.group("g-77"), "default_group")
    assert then.permission_ids == (REDACTION.permission("p-88"), "0")
    assert (then.person_type, then.faces, then.next_face) == (3, (0,), 1)
    assert [is_valid_at(then.info, time) for time in (9.0, 10.0, 20.0, 21.0)] == [False, True, True, False]
    assert then.name
    assert "Anna" not in then.name


@pytest.mark.parametrize("strange", [{"valid_from": "Smith"}, {"valid_until": ["Smith"]}])
def test_a_validity_that_contains_no_time_still_contains_none(strange: dict[str, Any]) -> None:
    then = fold(redacted(person(**strange))).person(REDACTION.identity("anna"))
    assert then is not None
    assert not is_valid_at(then.info, 15.0)


def test_permissions_that_are_no_list_still_count_as_absent() -> None:
    then = fold(redacted(person(permission_ids="p-88"))).person(REDACTION.identity("anna"))
    assert then is not None
    assert then.permission_ids == ("0",)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_face_keeps_its_template_and_the_hash_of_a_photo_that_the_capture_has(is_there: bool) -> None:
    template = b"\x00\x00\x80\x3f" + bytes(12)
    photo = PhotoReference(sha256=b"s" * 32, partition=1, offset=2, sent_sha256=b"t" * 32)
    record = FaceRecord(identity_id="anna", number=4, embedder="e", templates={WHOLE_FACE: template}, photo=photo)
    found = REDACTION.people_line(line(face_key("anna", 4, "e"), encode(record)), {b"s" * 32} if is_there else ())
    assert found is not None
    assert found.value is not None
    assert (b"s" * 32 in found.value, b"t" * 32 in found.value) == (is_there, False)
    kept = msgspec.msgpack.decode(found.value, type=FaceRecord)
    assert kept.templates == record.templates
    assert kept.photo == (msgspec.structs.replace(photo, sent_sha256=None) if is_there else None)


def test_groups_permissions_and_devices_keep_how_they_belong_together() -> None:
    times = [{"days": [1], "from": "08:00", "to": "18:00"}]
    people = fold(
        redacted(site(GroupRecord(group_id="g-77", name="staff", description="Smith", info={"x": "anna"}))),
        redacted(site(PermissionRecord(permission_id="p-88", name="gate", info={"pass_times": times, "x": "anna"}))),
        redacted(
            site(
                DeviceRecord(
                    device_id="d-99",
                    name="lobby",
                    address="10.0.0.1",
                    device_type="photo",
                    group_id="g-77",
                    permission_id="p-88",
                    details={"rtmp_address": "https://anna:Smith@host"},
                    min_face_size=7,
                )
            )
        ),
    )
    group = people.site.group_named(REDACTION.group("staff"))
    permission = people.site.permission_named(REDACTION.permission("gate"))
    device = people.site.device_at("10.0.0.1")
    assert group is not None
    assert permission is not None
    assert device is not None
    assert (device.group_id, device.permission_id) == (group.group_id, permission.permission_id)
    assert (device.device_type, device.min_face_size, device.details) == ("photo", 7, {})
    assert permission.info == {"pass_times": times}
    assert people.site.pass_times(permission.permission_id)


def test_a_schedule_that_cannot_be_read_still_permits_no_time() -> None:
    broken = PermissionRecord(permission_id="p-88", name="gate", info={"pass_times": "anna"})
    people = fold(redacted(site(broken)))
    assert people.site.pass_times(REDACTION.permission("p-88")) == ()


def test_the_group_and_the_permission_that_always_exist_keep_their_names() -> None:
    assert REDACTION.group("default_group") == "default_group"
    assert REDACTION.permission("0") == "0"
    assert REDACTION.identity("") == ""
    assert REDACTION.group("") == "", "the scope of every group"


def test_keys_are_left_out_and_of_settings_only_those_that_decisions_read_stay() -> None:
    key = KeyRecord(key_id="k", name="anna", role="administrator", sha256=b"tok3n", created_s=1.0)
    assert REDACTION.people_line(site(key)) is None
    assert REDACTION.people_line(line(site_key(site_key_of(key)), None)) is None
    urls = SettingRecord(name="events", value={"HISTORY_UPLOAD_EVENT_URL": ["https://tok3n"]})
    scores = SettingRecord(name="scores", value={"THRESHOLD": 70.0, "anna": "Smith"})
    people = fold(redacted(site(urls)), redacted(site(scores)))
    assert people.site.settings["events"].value == {}
    assert people.site.settings["scores"].value == {"THRESHOLD": 70.0}


@pytest.mark.parametrize("key", [b"person/anna", b"face/anna/0/e", b"group/staff", b"lobby/anna", b"\xff anna"])
def test_what_cannot_be_read_stays_unreadable_until_a_deletion_of_its_key(key: bytes) -> None:
    broken, deleted = redacted(line(key, b"anna Smith")), redacted(line(key, None))
    people = Directory()
    assert len(people.apply([Entry(broken.key, broken.value, 0)])) == 1
    assert people.unreadable
    people.apply([Entry(deleted.key, deleted.value, 1)])
    assert not people.unreadable


def test_a_request_and_its_decision_name_the_same_pseudonyms() -> None:
    request = msgspec.structs.replace(
        match_request(1),
        group_name="staff",
        permission_name="gate",
        compare_time_raw="Smith o'clock",
        grab_fiqa_info={"x": "anna"},
    )
    place = RequestPlace(topic="requests", partition=0, offset=1)
    event = event_of(
        request,
        place,  # type: ignore[arg-type]
        identity_id="anna",
        name="Smith",
        identity_info={"salary": 1},
        scope=EventScope(group_name="staff", permission_name="gate"),
        searched=(MatchedFace(face=None, outcome="matched", identity_id="anna", name="Smith"),),
    )
    decision = msgspec.structs.replace(
        decision_of(event), candidates=(EvidenceCandidate(identity_id="anna", number=3, cosine=0.5),)
    )
    found = REDACTION.request_line(line_of(request, place, decision))
    assert not [secret for secret in SECRETS if secret in msgspec.json.encode(found).decode()]
    assert found.request.group_name == REDACTION.group("staff")
    assert found.request.device_ip == "10.0.0.1", "IP addresses of devices stay"
    assert found.decision is not None
    assert found.decision.identity_id == found.decision.candidates[0].identity_id == REDACTION.identity("anna")
    assert [face.identity_id for face in found.decision.searched] == [REDACTION.identity("anna")]
    assert found.decision.scope is not None
    assert found.decision.scope.group_name == found.request.group_name


@pytest.mark.parametrize("sent", ["Door-Mueller-Office", "door-mueller-office", " door-mueller-office "])
def test_a_host_name_of_a_device_has_one_pseudonym_in_requests_and_devices_however_it_is_spelled(sent: str) -> None:
    """The name of a device may be that of a room or a person; decisions need only that a request finds its device."""
    device = DeviceRecord(
        device_id="d-99",
        name="lobby",
        address="Door-Mueller-Office",
        device_type="photo",
        group_id="default_group",
        permission_id="0",
    )
    recorded = redacted(site(device))
    request = msgspec.structs.replace(match_request(1), device_ip=sent)
    found = REDACTION.request_line(line_of(request, RequestPlace(topic="requests", partition=0, offset=1), None))
    assert b"mueller" not in (recorded.value or b"").lower() + msgspec.json.encode(found).lower()
    assert found.request.device_ip == REDACTION.address(sent)
    assert fold(recorded).site.device_at(str(found.request.device_ip)) is not None
    assert REDACTION.address("door-other") != REDACTION.address(sent)


@pytest.mark.parametrize("address", ["10.0.0.1", "2001:db8::1", ""])
def test_ip_addresses_stay(address: str) -> None:
    assert REDACTION.address(address) == address


def test_pseudonyms_depend_on_the_key_alone() -> None:
    again, other = Redaction(KEY), Redaction(b"x" * 32)
    assert again.identity("anna") == REDACTION.identity("anna") != other.identity("anna")
    assert REDACTION.identity("anna") != REDACTION.identity("ben")
    assert again.name == REDACTION.name != other.name
    assert REDACTION.identity("staff") != REDACTION.group("staff"), "equal texts of different meaning are not linked"


def test_the_key_is_made_once_outside_of_the_capture(tmp_path) -> None:
    file, capture = tmp_path / "keys" / "redaction.key", tmp_path / "out"
    key = redaction_key(file, capture)
    assert len(key) == 32
    assert redaction_key(file, capture) == key
    assert file.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CaptureError, match="inside the capture"):
        redaction_key(capture / "redaction.key", capture)
    assert not capture.exists()


@pytest.mark.parametrize("contents", [b"", b"short", b"ab" * 31, b"\xff" * 64])
def test_a_file_without_a_key_is_refused(tmp_path, contents: bytes) -> None:
    (tmp_path / "key").write_bytes(contents)
    with pytest.raises(CaptureError, match="contains no key"):
        redaction_key(tmp_path / "key", tmp_path / "out")


def test_an_address_with_a_zone_has_a_pseudonym_because_somebody_chose_the_zone() -> None:
    pseudonym = REDACTION.address("fe80::1%Anna-Smith-office")
    assert "Smith" not in pseudonym
    assert pseudonym == REDACTION.address("fe80:0::1%Anna-Smith-office ")
    assert pseudonym != REDACTION.address("fe80::1%other")
