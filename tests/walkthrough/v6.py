"""The vendor's walk-through of version 6 for developers, call by call: `python tests/walkthrough/v6.py URL`.

The id of the permission is taken from the answer to its creation. A second run finds the permission there already, gets
an error instead, and goes on with an empty id, as the published walk-through does.
"""

from plain_http import Box, many_lines, one_line, picture, url_argument

PERMISSION = "测试权限组"
DEVICE = "192.168.1.63"


def main(url: str) -> None:
    """Make all calls."""
    box, photo = Box(url), picture()
    created = {"permission_name": PERMISSION, "description": PERMISSION}
    status, answer = box.post("/sophon/v2/face/createpermission", created)
    permission_id = answer.get("permission_id", "") if status == 200 else ""
    person = {
        "identity_name": "张明",
        "identity_id": "666666",
        "register_image": one_line(photo),
        "user_type": "vip",
        "permission_ids": [permission_id],
        "fiqa_level": "high",
    }
    box.post("/sophon/v2/face/createidentity", person)
    device = {
        "media_device_type": "photo",
        "media_device_name": "63",
        "media_device_url": DEVICE,
        "permission_id": permission_id,
    }
    box.post("/sophon/v2/face/addmediadevice", device)
    search = {"rgb_image_base64": many_lines(photo), "media_device_ip": DEVICE}
    box.post("/sophon/v2/face/search", search, close=True)
    upload = {"config_dict": {"HISTORY_EVENT_UPLOAD_URL": "http://www.xxx.com/event_recieve"}}
    box.post("/sophon/v2/face/setconfigs", upload)


if __name__ == "__main__":
    main(url_argument())
