"""The discovery messages for Home Assistant: its schema, its templates, its object ids; and topics."""

import json
import re
from typing import Any

import jinja2
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.events import encode_event
from contract.kinds import MATCH_OUTCOMES
from contract.people.site import DeviceRecord, Site
from sinks.mqtt_home import Announced, announced, announcement, announcements, config_topic, object_id
from sinks.mqtt_topics import MqttTopics, is_usable, level
from sinks.settings import MqttSettings
from sinks.wanted import Wanted
from tests.support.sinking import event

OBJECT_ID = re.compile(r"[a-zA-Z0-9_-]+")
"""What Home Assistant's discovery accepts as the object id of a topic."""
_text: dict[str, Any] = {"type": "string", "minLength": 1}
_common = {"platform": _text, "name": _text, "unique_id": _text, "icon": {"type": "string", "pattern": "^mdi:"}}


def _component(platform: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {**_common, "platform": {"const": platform}, **fields},
        "required": ["platform", "name", "unique_id", *fields],
        "additionalProperties": False,
    }


SCHEMA = {
    "type": "object",
    "required": ["device", "origin", "components"],
    "additionalProperties": False,
    "properties": {
        "device": {
            "type": "object",
            "required": ["identifiers"],
            "additionalProperties": False,
            "properties": {
                "identifiers": {"type": "array", "items": _text, "minItems": 1},
                **dict.fromkeys(("name", "manufacturer", "model", "serial_number"), _text),
            },
        },
        "origin": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {"name": _text, "sw_version": _text},
        },
        "availability_topic": _text,
        "qos": {"enum": [0, 1, 2]},
        "components": {
            "type": "object",
            "additionalProperties": {
                "anyOf": [
                    _component(
                        "event", state_topic=_text, event_types={"type": "array", "items": _text}, value_template=_text
                    ),
                    _component("sensor", state_topic=_text, value_template=_text),
                    _component("image", image_topic=_text, content_type=_text),
                ]
            },
        },
    },
}
"""The part of Home Assistant's schemas of device discovery and of the three platforms that the messages use."""


def settings(**changes: object) -> MqttSettings:
    return MqttSettings(**({"name": "hall", "host": "broker", "home_assistant": True} | changes))  # type: ignore[arg-type]


def message(**changes: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(announcement(settings(**changes), "door-1", "Front door", True, "1.2.3"))
    return found


def rendered(template: str, one: object) -> str:
    environment = jinja2.Environment(autoescape=True)
    environment.filters["to_json"] = lambda value: jinja2.utils.markupsafe.Markup(json.dumps(value))
    return environment.from_string(template).render(value_json={"data": one})


@pytest.mark.parametrize("pictures", [(), ("face",), ("face", "spot")])
def test_a_message_is_as_home_assistant_reads_it(pictures: tuple[str, ...]) -> None:
    found = message(pictures=pictures)
    jsonschema.validate(found, SCHEMA)
    assert set(found["components"]) == {"passage", "person", *pictures}
    assert found["availability_topic"] == "picturematch/status"
    ids = [one["unique_id"] for one in found["components"].values()]
    assert len(set(ids)) == len(ids)


def test_the_event_entity_gets_the_outcome_of_a_match_and_nothing_of_another_event() -> None:
    passage = message()["components"]["passage"]
    assert passage["event_types"] == list(MATCH_OUTCOMES)
    assert passage["state_topic"] == MqttTopics("picturematch").events_of("door-1")
    one = json.loads(rendered(passage["value_template"], json.loads(encode_event(event(1, name='Ann "A" <b>')))))
    assert one["event_type"] in passage["event_types"]
    assert (one["id"], one["name"], one["identity_id"], one["score"]) == ("event-1", 'Ann "A" <b>', "7", 0.75)
    stranger = json.loads(encode_event(event(2, outcome="stranger", score=None)))
    assert json.loads(rendered(passage["value_template"], stranger))["event_type"] == "stranger"
    compare = json.loads(encode_event(event(3, kind="compare", outcome="same")))
    assert rendered(passage["value_template"], compare) == ""


def test_the_sensor_shows_the_name_or_else_the_id_within_home_assistants_limit() -> None:
    person = message()["components"]["person"]
    assert rendered(person["value_template"], json.loads(encode_event(event(1, name="Ann")))) == "Ann"
    assert rendered(person["value_template"], json.loads(encode_event(event(1)))) == "7"
    assert len(rendered(person["value_template"], json.loads(encode_event(event(1, name="x" * 999))))) == 255


def test_only_outcomes_that_the_sink_passes_on_are_announced() -> None:
    found = message(wanted=Wanted(outcomes=("stranger",)))["components"]
    assert found["passage"]["event_types"] == ["stranger"]
    assert "person" not in found


def test_a_message_is_known_as_the_sinks_own_by_its_prefix() -> None:
    own = announcement(settings(), "door-1", "Front door", False, "1")
    assert announced(settings(), own) == Announced("door-1", registered=False)
    assert announced(settings(prefix="other"), own) is None
    for foreign in (
        b"",
        b"\xff",
        b"[" * 100_000,
        b"{}",
        own.replace(b'"origin":{"name":"PictureMatch', b'"origin":{"name":"X'),
    ):
        assert announced(settings(), foreign) is None


def test_an_address_that_was_seen_is_announced_unless_a_device_has_it() -> None:
    device = DeviceRecord(
        device_id="d", name="", address="10.0.0.1", device_type="photo", group_id="", permission_id=""
    )
    site = Site().put(device)
    found = announcements(settings(), site, ["10.0.0.1", "10.0.0.2", "010.0.0.2", "::ffff:10.0.0.2"], "1")
    names = [json.loads(one)["device"]["name"] for one in found.values()]
    assert names[0] == "10.0.0.1"
    assert "10.0.0.2" in names
    assert config_topic(settings(), "d") in found


@given(st.text(), st.text())
def test_different_devices_have_different_topics_and_object_ids(one: str, other: str) -> None:
    topic = MqttTopics("p").event(one, "matched")
    assert topic.count("/") == 2
    assert not {"+", "#"} & set(topic)
    assert topic.isprintable()
    topic.encode()
    assert OBJECT_ID.fullmatch(object_id("p", one))
    assert (level(one) == level(other)) == (one == other)
    assert (object_id("p", one) == object_id("p", other)) == (one == other)


@pytest.mark.parametrize(
    ("prefix", "usable"),
    [
        ("a", True),
        ("site/door cameras", True),
        ("", False),
        ("/a", False),
        ("a/", False),
        ("a//b", False),
        ("a+", False),
        ("#", False),
        ("$SYS/a", False),
        ("a\x00", False),
        ("a\n", False),
    ],
)
def test_a_prefix_is_whole_levels_of_plain_characters(prefix: str, usable: bool) -> None:
    assert is_usable(prefix) == usable
