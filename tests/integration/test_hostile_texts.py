"""Texts that came from devices, people, lists and other servers never steer the operator's terminal."""

import asyncio
import base64
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from broker.embedded import open_embedded
from broker.port import NewRecord
from capture.folder import CaptureFolder
from contract.captures.values import CapturedDecision, CapturedRequest, CaptureLine
from contract.codec import encode
from contract.requests import Headers
from contract.topics import Topics
from picturematch.settings import Settings
from tests.faults.test_serve import MATCH, USERS, Server, serving
from tests.integration.test_processor import running
from tests.support.commands import Finished, finish, run
from tests.support.faces import photo
from tests.support.records import jpeg, match_request
from tests.support.scripted_server import Answer, Body, refusal, scripted_server
from tests.support.terminal import FRIENDLY, HOSTILE, hostile_characters, run_on_terminal

COMPARE = "/SophonMatch/api/compare"
TOPICS = Topics()
FREE = {"note": HOSTILE, HOSTILE: [HOSTILE, {"friendly": FRIENDLY}]}
RUNS: list[Callable[..., Awaitable[Finished]]] = [run, run_on_terminal]


async def ask(server: Server, path: str, body: dict[str, Any]) -> int:
    async with aiohttp.ClientSession() as session, session.post(server.url + path, json=body) as answer:
        return answer.status


def base64_photo(seed: int) -> str:
    return base64.b64encode(photo(seed)).decode()


async def tell_hostile_texts(folder: Path) -> None:
    """Have a server decide requests with hostile texts in every field that takes any text."""
    async with serving(folder, PICTUREMATCH_MATCHING__EVENT_IDENTITY_INFO="true") as server:
        person = {"identity_id": "7", "reg_photo": base64_photo(1), "info": {"name": FRIENDLY, **FREE}}
        match = {"device_ip": "10.0.0.1", "rgb_image_base64": base64_photo(1), "grab_fiqa_info": FREE}
        pictures = {"face_image_base64": base64_photo(1), "card_image_base64": base64_photo(2)}
        asked = [
            (USERS, person),
            (MATCH, {**match, "compare_time": "1700000000.250"}),
            (COMPARE, {**pictures, "need_save": True, "identity_info": FREE}),
        ]
        assert [await ask(server, path, body) for path, body in asked] == [200, 200, 200]


async def test_events_and_captures_are_printed_escaped_and_mean_the_same(tmp_path: Path) -> None:
    data = tmp_path / "data"
    await tell_hostile_texts(data)
    for how in RUNS:
        printed = await how("events", "--data-folder", data)
        assert printed.status == 0
        assert hostile_characters(printed.out) == ""
        events = [json.loads(line) for line in printed.out.splitlines()]
        assert [event["kind"] for event in events if event.get("identity_info", event.get("grab_fiqa_info"))] != []
        assert [event["kind"] for event in events if HOSTILE in texts(event)] == [event["kind"] for event in events]
        assert FRIENDLY in printed.out, "scripts, joiners and emoji are shown as they are"
        recorded = await how("record", "--data-folder", data, "--out", tmp_path / f"out-{how.__name__}")
        assert recorded.status == 0
        assert hostile_characters(recorded.out + recorded.err) == ""


def texts(value: Any) -> set[str]:
    """Every string in a JSON value, keys included."""
    if isinstance(value, str):
        return {value}
    children = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return set().union(*map(texts, children))


def hostile_capture(folder: Path) -> Path:
    """A capture made by somebody else, whose texts are hostile."""
    decision = CapturedDecision(
        outcome="matched", gallery_version=1, models={}, retcode="1", identity_id=HOSTILE, score=0.75
    )
    with CaptureFolder(folder) as out:
        for number, request_id in enumerate((f"a{HOSTILE}", f"b{HOSTILE}")):
            asked = CapturedRequest(picture=out.keep_picture(jpeg(number)), device_ip="gate", compare_time=1.5)
            out.append([CaptureLine(request_id=request_id, received_time=1.0, request=asked, decision=decision)])
    return folder


@pytest.mark.parametrize("how", RUNS)
async def test_names_of_folders_are_escaped_where_work_is_reported(
    how: Callable[..., Awaitable[Finished]], tmp_path: Path
) -> None:
    log, odd = tmp_path / "log", tmp_path / "out\u202e\x1b[31m"
    async with serving(log):
        pass

    ended = [
        await how("sink", "jsonl", "--data-folder", log, "--out", odd / "sink", "--idle-exit", "0.2s"),
        await how("record", "--data-folder", log, "--out", odd / "record"),
        await how("log", "backup", "--data-folder", log, tmp_path / "out\u202e.sqlite"),
    ]

    assert [finished.status for finished in ended] == [0, 0, 0]
    assert hostile_characters("".join(finished.out + finished.err for finished in ended)) == ""


