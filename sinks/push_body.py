"""The body of the vendor's push: one event in the vendor's fields, as JSON or as multipart form. Pure.

Every field is always there. Times are whole milliseconds, and what is not known is "" or null. A picture is "" where it
was not asked for, or where the log does not have it any more.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pybase64

from contract.events import Event
from contract.people.records import PersonRecord
from contract.people.site import Site
from contract.terms import STRANGER
from contract.vendor_words import endpoint_id, face_attributes, identity_info, is_passage, person_type
from sinks.wanted import Wanted

PICTURES = ("reg_pic", "spot_pic", "ir_pic", "recognize_face")
"""The fields that contain pictures."""
_API_VERSION = "1.0"
_STATUS = re.compile(r"\s*([+-]?[0-9]{1,18})\s*")
_TYPES: tuple[tuple[bytes, str, str], ...] = (
    (b"\x89PNG", "png", "image/png"),
    (b"RIFF", "webp", "image/webp"),
    (b"BM", "bmp", "image/bmp"),
)


class Pushed(Wanted, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The events that are pushed: matches and stored comparisons that were answered, and the enrolments of strangers;
    no replays and no repeats."""

    kinds: tuple[str, ...] = ("match", "compare", "stranger")

    def contains(self, event: Event) -> bool:
        """Return whether an event is pushed."""
        return super().contains(event) and is_passage(event)


@dataclass(frozen=True, slots=True)
class Person:
    """What the log has about the person of an event: the record in brief, and the whole info."""

    record: PersonRecord
    info: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a multipart form. `file`: name and media type, where the value is a file."""

    name: str
    value: str | bytes
    file: tuple[str, str] | None = None


def push_fields(event: Event, person: Person | None, site: Site) -> dict[str, Any]:
    """Return the fields of an event without its pictures, which are "".

    `person`: None where the event names nobody, or nobody who is enrolled.
    """
    time_ms = round(event.compare_time * 1000)
    return {
        "identity_id": event.identity_id,
        "identity_name": _name(event),
        "identity_info": _info(event, person),
        "timestamp": time_ms,
        "out_timestamp": time_ms,
        "score": 0.0 if event.score is None else event.score,
        "want_action": event.want_action,
        **dict.fromkeys(PICTURES, ""),
        "person_type": person_type(event, None if person is None else person.record),
        "ep_info": _ep_info(event, site),
        "dev_sno": "",
        "recognize_face_attr": {**face_attributes(event.face, event.attributes, []), "feature": []},
        "api_version": _API_VERSION,
    }


def json_body(fields: Mapping[str, Any], pictures: Mapping[str, bytes]) -> bytes:
    """Return the body as JSON, with the pictures in base64 without line breaks."""
    encoded = {name: pybase64.b64encode(picture).decode() for name, picture in pictures.items()}
    return orjson.dumps({**fields, **encoded}, option=orjson.OPT_NON_STR_KEYS)


def form_parts(fields: Mapping[str, Any], pictures: Mapping[str, bytes]) -> list[Part]:
    """Return the parts of the body as multipart form: pictures are files, objects are JSON text, all else is text."""
    parts: list[Part] = []
    for name, value in fields.items():
        picture = pictures.get(name)
        if picture is not None:
            ending, media_type = _file_type(picture)
            parts.append(Part(name, picture, (f"{name}.{ending}", media_type)))
        else:
            text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
            parts.append(Part(name, text))
    return parts


def refusal_in(body: bytes) -> str | None:
    """Return the status by which an answer with status 2xx says that the push has failed; None: the push succeeded.

    That is a `status` in a JSON object that is a number, or digits in a text, other than 0. Any other answer, also one
    that is no JSON, is a success.
    """
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    status = answer.get("status") if isinstance(answer, dict) else None
    if isinstance(status, bool):
        return None
    if isinstance(status, int | float):
        return None if status == 0 else f"{status:g}"
    digits = _STATUS.fullmatch(status) if isinstance(status, str) else None
    return None if digits is None or int(digits[1]) == 0 else str(int(digits[1]))


def _name(event: Event) -> str:
    """Return the name of the person; a comparison names whom its caller has named."""
    if event.kind != "compare":
        return event.name if event.identity_id else STRANGER
    said = (event.identity_info or {}).get("user_name")
    return event.name or (said if isinstance(said, str) else "") or STRANGER


def _info(event: Event, person: Person | None) -> dict[str, Any]:
    """Return the info of the person, as the people topic has it now; of a comparison that which its caller has sent."""
    if event.kind == "compare":
        return dict(event.identity_info or {})
    return {} if person is None else identity_info(person.record, person.info)


def _ep_info(event: Event, site: Site) -> dict[str, str]:
    address = event.device_ip or ""
    device = site.device_at(address) if address else None
    device_id = site.device_id_of(address) if address else ""
    return {
        "ep_id": endpoint_id(device_id, address),
        "ep_type": "card" if event.kind == "compare" else "photo",
        "ep_ip": address,
        "ep_name": address if device is None else device.name,
        "device_id": device_id,
    }


def _file_type(picture: bytes) -> tuple[str, str]:
    """Return the ending and the media type of a picture's file."""
    known = next(((ending, kind) for start, ending, kind in _TYPES if picture.startswith(start)), None)
    return known or ("jpg", "image/jpeg")
