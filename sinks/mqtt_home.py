"""How devices are announced to Home Assistant: device discovery over MQTT. Pure.

A device has one retained message at DISCOVERY_PREFIX/device/OBJECT_ID/config, with an event entity (every match), a
sensor (the last matched person) and an image entity for each kind of pictures. An empty message removes the device.
Sources: Home Assistant's documentation of MQTT discovery and of the integrations event.mqtt, sensor.mqtt and
image.mqtt; its schema of device discovery allows no other fields than those of `announcement`.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import orjson

from contract.addresses import canonical_address
from contract.ids import device_id_at
from contract.kinds import MATCH_OUTCOMES
from contract.people.site import Site
from contract.terms import PHOTO_DEVICE
from sinks.mqtt_topics import MqttTopics, Picture
from sinks.settings import MqttSettings

_ORIGIN = "PictureMatch"
_REGISTERED, _UNREGISTERED = "Registered device", "Address without a registered device"
_LONGEST_NAME = 120
_NAMES: Mapping[Picture, str] = {"face": "Face", "spot": "Picture"}

_EVENT_TEMPLATE = (
    "{% if value_json.data.kind == 'match' %}"
    "{{ {'event_type': value_json.data.outcome, 'id': value_json.data.id, 'name': value_json.data.name | default(''),"
    " 'identity_id': value_json.data.identity_id | default(''), 'score': value_json.data.score | default(none),"
    " 'received_time': value_json.data.received_time} | to_json }}{% endif %}"
)
_PERSON_TEMPLATE = "{{ (value_json.data.name or value_json.data.identity_id)[:255] }}"


@dataclass(frozen=True, slots=True)
class Announced:
    """What a discovery message of this sink says: the id of the device, and whether the device is registered."""

    device_id: str
    registered: bool


def object_id(prefix: str, device_id: str) -> str:
    """Return the object id of a device: letters, digits, hyphens and underscores; different devices have different
    ones. Other characters, and underscores, are their UTF-8 bytes in hexadecimal behind an underscore."""
    return "".join(map(_plain, f"{prefix}/{device_id}"))


def _plain(character: str) -> str:
    if character.isascii() and (character.isalnum() or character == "-"):
        return character
    return "".join(f"_{byte:02x}" for byte in character.encode("utf-8", "surrogatepass"))


def config_topic(settings: MqttSettings, device_id: str) -> str:
    """Return the topic of a device's discovery message."""
    return f"{settings.discovery_prefix}/device/{object_id(settings.prefix, device_id)}/config"


def announcement(settings: MqttSettings, device_id: str, name: str, registered: bool, version: str) -> bytes:
    """Return the discovery message of a device. `version`: that of PictureMatch."""
    topics = MqttTopics(settings.prefix)
    own = object_id(settings.prefix, device_id)
    outcomes = settings.wanted.outcomes or MATCH_OUTCOMES
    components: dict[str, Any] = {
        "passage": {
            "platform": "event",
            "name": "Passage",
            "unique_id": f"{own}_passage",
            "state_topic": topics.events_of(device_id),
            "event_types": list(outcomes),
            "value_template": _EVENT_TEMPLATE,
            "icon": "mdi:face-recognition",
        }
    }
    if "matched" in outcomes:
        components["person"] = {
            "platform": "sensor",
            "name": "Last person",
            "unique_id": f"{own}_person",
            "state_topic": topics.event(device_id, "matched"),
            "value_template": _PERSON_TEMPLATE,
            "icon": "mdi:account",
        }
    for picture in dict.fromkeys(settings.pictures):
        components[picture] = {
            "platform": "image",
            "name": _NAMES[picture],
            "unique_id": f"{own}_{picture}",
            "image_topic": topics.picture(device_id, picture),
            "content_type": "image/jpeg",
        }
    return orjson.dumps(
        {
            "device": {
                "identifiers": [own],
                "name": name[:_LONGEST_NAME],
                "manufacturer": _ORIGIN,
                "model": _REGISTERED if registered else _UNREGISTERED,
                "serial_number": device_id,
            },
            "origin": {"name": _ORIGIN, "sw_version": version},
            "availability_topic": topics.status,
            "qos": 1,
            "components": components,
        }
    )


class _Device(msgspec.Struct):
    model: str
    serial_number: str


class _Origin(msgspec.Struct):
    name: str


class _Message(msgspec.Struct):
    device: _Device
    origin: _Origin
    availability_topic: str


_decoder = msgspec.json.Decoder(_Message)


def announced(settings: MqttSettings, payload: bytes) -> Announced | None:
    """Return what a discovery message says; None: it is not one of a sink with this prefix."""
    try:
        found = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if found.origin.name != _ORIGIN or found.availability_topic != MqttTopics(settings.prefix).status:
        return None
    return Announced(found.device.serial_number, found.device.model == _REGISTERED)


def announcements(settings: MqttSettings, site: Site, seen: Iterable[str], version: str) -> dict[str, bytes]:
    """Return the discovery messages that there must be, topic -> message.

    `seen`: addresses of devices that have sent requests.
    """
    found: dict[str, bytes] = {}
    for device in site.devices.values():
        if device.device_type == PHOTO_DEVICE:
            topic = config_topic(settings, device.device_id)
            name = device.name or device.known_as
            found[topic] = announcement(settings, device.device_id, name, True, version)
    for address in map(canonical_address, seen):
        if site.device_at(address) is None:
            device_id = device_id_at(address)
            found.setdefault(
                config_topic(settings, device_id), announcement(settings, device_id, address, False, version)
            )
    return found


def outdated(settings: MqttSettings, site: Site, found: Mapping[str, bytes]) -> list[str]:
    """Return the topics of discovery messages of this sink that no device needs any more.

    That of an address without a registered device stays: the sink may have seen the address in an earlier run.

    Args:
        settings: the settings of the sink.
        site: the registered devices.
        found: topic -> discovery message, of all that the broker has.
    """
    registered = {device.device_id for device in site.devices.values() if device.device_type == PHOTO_DEVICE}
    by_address = {device_id_at(device.known_as) for device in site.devices.values()} - registered
    topics = []
    for topic, payload in found.items():
        says = announced(settings, payload)
        if says is None:
            continue
        gone = says.device_id not in registered if says.registered else says.device_id in by_address
        if gone:
            topics.append(topic)
    return topics
