"""The websocket sink with real clients: what they get, what they may send, and what happens to those that hang."""

import asyncio
import base64
import json
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from aiohttp import WSCloseCode, WSMsgType

from contract.ids import device_id_at
from contract.people.site import DeviceRecord
from sinks.realtime_hub import MAX_QUEUE
from tests.support.realtime import CUT_OUT, is_silent, live_sink, received
from tests.support.records import jpeg
from tests.support.sinking import event
from tests.support.waiting import until

DOOR = device_id_at("10.0.0.1")
YARD = device_id_at("10.0.0.2")


async def test_a_client_is_told_nothing_before_it_asks_and_then_the_events_of_its_devices(tmp_path: Path) -> None:
    async with live_sink(tmp_path) as sink, sink.client() as socket:
        await sink.append(event(0))
        assert await is_silent(socket)
        await socket.send_str(json.dumps({"need_face": False, "need_register": False, "event_list": [DOOR]}))
        await sink.settled(socket)
        await sink.append(
            event(1),
            event(2, device_ip="10.0.0.2"),
            event(3, outcome="stranger", retcode="0", identity_id=""),
            event(4, outcome="no_face", retcode=None),
            event(5, replay_of="event-1"),
            event(6, repeat_of="event-1"),
            event(7),
        )
        first, second, third = await received(socket, 3)
        assert [one["event_id"] for one in (first, second, third)] == ["event-1", "event-3", "event-7"]
        assert first["video_id"] == first["device_id"] == DOOR
        assert second["identity_name"] == "stranger"
        assert await is_silent(socket)


async def test_a_registered_device_is_named_by_its_own_id(tmp_path: Path) -> None:
    async with live_sink(tmp_path) as sink:
        record = DeviceRecord(
            device_id="d-1", name="door", address="10.0.0.1", device_type="photo", group_id="g", permission_id="0"
        )
        sink.people.site = sink.people.site.put(record)
        async with sink.client({"event_list": ["d-1"]}) as socket:
            await sink.append(event(1))
            assert (await received(socket, 1))[0]["device_id"] == "d-1"


async def test_a_second_configuration_replaces_the_first_and_an_empty_list_ends_the_events(tmp_path: Path) -> None:
    async with live_sink(tmp_path) as sink, sink.client({"event_list": [DOOR]}) as socket:
        await socket.send_str(json.dumps({"event_list": [YARD]}))
        await sink.settled(socket)
        await sink.append(event(1), event(3, device_ip="10.0.0.2"))
        assert [one["event_id"] for one in await received(socket, 1)] == ["event-3"]
        await socket.send_str(json.dumps({"event_list": []}))
        await sink.settled(socket)
        await sink.append(event(5, device_ip="10.0.0.2"))
        assert await is_silent(socket)


async def test_a_bad_configuration_gets_one_error_and_the_former_one_stays_in_force(tmp_path: Path) -> None:
    async with live_sink(tmp_path) as sink, sink.client({"event_list": [DOOR]}) as socket:
        await socket.send_str('{"event_list": 7}')
        (told,) = await received(socket, 1)
        assert told["error"] == {
            "code": 40071,
            "status": "PARAM_ERROR",
            "message": "event_list must be a list of device_ids",
        }
        await socket.send_str('{"media_device_ids": 7}')
        (told,) = await received(socket, 1)
        assert told["error"] == {
            "code": "INVALID_ARGUMENTS",
            "message": "media_device_ids must be a list of device_ids",
        }
        await socket.send_bytes(b"{}")
        (told,) = await received(socket, 1)
        assert told["error"]["code"] == 40000
        await sink.append(event(1))
        assert [one["event_id"] for one in await received(socket, 1)] == ["event-1"]
        assert sink.metric("delivered_total") == 1


async def test_the_two_versions_are_served_on_one_port(tmp_path: Path) -> None:
    async with (
        live_sink(tmp_path) as sink,
        sink.client({"event_list": [DOOR]}) as five,
        sink.client({"media_device_ids": [DOOR]}) as six,
    ):
        await sink.append(event(1))
        (old,), (new,) = await received(five, 1), await received(six, 1)
        assert (old["timestamp"], old["ext_data"]["device_ip"]) == (new["timestamp"], new["media_device_ip"])
        assert "identity_info" not in new


