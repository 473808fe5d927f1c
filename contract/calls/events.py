"""The declarations of the calls that ask the store of events: a list, the pictures of an event, and counts."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from msgspec import Struct

from contract.calls.declaration import Answer, Declaration, Field, flag
from contract.calls.rules import MOMENT, Rule, line, number_in, param_error, texts, whole
from contract.calls.shared import Data
from contract.errors import Code
from contract.event_store import MOST_PER_PAGE
from contract.http import EVENT_COUNTS_PATH, EVENT_IMAGES_PATH, EVENTS_PATH, is_request_id

FACE_SUFFIX = "-face"
INFRARED_SUFFIX = "-ir"
_MAX_CHARS = 64
GROUPINGS = ("day", "device", "outcome")


class EventSource(Struct, frozen=True, kw_only=True):
    """Where an event comes from. `ep_type`: photo for a match, card for a comparison."""

    ep_id: str
    ep_type: str
    ep_ip: str
    ep_name: str
    device_id: str


class ListedEvent(Struct, frozen=True, kw_only=True, rename={"id": "_id"}):
    """An event as the vendor's page describes it; a value that PictureMatch does not have is null, "" or {}.

    `outcome`, `kind` and `repeat_of` are our own fields.
    """

    id: str
    timestamp: float
    identity_id: str
    identity_info: dict[str, Any]
    identity_name: str
    recognize_face_pic_id: str
    spot_pic_id: str
    group_id: str
    group_name: str
    permission_id: str
    permission_name: str
    person_type: int
    score: float | None
    ep_info: EventSource
    want_action: str
    frame_id: int
    recognize_face_attr: dict[str, Any]
    is_send: int
    card_id: str
    gate_data: dict[str, Any]
    grab_data: dict[str, Any]
    video_data: dict[str, Any]
    kind: str
    outcome: str
    repeat_of: str


class EventPagination(Struct, frozen=True, kw_only=True):
    """The place of a page in all events that were asked for; `total_count` is exact up to 100,000."""

    num_pages: int
    page: int
    per_page: int
    total_count: int


class EventsPage(Struct, frozen=True, kw_only=True):
    """A page of events, the newest first."""

    data: list[ListedEvent]
    pagination: EventPagination


class CountedEvents(Struct, frozen=True, kw_only=True):
    """A number of events; `day` (UTC), `device_id` and `outcome` are "" where the events are not grouped by them."""

    day: str
    device_id: str
    outcome: str
    count: int


def _score(value: Any, field: str) -> float:
    score = number_in(value)
    if score is None or not 0 <= score <= 100:
        raise param_error(f"{field} must be a number from 0 to 100")
    return score


SCORE = Rule(word="number", check=_score, schema={"type": ["number", "string"], "minimum": 0, "maximum": 100})
"""A score on the scale of 0 to 100, also as a decimal text."""


def _image_id(value: Any, field: str) -> tuple[str, str]:
    text = str(value)
    suffix = next((end for end in (FACE_SUFFIX, INFRARED_SUFFIX) if text.endswith(end)), "")
    event_id = text.removesuffix(suffix) if suffix else text
    if not is_request_id(event_id):
        raise param_error(f"{field} must be a spot_pic_id or a recognize_face_pic_id of an event")
    return event_id, suffix


_IMAGE_ID = Rule(word="string", check=_image_id, schema={"type": "string"})


def _by(value: Any, field: str) -> tuple[str, ...]:
    chosen = texts(len(GROUPINGS), _MAX_CHARS).check(value, field)
    if not set(chosen) <= set(GROUPINGS):
        raise param_error(f"{field} must be one or several of {', '.join(GROUPINGS)}")
    return tuple(chosen)


_BY = replace(texts(len(GROUPINGS), _MAX_CHARS), check=_by)

_CHOICE = (
    Field("datetime_gte", MOMENT, "The earliest `timestamp`, in seconds since the epoch.", example=1700000000),
    Field("datetime_lte", MOMENT, "The latest `timestamp`, in seconds since the epoch."),
    Field("name", line(_MAX_CHARS), "The name contains this text; upper and lower case are equal."),
    Field("identity_id", line(_MAX_CHARS), "The person of the event."),
    Field("score_min", SCORE, "The least score, on the scale of 0 to 100."),
    Field("score_max", SCORE, "The greatest score, on the scale of 0 to 100."),
    Field("userType", whole(1, 5), "The type of the person."),
    Field("room", line(_MAX_CHARS), "Accepted without effect: devices have no rooms."),
    Field("groups", texts(100, _MAX_CHARS), "The ids of groups whose people were searched."),
    Field("streams", texts(100, _MAX_CHARS), "The `device_id` of devices."),
    Field("kinds", texts(20, _MAX_CHARS), "Our own field: kinds of events; absent: match and compare."),
    Field("outcomes", texts(40, _MAX_CHARS), "Our own field: outcomes, such as matched and stranger."),
    flag("repeats", "Our own field: whether events of repeats are included."),
    flag("replays", "Our own field: whether events of replays are included."),
)

EVENT_EXAMPLE: Mapping[str, Any] = {
    "_id": "5f0c0c61e2b54f8e9a3d7a2b8f6a1c11",
    "timestamp": 1700000000.25,
    "identity_id": "666666",
    "identity_info": {"name": "Ana", "type": 1, "permission_ids": ["0"], "face_ids": [0], "image_id": "666666-0"},
    "identity_name": "Ana",
    "recognize_face_pic_id": "5f0c0c61e2b54f8e9a3d7a2b8f6a1c11-face",
    "spot_pic_id": "5f0c0c61e2b54f8e9a3d7a2b8f6a1c11",
    "group_id": "default_group",
    "group_name": "default_group",
    "permission_id": "0",
    "permission_name": "0",
    "person_type": 1,
    "score": 0.8312,
    "ep_info": {
        "ep_id": "9c5d9f0e-5a0b-4f0e-9f5c-0a0b4f0e9f5c__192.168.1.63",
        "ep_type": "photo",
        "ep_ip": "192.168.1.63",
        "ep_name": "hall",
        "device_id": "9c5d9f0e-5a0b-4f0e-9f5c-0a0b4f0e9f5c",
    },
    "want_action": "0",
    "frame_id": 0,
    "recognize_face_attr": {
        "point": None,
        "box": [261, 31, 375, 176],
        "mask": None,
        "gender": None,
        "hat": None,
        "age": None,
        "glasses": None,
        "expression": None,
        "feature": None,
    },
    "is_send": 0,
    "card_id": "",
    "gate_data": {},
    "grab_data": {},
    "video_data": {},
    "kind": "match",
    "outcome": "matched",
    "repeat_of": "",
}

LIST = Declaration(
    method="GET",
    path=EVENTS_PATH,
    route="events",
    summary="The stored events of matches and comparisons, the newest first.",
    fields=(
        Field("per_page", whole(1, MOST_PER_PAGE), "The number of events of a page.", default=10),
        Field("page", whole(0, 100_000_000), "The number of the page, from 0 on.", default=0),
        Field("top_k", whole(1, 100_000), "Only so many events, the newest ones."),
        *_CHOICE,
    ),
    answers=(
        Answer(
            EventsPage,
            {"data": [EVENT_EXAMPLE], "pagination": {"num_pages": 1, "page": 0, "per_page": 10, "total_count": 1}},
        ),
    ),
    errors=(Code.NOT_FOUND,),
)

COUNTS = Declaration(
    method="GET",
    path=EVENT_COUNTS_PATH,
    route="event_counts",
    summary="The numbers of stored events by day, device or outcome.",
    fields=(
        Field(
            "by",
            _BY,
            "By what the events are grouped: `day` (of arrival, UTC), `device`, `outcome`; absent: day.",
            example="day",
        ),
        *_CHOICE,
    ),
    answers=(
        Answer(
            Data[list[CountedEvents]],
            {"data": [{"day": "2023-11-14", "device_id": "", "outcome": "matched", "count": 1204}]},
        ),
    ),
    errors=(Code.NOT_FOUND,),
)

IMAGE = Declaration(
    method="GET",
    path=EVENT_IMAGES_PATH,
    route="event_images",
    summary="A picture of an event: as it was sent, or the face in it as a JPEG; the log keeps it as long as requests.",
    fields=(
        Field(
            "image_id",
            _IMAGE_ID,
            "The last part of the path: a `spot_pic_id` or `recognize_face_pic_id`; the id of an event followed by"
            " `-ir` is its infrared picture.",
            required=True,
            example="5f0c0c61e2b54f8e9a3d7a2b8f6a1c11",
        ),
        Field("datetime", MOMENT, "Accepted without effect: the id of an event names its picture."),
    ),
    answers=(Answer(bytes, "/9j/4AAQSkZJRg=="),),
    errors=(Code.NOT_FOUND,),
)
