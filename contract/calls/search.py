"""The declarations of the searches by picture among the faces of past matches: the vendor's and our own."""

from typing import Any

from msgspec import Struct

from contract.calls.declaration import Answer, Declaration, Field, flag
from contract.calls.events import EVENT_EXAMPLE, SCORE, EventSource
from contract.calls.rules import FLAG, MOMENT, PICTURE, line, texts, whole
from contract.calls.shared import EXAMPLE_PICTURE, QUALITY_LEVEL, Data
from contract.errors import Code
from contract.http import PICTURE_SEARCH_PATH, SEEN_PATH
from contract.seen_faces import MOST_FOUND

MOST_SPAN_S = 31 * 86_400
DEFAULT_PERCENT = 82.0
_MAX_CHARS = 64
_MAX_REASON_CHARS = 200


class SeenEvent(Struct, frozen=True, kw_only=True):
    """An event whose face is similar to the picture, as the vendor's page describes it.

    `compare_score`, 0..1: the similarity of the two faces, .82 at the threshold. `event_id` is our own field.
    """

    compare_score: float
    timestamp: float
    identity_id: str
    identity_name: str
    identity_info: dict[str, Any]
    recognize_face_pic_id: str
    spot_pic_id: str
    person_type: int
    score: float | None
    ep_info: EventSource
    recognize_face_attr: dict[str, Any]
    event_id: str


class PictureSearched(Struct, frozen=True, kw_only=True):
    """The events that were found. `have_more`: the search ended before the last face; `endtimestamp`: where."""

    retcode: str
    ret_code: int
    have_more: bool
    total_time: float
    total_count: int
    endtimestamp: float | None
    event_list: list[SeenEvent]


class RankedFace(Struct, frozen=True, kw_only=True):
    """A face of a past match. `cosine`: its similarity to the picture. `chance_hits`: how many faces of other people
    are to be expected at that cosine or above, among all that were compared; null: the embedder has no curve."""

    rank: int
    event_id: str
    timestamp: float
    cosine: float
    chance_hits: float | None
    outcome: str
    identity_id: str
    identity_name: str
    device_id: str
    device_name: str
    spot_pic_id: str


class RankedFaces(Struct, frozen=True, kw_only=True):
    """The most similar faces among `among` faces; a list to look at, and never a decision."""

    among: int
    faces: list[RankedFace]


_FACE = Field(
    "face_image_base64", PICTURE, "The picture; its largest face counts.", required=True, example=EXAMPLE_PICTURE
)
_DEVICES = Field("device_id_list", texts(100, _MAX_CHARS), "The `device_id` of devices; absent: all.")
_REASON = Field(
    "reason",
    line(_MAX_REASON_CHARS),
    "Our own field: why the search is made; the audit record contains it.",
    example="a bag was left at the gate",
)
_SHARED = (
    *("timestamp", "identity_id", "identity_name", "identity_info", "recognize_face_pic_id", "spot_pic_id"),
    *("person_type", "score", "ep_info"),
)
_EVENT = {
    "compare_score": 0.9167,
    **{name: EVENT_EXAMPLE[name] for name in _SHARED},
    "recognize_face_attr": {"point": None, "box": [261, 31, 375, 176]},
    "event_id": EVENT_EXAMPLE["_id"],
}

PICTURE_SEARCH = Declaration(
    method="POST",
    path=PICTURE_SEARCH_PATH,
    route="picture_search",
    summary="Find the events of past matches whose face is similar to a picture, in the order of time.",
    fields=(
        _FACE,
        Field("fiqa_level", QUALITY_LEVEL, "The quality level that the picture must have.", default="no"),
        flag("with_debug_info", "Accepted without effect."),
        Field("starttime", MOMENT, "The earliest time of a match, in seconds; absent: a day ago."),
        Field("endtime", MOMENT, "The latest time of a match, in seconds; absent: now."),
        Field("last_end_timestamp", MOMENT, "The `endtimestamp` of the answer that this search continues."),
        Field("threshold", SCORE, "The least similarity, on the scale of 0 to 100.", default=DEFAULT_PERCENT),
        _DEVICES,
        Field("reverse", FLAG, "Whether the newest match comes first.", default=True),
        _REASON,
    ),
    answers=(
        Answer(
            PictureSearched,
            {
                "retcode": "1",
                "ret_code": 1,
                "have_more": False,
                "total_time": 0.08,
                "total_count": 1,
                "endtimestamp": 1700000000.25,
                "event_list": [_EVENT],
            },
        ),
    ),
    errors=(Code.NOT_FOUND, Code.NO_FACE, Code.LOW_QUALITY_ERROR),
)

SEEN = Declaration(
    method="POST",
    path=SEEN_PATH,
    route="seen",
    summary="Rank the faces of past matches by their similarity to a picture.",
    fields=(
        _FACE,
        Field("since", MOMENT, "The earliest time of a match, in seconds.", required=True, example=1700000000),
        Field("until", MOMENT, "The latest time of a match, in seconds; absent: now."),
        Field("most", whole(1, MOST_FOUND), "The number of faces.", default=20),
        _DEVICES,
        _REASON,
    ),
    answers=(
        Answer(
            Data[RankedFaces],
            {
                "data": {
                    "among": 184_223,
                    "faces": [
                        {
                            "rank": 1,
                            "event_id": "5f0c0c61e2b54f8e9a3d7a2b8f6a1c11",
                            "timestamp": 1700000000.25,
                            "cosine": 0.7121,
                            "chance_hits": 0.0002,
                            "outcome": "stranger",
                            "identity_id": "",
                            "identity_name": "",
                            "device_id": "9c5d9f0e-5a0b-4f0e-9f5c-0a0b4f0e9f5c",
                            "device_name": "hall",
                            "spot_pic_id": "5f0c0c61e2b54f8e9a3d7a2b8f6a1c11",
                        }
                    ],
                }
            },
        ),
    ),
    errors=(Code.NOT_FOUND, Code.NO_FACE),
)
