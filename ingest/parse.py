"""The body of a PictureMatch call, from bytes to a typed request. Pure: pictures are fetched in a later step
(ingest.pictures), because image_file_path needs I/O."""

import ipaddress
import re
from dataclasses import dataclass
from typing import cast

from contract.errors import Code, Refused
from contract.messages import MatchRequest
from contract.terms import LIVENESS_ORDER, LivenessMode
from ingest.fields import Fields, param_error, read_object
from ingest.numbers import compare_time

MATCH_FIELDS = frozenset(
    {
        "compare_time",
        "device_ip",
        "grab_fiqa_info",
        "group_name",
        "image_file_path",
        "ir_image_base64",
        "liveness_mode",
        "min_face_size",
        "need_keep_info",
        "need_register_photo",
        "permission_name",
        "rgb_image_base64",
        "support_stranger",
        "with_attribute",
        "with_debug_info",
    }
)

MAX_DEVICE_CHARS = 255
# More pixels than a side of any picture that we decode.
MAX_FACE_SIZE_PX = 65_535

_HOST_LIKE = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_IP_CHARACTERS = re.compile(r"[0-9A-Za-z.:%_-]+")


@dataclass(frozen=True, slots=True)
class Picture:
    """Where a picture of the call comes from: a path on this machine, or base64. One of the two is set."""

    field: str
    path: str | None = None
    base64: str | None = None


@dataclass(frozen=True, slots=True)
class MatchCall:
    """A checked PictureMatch body. `request.image` and `.ir_image` are still to be filled from `rgb` and `ir`."""

    request: MatchRequest
    rgb: Picture
    ir: Picture | None
    unknown_fields: int


def parse_match(body: bytes | bytearray, *, request_id: str, received_time_s: float, max_values: int) -> MatchCall:
    """Check a PictureMatch body against every rule that it alone can tell (docs/interface.md).

    Raises:
        Refused: the row of the error table.
    """
    fields = Fields(read_object(body, max_values))
    path = fields.text("image_file_path")
    rgb_base64 = fields.text("rgb_image_base64")
    ir_base64 = fields.text("ir_image_base64")
    group_name = fields.scope_name("group_name")
    permission_name = fields.scope_name("permission_name")
    if permission_name is not None and group_name is None:
        raise param_error("permission_name needs group_name")
    device_ip = _device_ip(fields, required=group_name is None)
    compare_time_s, compare_time_raw = compare_time(fields.raw("compare_time"), received_time_s)
    request = MatchRequest(
        request_id=request_id,
        device_ip=device_ip,
        image=b"",
        compare_time_s=compare_time_s,
        compare_time_raw=compare_time_raw,
        received_time_s=received_time_s,
        need_register_photo=fields.flag("need_register_photo"),
        min_face_size=fields.whole("min_face_size", 0, MAX_FACE_SIZE_PX) or 0,
        liveness_mode=_liveness_mode(fields, has_ir=ir_base64 is not None),
        need_keep_info=fields.flag("need_keep_info"),
        group_name=group_name,
        permission_name=permission_name,
        support_stranger=fields.flag("support_stranger"),
        with_attribute=fields.flag("with_attribute"),
        with_debug_info=fields.flag("with_debug_info"),
        grab_fiqa_info=fields.free_object("grab_fiqa_info"),
    )
    if path:
        rgb = Picture("image_file_path", path=path)
    elif rgb_base64:
        rgb = Picture("rgb_image_base64", base64=rgb_base64)
    else:
        raise param_error("a picture is needed: rgb_image_base64 or image_file_path")
    if ir_base64 == "":
        raise Refused(Code.IMAGE_ERROR, "ir_image_base64 is empty")
    ir = None if ir_base64 is None else Picture("ir_image_base64", base64=ir_base64)
    return MatchCall(request, rgb, ir, fields.unknown(MATCH_FIELDS))


def is_device_name(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address or a host-like name of at most 255 characters."""
    if len(text) > MAX_DEVICE_CHARS:
        return False
    if _HOST_LIKE.fullmatch(text):
        return True
    if not _IP_CHARACTERS.fullmatch(text):
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _device_ip(fields: Fields, *, required: bool) -> str | None:
    device_ip = fields.text("device_ip")
    if device_ip is None:
        if required:
            raise param_error("device_ip is needed unless group_name is sent")
        return None
    if not is_device_name(device_ip):
        raise param_error(f"device_ip must be an IP address or a host name of 1 to {MAX_DEVICE_CHARS} characters")
    return device_ip


def _liveness_mode(fields: Fields, *, has_ir: bool) -> LivenessMode:
    mode = cast("LivenessMode | None", fields.choice("liveness_mode", LIVENESS_ORDER))
    if has_ir:
        return "liveness_rgb_ir"
    if mode == "liveness_rgb_ir":
        raise param_error("liveness_mode liveness_rgb_ir needs ir_image_base64")
    return mode or "liveness_off"
