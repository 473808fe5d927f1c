"""The devices calls (docs/interface.md)."""

from typing import Any

import pytest

from contract.answers import Answer, DevicesAnswer, FailedDevice, NamedDevice, RefusedAnswer
from contract.errors import Code
from contract.http import DEVICES_PATH
from contract.people.site import DeviceRecord
from contract.people.unreadable import UnreadableRecord
from contract.requests import Request
from contract.site_requests import DeviceChange, DevicesRequest
from tests.wire.harness import Serving, Site

NOTE = "stored, but no video is read here: only devices of the type photo have matches"


def door(**fields: Any) -> dict[str, Any]:
    """The device of the vendor's sample, with changes; a field of ... is left out."""
    whole = {
        "device_type": "photo",
        "netRelay": {},
        "is_start_rtmp": False,
        "device_name": "63",
        "device_key": "192.168.1.63",
        "group_id": "default_group",
        "permission_id": "0",
        **fields,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def record(number: int, **fields: Any) -> DeviceRecord:
    given: dict[str, Any] = {
        "device_id": f"d{number}",
        "name": f"door {number}",
        "address": f"10.0.0.{number}",
        "device_type": "photo",
        "group_id": "default_group",
        "permission_id": "0",
        **fields,
    }
    return DeviceRecord(**given)


def the_request(site: Site) -> DevicesRequest:
    (request,) = site.requests
    assert isinstance(request, DevicesRequest)
    return request


async def test_the_vendor_s_sample_creates_a_device_and_answers_the_golden_json(site: Site) -> None:
    site.people.version = 7
    reply = await site.devices("POST", {"devices_list": [door()]})
    assert reply.code == 200
    assert reply.json == {"data": {"success_devices": [{"device_id": "d0", "device_name": "63"}], "failed_devices": []}}
    assert reply.headers["x-gallery-version"] == "7"
    request = the_request(site)
    assert request == DevicesRequest(
        request_id=reply.headers["x-request-id"],
        received_time_s=request.received_time_s,
        action="create",
        devices=(
            DeviceChange(
                name="63",
                address="192.168.1.63",
                device_type="photo",
                group_id="default_group",
                permission_id="0",
                details={"netRelay": {}, "is_start_rtmp": False},
            ),
        ),
    )


async def test_everything_that_a_post_says_of_a_device_reaches_the_log(site: Site) -> None:
    reply = await site.devices(
        "POST",
        {
            "devices_list": [
                door(
                    device_id=" 1 ",
                    device_key=" 192.168.1.63 ",
                    device_attr={"actions": {"do_detect": True}},
                    rtmp_address="rtmp://x",
                    liveness_floor="liveness_rgb",
                    quality_level="middle",
                    min_face_size=80,
                    somewhat="new",
                )
            ]
        },
    )
    assert reply.code == 200
    assert site.metric("picturematch_http_unknown_fields_total") == 1
    (device,) = the_request(site).devices
    assert (device.device_id, device.address) == (" 1 ", "192.168.1.63")
    assert device.details == {
        "device_attr": {"actions": {"do_detect": True}},
        "netRelay": {},
        "is_start_rtmp": False,
        "rtmp_address": "rtmp://x",
    }
    assert (device.liveness_floor, device.quality_level, device.min_face_size) == ("liveness_rgb", "middle", 80)


async def test_an_empty_text_of_an_optional_field_is_absent(site: Site) -> None:
    empty = dict.fromkeys(("device_id", "rtmp_address", "liveness_floor", "quality_level", "min_face_size"), "")
    assert (await site.devices("POST", {"devices_list": [door(**empty)]})).code == 200
    (device,) = the_request(site).devices
    assert (device.device_id, device.liveness_floor, device.quality_level, device.min_face_size) == (None,) * 4


async def test_a_put_needs_the_id_only_and_a_delete_nothing_else(site: Site) -> None:
    assert (await site.devices("PUT", {"devices_list": [{"device_id": "d1", "group_id": "g2"}]})).code == 200
    assert (await site.devices("DELETE", {"clear_all": False, "devices_list": [{"device_id": "d1"}]})).code == 200
    assert (await site.devices("DELETE", {"clear_all": True, "devices_list": []})).code == 200
    changed, deleted, cleared = site.requests
    assert isinstance(changed, DevicesRequest)
    assert isinstance(deleted, DevicesRequest)
    assert isinstance(cleared, DevicesRequest)
    assert (changed.action, changed.devices) == ("change", (DeviceChange(device_id="d1", group_id="g2"),))
    assert (deleted.action, deleted.devices, deleted.clear_all) == ("delete", (DeviceChange(device_id="d1"),), False)
    assert (cleared.action, cleared.devices, cleared.clear_all) == ("delete", (), True)


async def test_a_device_that_failed_is_named_with_the_reason_and_a_video_device_with_a_note(serving: Serving) -> None:
    async def some(request: Request) -> Answer | None:
        failed = FailedDevice(
            reason="devices_list[1]: no group", code=int(Code.GROUP_NAME_ERROR), name="b", address="x"
        )
        return DevicesAnswer(succeeded=(NamedDevice(device_id="d1", name="a", device_type="rtsp"),), failed=(failed,))

    async with serving(some) as site:
        reply = await site.devices("POST", {"devices_list": [door(), door()]})
    assert reply.json["data"] == {
        "success_devices": [{"device_id": "d1", "device_name": "a", "note": NOTE}],
        "failed_devices": [
            {
                "device_id": "",
                "device_name": "b",
                "device_key": "x",
                "code": 40012,
                "reason": "devices_list[1]: no group",
            }
        ],
    }


async def test_where_every_device_failed_the_answer_is_the_processor_s_refusal(serving: Serving) -> None:
    async def nothing(request: Request) -> Answer | None:
        return RefusedAnswer(code=int(Code.DEVICE_MAX_NUM_ERROR), message="devices_list[0]: too many")

    async with serving(nothing) as site:
        reply = await site.devices("POST", {"devices_list": [door()]})
    assert (reply.code, reply.json["error"]["status"]) == (40082, "DEVICE_MAX_NUM_ERROR")


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_change_and_a_deletion_need_an_id(site: Site, method: str) -> None:
    reply = await site.devices(method, {"devices_list": [door()]})
    assert (reply.code, reply.json["error"]["message"]) == (40071, "devices_list[0].device_id is needed")
    assert (await site.devices("DELETE", {"clear_all": 1})).code == 40005


async def test_a_call_may_name_so_many_devices_and_no_more(serving: Serving) -> None:
    async with serving(max_devices=2) as site:
        devices = [door(device_id=f"d{number}") for number in range(3)]
        for method in ("POST", "PUT", "DELETE"):
            assert (await site.devices(method, {"devices_list": devices[:2]})).code == 200
            reply = await site.devices(method, {"devices_list": devices})
            assert (reply.code, reply.json["error"]["message"]) == (40071, "devices_list must name at most 2 devices")


async def test_a_preview_is_refused_in_one_sentence_because_no_video_is_read(site: Site) -> None:
    body = {"preview_list": {"preview_list": ["d1"], "preview_mode": "4"}, "devices_list": [door(device_id="d1")]}
    reply = await site.devices("PUT", body)
    assert reply.code == 40071
    assert "no video is read here" in reply.json["error"]["message"]
    assert site.requests == []


async def test_devices_are_listed_by_name_with_what_was_stored(site: Site) -> None:
    details = {"netRelay": {"ip": "10.9.9.9"}, "is_start_rtmp": True}
    for each in (
        record(2, name="b", details=details, liveness_floor="liveness_rgb", min_face_size=80),
        record(3, name="a", device_type="rtsp", address="rtsp://user:pw@10.0.0.3:554/1"),
    ):
        site.people.site = site.people.site.put(each)
    reply = await site.call("GET", DEVICES_PATH + "?")
    assert reply.code == 200
    video, gate = reply.json["data"]["devices_list"]
    assert "preview_list" not in reply.json["data"]
    assert gate == {
        "device_id": "d2",
        "device_name": "b",
        "device_key": "10.0.0.2",
        "device_type": "photo",
        "device_ip": "10.0.0.2",
        "group_id": "default_group",
        "permission_id": "0",
        "device_attr": {},
        "netRelay": {"ip": "10.9.9.9"},
        "is_start_rtmp": True,
        "rtmp_address": "",
        "liveness_floor": "liveness_rgb",
        "quality_level": "no",
        "min_face_size": 80,
    }
    assert (video["device_ip"], video["note"]) == ("10.0.0.3", NOTE)


@pytest.mark.parametrize(
    ("key", "host"),
    [("rtsp://[fd00::1]:554/1", "fd00::1"), ("/data/film.mp4", ""), ("rtsp://[::1", ""), ("34020000001320000001", "")],
)
async def test_the_host_of_a_key_is_answered_where_the_key_has_one(site: Site, key: str, host: str) -> None:
    site.people.site = site.people.site.put(record(1, device_type="file", address=key))
    (listed,) = (await site.call("GET", DEVICES_PATH)).json["data"]["devices_list"]
    assert (listed["device_key"], listed["device_ip"]) == (key, host)


async def test_a_list_shows_no_id_of_a_group_or_permission_that_was_deleted(site: Site) -> None:
    for each in (record(1, group_id="gone"), record(2, permission_id="gone"), record(3)):
        site.people.site = site.people.site.put(each)
    devices = (await site.call("GET", DEVICES_PATH)).json["data"]["devices_list"]
    shown = [(device["group_id"], device["permission_id"]) for device in devices]
    assert shown == [("", "0"), ("default_group", ""), ("default_group", "0")]


async def test_one_device_is_listed_with_an_empty_preview_where_that_is_asked_for(site: Site) -> None:
    site.people.site = site.people.site.put(record(1)).put(record(2))
    reply = await site.call("GET", f"{DEVICES_PATH}?device_id=d2&need_preview_list=true")
    assert [listed["device_id"] for listed in reply.json["data"]["devices_list"]] == ["d2"]
    assert reply.json["data"]["preview_list"] == {
        "preview_list": [],
        "current_preview_list": [],
        "preview_mode": "1",
        "last_set_name": "WEBUI",
    }
    assert (await site.call("GET", f"{DEVICES_PATH}?device_id=d9")).code == 40480
    assert (await site.call("GET", f"{DEVICES_PATH}?need_preview_list=perhaps")).code == 40005


async def test_devices_are_neither_listed_nor_changed_while_a_record_cannot_be_read(site: Site) -> None:
    site.people.unreadable[b"device/x"] = UnreadableRecord(3, b"device/x", "why")
    assert (await site.call("GET", DEVICES_PATH)).code == 50380
    for method in ("POST", "PUT", "DELETE"):
        assert (await site.devices(method, {"devices_list": [door(device_id="d1")]})).code == 50380
    assert site.requests == []
