"""The declarations of the calls of version 5 that create, change, list and delete devices."""

from dataclasses import replace
from typing import Any

import orjson
from msgspec import UNSET, Struct, UnsetType

from contract.calls.declaration import Answer, Declaration, Field, flag, objects
from contract.calls.names import IDENTITY_ID, SCOPE_NAME
from contract.calls.rules import FLAG, Rule, choice, free_object, line, param_error, whole
from contract.calls.shared import Data
from contract.errors import Code
from contract.http import DEVICES_PATH, GALLERY_VERSION_HEADER
from contract.terms import LIVENESS_ORDER, PHOTO_DEVICE, QUALITY_ORDER

MAX_DEVICE_NAME_CHARS = 255
MAX_KEY_CHARS = 1024
MAX_DETAIL_BYTES = 4096
MAX_FACE_PX = 65_535
DETAILS = ("device_attr", "netRelay", "is_start_rtmp", "rtmp_address")
"""The fields of a device that are stored and answered as they were sent."""
NO_VIDEO = "stored, but no video is read here: only devices of the type photo have matches"
"""The note about a device of another type than photo."""


class NamedDevice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A device that was created, changed or deleted. `note`: a restriction that applies to the device."""

    device_id: str
    device_name: str
    note: str | UnsetType = UNSET


class FailedDevice(Struct, frozen=True, kw_only=True):
    """A device that was not created, changed or deleted, as the request names it, and the reason in one sentence."""

    device_id: str
    device_name: str
    device_key: str
    code: int
    reason: str


class ChangedDevices(Struct, frozen=True, kw_only=True):
    """The devices that were created, changed or deleted as asked, and those that were not."""

    success_devices: list[NamedDevice]
    failed_devices: list[FailedDevice]


class ListedDevice(Struct, frozen=True, kw_only=True):
    """A device in a list. `device_ip`: the host in `device_key`, empty where it names none.

    `group_id` and `permission_id`: empty where the group or the permission was deleted.
    """

    device_id: str
    device_name: str
    device_key: str
    device_type: str
    device_ip: str
    group_id: str
    permission_id: str
    device_attr: dict[str, Any]
    netRelay: dict[str, Any]  # noqa: N815 - the vendor's name
    is_start_rtmp: bool
    rtmp_address: str
    liveness_floor: str
    quality_level: str
    min_face_size: int
    note: str | UnsetType = UNSET


class Previews(Struct, frozen=True, kw_only=True):
    """The devices whose video is shown: none."""

    preview_list: list[str] = []
    current_preview_list: list[str] = []
    preview_mode: str = "1"
    last_set_name: str = "WEBUI"


class DevicesPage(Struct, frozen=True, kw_only=True):
    """Devices in the order of their names."""

    devices_list: list[ListedDevice]
    preview_list: Previews | UnsetType = UNSET


def _no_preview(_value: Any, field: str) -> Any:
    raise param_error(f"{field} cannot be set, because no video is read here; send devices_list")


def _nonempty(rule: Rule) -> Rule:
    """Return the rule of a string that must not consist of blanks only; blanks around the text are removed."""

    def check(value: Any, field: str) -> str:
        text = str(rule.check(value, field)).strip()
        if not text:
            raise param_error(f"{field} must not be empty")
        return text

    return replace(rule, check=check, schema={**rule.schema, "pattern": r"\S"})


def _detail(value: Any, field: str) -> dict[str, Any]:
    checked: dict[str, Any] = _OBJECT.check(value, field)
    if len(orjson.dumps(checked)) > MAX_DETAIL_BYTES:
        raise param_error(f"{field} is larger than {MAX_DETAIL_BYTES} bytes")
    return checked


_OBJECT = free_object()
_ID = replace(IDENTITY_ID, empty_is_absent=True)
_SMALL_OBJECT = replace(_OBJECT, check=_detail)
_PREVIEW = Rule(word="object", check=_no_preview, schema={"type": "object"}, empty_is_absent=False)


def _device(*, new: bool) -> tuple[Field, ...]:
    """Return the fields of a device that is created, or changed: then only its id is required."""
    return (
        Field(
            "device_id",
            _ID,
            "The id of the device: 1..64 characters." + (" Absent: one is made." if new else ""),
            required=not new,
            example=None if new else "3f09148d-7d3c-4b3a-9a52-4dbfae3f9c11",
        ),
        Field("device_name", _nonempty(line(MAX_DEVICE_NAME_CHARS)), "The name.", required=new, example="Main door"),
        Field(
            "device_key",
            _nonempty(line(MAX_KEY_CHARS)),
            "The address, which no other device has: of a device of the type photo the address or host name that it"
            " sends as `device_ip`, in any spelling, else a URL.",
            required=new,
            example="192.168.1.63",
        ),
        Field(
            "device_type",
            choice(PHOTO_DEVICE, "rtsp", "file", "gb28181"),
            "The type; only devices of the type photo have matches.",
            required=new,
            example=PHOTO_DEVICE,
        ),
        Field("group_id", SCOPE_NAME, "The group that is searched, by its id.", required=new, example="default_group"),
        Field(
            "permission_id",
            SCOPE_NAME,
            "The permission that is searched, by its id, or else by its name.",
            required=new,
            example="0",
        ),
        *_OPTIONAL,
    )


_OPTIONAL = (
    Field("device_attr", _SMALL_OBJECT, f"Stored and answered as sent, at most {MAX_DETAIL_BYTES} bytes."),
    Field("netRelay", _SMALL_OBJECT, f"Stored and answered as sent, at most {MAX_DETAIL_BYTES} bytes."),
    Field("is_start_rtmp", FLAG, "Stored and answered as sent."),
    Field("rtmp_address", line(MAX_KEY_CHARS), "Stored and answered as sent."),
    Field(
        "liveness_floor",
        choice(*LIVENESS_ORDER),
        "The least liveness mode of the device's matches. Like the next two fields it can raise what the settings"
        " demand, never lower it.",
    ),
    Field("quality_level", choice(*QUALITY_ORDER), "The least quality level of the device's matches."),
    Field("min_face_size", whole(0, MAX_FACE_PX), "The least `min_face_size` of the device's matches."),
)
_NAMED = {"device_id": "3f09148d-7d3c-4b3a-9a52-4dbfae3f9c11", "device_name": "Main door"}
_CHANGED = Answer(Data[ChangedDevices], {"data": {"success_devices": [_NAMED], "failed_devices": []}})
_LISTED = {
    **_NAMED,
    "device_key": "192.168.1.63",
    "device_type": PHOTO_DEVICE,
    "device_ip": "192.168.1.63",
    "group_id": "default_group",
    "permission_id": "0",
    "device_attr": {},
    "netRelay": {},
    "is_start_rtmp": False,
    "rtmp_address": "",
    "liveness_floor": "liveness_off",
    "quality_level": "no",
    "min_face_size": 0,
}
_VERSION = {GALLERY_VERSION_HEADER: "The version of the gallery that contains the change."}
_WRITING_ERRORS = (Code.GROUP_NAME_ERROR, Code.DEVICE_ADDRESS_DUPLICATE_ERROR)
_ROUTE = "devices"

CREATE = Declaration(
    method="POST",
    path=DEVICES_PATH,
    route=_ROUTE,
    summary="Create devices; a device whose `device_key` exists is replaced.",
    fields=(objects("devices_list", "The devices; at most `ingest.max_devices`.", _device(new=True), required=True),),
    answers=(_CHANGED,),
    errors=(*_WRITING_ERRORS, Code.DEVICE_MAX_NUM_ERROR),
    headers=_VERSION,
)
CHANGE = Declaration(
    method="PUT",
    path=DEVICES_PATH,
    route=_ROUTE,
    summary="Change devices: absent fields leave the device's values unchanged.",
    fields=(
        Field("preview_list", _PREVIEW, "Refused: no video is read here."),
        objects("devices_list", "The devices; at most `ingest.max_devices`.", _device(new=False), required=True),
    ),
    answers=(_CHANGED,),
    errors=(*_WRITING_ERRORS, Code.DEVICE_ID_NOT_FOUND),
    headers=_VERSION,
)
LIST = Declaration(
    method="GET",
    path=DEVICES_PATH,
    route=_ROUTE,
    summary="One device, or all devices in the order of their names.",
    fields=(
        Field("device_id", _ID, "The device to list; absent: all devices.", example=_NAMED["device_id"]),
        flag("need_preview_list", "The answer contains `preview_list`, which names no device: no video is read here."),
    ),
    answers=(Answer(Data[DevicesPage], {"data": {"devices_list": [_LISTED]}}),),
    errors=(Code.DEVICE_ID_NOT_FOUND,),
    headers={GALLERY_VERSION_HEADER: "The version of the gallery that the answer describes."},
)
REMOVE = Declaration(
    method="DELETE",
    path=DEVICES_PATH,
    route=_ROUTE,
    summary="Delete devices.",
    fields=(
        flag("clear_all", "All devices are deleted, and `devices_list` is ignored."),
        objects(
            "devices_list",
            "The devices; at most `ingest.max_devices`. Required unless `clear_all` is true.",
            (Field("device_id", _ID, "The id of the device.", required=True, example=_NAMED["device_id"]),),
        ),
    ),
    answers=(_CHANGED,),
    errors=(Code.DEVICE_ID_NOT_FOUND,),
    headers=_VERSION,
)