async def test_pictures_are_read_once_for_all_clients_and_only_where_one_wants_them(tmp_path: Path) -> None:
    picture = jpeg(1)
    face = base64.b64encode(CUT_OUT + picture[:4]).decode()
    async with live_sink(tmp_path) as sink, sink.client({"event_list": [DOOR]}) as plain:
        await sink.append_with_picture(0, picture)
        assert "spot_pic" not in (await received(plain, 1))[0]["ext_data"]
        assert sink.crop.calls == 0
        async with (
            sink.client({"need_face": True, "event_list": [DOOR]}) as one,
            sink.client({"need_face": True, "need_register": True, "event_list": [DOOR]}) as two,
            sink.client({"with_face_image": True, "media_device_ids": [DOOR]}) as three,
        ):
            await sink.append_with_picture(1, picture)
            for socket in (one, two):
                (body,) = await received(socket, 1)
                assert body["ext_data"]["recognize_face"] == face
                assert base64.b64decode(body["ext_data"]["spot_pic"]) == picture
            assert (await received(three, 1))[0]["recognize_face_image"] == f"data:image/jpeg;base64,{face}"
            assert (await received(plain, 1))[0]["ext_data"].keys() == {"device_ip", "person_type", "device_type"}
            assert sink.crop.calls == 1


async def test_events_keep_their_order_although_pictures_take_different_times(tmp_path: Path) -> None:
    async with live_sink(tmp_path) as sink, sink.client({"need_face": True, "event_list": [DOOR]}) as socket:
        for number in range(20):
            if number % 2:
                await sink.append(event(number * 2))  # the log has no request of it
            else:
                await sink.append_with_picture(number * 2, jpeg(number))
        names = [one["event_id"] for one in await received(socket, 20)]
        assert names == [f"event-{number * 2}" for number in range(20)]


async def test_a_hundred_clients_have_every_event_and_one_more_is_turned_away(tmp_path: Path) -> None:
    async with live_sink(tmp_path, max_clients=100, max_clients_per_address=100) as sink:
        sockets = [await sink.session.ws_connect(sink.url) for _ in range(100)]
        for socket in sockets:
            await socket.send_str(json.dumps({"event_list": [DOOR]}))
        for socket in sockets:
            await sink.settled(socket) if socket is sockets[-1] else None
        assert sink.metric("clients") == 100
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await sink.session.ws_connect(sink.url)
        assert refused.value.status == 503
        assert refused.value.headers["Retry-After"] == "1"
        await sink.append(*(event(number) for number in range(0, 60, 2)))
        for socket in sockets:
            names = [one["event_id"] for one in await received(socket, 30)]
            assert names == [f"event-{number}" for number in range(0, 60, 2)]
        for socket in sockets:
            await socket.close()
        await until(lambda: sink.metric("clients") == 0)


async def test_one_address_cannot_take_all_places(tmp_path: Path) -> None:
    async with live_sink(tmp_path, max_clients_per_address=2) as sink, sink.client(), sink.client():
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await sink.session.ws_connect(sink.url)
        assert refused.value.status == 503
        async with sink.session.get(f"{sink.url}/events") as answer:
            told = (await answer.json())["error"]
        assert (answer.status, told["code"]) == (503, 50380)
        assert "raise max_clients_per_address" in told["message"]


async def test_a_client_that_does_not_read_is_dropped_and_delays_nobody(tmp_path: Path) -> None:
    picture = jpeg(1) + bytes(700_000)
    async with live_sink(tmp_path) as sink, sink.client({"event_list": [DOOR]}) as reader:
        hanging = socket.create_connection(("127.0.0.1", int(sink.url.rpartition(":")[2])))
        hanging.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.to_thread(shake_hands, hanging)
        await asyncio.to_thread(hanging.sendall, text_frame({"need_face": True, "event_list": [DOOR]}))
        await asyncio.sleep(0.1)
        assert sink.metric("clients") == 2
        for number in range(MAX_QUEUE + 60):
            if number < 30:
                await sink.append_with_picture(2 * number, picture)
            else:
                await sink.append(event(2 * number))
            assert (await received(reader, 1, 5.0))[0]["event_id"] == f"event-{2 * number}"
        await until(lambda: sink.metric("clients") == 1)
        assert sink.metric("clients_dropped_total") == 1
        hanging.close()


async def test_messages_that_wait_take_only_so_much_memory(tmp_path: Path) -> None:
    picture = jpeg(1) + bytes(900_000)
    async with live_sink(tmp_path, max_held_bytes=4 * 1024 * 1024) as sink:
        hanging = socket.create_connection(("127.0.0.1", int(sink.url.rpartition(":")[2])))
        hanging.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.to_thread(shake_hands, hanging)
        await asyncio.to_thread(hanging.sendall, text_frame({"need_face": True, "event_list": [DOOR]}))
        await asyncio.sleep(0.1)
        for number in range(20):  # 24 MB as base64; what the system buffers is a few of them
            await sink.append_with_picture(2 * number, picture)
        await until(lambda: sink.metric("clients_dropped_total") == 1)
        await until(lambda: sink.metric("clients") == 0)
        assert sink.metric("clients_dropped_total") == 1
        hanging.close()


