"""What the messages of pushes and of real-time clients say alike about an event, in the vendor's words. Pure."""

from collections.abc import Mapping
from typing import Any

from contract.events import Event
from contract.findings import Attributes
from contract.people.keys import image_id
from contract.people.records import PersonRecord
from contract.terms import PERSON_STRANGER


def person_type(event: Event, person: PersonRecord | None) -> int:
    """Return the type of an event's person. `person`: as enrolled now; None: nobody who is enrolled."""
    if not event.identity_id:
        return PERSON_STRANGER
    if event.person_type is not None:
        return event.person_type
    return PERSON_STRANGER if person is None else person.person_type


def identity_info(person: PersonRecord | None, info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole info of a person with the ids of the faces and of the photo; empty where there is no person."""
    if person is None:
        return {}
    faces = [image_id(person.identity_id, number) for number in person.faces]
    return {**info, "face_ids": faces, "image_id": person.image_id}


def face_attributes(event: Event) -> dict[str, Any]:
    """Return what is known of the face of an event; `box`: left, top, right and bottom in pixels, or empty.

    An event has no landmarks, so `point` is empty.
    """
    face, known = event.face, event.attributes or Attributes()
    box = [] if face is None else [face.x, face.y, face.x + face.width, face.y + face.height]
    return {
        "point": [],
        "box": [round(side) for side in box],
        "age": _age_word(known.age_years),
        "mask": _yes_no(known.mask),
        "gender": known.sex,
        "glasses": _yes_no(known.glasses),
        "hat": None,
        "expression": None,
    }


def _age_word(years: float | None) -> str | None:
    """Return the vendor's word for an age; its bounds are 6, 18, 40 and 65."""
    if years is None:
        return None
    words = ((7, "child"), (19, "juvenile"), (41, "youth"), (66, "middle-aged"))
    return next((word for below, word in words if years < below), "aged")


def _yes_no(known: bool | None) -> str | None:
    return None if known is None else "yes" if known else "no"
