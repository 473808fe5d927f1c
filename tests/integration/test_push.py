"""The vendor's push out of a whole system: what receivers get, when, and which of them."""

import asyncio
import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from contract.http import COMPARE_PATH, DEVICES_PATH, HISTORY_EVENT_URL_PATH, USERS_PATH
from tests.integration.test_site_settings import Client, embedded, serving
from tests.support.faces import photo
from tests.support.receivers import Receiver, Upload, ok, receiving
from tests.support.waiting import until

PATIENCE_S = 20.0
FIELDS = {
    *("identity_id", "identity_name", "identity_info", "timestamp", "out_timestamp", "score", "want_action"),
    *("reg_pic", "spot_pic", "ir_pic", "recognize_face", "person_type", "ep_info", "dev_sno", "recognize_face_attr"),
    "api_version",
}


@asynccontextmanager
async def site(folder: Path, **settings: str) -> AsyncIterator[Client]:
    quick = {"PICTUREMATCH_PUSH__RETRYING__FIRST_WAIT_S": "0.05", "PICTUREMATCH_PUSH__RETRYING__LONGEST_WAIT_S": "0.1"}
    async with serving({**embedded(folder / "data"), **quick, **settings}) as client:
        await enrol(client)
        yield client


async def upload_to(client: Client, urls: Sequence[str], **changes: Any) -> None:
    body = {"history_upload_event_url": list(urls), "content-type": "json", "reported_peroid": 1, **changes}
    answer = await client.call("POST", HISTORY_EVENT_URL_PATH, **body)
    assert "data" in answer, answer


async def enrol(client: Client) -> None:
    """Enrol the person 7, who has the face 7."""
    picture = base64.b64encode(photo(7)).decode()
    info = {"name": "Zhang Ming", "type": 5, "floor": "12"}
    await client.call(
        "POST", USERS_PATH, identity_id="7", reg_photo=picture, group_name="default_group", fiqa_level="no", info=info
    )


async def got(receiver: Receiver, count: int) -> list[Upload]:
    await until(lambda: len(receiver.tried) >= count, PATIENCE_S)
    return receiver.tried


async def test_a_match_arrives_as_json_with_all_fields_and_the_pictures_that_were_asked_for(tmp_path: Path) -> None:
    async with receiving() as receiver, site(tmp_path) as client:
        device = {"device_type": "photo", "device_name": "gate", "device_key": "10.0.0.1"}
        made = await client.call(
            "POST", DEVICES_PATH, devices_list=[{**device, "group_id": "default_group", "permission_id": "0"}]
        )
        (device_id,) = [one["device_id"] for one in made["data"]["success_devices"]]
        await upload_to(client, [receiver.url])
        picture = base64.b64encode(photo(7)).decode()
        match = {"device_ip": "10.0.0.1", "rgb_image_base64": picture, "compare_time": 1_700_000_000.1236}
        assert (await client.call("POST", "/SophonMatch/api/PictureMatch", **match))["retcode"] == "1"
        (upload,) = await got(receiver, 1)
    found: dict[str, Any] = upload.json
    assert set(found) == FIELDS
    assert upload.headers["Content-Type"] == "application/json"
    assert (found["identity_id"], found["identity_name"], found["person_type"]) == ("7", "Zhang Ming", 5)
    assert (found["timestamp"], found["api_version"], found["want_action"]) == (1_700_000_000_124, "1.0", "0")
    assert found["score"] > 82, "the percent scale of this site"
    assert found["identity_info"]["image_id"] in found["identity_info"]["face_ids"]
    assert (found["identity_info"]["floor"], found["identity_info"]["permission_ids"]) == ("12", ["0"])
    assert base64.b64decode(found["spot_pic"]) == photo(7)
    assert base64.b64decode(found["reg_pic"]).startswith(b"\xff\xd8")
    assert base64.b64decode(found["recognize_face"]).startswith(b"\xff\xd8")
    assert found["ir_pic"] == ""
    assert found["ep_info"] == {
        "ep_id": f"{device_id}__10.0.0.1",
        "ep_type": "photo",
        "ep_ip": "10.0.0.1",
        "ep_name": "gate",
        "device_id": device_id,
    }
    assert len(found["recognize_face_attr"]["box"]) == 4


async def test_a_form_has_pictures_as_files_and_objects_as_json_text(tmp_path: Path) -> None:
    async with receiving() as receiver, site(tmp_path) as client:
        asked = {"content-type": "form-data", "history_need_recognize_face": False}
        await upload_to(client, [receiver.url], **asked)
        await client.match(7)
        (upload,) = await got(receiver, 1)
    assert set(upload.files) == {"reg_pic", "spot_pic"}
    assert upload.files["spot_pic"] == ("spot_pic.jpg", "image/jpeg", photo(7))
    assert set(upload.fields) == FIELDS - {"reg_pic", "spot_pic"}
    assert upload.fields["recognize_face"] == ""
    assert upload.fields["identity_id"] == "7"
    assert orjson.loads(upload.fields["identity_info"])["type"] == 5
    assert orjson.loads(upload.fields["ep_info"])["ep_type"] == "photo"
    assert upload.fields["timestamp"].isdigit()


