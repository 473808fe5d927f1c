"""The messages of real-time clients: an event in the vendor's fields of version 5 or 6, or as Server-Sent Event. Pure.

Every field of the vendor is always there, but for the pictures in `ext_data` that were not asked for. Times are whole
milliseconds. A picture is "" where the log does not have it (any more).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
import pybase64

from contract.calls.v6_rules import USER_TYPES
from contract.event_store import event_percent
from contract.events import Event
from contract.people.records import PersonRecord
from contract.people.site import Site
from contract.terms import PHOTO_DEVICE, STRANGER
from contract.vendor_words import NO_ACTION, face_attributes, identity_info, person_type

_GATE, _VIDEO = "0", "3"
"""The vendor's numbers of the types of devices: of those that send pictures, and of those that send video."""
_BREAKS = (b"\n", b"\r")


@dataclass(frozen=True, slots=True)
class Pictures:
    """The pictures of an event: the face, the picture that was sent, and the photo of the person; None: not there."""

    face: bytes | None = None
    spot: bytes | None = None
    photo: bytes | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a message tells besides the event: the person as enrolled now (None: nobody), and the pictures."""

    person: PersonRecord | None = None
    info: Mapping[str, Any] = field(default_factory=dict)
    pictures: Pictures = Pictures()


def names_somebody(event: Event) -> bool:
    """Return whether somebody was recognised, rather than named as the nearest person of a stranger."""
    return bool(event.identity_id) and event.outcome != STRANGER


def v5_body(event: Event, told: Told, site: Site, *, with_face: bool) -> bytes:
    """Return an event in the fields of version 5; `with_face`: with the face and the picture that was sent."""
    address = event.device_ip or ""
    device_id, device = site.device_id_of(address), site.device_at(address)
    group = (event.scope.group_name if event.scope else "") or _group_of(address, site)
    faces = {"recognize_face": told.pictures.face, "spot_pic": told.pictures.spot} if with_face else {}
    return orjson.dumps(
        {
            "identity_id": event.identity_id,
            "identity_name": event.name or STRANGER,
            "group_name": group,
            "device_id": device_id,
            "identity_info": identity_info(told.person, told.info),
            "timestamp": _milliseconds(event),
            "score": event.score or 0.0,
            **_action(event),
            "reg_pic": _base64(told.pictures.photo),
            "ext_data": {
                "device_ip": address,
                **{name: _base64(picture) for name, picture in faces.items()},
                "person_type": person_type(event, told.person),
                "device_type": _GATE if device is None or device.device_type == PHOTO_DEVICE else _VIDEO,
            },
            "video_id": device_id,
            "event_id": event.id,
        }
    )


def v6_body(event: Event, told: Told, site: Site) -> bytes:
    """Return an event in the fields of version 6, with its pictures as data URLs."""
    address = event.device_ip or ""
    device = site.device_at(address)
    return orjson.dumps(
        {
            "event_id": event.id,
            "timestamp": _milliseconds(event),
            "identity_id": event.identity_id,
            "identity_name": event.name or STRANGER,
            "user_type": _user_type(person_type(event, told.person)),
            "score": round(event_percent(event) or 0.0, 4),
            **_action(event),
            "media_device_ip": address,
            "media_device_id": site.device_id_of(address),
            "media_device_type": PHOTO_DEVICE if device is None else device.device_type,
            "register_image": _data_url(told.pictures.photo),
            "recognize_face_image": _data_url(told.pictures.face),
            "recognize_face_attr": face_attributes(event.face, event.attributes, []),
        }
    )


def stream_chunk(event_id: str, value: bytes) -> bytes:
    """Return an event as a Server-Sent Event. `value`: its JSON, as the record of the events topic contains it."""
    if any(line_break in value for line_break in _BREAKS):
        value = orjson.dumps(orjson.loads(value))
    name = f"id: {event_id}\n".encode() if event_id.isprintable() else b""
    return b"".join((name, b"data: ", value, b"\n\n"))


def _action(event: Event) -> dict[str, str]:
    """Return want_action, which the vendor's messages do not have, where the event is more than a passage."""
    return {} if event.want_action == NO_ACTION else {"want_action": event.want_action}


def _milliseconds(event: Event) -> int:
    return round(event.compare_time * 1000)


def _group_of(address: str, site: Site) -> str:
    """Return the name of a device's group, else its id; "" of a device that is not registered."""
    device = site.device_at(address)
    if device is None:
        return ""
    group = site.groups.get(device.group_id)
    return device.group_id if group is None else group.name


def _user_type(number: int) -> str:
    return USER_TYPES[number - 1] if 1 <= number <= len(USER_TYPES) else USER_TYPES[0]


def _base64(picture: bytes | None) -> str:
    return "" if picture is None else pybase64.b64encode_as_string(picture)


def _data_url(picture: bytes | None) -> str:
    return "" if picture is None else f"data:image/jpeg;base64,{_base64(picture)}"
