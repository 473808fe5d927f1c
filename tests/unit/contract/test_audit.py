"""Audit records: what they name of each kind of request, and how they are read."""

from typing import Any, get_args

import msgspec
import pytest

from contract import requests
from contract.audit import (
    Actor,
    ChangeRecord,
    RefusedKeysRecord,
    action_of,
    decode_audit,
    encode_audit,
    objects_of,
    read_actor,
)
from contract.codec import encode
from contract.imports import ImportedPerson
from contract.site_requests import DeviceChange, EmbeddedFace

ADMINISTRATIVE = [kind for kind in get_args(requests.Request) if kind.administrative]
NAMED: dict[str, tuple[dict[str, Any], tuple[str, ...], str | None]] = {
    "enrol": ({"identity_id": "a", "photo": b"jpeg", "feature": (1.0,)}, ("a",), "create"),
    "delete": ({"identity_id": "a"}, ("a",), "delete"),
    "stranger": (
        {
            "identity_id": "a",
            "match_id": "m",
            "match_partition": 1,
            "match_offset": 2,
            "picture": b"jpeg",
            "group_id": "g",
            "permission_id": "p",
            "cosine": 0.1,
            "compare_time_s": 1.0,
        },
        ("a",),
        "create",
    ),
    "group": ({"action": "delete", "name": "staff"}, ("staff",), "delete"),
    "members": ({"action": "add", "group_name": "staff", "identity_ids": ("a", "b")}, ("staff", "a", "b"), "add"),
    "permission": ({"action": "change", "permission_id": "7"}, ("7",), "change"),
    "devices": (
        {"action": "create", "devices": (DeviceChange(address="10.0.0.1"), DeviceChange(device_id="d"))},
        ("10.0.0.1", "d"),
        "create",
    ),
    "settings": ({"values": {"THRESHOLD": 82}}, ("THRESHOLD",), None),
    "wipe": ({}, (), None),
    "reembed": (
        {
            "action": "add",
            "embedder": "e-r1",
            "faces": tuple(EmbeddedFace(identity_id=who, number=n) for who, n in (("b", 0), ("a", 0), ("b", 1))),
        },
        ("b", "a"),
        "add",
    ),
    "import": ({"people": tuple(ImportedPerson(identity_id=who) for who in ("b", "a", "b"))}, ("b", "a"), None),
    "key": ({"action": "create", "name": "gate", "sha256": b"h"}, ("gate",), "create"),
}


@pytest.mark.parametrize("kind", ADMINISTRATIVE, ids=lambda kind: kind.__name__)
def test_every_administrative_request_names_its_objects_and_its_action(kind: type):
    fields, objects, action = NAMED[kind.__struct_config__.tag]
    request = kind(request_id="r", received_time_s=1.0, **fields)
    assert (objects_of(request), action_of(request)) == (objects, action)


def test_an_update_of_a_person_is_a_change_and_what_is_no_request_names_nothing():
    update = requests.EnrolRequest(request_id="r", received_time_s=1.0, identity_id="a", update=True)
    assert action_of(update) == "change"
    assert (objects_of(object()), action_of(object())) == ((), None)


def test_records_are_read_as_they_were_written_and_unknown_members_are_ignored():
    change = ChangeRecord(
        request_id="r",
        actor="gate",
        role="operator",
        peer="10.0.0.1",
        kind="enrol",
        outcome="enrolled",
        time=2.0,
        received_time=1.0,
    )
    for record in (change, RefusedKeysRecord(peer="p", time=60.0, counts={"wrong": 2})):
        data = encode_audit(record)
        assert decode_audit(data) == record
        assert decode_audit(data[:-1] + b',"later":1}') == record


@pytest.mark.parametrize("header", [None, b"", b"\xc1", b"administrator", encode(Actor(name="x", role="device"))[:-1]])
def test_a_header_that_describes_no_caller_is_nobody(header: bytes | None):
    assert read_actor(header) is None


def test_a_caller_with_a_role_that_does_not_exist_is_nobody():
    assert read_actor(msgspec.msgpack.encode({"name": "x", "role": "root"})) is None
    assert read_actor(encode(Actor(name="x", role="device"))) == Actor(name="x", role="device")
