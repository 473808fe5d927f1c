"""The whole server as a process: killed, stopped and started again under load."""

import asyncio
import base64
import random
import re
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from broker.embedded import open_embedded
from broker.port import Broker, Record, Start
from contract.requests import decode_request
from contract.topics import Topics
from tests.support.commands import run, start
from tests.support.faces import photo

TOPICS = Topics()
MATCH = "/SophonMatch/api/PictureMatch"
USERS = "/SophonFogSys/api/users"


@dataclass
class Server:
    """A `picturematch serve` with stand-in models."""

    process: asyncio.subprocess.Process
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def said(self) -> str:
        """All that it still prints."""
        return (await self.process.stdout.read()).decode()


@asynccontextmanager
async def serving(folder: Path, **settings: str) -> AsyncIterator[Server]:
    options = ("--data-folder", folder, "--port", 0)
    process = await start("serve", *options, **{"PICTUREMATCH_MODELS__KIND": "stand-in", **settings})
    try:
        async with asyncio.timeout(30):
            while not (
                found := re.search(rb"listens on http://127.0.0.1:(\d+)", line := await process.stdout.readline())
            ):
                assert line, "the server ended before it listened"
        yield Server(process, int(found.group(1)))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def post(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> tuple[int, str, dict[str, Any]]:
    """Status, request id and answer."""
    async with session.post(url, json=body) as response:
        return response.status, response.headers["X-Request-Id"], orjson.loads(await response.read())


def match_body(seed: int, device: str = "10.0.0.1") -> dict[str, Any]:
    return {"device_ip": device, "rgb_image_base64": base64.b64encode(photo(seed)).decode()}


def enrol_body(identity_id: str, seed: int) -> dict[str, Any]:
    return {
        "identity_id": identity_id,
        "reg_photo": base64.b64encode(photo(seed)).decode(),
        "info": {"name": identity_id},
    }


async def read_all(broker: Broker, topic: str) -> list[Record]:
    records: list[Record] = []
    async with broker.reader(topic, Start.EARLIEST) as reader:
        while found := await reader.fetch(1000, 0):
            records += found
    return records


async def all_requests(broker: Broker) -> list[Record]:
    return [*await read_all(broker, TOPICS.requests), *await read_all(broker, TOPICS.admin)]


async def test_after_kills_under_load_every_accepted_request_has_one_event_equal_to_its_answer(tmp_path):
    seed = 20260101
    chance = random.Random(seed)
    answered: dict[str, dict[str, Any]] = {}

    async def keep_posting(url: str) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                body = match_body(chance.randrange(4), f"10.0.0.{chance.randrange(6)}")
                try:
                    status, request_id, answer = await post(session, url + MATCH, body)
                except (aiohttp.ClientError, OSError):
                    return
                if status == 200:
                    answered[request_id] = answer

    for round_number in range(5):
        async with serving(tmp_path) as server:
            async with aiohttp.ClientSession() as session:
                status, _, _ = await post(session, server.url + USERS, enrol_body(f"p{round_number}", round_number))
                assert status == 200
            load = [asyncio.create_task(keep_posting(server.url)) for _ in range(6)]
            await asyncio.sleep(chance.uniform(0.2, 0.8))
            server.process.kill()
            await asyncio.gather(*load)
    assert len(answered) > 20, f"seed {seed}: too little was answered to tell anything"

    async with serving(tmp_path) as server:
        async with aiohttp.ClientSession() as session:
            status, last, _ = await post(session, server.url + MATCH, match_body(0))
            assert status == 200
        server.process.send_signal(signal.SIGTERM)
        await server.process.wait()
        assert server.process.returncode == 0

    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: 0) as broker:
        requests = [decode_request(record.value).request_id for record in await all_requests(broker)]
        events = [orjson.loads(record.value) for record in await read_all(broker, TOPICS.events)]
        assert len(requests) == len(set(requests))
        assert sorted(event["id"] for event in events) == sorted(requests)
        assert last in requests
        by_id = {event["id"]: event for event in events}
        for request_id, answer in answered.items():
            told = {name: by_id[request_id][name] for name in ("retcode", "identity_id", "name", "score")}
            assert told == {name: answer[name] for name in told}
        for topic, group in ((TOPICS.requests, TOPICS.processors), (TOPICS.admin, TOPICS.admins)):
            ends = await broker.end_offsets(topic)
            async with broker.member(topic, group) as member:
                assert {p: await member.committed(p) or 0 for p in ends} == dict(ends)


async def test_the_people_are_there_again_after_a_kill(tmp_path):
    async with serving(tmp_path) as server, aiohttp.ClientSession() as session:
        status, _, _ = await post(session, server.url + USERS, enrol_body("anna", 1))
        assert status == 200
        server.process.kill()
        await server.process.wait()
    async with serving(tmp_path) as server, aiohttp.ClientSession() as session:
        _, _, answer = await post(session, server.url + MATCH, {**match_body(1), "need_register_photo": True})
        assert (answer["retcode"], answer["identity_id"]) == ("1", "anna")
        assert base64.b64decode(answer["reg_pic"]) == photo(1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_answers_what_is_in_flight_and_takes_nothing_more(tmp_path, number):
    async with serving(tmp_path) as server, aiohttp.ClientSession() as session:
        await post(session, server.url + USERS, enrol_body("anna", 1))
        in_flight = [
            asyncio.create_task(post(session, server.url + MATCH, match_body(1, f"10.0.0.{n}"))) for n in range(30)
        ]
        await asyncio.sleep(0.02)
        server.process.send_signal(number)
        answers = await asyncio.gather(*in_flight, return_exceptions=True)
        async with asyncio.timeout(10):
            await server.process.wait()
        assert server.process.returncode == 0
        assert "stopped" in await server.said()
    answered = {answer[1] for answer in answers if isinstance(answer, tuple) and answer[0] == 200}
    refused = [answer for answer in answers if isinstance(answer, tuple) and answer[0] != 200]
    assert answered
    assert {answer[0] for answer in refused} <= {503}
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: 0) as broker:
        events = {orjson.loads(record.value)["id"] for record in await read_all(broker, TOPICS.events)}
        assert answered <= events
        assert len(events) == len(await all_requests(broker))


async def test_a_second_signal_kills_at_once_whatever_is_in_flight(tmp_path):
    async with serving(tmp_path, PICTUREMATCH_INGEST__DRAIN_S="60", PICTUREMATCH_INGEST__BODY_READ_S="60") as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST " + MATCH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        await writer.drain()
        server.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            while b"a second signal kills" not in await server.process.stdout.readline():
                assert server.process.returncode is None
        server.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            assert await server.process.wait() == -signal.SIGTERM
        writer.close()


async def test_a_second_server_on_the_same_data_folder_is_told_so(tmp_path):
    async with serving(tmp_path):
        second = await run("serve", "--data-folder", tmp_path, "--port", 0, PICTUREMATCH_MODELS__KIND="stand-in")
    assert second.status == 2
    assert str(tmp_path) in second.err
    assert "Traceback" not in second.err


async def test_a_port_that_is_taken_is_told_in_a_sentence(tmp_path):
    async with serving(tmp_path / "one") as server:
        other = ("--data-folder", tmp_path / "two", "--port", server.port)
        second = await run("serve", *other, PICTUREMATCH_MODELS__KIND="stand-in")
    assert second.status == 2
    assert str(server.port) in second.err
    assert "Traceback" not in second.err