async def test_strangers_and_stored_comparisons_are_uploaded_and_refused_requests_are_not(tmp_path: Path) -> None:
    async with receiving() as receiver, site(tmp_path) as client:
        await upload_to(client, [receiver.url], history_need_spot_pic=False, history_need_recognize_face=False)
        faceless = base64.b64encode(photo(7)[:200]).decode()
        await client.call("POST", "/SophonMatch/api/PictureMatch", device_ip="10.0.0.1", rgb_image_base64=faceless)
        assert (await client.match(8))["retcode"] == "0"
        (stranger,) = [upload.json for upload in await got(receiver, 1)]
        pictures = {name: base64.b64encode(photo(9)).decode() for name in ("face_image_base64", "card_image_base64")}
        info = {"user_name": "Zhang Ming", "user_idcard": "1"}
        for need_save in (False, True):
            sent = {"need_save": need_save, "identity_info": info} if need_save else {}
            assert (await client.call("POST", COMPARE_PATH, **pictures, **sent))["retcode"] == "1"
        compared = (await got(receiver, 2))[1].json
        await asyncio.sleep(0.5)
        assert len(receiver.tried) == 2
    assert (stranger["identity_id"], stranger["identity_name"], stranger["person_type"]) == ("", "stranger", 4)
    assert (stranger["identity_info"], stranger["spot_pic"], stranger["reg_pic"]) == ({}, "", "")
    assert (compared["ep_info"]["ep_type"], compared["identity_name"]) == ("card", "Zhang Ming")  # type: ignore[index]
    assert compared["identity_info"] == info


async def test_a_failed_upload_is_tried_again_and_the_order_stays(tmp_path: Path) -> None:
    answers = [
        web.Response(status=500),
        web.json_response({"status": 1, "message": "the disk is full"}),
        web.Response(status=302, headers={"Location": "/elsewhere"}),
        web.Response(status=410),
    ]

    def answer(upload: Upload) -> web.StreamResponse:
        return answers.pop(0) if answers else ok(upload)

    async with receiving(answer) as receiver, site(tmp_path) as client:
        await upload_to(client, [receiver.url])
        for seed in (7, 8):
            await client.call(
                "POST",
                "/SophonMatch/api/PictureMatch",
                device_ip="10.0.0.1",
                rgb_image_base64=base64.b64encode(photo(seed)).decode(),
                compare_time=float(seed),
            )
        tried = await got(receiver, 6)
        await asyncio.sleep(0.3)
    assert [upload.json["timestamp"] for upload in tried] == [7000] * 5 + [8000]
    assert {upload.path for upload in tried} == {"/events"}, "redirects are not followed"


async def test_receivers_come_and_go_with_the_setting_and_a_dead_one_delays_no_other(tmp_path: Path) -> None:
    dead = "http://127.0.0.1:9/closed"
    async with receiving() as first, receiving() as second, site(tmp_path) as client:
        await upload_to(client, [dead, first.url])
        await client.match(7)
        await got(first, 1)
        await upload_to(client, [dead, first.url, second.url])
        await client.match(7)
        await got(first, 2)
        await got(second, 1)
        await upload_to(client, [second.url])
        await client.match(7)
        await got(second, 2)
        await asyncio.sleep(0.5)
        assert (len(first.tried), len(second.tried)) == (2, 2), "the one that was removed gets no more"
        await upload_to(client, [first.url, second.url])
        await got(first, 3)
        assert len(second.tried) == 2
        metrics = await metrics_of(client)
    assert 'picturematch_sink_delivered_total{sink="push-' in metrics
    assert metrics.count('picturematch_sink_up{sink="push-') == 2, "the dead receiver was removed"


async def metrics_of(client: Client) -> str:
    async with client._session.get(f"{client.system.url}/metrics") as response:
        return await response.text()


async def test_after_a_restart_each_receiver_goes_on_where_it_was(tmp_path: Path) -> None:
    async with receiving() as receiver:
        async with site(tmp_path) as client:
            await upload_to(client, [receiver.url])
            await client.match(7)
            await got(receiver, 1)
            receiver.answer = lambda _: web.Response(status=503)
            await client.match(8)
            await got(receiver, 2)
        receiver.answer = ok
        tried = len(receiver.tried)
        async with site(tmp_path):
            await got(receiver, tried + 1)
            await asyncio.sleep(0.5)
            assert len(receiver.tried) == tried + 1


async def test_a_host_that_is_not_allowed_any_more_is_not_reached(tmp_path: Path) -> None:
    async with receiving() as receiver:
        by_name = f"http://localhost:{receiver.port}/events"
        allowed = {"PICTUREMATCH_INGEST__EVENT_URL_HOSTS": '["localhost", "127.0.0.1"]'}
        async with site(tmp_path, **allowed) as client:
            await upload_to(client, [by_name])
            await client.match(7)
            await got(receiver, 1)
        nothing = {"PICTUREMATCH_INGEST__EVENT_URL_HOSTS": "[]", "PICTUREMATCH_INGEST__TRUSTED_NETWORKS": "[]"}
        key = {"PICTUREMATCH_INGEST__NEED_API_KEY_FROM_LOOPBACK": "false"}
        async with site(tmp_path, **nothing, **key) as client:
            await client.match(8)
            await asyncio.sleep(1.5)
            assert "not allowed" not in str(receiver.tried)
            assert len(receiver.tried) == 1
        async with site(tmp_path, **allowed):
            await got(receiver, 2)
