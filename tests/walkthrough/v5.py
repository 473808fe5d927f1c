"""The vendor's walk-through of version 5 for developers, call by call: `python tests/walkthrough/v5.py URL`.

Order, fields, encodings and carelessness are those of the published walk-through: answers are looked at only for the
ids of the permission and of the group, whatever an earlier run left is left alone, and nothing is cleaned up.
"""

from typing import Any
from urllib.parse import quote

from plain_http import Box, many_lines, one_line, picture, url_argument

PERMISSION = "测试权限组"
DEVICE = "192.168.1.63"


def id_of(answered: tuple[int, Any], name: str, what: str) -> str:
    """The _id of the entry with that name; the walk-through raises where there is none."""
    status, answer = answered
    if status != 200:
        raise RuntimeError(f"get {what} info error")
    found = ""
    for entry in answer["data"]:
        if entry["info"]["name"] == name:
            found = entry["_id"]
    if not found:
        raise RuntimeError(f"not found the {what}")
    return found


def permission_id(box: Box) -> str:
    """The id of the permission, which is asked for by name."""
    target = f"/SophonFace/api/permissions?info.name={quote(PERMISSION)}&exact=true"
    return id_of(box.get(target), PERMISSION, "permission")


def main(url: str) -> None:
    """Make all calls."""
    box, photo = Box(url), picture()
    box.post("/SophonFogSys/api/permissions?", {"permission_name": PERMISSION, "description": PERMISSION})
    person = {
        "group_name": "default_group",
        "identity_id": "666666",
        "reg_photo": one_line(photo),
        "create_no_exit_permission": False,
        "ignore_exist": False,
        "info": {"name": "张明", "type": 1, "permission_ids": [permission_id(box)]},
        "fiqa_level": "custom",
    }
    box.post("/SophonFogSys/api/users", person)
    group = id_of(box.get("/SophonFace/api/groups?info.name=default_group&exact=true"), "default_group", "group")
    device = {
        "device_type": "photo",
        "netRelay": {},
        "is_start_rtmp": False,
        "device_name": "63",
        "device_key": DEVICE,
        "group_id": group,
        "permission_id": permission_id(box),
    }
    box.post("/SophonDevice/api/Devices", {"devices_list": [device]})
    match = {"rgb_image_base64": many_lines(photo), "device_ip": DEVICE}
    box.post("/SophonMatch/api/PictureMatch", match, close=True)
    history = {
        "history_upload_event_url": ["http://www.xxx.com/event_recieve"],
        "content-type": "json",
        "reported_peroid": 1,
        "history_need_recognize_face": False,
        "history_need_reg_pic": True,
        "history_need_spot_pic": False,
    }
    box.post("/SophonFogSys/api/HistoryEventUrl", history, close=True)


if __name__ == "__main__":
    main(url_argument())
