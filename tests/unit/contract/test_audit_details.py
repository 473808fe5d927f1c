"""What the details of an audit record contain of each request and its answer, and what they never contain."""

from typing import Any

import pytest

from contract.answers import (
    Answer,
    DevicesAnswer,
    FailedDevice,
    GroupAnswer,
    ImportedAnswer,
    KeyAnswer,
    MembersAnswer,
    ReembeddedAnswer,
    RefusedAnswer,
    SettingsAnswer,
    WipedAnswer,
)
from contract.audit_details import details_of
from contract.imports import ImportedPerson, ImportFailure
from contract.requests import DeleteRequest, EnrolRequest
from contract.site_requests import (
    DeviceChange,
    DevicesRequest,
    EmbeddedFace,
    GroupRequest,
    ImportRequest,
    KeyRequest,
    MembersRequest,
    PermissionRequest,
    ReembedRequest,
    SettingsRequest,
    WipeRequest,
)

SENT = {"request_id": "r", "received_time_s": 1.0}
REFUSED = RefusedAnswer(code=40401, message="nobody")


def enrolment(**fields: Any) -> EnrolRequest:
    return EnrolRequest(**SENT, identity_id="p", **fields)


@pytest.mark.parametrize(
    ("request_", "answer", "details"),
    [
        (
            enrolment(
                photo=b"JPEG",
                info={"SECRET": "SECRET", "name": "Anna", "permission_ids": ["0"], "SECRET 2": 1},
                group_names=("staff",),
                ignore_exist=True,
            ),
            None,
            {
                "fields": ("group_names", "photo", "info.name", "info.permission_ids"),
                "other_info": 2,
                "ignore_exist": True,
            },
        ),
        (enrolment(update=True, support_single_face=True, need_bring_pic=False), None, None),
        (DeleteRequest(**SENT, identity_id="p"), REFUSED, {}),
        (
            GroupRequest(**SENT, action="delete", name="staff", recursive=True),
            GroupAnswer(group_id="1", name="staff", people_deleted=3),
            {"recursive": True, "people_deleted": 3},
        ),
        (GroupRequest(**SENT, action="delete", name="staff"), GroupAnswer(group_id="1", name="staff"), {}),
        (
            PermissionRequest(**SENT, action="change", permission_id="7", new_name="day", info={"pass_times": []}),
            REFUSED,
            {"fields": ("new_name", "info.pass_times")},
        ),
        (
            MembersRequest(**SENT, action="add", group_name="staff", identity_ids=("a", "SECRET")),
            MembersAnswer(group_id="1", group_name="staff", failed=("SECRET",)),
            {"unknown": 1},
        ),
        (
            GroupRequest(**SENT, action="create", name="staff", info={"SECRET": 1}),
            GroupAnswer(group_id="1", name="staff"),
            {"other_info": 1},
        ),
        (DevicesRequest(**SENT, action="delete", clear_all=True), None, {"clear_all": True}),
        (
            DevicesRequest(
                **SENT,
                action="change",
                devices=(
                    DeviceChange(device_id="d", min_face_size=80),
                    DeviceChange(device_id="e", address="10.0.0.1", details={"password": "SECRET"}),
                ),
            ),
            DevicesAnswer(succeeded=(), failed=(FailedDevice(reason="unknown", code=40480, device_id="e"),)),
            {"fields": ("device_id", "min_face_size", "address", "details"), "failed": 1},
        ),
        (
            SettingsRequest(**SENT, values={"ServerToken": "SECRET", "THRESHOLD": 300, "SECRET": 1}),
            SettingsAnswer(
                values={"ServerToken": "SECRET"}, failed={"THRESHOLD": "out of range", "SECRET": "no such setting"}
            ),
            {"set": ("ServerToken",), "not_set": ("THRESHOLD",), "other_settings": 1},
        ),
        (
            WipeRequest(**SENT),
            WipedAnswer(people=5, devices=2),
            {"users": True, "people_deleted": 5, "devices_deleted": 2},
        ),
        (
            ReembedRequest(
                **SENT,
                action="add",
                embedder="e-r1",
                faces=(
                    EmbeddedFace(identity_id="a", number=0, photo_sha256=b"SECRET", templates={"whole": b"SECRET"}),
                ),
            ),
            ReembeddedAnswer(outcomes=("gone", "added", "gone")),
            {"fields": ("embedder",), "added": 1, "gone": 2},
        ),
        (
            ImportRequest(**SENT, people=(ImportedPerson(identity_id="a", info={"SECRET": "SECRET"}),), restore=True),
            ImportedAnswer(
                added=1,
                present=(2, 3),
                failed=(ImportFailure(place=1, identity_id="SECRET", code=40010, message="SECRET"),),
            ),
            {"restore": True, "added": 1, "present": 2, "failed": 1},
        ),
        (
            KeyRequest(**SENT, action="create", name="gate", role="operator", sha256=b"SECRET"),
            None,
            {"role": "operator"},
        ),
        (
            KeyRequest(**SENT, action="delete", name="gate"),
            KeyAnswer(key_id="k1", name="gate", role="administrator", created_s=1.0),
            {"role": "administrator", "key_id": "k1"},
        ),
        (KeyRequest(**SENT, action="delete", name="gate"), REFUSED, {}),
        (object(), None, {}),
    ],
    ids=range(18),
)
def test_details_are_names_flags_and_counts(
    request_: object, answer: Answer | None, details: dict[str, Any] | None
) -> None:
    found = details_of(request_, answer)
    assert found == ({"support_single_face": True, "need_bring_pic": False} if details is None else details)
    assert "SECRET" not in str(found)
    assert "JPEG" not in str(found)


def test_an_info_with_many_and_long_names_leaves_a_count_of_them() -> None:
    info = {f"{number}{'x' * 4000}": 1 for number in range(2000)}
    assert details_of(enrolment(info=info), None) == {"other_info": 2000}


def test_names_of_settings_that_there_are_not_leave_a_count_of_them() -> None:
    values = {f"{number}{'x' * 4000}": 1 for number in range(2000)}
    answer = SettingsAnswer(values={}, failed=dict.fromkeys(values, "no such setting"))
    assert details_of(SettingsRequest(**SENT, values=values), answer) == {"other_settings": 2000}
