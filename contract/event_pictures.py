"""Finds the pictures of an event in the bytes of its request. Pure."""

import hashlib
from typing import NamedTuple

import msgspec

from contract.requests import CompareRequest, EnrolRequest, MatchRequest, StrangerRequest, decode_request


class EventPictures(NamedTuple):
    """The picture to which the findings of an event refer, and the infrared picture; None: there is none."""

    picture: bytes | None = None
    infrared: bytes | None = None


def pictures_in(value: bytes, event_id: str, sha256: str | None) -> EventPictures:
    """Return the pictures in the value of a request's record.

    None of them is returned where the record contains another request than that of the event. Of several pictures the
    one with the hash `sha256` (hex) is meant; None: the first one.
    """
    try:
        request = decode_request(value)
    except msgspec.DecodeError:
        return EventPictures()
    if request.request_id != event_id:
        return EventPictures()
    match request:
        case MatchRequest():
            return EventPictures(_named(request.pictures, sha256), request.ir_picture)
        case CompareRequest():
            return EventPictures(_named((request.face_picture,), sha256))
        case StrangerRequest():
            return EventPictures(_named((request.picture,), sha256))
        case EnrolRequest(photo=bytes(photo)):
            return EventPictures(_named((photo,), sha256))
    return EventPictures()


def _named(pictures: tuple[bytes, ...], sha256: str | None) -> bytes | None:
    return next((data for data in pictures if sha256 is None or hashlib.sha256(data).hexdigest() == sha256), None)
