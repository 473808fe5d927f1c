"""What lists, pushes and real-time messages say alike about an event, in the vendor's words. Pure."""

from collections.abc import Mapping
from typing import Any

from contract.events import Event
from contract.findings import Attributes, FaceBox
from contract.people.keys import image_id
from contract.people.records import PersonRecord
from contract.terms import PERSON_STRANGER

NO_ACTION = "0"
"""The value of want_action in the event of a passage that changed nobody."""
STRANGER_ENROLLED = "1001"
"""The value of want_action in the event by which a stranger was enrolled."""


def person_type(event: Event, person: PersonRecord | None) -> int:
    """Return the type of an event's person. `person`: as enrolled now; None: nobody who is enrolled."""
    if not event.identity_id:
        return PERSON_STRANGER
    if event.person_type is not None:
        return event.person_type
    return PERSON_STRANGER if person is None else person.person_type


def is_passage(event: Event) -> bool:
    """Return whether pushes, and real-time messages in the vendor's forms, have the event.

    These are answered matches and stored comparisons, and the enrolments of strangers.
    """
    return event.retcode is not None or event.want_action == STRANGER_ENROLLED


def identity_info(person: PersonRecord | None, info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole info of a person with the ids of the faces and of the photo.

    Empty where there is no person, and of strangers.
    """
    if person is None or person.person_type == PERSON_STRANGER:
        return {}
    faces = [image_id(person.identity_id, number) for number in person.faces]
    return {**info, "face_ids": faces, "image_id": person.image_id}


def endpoint_id(device_id: str, device_ip: str) -> str:
    """Return the vendor's ep_id of a device, which names the device and its address; "" where there is no device."""
    return f"{device_id}__{device_ip}" if device_ip else ""


def face_attributes(face: FaceBox | None, known: Attributes | None, no_list: list[Any] | None) -> dict[str, Any]:
    """Return what is known of the face of an event, the vendor's recognize_face_attr without `feature`.

    Args:
        face: The box in the picture, of which left, top, right and bottom in pixels are returned; None: there is none.
        known: The estimated attributes; None: nothing was estimated.
        no_list: What stands for a list that is not known: that of the landmarks, which an event does not have, and
            that of a box.
    """
    known = known or Attributes()
    sides = None if face is None else (face.x, face.y, face.x + face.width, face.y + face.height)
    return {
        "point": no_list,
        "box": no_list if sides is None else [round(side) for side in sides],
        "age": _age_word(known.age_years),
        "mask": _yes_no(known.mask),
        "gender": known.sex,
        "glasses": _yes_no(known.glasses),
        "hat": None,
        "expression": None,
    }


def _age_word(years: float | None) -> str | None:
    """Return the vendor's word for an age in years: the last full years of the classes are 6, 18, 40 and 65."""
    if years is None:
        return None
    words = ((7, "child"), (19, "juvenile"), (41, "youth"), (66, "middle-aged"))
    return next((word for below, word in words if years < below), "aged")


def _yes_no(known: bool | None) -> str | None:
    return None if known is None else "yes" if known else "no"
