"""The declarations of the calls that show and set the settings of the site (contract.site_settings)."""

from typing import Any

from msgspec import Struct
from msgspec import field as renamed

from contract.calls.declaration import Answer, Declaration, Field, flag
from contract.calls.dialects import Dialect
from contract.calls.rules import choice, free_object, line, whole
from contract.calls.setting_rules import EVENT_URLS, SCORE_RANGE
from contract.calls.shared import Data
from contract.errors import Code
from contract.http import (
    CONFIG_PATH,
    CONFIGS_PATH,
    GALLERY_VERSION_HEADER,
    HISTORY_EVENT_URL_PATH,
    PRETTY_SCORE_PATH,
)

MAX_NAME_CHARS = 64
MAX_PERIOD_S = 86_400


class ChangedConfigs(Struct, frozen=True, kw_only=True):
    """The names of the settings that were set, and of those that could not be set; `reasons`: why not, by name."""

    success_configs: list[str]
    failed_configs: list[str]
    reasons: dict[str, str]


class Scores(Struct, frozen=True, kw_only=True):
    """The scores that the cosines 0, the threshold and 1 get on the percent scale."""

    threshold_range: list[float]


class EventReceivers(Struct, frozen=True, kw_only=True):
    """The receivers of events, and what they get."""

    history_upload_event_url: list[str]
    history_need_reg_pic: bool
    history_need_spot_pic: bool
    history_need_recognize_face: bool
    content_type: str = renamed(name="content-type")
    reported_peroid: int


class SetEventReceivers(EventReceivers, frozen=True, kw_only=True):
    """The receivers of events after a POST."""

    message: str = "set history event url success"


_CHANGED = {GALLERY_VERSION_HEADER: "The version of the gallery that contains the change."}
_SHOWN = {GALLERY_VERSION_HEADER: "The version of the gallery that the answer describes."}
_SCORES = Answer(Data[Scores], {"data": {"threshold_range": [0.0, 82.0, 100.0]}})
_URL = "http://192.168.1.100:9828/EventServer/api/SophonFogHistoryEvent"
_RECEIVERS = {
    "history_upload_event_url": [_URL],
    "history_need_reg_pic": True,
    "history_need_spot_pic": True,
    "history_need_recognize_face": True,
    "content-type": "json",
    "reported_peroid": 5,
}

SHOW_CONFIGS = Declaration(
    method="GET",
    path=CONFIGS_PATH,
    route="configs",
    summary="The settings of the site that are in force.",
    answers=(Answer(Data[dict[str, Any]], {"data": {"THRESHOLD": 82.0, "FIQA_LEVEL": "low"}}),),
    errors=(Code.OVERLOADED, Code.TIMEOUT),
    headers=_SHOWN,
)
SHOW_CONFIG = Declaration(
    method="GET",
    path=CONFIG_PATH,
    route="config",
    summary="One setting of the site.",
    fields=(
        Field(
            "name",
            line(MAX_NAME_CHARS),
            "The last part of the path: the name of the setting.",
            required=True,
            example="THRESHOLD",
        ),
    ),
    answers=(Answer(Data[dict[str, Any]], {"data": {"THRESHOLD": 82.0}}),),
    errors=(Code.NOT_FOUND,),
    headers=_SHOWN,
)
CHANGE_CONFIGS = Declaration(
    method="PUT",
    path=CONFIGS_PATH,
    route="configs",
    summary="Set settings of the site; each that can be set is set, and the answer names the others.",
    fields=(
        Field(
            "config_dict",
            free_object(),
            "The name of a setting -> its value; null deletes the setting, so that the operator's is in force again.",
            required=True,
            example={"THRESHOLD": 85},
        ),
    ),
    answers=(
        Answer(Data[ChangedConfigs], {"data": {"success_configs": ["THRESHOLD"], "failed_configs": [], "reasons": {}}}),
    ),
    headers=_CHANGED,
)
SHOW_SCORES = Declaration(
    method="GET",
    path=PRETTY_SCORE_PATH,
    route="pretty_score",
    summary="The scores that the cosines 0, the threshold and 1 get on the percent scale.",
    answers=(_SCORES,),
    errors=(Code.OVERLOADED, Code.TIMEOUT),
    headers=_SHOWN,
    dialect=Dialect.FOG,
)
CHANGE_SCORES = Declaration(
    method="PUT",
    path=PRETTY_SCORE_PATH,
    route="pretty_score",
    summary="Set the scores that the cosines 0, the threshold and 1 get on the percent scale.",
    fields=(
        Field(
            "threshold_range",
            SCORE_RANGE,
            "Three rising numbers from 0 to 100.",
            required=True,
            example=[0.0, 82.0, 100.0],
        ),
    ),
    answers=(_SCORES,),
    headers=_CHANGED,
    dialect=Dialect.FOG,
)
SHOW_EVENT_URLS = Declaration(
    method="GET",
    path=HISTORY_EVENT_URL_PATH,
    route="history_event_url",
    summary="The receivers of events.",
    answers=(Answer(Data[EventReceivers], {"data": _RECEIVERS}),),
    errors=(Code.OVERLOADED, Code.TIMEOUT),
    headers=_SHOWN,
    dialect=Dialect.FOG,
)
CHANGE_EVENT_URLS = Declaration(
    method="POST",
    path=HISTORY_EVENT_URL_PATH,
    route="history_event_url",
    summary="Set the receivers of events.",
    fields=(
        Field(
            "history_upload_event_url",
            EVENT_URLS,
            "At most 10 URLs, `http://` or `https://`, of hosts that `ingest.event_url_hosts` names or of"
            " `ingest.trusted_networks`; an empty list means no receiver.",
            required=True,
            example=[_URL],
        ),
        Field(
            "content-type", choice("json", "form-data"), "How events are sent to them.", required=True, example="json"
        ),
        Field("reported_peroid", whole(1, MAX_PERIOD_S), "Seconds between two uploads.", required=True, example=5),
        flag("history_need_reg_pic", "Events are sent with the photo of the person.", default=True),
        flag("history_need_spot_pic", "Events are sent with the picture and the infrared picture.", default=True),
        flag("history_need_recognize_face", "Events are sent with the face, cut out of the picture.", default=True),
    ),
    answers=(Answer(Data[SetEventReceivers], {"data": {**_RECEIVERS, "message": "set history event url success"}}),),
    headers=_CHANGED,
    dialect=Dialect.FOG,
    takes_form=True,
)
