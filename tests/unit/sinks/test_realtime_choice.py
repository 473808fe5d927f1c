"""What real-time clients ask for: the configurations of both versions, and the query of an event stream."""

import json

import pytest
from multidict import MultiDict

from contract.calls.dialects import Dialect
from contract.errors import Code
from sinks.realtime_choice import BadConfiguration, Choice, Form, configured, queried
from tests.support.sinking import event

MATCH = event(1)


@pytest.mark.parametrize(
    ("sent", "form", "devices"),
    [
        ({}, Form("v5"), []),
        ({"event_list": []}, Form("v5"), []),
        ({"event_list": ["a", "b"]}, Form("v5"), ["a", "b"]),
        ({"event_list": None, "need_face": None}, Form("v5"), []),
        ({"need_face": True, "need_register": False, "event_list": ["a"]}, Form("v5", face=True), ["a"]),
        ({"need_register": True}, Form("v5", photo=True), []),
        ({"event_list": ["a"], "unknown": 1}, Form("v5"), ["a"]),
        ({"media_device_ids": ["a"]}, Form("v6"), ["a"]),
        ({"with_face_image": True, "with_register_image": True}, Form("v6", face=True, photo=True), []),
    ],
)
def test_the_version_is_told_by_the_keys(sent: object, form: Form, devices: list[str]) -> None:
    assert configured(json.dumps(sent)) == Choice(form, frozenset(devices))


@pytest.mark.parametrize(
    ("text", "code", "dialect"),
    [
        ("", Code.BAD_REQUEST, Dialect.V5),
        ("not JSON", Code.BAD_REQUEST, Dialect.V5),
        ("[" * 100_000, Code.BAD_REQUEST, Dialect.V5),
        ("[]", Code.BAD_REQUEST, Dialect.V5),
        ('"event_list"', Code.BAD_REQUEST, Dialect.V5),
        ('{"event_list": NaN}', Code.BAD_REQUEST, Dialect.V5),
        ('{"devices": ["a"]}', Code.PARAM_ERROR, Dialect.V5),
        ('{"event_list": "a"}', Code.PARAM_ERROR, Dialect.V5),
        ('{"event_list": {"a": 1}}', Code.PARAM_ERROR, Dialect.V5),
        ('{"event_list": [1]}', Code.PARAM_ERROR, Dialect.V5),
        (json.dumps({"event_list": ["a" * 256]}), Code.PARAM_ERROR, Dialect.V5),
        (json.dumps({"event_list": ["a"] * 20_001}), Code.PARAM_ERROR, Dialect.V5),
        ('{"need_face": "perhaps"}', Code.BOOLEAN_ARGUMENT_ERROR, Dialect.V5),
        ('{"event_list": [], "media_device_ids": []}', Code.PARAM_ERROR, Dialect.V5),
        ('{"media_device_ids": 1}', Code.PARAM_ERROR, Dialect.V6),
        ('{"with_face_image": "perhaps"}', Code.BOOLEAN_ARGUMENT_ERROR, Dialect.V6),
    ],
)
def test_a_bad_configuration_is_refused_in_the_words_of_its_version(text: str, code: Code, dialect: Dialect) -> None:
    with pytest.raises(BadConfiguration) as caught:
        configured(text)
    assert (caught.value.refusal.code, caught.value.dialect) == (code, dialect)


@pytest.mark.parametrize("version", ["event_list", "media_device_ids"])
def test_the_vendor_s_forms_get_answered_matches_of_their_devices(version: str) -> None:
    choice = configured(json.dumps({version: ["door"]}))
    assert choice.contains(MATCH, "door")
    assert choice.contains(event(2, outcome="stranger", retcode="0", identity_id=""), "door")
    assert not choice.contains(MATCH, "other")
    assert not choice.contains(MATCH, "")
    assert not choice.contains(event(3, outcome="no_face", retcode=None), "door")
    assert not choice.contains(event(4, kind="compare"), "door")
    enrolment = event(5, kind="stranger", outcome="enrolled", retcode=None, want_action="1001")
    assert choice.contains(enrolment, "door")
    assert not choice.contains(event(6, kind="stranger", outcome="known", retcode=None), "door")


@pytest.mark.parametrize(
    ("query", "is_chosen"),
    [
        ([], True),
        ([("devices", "door")], True),
        ([("devices", "10.0.0.1")], True),
        ([("devices", "::ffff:10.0.0.1")], True),
        ([("devices", "10.0.0.2, door")], True),
        ([("devices", "10.0.0.2"), ("devices", "door")], True),
        ([("devices", "10.0.0.2")], False),
        ([("devices", " , ")], True),
        ([("kinds", "enrol,match")], True),
        ([("kinds", "enrol")], False),
        ([("outcomes", "matched"), ("kinds", "match"), ("devices", "door")], True),
        ([("outcomes", "stranger"), ("kinds", "match"), ("devices", "door")], False),
    ],
)
def test_an_event_stream_is_chosen_by_its_query(query: list[tuple[str, str]], is_chosen: bool) -> None:
    assert queried(MultiDict(query)).contains(MATCH, "door") is is_chosen


def test_an_event_stream_has_events_without_a_device_unless_it_names_devices() -> None:
    enrolment = event(5, kind="enrol", outcome="enrolled", device_ip=None, retcode=None)
    assert queried(MultiDict()).contains(enrolment, "")
    assert not queried(MultiDict(devices="door")).contains(enrolment, "")