@pytest.mark.parametrize("how", RUNS)
@pytest.mark.parametrize("options", [(), ("--json",)])
async def test_replay_escapes_what_the_capture_and_the_server_say(
    tmp_path: Path, options: tuple[str, ...], how: Callable[..., Awaitable[Finished]]
) -> None:
    answers: list[Answer] = [(200, {"retcode": "1", "identity_id": f"x{HOSTILE}", "score": 0.7}), (503, HOSTILE)]
    folder = hostile_capture(tmp_path / "capture")
    async with scripted_server(lambda _: answers.pop(0) if answers else (503, HOSTILE)) as server:
        ended = await how("replay", folder, "--url", server.url, "--concurrency", 1, *options)
    assert ended.status in {1, 2}
    assert "different" in ended.out
    if options:
        told = [json.loads(line) for line in ended.out.splitlines() if line.startswith("{")]
        assert {line["request_id"] for line in told if "line" in line} == {f"a{HOSTILE}", f"b{HOSTILE}"}
    assert hostile_characters(ended.out + ended.err) == ""


@pytest.mark.parametrize("how", RUNS)
async def test_enrol_escapes_what_the_list_and_the_server_say(
    tmp_path: Path, how: Callable[..., Awaitable[Finished]]
) -> None:
    name = "".join(c for c in HOSTILE if c not in "\x00/")
    (tmp_path / f"1{name}.jpg").write_bytes(jpeg(1))
    (tmp_path / f"2{name}.txt").write_bytes(b"no photo")

    def answer(body: Body) -> Answer:
        return refusal(40004, HOSTILE, HOSTILE)

    async with scripted_server(answer) as server:
        ended = await how("enrol", tmp_path, "--url", server.url)
    assert ended.status == 1
    assert "2 failed" in ended.out
    assert hostile_characters(ended.out + ended.err) == ""


@pytest.mark.parametrize("how", RUNS)
async def test_health_escapes_what_the_server_says(how: Callable[..., Awaitable[Finished]]) -> None:
    async with scripted_health() as url:
        ended = await how("health", "--url", url)
    assert ended.status == 1
    assert "because" in ended.out + ended.err
    assert hostile_characters(ended.out + ended.err) == ""


@asynccontextmanager
async def scripted_health() -> AsyncIterator[str]:
    from aiohttp import web

    async def handle(request: web.Request) -> web.Response:
        return web.json_response({"error": {"code": 50380, "message": f"because {HOSTILE}"}}, status=503)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("how", RUNS)
@pytest.mark.parametrize("options", [(), ("--json",)])
async def test_dead_letters_are_escaped(
    tmp_path: Path, options: tuple[str, ...], how: Callable[..., Awaitable[Finished]]
) -> None:
    async with running(tmp_path) as system:
        headers = ((Headers.REQUEST_ID, f"m1{HOSTILE}".encode()),)
        await system.broker.append([NewRecord(TOPICS.requests, HOSTILE.encode(), HOSTILE.encode(), headers)])
        await system.wait_for(1)
    listed = await how("dead-letters", "list", "--data-folder", tmp_path, *options)
    assert listed.status == 0
    assert "m1" in listed.out
    assert hostile_characters(listed.out + listed.err) == ""
    retried = await how("dead-letters", "retry", "0-0", "--data-folder", tmp_path)
    assert retried.status == 0
    assert hostile_characters(retried.out + retried.err) == ""
    again = await how("dead-letters", "list", "--data-folder", tmp_path, *options)
    assert hostile_characters(again.out + again.err) == ""


async def test_log_lines_are_escaped_and_forge_no_other_line(tmp_path: Path) -> None:
    """Ids of requests are logged; on Kafka, others write into the requests topic too."""
    forged = "r1\n2026-01-01 00:00:00,000 ERROR ingest: forged"
    settings = Settings(data_folder=tmp_path)
    async with open_embedded(tmp_path, role="owner", clock_ms=lambda: int(time.time() * 1000)) as broker:
        await broker.ensure_topics(settings.topic_specs)
        for request_id in (f"r0{HOSTILE}", forged):
            # No event can be made of a time that is no number.
            asked = msgspec.structs.replace(match_request(1), request_id=request_id, compare_time_s=math.nan)
            headers = ((Headers.REQUEST_ID, request_id.encode()),)
            await broker.append([NewRecord(TOPICS.requests, b"10.0.0.1", encode(asked), headers)])
    async with serving(tmp_path) as server:
        assert server.process.stderr is not None
        log: list[str] = []
        async with asyncio.timeout(60):
            while not any("forged" in line for line in log):
                log.append((await server.process.stderr.readline()).decode())
        server.process.terminate()
        log += (await finish(server.process)).err.splitlines()
    assert any("r0" in line for line in log)
    assert hostile_characters("".join(log)) == ""
    assert not [line for line in log if line.startswith("2026-01-01")]