async def test_a_client_that_answers_no_ping_is_disconnected_and_one_that_does_stays(tmp_path: Path) -> None:
    async with live_sink(tmp_path, ping_s=1.0) as sink, sink.client({"event_list": [DOOR]}) as alive:
        async with sink.session.ws_connect(sink.url, autoping=False):
            await until(lambda: sink.metric("clients") == 2)
            listening = asyncio.create_task(alive.receive())
            await until(lambda: sink.metric("clients") == 1, 10.0)
        await asyncio.sleep(2.5)
        assert not listening.done()
        await sink.append(event(2))
        assert json.loads((await listening).data)["event_id"] == "event-2"


async def test_too_many_configurations_end_the_connection(tmp_path: Path) -> None:
    async with live_sink(tmp_path) as sink, sink.client() as socket:
        for _ in range(30):
            with suppress(ConnectionError):
                await socket.send_str('{"event_list": []}')
        closed = await socket.receive(5)
        assert closed.type is WSMsgType.CLOSE
        assert closed.data == WSCloseCode.POLICY_VIOLATION
        assert closed.extra == "too many messages of the client, or its API key was deleted"
    async with live_sink(tmp_path) as sink, sink.client() as socket:
        await socket.send_str("x" * (1024 * 1024 + 1))
        closed = await socket.receive(5)
        assert (closed.type, closed.data) == (WSMsgType.CLOSE, WSCloseCode.MESSAGE_TOO_BIG)


async def test_the_stop_of_the_sink_closes_every_connection_with_its_reason(tmp_path: Path) -> None:
    async with live_sink(tmp_path) as sink, sink.client({"event_list": [DOOR]}) as socket:
        sink.stop.set()
        closed = await socket.receive(5)
        assert (closed.type, closed.data) == (WSMsgType.CLOSE, WSCloseCode.GOING_AWAY)


async def test_a_handshake_by_hand_as_rfc_6455_shows_it(tmp_path: Path) -> None:
    async with live_sink(tmp_path) as sink:
        port = int(sink.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        writer.write(
            f"GET /? HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Origin: http://127.0.0.1:{port}\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        writer.write(text_frame({"event_list": [DOOR]}))
        await asyncio.sleep(0.1)
        await sink.append(event(2))
        first, length = await reader.readexactly(2)
        assert (first, length) == (0x81, 126)  # one text frame, not masked, with two bytes of length
        (size,) = struct.unpack(">H", await reader.readexactly(2))
        assert json.loads(await reader.readexactly(size))["event_id"] == "event-2"
        writer.close()


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("GET / HTTP/1.1", "", 400),
        ("GET / HTTP/1.1", "Upgrade: websocket\r\nConnection: Upgrade\r\n", 400),
        (
            "GET / HTTP/1.1",
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n",
            400,
        ),
        ("GET /elsewhere HTTP/1.1", "", 404),
        ("POST /events HTTP/1.1", "Content-Length: 0\r\n", 405),
        ("nonsense", "", 400),
    ],
)
async def test_every_other_request_gets_the_json_error_of_the_ingress(
    tmp_path: Path, request_line: str, headers: str, status: int
) -> None:
    async with live_sink(tmp_path) as sink:
        port = int(sink.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"{request_line}\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 10)
        assert answer[:13] in (f"HTTP/1.1 {status} ".encode(), f"HTTP/1.0 {status} ".encode()), answer
        body = json.loads(answer.partition(b"\r\n\r\n")[2])
        assert body["error"]["code"] // 100 == status
        writer.close()


async def test_a_head_that_does_not_arrive_is_refused_in_time(tmp_path: Path) -> None:
    async with live_sink(tmp_path, ingest={"header_read_s": 0.5}) as sink:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(sink.url.rpartition(":")[2]))
        writer.write(b"GET / HT")
        assert b"did not arrive completely in time" in await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def test_a_subprotocol_is_neither_spoken_nor_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with live_sink(tmp_path) as sink, sink.client(protocols=("pm_a-secret",)) as socket:
        assert socket.protocol is None
    assert "pm_a-secret" not in caplog.text


def shake_hands(client: socket.socket) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    port = client.getpeername()[1]
    client.sendall(
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    assert client.recv(4096).startswith(b"HTTP/1.1 101 ")


def text_frame(document: object) -> bytes:
    """A masked text frame, as clients send it."""
    text = json.dumps(document).encode()
    assert len(text) < 126
    mask = os.urandom(4)
    return bytes([0x81, 0x80 | len(text)]) + mask + bytes(b ^ mask[n % 4] for n, b in enumerate(text))
